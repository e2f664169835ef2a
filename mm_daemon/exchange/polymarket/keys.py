"""The wallet's private key: reading it, its address, signatures with it, and the keccak hash that all of that rests on.

Nothing here prints a key: representations and errors name what is wrong, never the text that was wrong.
"""

from __future__ import annotations

import coincurve
import sha3  # type: ignore[import-untyped]

_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Number of keys of secp256k1; a private key is in 1 … _ORDER - 1."""


def keccak(message: bytes) -> bytes:
    """The 32-byte keccak-256 hash that Ethereum uses (not SHA3-256)."""
    digest: bytes = sha3.keccak_256(message).digest()
    return digest


def checksum_address(address: str) -> str:
    """Write an address with the mixed case of EIP-55.

    Raises:
        ValueError: not 0x and 40 hexadecimal digits.
    """
    digits = address.lower().removeprefix("0x")
    if len(digits) != 40 or not _is_hex(digits):
        raise ValueError(f"{address!r} is not an address (0x and 40 hexadecimal digits)")
    marks = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, marks, strict=False)
    )


class PrivateKey:
    """A secp256k1 private key with its address; signs 32-byte digests and never shows itself.

    Args:
        text: 32 bytes as 64 hexadecimal digits, with or without 0x; space around it is ignored.

    Raises:
        ValueError: not such a text, zero, or beyond the curve's order; the message does not repeat the text.
    """

    __slots__ = ("_key", "address")

    def __init__(self, text: str) -> None:
        digits = text.strip().removeprefix("0x").removeprefix("0X")
        if len(digits) != 64 or not _is_hex(digits):
            raise ValueError("the private key is not 64 hexadecimal digits")
        if not 0 < int(digits, 16) < _ORDER:
            raise ValueError("the private key is zero or beyond the curve's order")
        self._key = coincurve.PrivateKey(bytes.fromhex(digits))
        public = self._key.public_key.format(compressed=False)
        self.address = checksum_address(keccak(public[1:])[-20:].hex())

    def sign(self, digest: bytes) -> bytes:
        """Sign a 32-byte digest: 65 bytes r, s, v with v 27 or 28, deterministic (RFC 6979), s in the lower half."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes((signature[64] + 27,))

    def __repr__(self) -> str:
        return f"PrivateKey(of {self.address})"


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)
