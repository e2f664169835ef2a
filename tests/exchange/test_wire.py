"""Scalars and bodies of the wire are read exactly or refused, with no float in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.market import MarketStatus
from mm_daemon.core.units import OrderId
from mm_daemon.exchange.api import Accepted, AnswerLost, Balance, CancelOutcome, Placement, Refused
from mm_daemon.exchange.errors import ProtocolError, Rejected, RejectReason
from mm_daemon.exchange.polymarket.bodies import cancel_outcomes, read_balance, verdicts
from mm_daemon.exchange.polymarket.discovery import condition_of_slug, is_condition_id, read_market
from mm_daemon.exchange.polymarket.wire import optional_price, price_of, side_of, size_of, time_ms, whole_of

A, B = OrderId("0x" + "aa" * 32), OrderId("0x" + "bb" * 32)


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


@pytest.mark.parametrize(
    ("text", "price"), [('"0.52"', 5200), ("0.52", 5200), ("5e-1", 5000), ("0.0025", 25), ('"1"', 10_000), ("0", 0)]
)
def test_prices_as_text_and_as_numbers(text: str, price: int) -> None:
    """A price is the same integer whether the venue writes it as text, as a number or with an exponent."""
    assert price_of(raw(text)) == price


@pytest.mark.parametrize("text", ['""', "null", '"0.00001"', "2", "-0.5", "NaN", "1e999999999", "{}", '"five"', "true"])
def test_what_is_no_price_is_refused(text: str) -> None:
    """Missing, too fine, out of range or no number: ValueError, never a guess."""
    with pytest.raises(ValueError):
        price_of(raw(text))


@given(st.integers(0, 10**15))
def test_every_size_survives_the_wire(size: int) -> None:
    """Any number of micro-shares written with six decimals comes back as itself, as text and as a number."""
    text = f"{size // 10**6}.{size % 10**6:06d}"
    assert size_of(raw(text)) == size_of(raw(f'"{text}"')) == size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1790000000", 1790000000000),
        ('"1790000000123"', 1790000000123),
        ('"2024-01-01T00:00:00Z"', 1704067200000),
        ('"2026-07-07 00:00:00+00"', 1783382400000),
        ("null", 0),
        ('""', 0),
        ("1790000000.5", 1790000000000),
    ],
)
def test_times_become_milliseconds(text: str, expected: int) -> None:
    """Seconds, milliseconds and ISO text are told apart; a missing time is 0."""
    assert time_ms(raw(text)) == expected


def test_small_readers() -> None:
    """Optional numbers, whole numbers and sides refuse what they are not."""
    assert optional_price(raw("null")) is None
    assert whole_of(raw('"1000000000"')) == 10**9
    assert side_of("sell").name == "SELL"
    for bad in ('"250.5"', '""'):
        with pytest.raises(ValueError):
            whole_of(raw(bad))
    with pytest.raises(ValueError, match="not a side"):
        side_of("HOLD")


def verdict(**fields: Any) -> dict[str, Any]:
    return {"success": True, "errorMsg": "", "orderID": A, "status": "live", **fields}


def one(element: object) -> Placement:
    [placement] = verdicts(json.dumps([element]).encode(), [A])
    return placement


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        (verdict(), Accepted(A)),
        (verdict(orderID=A.upper().replace("0X", "0x")), Accepted(A)),
        (verdict(status="matched"), Accepted(A, may_match=True)),
        (verdict(status="delayed"), Accepted(A, may_match=True)),
        (verdict(status="unmatched"), Accepted(A, may_match=True)),
        (
            verdict(orderID="", status="", errorMsg="invalid post-only order: order crosses book"),
            Refused(A, RejectReason.POST_ONLY_CROSSED, "invalid post-only order: order crosses book"),
        ),
        (
            verdict(success=False, orderID=None, errorMsg="not enough balance / allowance"),
            Refused(A, RejectReason.NOT_ENOUGH_BALANCE, "not enough balance / allowance"),
        ),
        ({"error": "the market is not yet ready to process new orders"}, RejectReason.MARKET_NOT_READY),
        (verdict(success=False, orderID="", errorMsg="order 0x is invalid. Duplicated."), AnswerLost),
        (verdict(success=False, orderID="", errorMsg="could not insert order"), AnswerLost),
        (verdict(errorMsg="odd"), AnswerLost),
        (verdict(orderID=""), AnswerLost),
        (verdict(status=None), AnswerLost),
        (verdict(status="novel"), AnswerLost),
        (verdict(orderID=B), AnswerLost),
        (verdict(success=5), AnswerLost),
        (None, AnswerLost),
        ({}, AnswerLost),
    ],
)
def test_each_verdict(element: object, expected: object) -> None:
    """An element is accepted, refused with a reason, or lost; in doubt it is lost, never refused."""
    placement = one(element)
    if isinstance(expected, RejectReason):
        assert isinstance(placement, Refused)
        assert placement.reason is expected
    elif isinstance(expected, type):
        assert isinstance(placement, expected)
    else:
        assert placement == expected


def test_verdicts_follow_ids_before_places() -> None:
    """Answers in another order still reach the orders that they name; short answers lose the rest only."""
    swapped = json.dumps([verdict(orderID=B), verdict()]).encode()
    assert verdicts(swapped, [A, B]) == [Accepted(A), Accepted(B)]
    short = verdicts(json.dumps([verdict(orderID=B)]).encode(), [A, B])
    assert isinstance(short[0], AnswerLost)
    assert short[1] == Accepted(B)
    for garbage in (b"", b"{", b"null", b"[1,", b'{"error":"x"}', b"\xff"):
        assert all(isinstance(p, AnswerLost) for p in verdicts(garbage, [A, B]))


@given(st.binary(max_size=80))
def test_garbage_is_never_a_verdict(body: bytes) -> None:
    """No bytes of chance accept or refuse an order."""
    assert all(isinstance(p, AnswerLost) for p in verdicts(body, [A, B]))


def test_recorded_verdicts_and_cancels(recording: Callable[[str], Any]) -> None:
    """Recorded answers: no status is no verdict, null id with a message is a refusal, both cancel maps are read."""
    accepted = recording("rest/http_order_response_ok.json")
    [placement] = verdicts(json.dumps([accepted]).encode(), [OrderId(accepted["orderID"])])
    assert isinstance(placement, AnswerLost)
    refused = one(recording("rest/http_order_response_failed.json"))
    assert isinstance(refused, Refused)
    assert refused.reason is RejectReason.NOT_ENOUGH_BALANCE
    outcomes = cancel_outcomes(json.dumps(recording("rest/http_batch_cancel_response.json")).encode())
    assert list(outcomes.values()).count(CancelOutcome.CANCELLED) == 2
    assert outcomes[OrderId("0x" + "3" * 64)] is CancelOutcome.NOT_CANCELLED


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'"OK"', b'{"canceled":5}'])
def test_what_is_no_answer_to_a_cancel(body: bytes) -> None:
    """An answer without either map says nothing of any order."""
    with pytest.raises(ProtocolError):
        cancel_outcomes(body)


def test_balances() -> None:
    """The allowance is the least over the contracts asked for, in any case of their addresses."""
    body = b'{"balance":"1000000","allowances":{"0xAB":"500","0xcd":"700","0xEF":"1"}}'
    assert read_balance(body, ["0xab", "0xCD"]) == Balance(1_000_000, 500)
    assert read_balance(body, ["0x99"]) == Balance(1_000_000, None)
    assert read_balance(b'{"balance":"5","allowance":"7"}', []) == Balance(5, 7)
    for bad in (b"{}", b'{"balance":"250.5"}', b'{"balance":"5","allowances":{"0xab":"x"}}', b"[]"):
        with pytest.raises(ProtocolError):
            read_balance(bad, ["0xab"])


def market_body(**fields: Any) -> bytes:
    body = {
        "condition_id": "0x" + "12" * 32,
        "tokens": [{"token_id": "1" * 77, "outcome": "Yes"}, {"token_id": "2" * 77, "outcome": "No"}],
        "minimum_tick_size": 0.01,
        "minimum_order_size": 5,
        "neg_risk": False,
        "market_slug": "slug",
        "accepting_orders": True,
        "closed": False,
        "enable_order_book": True,
        "end_date_iso": "2028-01-01T00:00:00Z",
        **fields,
    }
    return json.dumps(body).encode()


def test_market_from_the_exchanges_record() -> None:
    """Numbers come exactly, and outcomes by their names: the first is not assumed to be Yes."""
    market = read_market(market_body())
    assert (market.tick, market.min_size, market.yes, market.no) == (100, 5_000_000, "1" * 77, "2" * 77)
    assert (market.status, market.end_secs) == (MarketStatus.OPEN, 1830297600)
    tokens = [{"token_id": "1" * 77, "outcome": "No"}, {"token_id": "2" * 77, "outcome": "YES"}]
    assert read_market(market_body(tokens=tokens)).yes == "2" * 77
    tokens = [{"token_id": "1" * 77, "outcome": "Belgium"}, {"token_id": "2" * 77, "outcome": "Spain"}]
    assert read_market(market_body(tokens=tokens)).yes == "1" * 77
    grouped = read_market(
        market_body(neg_risk=True, neg_risk_market_id="0xgroup", game_start_time="2026-01-01T00:00:00Z")
    )
    assert (grouped.event_id, grouped.end_secs) == ("0xgroup", 1767225600)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"closed": True}, MarketStatus.CLOSED),
        ({"accepting_orders": False}, MarketStatus.NOT_ACCEPTING),
        ({"enable_order_book": False}, MarketStatus.NOT_ACCEPTING),
        ({"active": False}, MarketStatus.NOT_ACCEPTING),
        ({"archived": True}, MarketStatus.CLOSED),
    ],
)
def test_market_status(fields: dict[str, Any], status: MarketStatus) -> None:
    """A market trades only if it accepts orders, is not closed and is on the book."""
    assert read_market(market_body(**fields)).status is status


def test_recorded_markets(recording: Callable[[str], Any]) -> None:
    """The recorded closed markets are resolved, although one of them still claims to accept orders."""
    for name in ("accepting_false", "accepting_true"):
        body = json.dumps(recording(f"rest/clob_market_closed_binary_{name}.json")).encode()
        assert read_market(body).status in (MarketStatus.RESOLVED, MarketStatus.CLOSED)


@pytest.mark.parametrize("body", [b"", b"null", market_body(tokens=[]), market_body(tokens=[{"token_id": ""}] * 2)])
def test_markets_that_are_not_binary(body: bytes) -> None:
    """No record, or one without two tokens, is no market for us."""
    with pytest.raises(Rejected) as caught:
        read_market(body)
    assert caught.value.reason is RejectReason.NOT_FOUND


@pytest.mark.parametrize(
    "fields",
    [{"neg_risk": None}, {"minimum_tick_size": 0.02}, {"minimum_tick_size": "x"}, {"minimum_order_size": None}],
)
def test_markets_that_cannot_be_trusted(fields: dict[str, Any]) -> None:
    """Without a known contract, tick or minimum there is no market, only an error."""
    with pytest.raises(ProtocolError):
        read_market(market_body(**fields))


def test_slugs_and_condition_ids(recording: Callable[[str], Any]) -> None:
    """A slug finds its condition id in the catalogue's real answer; another slug does not."""
    record = recording("gamma/polyarb_binary.json")
    body = json.dumps([record]).encode()
    assert condition_of_slug(body, record["slug"]) == record["conditionId"]
    assert is_condition_id(record["conditionId"])
    assert not is_condition_id(record["slug"])
    with pytest.raises(Rejected):
        condition_of_slug(body, "another")
    with pytest.raises(ProtocolError):
        condition_of_slug(b"{}", "another")
