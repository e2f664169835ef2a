"""Who we are to the venue: API credentials, the wallet's L1 headers and the L2 signature of every private call.

An L2 signature covers the exact bytes that are sent, so the body is serialised once, by the caller.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from mm_daemon.exchange.polymarket.http1 import header_lines
from mm_daemon.exchange.polymarket.keys import PrivateKey, keccak

_BLOCK = 64
"""Bytes that SHA-256 takes in at once."""
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_DOMAIN_TYPE = keccak(b"EIP712Domain(string name,string version,uint256 chainId)")
_CLAIM_TYPE = keccak(b"ClobAuth(address address,string timestamp,uint256 nonce,string message)")


class ApiCredentials(msgspec.Struct, frozen=True):
    """The key triple of the venue's API. Only the beginning of the key is ever shown."""

    key: str
    secret: str
    passphrase: str

    def __repr__(self) -> str:
        return f"ApiCredentials({self.key[:8]}…)"


class RequestSigner:
    """Makes the L2 headers of private calls.

    Args:
        address: of the account that owns the API key, also when orders trade from another wallet.
        credentials: the API key triple.

    Raises:
        ValueError: the secret is not base64, or the rest of the triple cannot stand in a header.
    """

    def __init__(self, address: str, credentials: ApiCredentials) -> None:
        secret = credentials.secret
        try:
            key = base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4))
        except (binascii.Error, ValueError):
            raise ValueError("the API secret is not base64") from None
        block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        self._fixed = {
            "POLY_ADDRESS": address,
            "POLY_API_KEY": credentials.key,
            "POLY_PASSPHRASE": credentials.passphrase,
        }
        self._fixed_lines = header_lines(self._fixed)

    def __repr__(self) -> str:
        return f"RequestSigner({self._fixed['POLY_ADDRESS']})"

    def signature(self, unix_secs: int, method: str, path: str, body: bytes = b"") -> str:
        """The POLY_SIGNATURE of a call; `path` has no host and no query, `body` is what goes on the wire.

        An HMAC-SHA256, from hash states that have taken in the key: the library's own costs twice as much.
        """
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{unix_secs}{method}{path}".encode())
        inner.update(body)
        outer.update(inner.digest())
        return binascii.b2a_base64(outer.digest(), newline=False).translate(_URL_SAFE).decode()

    def headers(self, unix_secs: int, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        """The five headers of a private call made at `unix_secs`."""
        return {
            **self._fixed,
            "POLY_SIGNATURE": self.signature(unix_secs, method, path, body),
            "POLY_TIMESTAMP": str(unix_secs),
        }

    def lines(self, unix_secs: int, method: str, path: str, body: bytes = b"") -> bytes:
        """The same as header lines, ready to send."""
        signature = self.signature(unix_secs, method, path, body)
        return b"%bPOLY_SIGNATURE: %b\r\nPOLY_TIMESTAMP: %d\r\n" % (self._fixed_lines, signature.encode(), unix_secs)


def level_1_headers(key: PrivateKey, chain_id: int, unix_secs: int) -> dict[str, str]:
    """The wallet's own headers, with which API keys are made and derived (nonce 0): EIP-712 over who, when and why."""
    domain = keccak(_DOMAIN_TYPE + keccak(b"ClobAuthDomain") + keccak(b"1") + chain_id.to_bytes(32, "big"))
    claim = keccak(
        _CLAIM_TYPE
        + bytes.fromhex(key.address[2:]).rjust(32, b"\0")
        + keccak(str(unix_secs).encode())
        + bytes(32)  # the nonce
        + keccak(b"This message attests that I control the given wallet")
    )
    return {
        "POLY_ADDRESS": key.address,
        "POLY_SIGNATURE": "0x" + key.sign(keccak(b"\x19\x01" + domain + claim)).hex(),
        "POLY_TIMESTAMP": str(unix_secs),
        "POLY_NONCE": "0",
    }
