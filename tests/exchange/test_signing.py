"""Orders are, byte for byte, what the protocol's vectors and the official client say."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_daemon.core.units import Price, Side, Size, TokenId
from mm_daemon.exchange.polymarket.contracts import is_position_id, load_contracts
from mm_daemon.exchange.polymarket.keys import PrivateKey, checksum_address, keccak
from mm_daemon.exchange.polymarket.signing import ORDER_TYPE, OrderSigner, amounts, batch_body

from .conftest import ACCOUNT, KEY

TOKEN = TokenId("71321045679252212594626385532706912750332728571942532289631379312455583992563")
POSITION = TokenId("707813651060619766396024269793696093509958893894696764099470338521577816064")
DEPOSIT_WALLET = "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
STANDARD_ID = "0x13c671e251929ebfc3d35a73a923da4bdbbf0c8aef1a8ab376024788ca60189d"
STANDARD_SIGNATURE = (
    "0x9123399ceefbca7705c0c7b4f0be944625ae4856082edf983722f677d9408e04"
    "679afdaf3311cc61b54e52f1b26b6f6be66254711e9a5bb610a715e2c6fdbe341b"
)
NEG_RISK_ID = "0xe770c114022606a442dafca2e167da5d82ccaa21479370b98e7b1151b3145f74"
NEG_RISK_SIGNATURE = (
    "0xde676f3d8cca745236782dbc45467169d9103c12708d650234198cab503fbff3"
    "1716358ef216054694cce4898e1a9b29ff8950ff3b5f4c090524aa6687cd71571c"
)
DEPOSIT_ID = "0x1337a58453d58a8126d134a7ffb8a5c5112c377be37c667e8e73812d87e4d4fc"
V3_ID = "0x31aefd2d2529423fedf320ce65b2da935804ee893e3b9f7f0138ae587a469505"
V3_SEPARATOR = "466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b"


def signer(signature_type: int = 0, funder: str = "", salt: int = 123456789, at: int = 1790000000000) -> OrderSigner:
    return OrderSigner(PrivateKey(KEY), funder, signature_type, 137, owner="key", now_ms=lambda: at, salt=lambda: salt)


def posted(order: OrderSigner, neg_risk: bool = False) -> tuple[str, dict[str, Any]]:
    signed = order.sign(TOKEN, Side.BUY, Price(5200), Size(100_000_000), neg_risk=neg_risk)
    return signed.id, json.loads(signed.body)


def test_vectors_of_the_two_v2_exchanges() -> None:
    """The protocol's order ids and signatures of signature type 0 come out exactly."""
    id, body = posted(signer())
    assert (id, body["order"]["signature"]) == (STANDARD_ID, STANDARD_SIGNATURE)
    id, body = posted(signer(), neg_risk=True)
    assert (id, body["order"]["signature"]) == (NEG_RISK_ID, NEG_RISK_SIGNATURE)


def test_vector_of_the_v3_exchange() -> None:
    """The separator and the id under Exchange V3 are the protocol's (which hashes an ordinary token id there)."""
    contract = load_contracts(137).positions
    struct = signer().struct_hash(TOKEN, Side.BUY, 52_000_000, 100_000_000, 123456789, 1790000000000)
    assert contract.separator.hex() == V3_SEPARATOR
    assert "0x" + keccak(b"\x19\x01" + contract.separator + struct).hex() == V3_ID


def test_vector_of_a_deposit_wallet() -> None:
    """A type 3 order has the id of the plain order and the wrapped signature of 317 bytes."""
    id, body = posted(signer(3, DEPOSIT_WALLET))
    signature = body["order"]["signature"]
    assert id == DEPOSIT_ID
    assert len(signature) == 636
    assert signature.endswith("2900ba")
    digest = hashlib.sha256(signature.encode()).hexdigest()
    assert digest == "7fa0a3e7ee296287c28877290dad9d999bad3d873d4276a990edb1265ac9deec"


