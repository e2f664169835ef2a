"""What a trading wallet allows the venue's contracts to move, as the data API lists it, and what trading needs of it.

Orders need the exchange contracts alone: pUSD for bids, outcome tokens for asks. The others split, merge and redeem.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mm_daemon.exchange.errors import ProtocolError
from mm_daemon.exchange.polymarket.wire import decoded

CHAIN_ID = 137
"""The chain of the addresses below."""
UNLIMITED = (1 << 256) - 1

PUSD = "0xC011a7E12a19f7B1f670d46F03B03f3342E82DFB"
CONDITIONAL_TOKENS = "0x4D97DCd97eC945f40cF65F87097ACe5EA0476045"
POSITION_MANAGER = "0x006F54F7f9A22e0000CC2AB60031000000ae9fEF"
TOKENS = {PUSD: "pUSD", CONDITIONAL_TOKENS: "conditional tokens", POSITION_MANAGER: "positions"}

_ADAPTER = ("0xAdA100Db00Ca00073811820692005400218FcE1f", "collateral adapter")
_NEG_RISK_ADAPTER = ("0xadA2005600Dec949baf300f4C6120000bDB6eAab", "neg-risk collateral adapter")
_ROUTER = ("0x12121212006e4CD160D18e3f00711DA5c3372600", "router")
_AUTO_REDEEM = ("0xa1200000d0002264C9a1698e001292D00E1b00af", "auto-redeem operator")
_BINARY_MODULE = ("0x1000008dD9001B968442c1000017eaE6E0dA00Ba", "binary module")
_NEG_RISK_MODULE = ("0x200000900045e3B6259600682756002200028933", "neg-risk module")


class Permission(msgspec.Struct, frozen=True):
    """A token that a wallet may let a contract move. `is_exchange`: orders are settled by it."""

    token: str
    spender: str
    name: str
    is_exchange: bool = False

    @property
    def title(self) -> str:
        """Both in words."""
        return f"{TOKENS[self.token]} to {self.name}"


def permissions(normal: str, neg_risk: str, positions: str) -> list[Permission]:
    """Everything that the venue's own client asks a wallet to allow for trading, and for what comes after it.

    Args:
        normal, neg_risk, positions: the addresses of the three exchange contracts.
    """
    first = [(normal, "CTF Exchange V2"), (neg_risk, "Neg-risk Exchange V2")]
    third = (positions, "Exchange V3")
    exchanges = {normal, neg_risk, positions}
    spenders = {
        PUSD: [*first, third, _ADAPTER, _NEG_RISK_ADAPTER, _ROUTER],
        CONDITIONAL_TOKENS: [
            *first, _ADAPTER, _NEG_RISK_ADAPTER, _AUTO_REDEEM, _BINARY_MODULE, _NEG_RISK_MODULE
        ],
        POSITION_MANAGER: [third, _ROUTER, _AUTO_REDEEM],
    }  # fmt: skip
    return [
        Permission(token, spender, name, spender in exchanges)
        for token, named in spenders.items()
        for spender, name in named
    ]


class _Row(msgspec.Struct):
    token: object = None
    spender: object = None
    standard: object = None
    approved: object = None
    amount: object = None


class _Rows(msgspec.Struct):
    address: str
    chain_id: int
    contracts: list[_Row]


class _Envelope(msgspec.Struct):
    data: _Rows


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def read_approvals(body: bytes, wallet: str, chain_id: int) -> Mapping[tuple[str, str], int]:
    """How much each contract may move: {(token, spender), lower case: base units}, all or nothing for ERC-1155.

    Pairs that the answer does not list, or not in a way that can be read, are left out.

    Raises:
        ProtocolError: not such a list, or another wallet's or chain's.
    """
    rows = decoded(_ENVELOPE, body, "a list of approvals").data
    if rows.address.lower() != wallet.lower() or rows.chain_id != chain_id:
        raise ProtocolError(f"asked for the approvals of {wallet} on chain {chain_id}, got others")
    found: dict[tuple[str, str], int] = {}
    for row in rows.contracts:
        if isinstance(row.token, str) and isinstance(row.spender, str) and isinstance(row.approved, bool):
            amount = _amount(row)
            if amount is not None:
                found[row.token.lower(), row.spender.lower()] = amount
    return found


def _amount(row: _Row) -> int | None:
    """Rows that are not approved may still name an amount; the flag decides."""
    if not row.approved:
        return 0
    if row.standard == "ERC1155" or row.amount == "max":
        return UNLIMITED
    if isinstance(row.amount, str) and row.amount.isascii() and row.amount.isdecimal() and len(row.amount) <= 78:
        return int(row.amount)
    return None
