"""Signatures: vectors of the protocol, and what has to be refused."""

from __future__ import annotations

import dataclasses

import pytest
from py_clob_client_v2.config import get_contract_config  # type: ignore[import-untyped]
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import (  # type: ignore[import-untyped]
    ExchangeOrderBuilderV2,
)
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2  # type: ignore[import-untyped]
from py_clob_client_v2.signer import Signer  # type: ignore[import-untyped]

from mm_daemon.sim.model import Refusal
from mm_daemon.sim.verify import OrderVerifier, check_l1, check_l2, is_position_id
from tests.sim.conftest import DEPOSIT_WALLET, PRIVATE_KEY, ZERO

EOA = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
POSITION = str((1 << 248) + 1)
CONFIG = get_contract_config(137)
VERIFIER = OrderVerifier(137)
ORDER = OrderV2(
    salt="123456789",
    maker=EOA,
    signer=EOA,
    tokenId=TOKEN,
    makerAmount="52000000",
    takerAmount="100000000",
    side=0,
    signatureType=0,
    timestamp="1790000000000",
    metadata=ZERO,
    builder=ZERO,
)
WRAPPED = dataclasses.replace(ORDER, maker=DEPOSIT_WALLET, signer=DEPOSIT_WALLET, signatureType=3)


def sign(order: OrderV2, contract: str, version: str = "2", key: str = PRIVATE_KEY) -> str:
    """The official client's signature for one contract."""
    builder = ExchangeOrderBuilderV2(contract, 137, Signer(key, 137), domain_version=version)
    return str(builder.build_order_signature(builder.build_order_typed_data(order)))


@pytest.mark.parametrize(
    ("order", "neg_risk", "id"),
    [
        (ORDER, False, "0x13c671e251929ebfc3d35a73a923da4bdbbf0c8aef1a8ab376024788ca60189d"),
        (ORDER, True, "0xe770c114022606a442dafca2e167da5d82ccaa21479370b98e7b1151b3145f74"),
        (WRAPPED, False, "0x1337a58453d58a8126d134a7ffb8a5c5112c377be37c667e8e73812d87e4d4fc"),
    ],
)
def test_order_ids_are_the_protocols_vectors(order: OrderV2, neg_risk: bool, id: str) -> None:
    """The id is the plain order's hash under its market's exchange, for a deposit wallet as well."""
    assert VERIFIER.order_id(order, neg_risk=neg_risk) == id


@pytest.mark.parametrize("order", [ORDER, WRAPPED])
def test_the_right_contract_is_accepted(order: OrderV2) -> None:
    """Signed for the contract of its market, by the key's EOA."""
    signature = sign(order, CONFIG.exchange_v2)
    VERIFIER.check_signature(order, signature, neg_risk=False, eoa=EOA)
    signature = sign(order, CONFIG.neg_risk_exchange_v2)
    VERIFIER.check_signature(order, signature, neg_risk=True, eoa=EOA)


@pytest.mark.parametrize("order", [ORDER, WRAPPED])
def test_the_wrong_contract_is_refused(order: OrderV2) -> None:
    """A standard signature on a neg-risk market, and the reverse."""
    for contract, neg_risk in ((CONFIG.exchange_v2, True), (CONFIG.neg_risk_exchange_v2, False)):
        with pytest.raises(Refusal, match="invalid signature"):
            VERIFIER.check_signature(order, sign(order, contract), neg_risk=neg_risk, eoa=EOA)


def test_a_position_id_trades_on_exchange_v3() -> None:
    """Whatever neg_risk says, and with domain version 3."""
    assert is_position_id(int(POSITION)) and not is_position_id(int(TOKEN))
    order = dataclasses.replace(ORDER, tokenId=POSITION)
    VERIFIER.check_signature(order, sign(order, CONFIG.exchange_v3, "3"), neg_risk=True, eoa=EOA)
    with pytest.raises(Refusal):
        VERIFIER.check_signature(order, sign(order, CONFIG.exchange_v3, "2"), neg_risk=True, eoa=EOA)


@pytest.mark.parametrize("order", [ORDER, WRAPPED])
def test_another_key_is_refused(order: OrderV2) -> None:
    """Only the EOA of the API key may sign."""
    signature = sign(order, CONFIG.exchange_v2, key="0x" + "22" * 32)
    with pytest.raises(Refusal, match="invalid signature"):
        VERIFIER.check_signature(order, signature, neg_risk=False, eoa=EOA)


@pytest.mark.parametrize("field", ["salt", "makerAmount", "takerAmount", "timestamp"])
def test_every_signed_field_counts(field: str) -> None:
    """A changed field breaks the signature."""
    signature = sign(ORDER, CONFIG.exchange_v2)
    forged = dataclasses.replace(ORDER, **{field: "7"})
    with pytest.raises(Refusal):
        VERIFIER.check_signature(forged, signature, neg_risk=False, eoa=EOA)


@pytest.mark.parametrize("place", [70, 120, 200, -2])
def test_the_whole_wrapping_is_checked(place: int) -> None:
    """A deposit wallet's signature is refused if a byte of domain, struct hash, type string or length differs."""
    signature = bytearray(bytes.fromhex(sign(WRAPPED, CONFIG.exchange_v2)[2:]))
    signature[place] ^= 1
    with pytest.raises(Refusal):
        VERIFIER.check_signature(WRAPPED, "0x" + signature.hex(), neg_risk=False, eoa=EOA)


@pytest.mark.parametrize("signature", ["", "0x", "0x12", "zz", "0x" + "00" * 65])
def test_nonsense_is_refused(signature: str) -> None:
    """No signature at all is an invalid one, not a crash."""
    for order in (ORDER, WRAPPED):
        with pytest.raises(Refusal):
            VERIFIER.check_signature(order, signature, neg_risk=False, eoa=EOA)


def test_l1_vector() -> None:
    """The protocol's wallet signature is accepted for its address and time, and for no other."""
    signature = (
        "0x85ca564babee4e457e787f6a6db85d07f12ea4c3b436cbb0d7985b97543f11f5"
        "0a58fb1019b2ba8c4c77d3cc30a2901659b9074b54129b035d545c907c8c5caa1b"
    )
    check_l1(EOA, signature, "1790000000", "0", 137)
    for address, timestamp, nonce in ((EOA, "1790000001", "0"), (EOA, "1790000000", "1"), ("", "1790000000", "0")):
        with pytest.raises(Refusal) as refused:
            check_l1(address, signature, timestamp, nonce, 137)
        assert refused.value.status == 401


def test_l2_vectors() -> None:
    """The protocol's HMACs are accepted for their bytes, and for no other."""
    secret, timestamp = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "1790000000"
    check_l2(secret, "ZnOupmm_fYDE1AKlPEKoeJ918EjexNE3ZUSL3hh5DU4=", timestamp, "POST", "/order", '{"a":1}')
    check_l2(secret, "FVB6g2ZvKNXT0_2Pg8MdwBPhxyefgOCZ6FgmkqkNieU=", timestamp, "GET", "/data/orders", "")
    with pytest.raises(Refusal):
        check_l2(secret, "FVB6g2ZvKNXT0_2Pg8MdwBPhxyefgOCZ6FgmkqkNieU=", timestamp, "GET", "/data/trades", "")