def test_type_strings_and_separators_are_the_protocols() -> None:
    """The type hash and the domain separators equal the published ones."""
    contracts = load_contracts(137)
    assert keccak(ORDER_TYPE).hex() == "bb86318a2138f5fa8ae32fbe8e659f8fcf13cc6ae4014a707893055433818589"
    assert contracts.normal.separator.hex() == "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"
    assert contracts.neg_risk.separator.hex() == "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a"


@pytest.mark.parametrize(
    ("side", "price", "size", "expected"),
    [
        (Side.BUY, 5200, 100_000_000, (52_000_000, 100_000_000)),
        (Side.SELL, 5700, 21_040_000, (21_040_000, 11_992_800)),
        (Side.BUY, 5150, 10_130_000, (5_216_950, 10_130_000)),
        (Side.BUY, 5125, 7_770_000, (3_982_125, 7_770_000)),
        (Side.BUY, 570, 33_330_000, (1_899_810, 33_330_000)),
        (Side.SELL, 9990, 5_000_000, (5_000_000, 4_995_000)),
        (Side.BUY, 123, 250_500_000, (3_081_150, 250_500_000)),
    ],
)
def test_amounts_are_the_protocols(side: Side, price: int, size: int, expected: tuple[int, int]) -> None:
    """Every example of the protocol's amounts table comes out exactly."""
    assert amounts(side, Price(price), Size(size)) == expected


def test_amounts_refuse_what_is_not_exact() -> None:
    """A notional that is no whole number of base units is refused, not rounded."""
    with pytest.raises(ValueError, match="no exact positive notional"):
        amounts(Side.BUY, Price(1), Size(1))


def test_envelope_is_what_the_venue_expects() -> None:
    """The body has exactly the documented keys and types, post-only and good till cancelled."""
    _, body = posted(signer())
    order = body.pop("order")
    assert body == {"owner": "key", "orderType": "GTC", "deferExec": False, "postOnly": True}
    assert order["salt"] == 123456789
    assert order["signatureType"] == 0
    assert order["makerAmount"] == "52000000"
    assert order["takerAmount"] == "100000000"
    assert order["timestamp"] == "1790000000000"
    assert order["expiration"] == "0"
    assert order["side"] == "BUY"
    assert order["maker"] == order["signer"] == ACCOUNT


def test_batch_is_the_bodies_in_an_array() -> None:
    """A batch posts the very bytes that were built, in order."""
    first, second = (signer(salt=n).sign(TOKEN, Side.BUY, Price(100), Size(10_000), neg_risk=False) for n in (1, 2))
    assert batch_body([first, second]) == b"[" + first.body + b"," + second.body + b"]"


def test_default_salts_survive_doubles() -> None:
    """Random salts stay below 2**53 and two orders never share one."""
    free = OrderSigner(PrivateKey(KEY), "", 0, 137, owner="key")
    bodies = [json.loads(free.sign(TOKEN, Side.SELL, Price(100), Size(10_000), neg_risk=False).body) for _ in range(50)]
    salts = {body["order"]["salt"] for body in bodies}
    assert len(salts) == 50
    assert max(salts) < 2**53


def test_impossible_wallets_are_refused_without_showing_the_key() -> None:
    """A funder that contradicts the signature type is an error, and no representation holds the key."""
    with pytest.raises(ValueError, match="own address"):
        signer(0, DEPOSIT_WALLET)
    with pytest.raises(ValueError, match="needs the funder"):
        signer(3)
    with pytest.raises(ValueError, match="not one of"):
        signer(4, DEPOSIT_WALLET)
    with pytest.raises(ValueError, match="not an address"):
        signer(1, "0x12")
    assert KEY not in repr(signer()) + repr(PrivateKey(KEY)) + str(PrivateKey(KEY))


def test_signing_needs_an_api_key() -> None:
    """Without the owner's API key an order would be refused, so none is built."""
    with pytest.raises(RuntimeError, match="API key"):
        OrderSigner(PrivateKey(KEY), "", 0, 137).sign(TOKEN, Side.BUY, Price(100), Size(10_000), neg_risk=False)


