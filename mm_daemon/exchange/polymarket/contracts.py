"""Which contract settles a token's orders, and the EIP-712 domain that such an order is signed under.

Addresses come from the official client, so that a new deployment is one upgrade away.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from mm_daemon.core.units import TokenId
from mm_daemon.exchange.polymarket.keys import checksum_address, keccak
from mm_daemon.exchange.polymarket.official import official_module

_POSITION_MASK = ((1 << 64) - 1) << 40
_DOMAIN_TYPE = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_EXCHANGE_NAME = keccak(b"Polymarket CTF Exchange")


class Contract(msgspec.Struct, frozen=True):
    """An exchange contract: its checksummed address, its domain version and its 32-byte domain separator."""

    address: str
    version: str
    separator: bytes


class Contracts(msgspec.Struct, frozen=True):
    """The three exchange contracts of a chain."""

    normal: Contract
    neg_risk: Contract
    positions: Contract
    """Exchange V3, for "protocol v2" position ids."""

    def for_token(self, token: TokenId, neg_risk: bool) -> Contract:
        """The contract that an order of `token` has to be signed for.

        Raises:
            ValueError: the token id is not a uint256 in decimal digits.
        """
        if is_position_id(token):
            return self.positions
        return self.neg_risk if neg_risk else self.normal


def is_position_id(token: TokenId) -> bool:
    """Whether `token` is a "protocol v2" position id (bits 40 … 103 are zero) and not a conditional-token id.

    Raises:
        ValueError: the token id is not a uint256 in decimal digits.
    """
    return not token_number(token) & _POSITION_MASK


def token_number(token: TokenId) -> int:
    """The token id as the number that is signed.

    Raises:
        ValueError: the token id is not a uint256 in decimal digits.
    """
    if not (token.isascii() and token.isdecimal() and len(token) <= 78) or int(token) >> 256:
        raise ValueError(f"token id {token[:80]!r} is not a uint256 in decimal digits")
    return int(token)


def asset_type(token: TokenId) -> str:
    """What the balance endpoints call the kind of asset that `token` is."""
    return "CONDITIONAL-V2" if is_position_id(token) else "CONDITIONAL"


def domain_separator(version: str, chain_id: int, address: str) -> bytes:
    """The EIP-712 domain separator of an exchange contract."""
    return keccak(
        _DOMAIN_TYPE
        + _EXCHANGE_NAME
        + keccak(version.encode())
        + chain_id.to_bytes(32, "big")
        + bytes.fromhex(address.removeprefix("0x")).rjust(32, b"\0")
    )


@lru_cache(maxsize=8)
def load_contracts(chain_id: int) -> Contracts:
    """The exchange contracts of a chain, from the official client's table.

    Raises:
        ValueError: the official client knows no such chain.
    """
    table = official_module("config")
    try:
        config = table.get_contract_config(chain_id)
    except Exception as error:  # the client raises a bare Exception for an unknown chain
        raise ValueError(f"no contracts are known for chain {chain_id}") from error

    def contract(address: str, version: str) -> Contract:
        return Contract(checksum_address(address), version, domain_separator(version, chain_id, address))

    return Contracts(
        normal=contract(config.exchange_v2, "2"),
        neg_risk=contract(config.neg_risk_exchange_v2, "2"),
        positions=contract(config.exchange_v3, "3"),
    )
