"""Wallets that belong to a key, and what the venue's other services say of an account."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mm_daemon.exchange.errors import ProtocolError
from mm_daemon.exchange.polymarket.approvals import CONDITIONAL_TOKENS, PUSD, UNLIMITED, permissions, read_approvals
from mm_daemon.exchange.polymarket.contracts import load_contracts
from mm_daemon.exchange.polymarket.wallets import signature_type_of, wallets_of

ACCOUNT = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
PROXY = "0x6Cd089333445c89b55B7693c6009DCc229613738"
SAFE = "0x75F00B003FBBBA193FABEB06284c3187a4C1232E"
DEPOSIT_WALLET = "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
EARLY_DEPOSIT_WALLET = "0x7a57144fAfde87F5cE4a880D570BAe58eeBC83f2"


def test_wallets_of_a_key() -> None:
    """The official client's addresses for the key of 32 bytes 0x11."""
    assert wallets_of(ACCOUNT) == {0: (ACCOUNT,), 1: (PROXY,), 2: (SAFE,), 3: (DEPOSIT_WALLET, EARLY_DEPOSIT_WALLET)}


@pytest.mark.parametrize(
    ("wallet", "kind"),
    [(ACCOUNT, 0), (PROXY, 1), (SAFE.lower(), 2), (DEPOSIT_WALLET, 3), ("0x" + "75" * 20, None)],
)
def test_type_of_a_wallet(wallet: str, kind: int | None) -> None:
    """The signature type follows from the two addresses, in any case of letters."""
    assert signature_type_of(ACCOUNT, wallet) == kind


def listed(*rows: dict[str, Any], address: str = SAFE, chain: int = 137) -> bytes:
    """A data API answer."""
    return json.dumps({"data": {"address": address, "chain_id": chain, "contracts": rows}}).encode()


def test_the_flag_decides_and_not_the_amount() -> None:
    """A row that is not approved counts as nothing, though it says "max"; rows that nobody can read are left out."""
    body = listed(
        {"token": "0xA", "spender": "0xB", "standard": "ERC20", "approved": False, "amount": "max"},
        {"token": "0xA", "spender": "0xC", "standard": "ERC20", "approved": True, "amount": "max"},
        {"token": "0xA", "spender": "0xD", "standard": "ERC20", "approved": True, "amount": "25000000"},
        {"token": "0xE", "spender": "0xB", "standard": "ERC1155", "approved": True},
        {"token": "0xA", "spender": "0xF", "standard": "ERC20", "approved": True, "amount": None},
        {"token": "0xA", "spender": None, "approved": True},
    )
    assert read_approvals(body, SAFE.lower(), 137) == {
        ("0xa", "0xb"): 0,
        ("0xa", "0xc"): UNLIMITED,
        ("0xa", "0xd"): 25_000_000,
        ("0xe", "0xb"): UNLIMITED,
    }


@pytest.mark.parametrize("body", [listed(address=PROXY), listed(chain=80002), b"[]", b'{"data":null}', b"no"])
def test_approvals_of_somebody_else(body: bytes) -> None:
    """Another wallet's list, another chain's, or no list at all tells nothing about ours."""
    with pytest.raises(ProtocolError):
        read_approvals(body, SAFE, 137)


def test_orders_need_the_exchanges_alone() -> None:
    """pUSD for the three exchange contracts, tokens for the one that settles them."""
    contracts = load_contracts(137)
    addresses = [contracts.normal.address, contracts.neg_risk.address, contracts.positions.address]
    needed = [wanted for wanted in permissions(*addresses) if wanted.is_exchange]
    assert [wanted.spender for wanted in needed if wanted.token == PUSD] == addresses
    assert [wanted.spender for wanted in needed if wanted.token == CONDITIONAL_TOKENS] == addresses[:2]