@pytest.mark.parametrize("text", ["", "zz" * 32, "11" * 31, "00" * 32, "ff" * 32, "0x" + "11" * 33])
def test_bad_private_keys_are_refused_without_repeating_them(text: str) -> None:
    """A key that is no key is refused, and the message does not repeat it."""
    with pytest.raises(ValueError, match="private key is") as caught:
        PrivateKey(text)
    assert not text or text not in str(caught.value)


def test_private_key_forms() -> None:
    """With or without 0x and with a newline it is the same key, whose address is checksummed."""
    assert PrivateKey(KEY).address == PrivateKey(f" 0x{KEY}\n").address == ACCOUNT
    assert checksum_address(ACCOUNT.lower()) == ACCOUNT


def test_token_classes() -> None:
    """An id whose bits 40 to 103 are zero is a position id and is signed for Exchange V3 whatever neg_risk says."""
    contracts = load_contracts(137)
    assert not is_position_id(TOKEN)
    assert is_position_id(POSITION)
    assert contracts.for_token(POSITION, True) is contracts.positions
    assert contracts.for_token(TOKEN, True) is contracts.neg_risk
    with pytest.raises(ValueError, match="uint256"):
        is_position_id(TokenId("0x12"))


def test_unknown_chain_is_refused() -> None:
    """A chain that the official client does not know has no contracts."""
    with pytest.raises(ValueError, match="chain 1"):
        load_contracts(1)


@lru_cache(maxsize=16)
def official(contract: str, version: str) -> Any:
    """The official client's order builder for one contract."""
    from py_clob_client_v2.order_utils.exchange_order_builder_v2 import (  # type: ignore[import-untyped]
        ExchangeOrderBuilderV2,
    )
    from py_clob_client_v2.signer import Signer  # type: ignore[import-untyped]

    return ExchangeOrderBuilderV2(contract, 137, Signer("0x" + KEY, 137), domain_version=version)


def official_order(ours: dict[str, Any], contract: str, version: str) -> tuple[str, str]:
    """(id, signature) that the official client makes of the same fields."""
    from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2  # type: ignore[import-untyped]

    builder = official(contract, version)
    order = OrderV2(**{**{k: v for k, v in ours.items() if k != "signature"}, "side": int(ours["side"] == "SELL")})
    typed = builder.build_order_typed_data(order)
    return builder.build_order_hash(typed), builder.build_order_signature(typed)


TOKENS = st.one_of(
    st.integers(2**200, 2**256 - 1),
    st.builds(lambda high, low: (high << 104) | low, st.integers(1, 2**152 - 1), st.integers(0, 1)),
)
WALLETS = {0: "", 1: "0x6Cd089333445c89b55B7693c6009DCc229613738", 2: "0x" + "75" * 20, 3: DEPOSIT_WALLET}


@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    token=TOKENS,
    signature_type=st.sampled_from((0, 1, 2, 3)),
    neg_risk=st.booleans(),
    side=st.sampled_from(Side),
    price=st.integers(1, 9999),
    hundredths=st.integers(1, 10**9),
    salt=st.integers(1, 2**53 - 1),
    at=st.integers(1_600_000_000_000, 2_000_000_000_000),
)
def test_every_order_equals_the_official_clients(
    token: int, signature_type: int, neg_risk: bool, side: Side, price: int, hundredths: int, salt: int, at: int
) -> None:
    """Id, signature and amounts equal, byte for byte, what the official client makes of the same integers."""
    ours = signer(signature_type, WALLETS[signature_type], salt, at)
    signed = ours.sign(TokenId(str(token)), side, Price(price), Size(hundredths * 10_000), neg_risk=neg_risk)
    order = json.loads(signed.body)["order"]
    contract = ours.contracts.for_token(signed.token, neg_risk)
    notional = price * hundredths
    assert (int(order["makerAmount"]), int(order["takerAmount"])) == (
        (hundredths * 10_000, notional) if side else (notional, hundredths * 10_000)
    )
    assert (signed.id, order["signature"]) == official_order(order, contract.address, contract.version)
