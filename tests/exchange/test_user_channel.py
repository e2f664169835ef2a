"""The user channel tells our parts of orders and trades from everybody else's and shows no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.events import OrderReport, OrderStatus, TradeReport, TradeStatus
from mm_daemon.core.units import OrderId, Side
from mm_daemon.exchange.api import UserChannel
from mm_daemon.exchange.polymarket.user_channel import PolymarketUserChannel
from mm_daemon.exchange.polymarket.user_frames import nobody

from .conftest import ACCOUNT, CREDENTIALS

YES, NO = "1" * 77, "2" * 77
OURS, OTHERS, TAKERS = "0x" + "aa" * 32, "0x" + "bb" * 32, "0x" + "cc" * 32


def channel(is_ours: Callable[[OrderId], bool] = nobody) -> PolymarketUserChannel:
    return PolymarketUserChannel("ws://venue", CREDENTIALS, ACCOUNT, is_ours)


def maker(order_id: str = OURS, **fields: Any) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "owner": "someone",
        "maker_address": "0x" + "12" * 20,
        "matched_amount": "25",
        "price": "0.49",
        "asset_id": YES,
        "side": "BUY",
        **fields,
    }


def trade(*makers: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "event_type": "trade",
        "type": "TRADE",
        "id": "t-1",
        "status": "MATCHED",
        "market": "0xm",
        "asset_id": NO,
        "side": "BUY",
        "size": "40",
        "price": "0.51",
        "taker_order_id": TAKERS,
        "owner": "taker key",
        "trader_side": "MAKER",
        "match_time": "1790000003",
        "timestamp": "1790000003123",
        "maker_orders": list(makers),
        **fields,
    }


def order(**fields: Any) -> dict[str, Any]:
    return {
        "event_type": "order",
        "type": "PLACEMENT",
        "id": OURS,
        "market": "0xm",
        "asset_id": YES,
        "side": "BUY",
        "price": "0.49",
        "original_size": "100",
        "size_matched": "0",
        "status": "LIVE",
        "created_at": "1790000000",
        "timestamp": "1790000000123",
        **fields,
    }


def report(body: dict[str, Any], is_ours: Callable[[OrderId], bool] = nobody) -> TradeReport:
    [event] = channel(is_ours).receive(json.dumps(body), 0)
    assert isinstance(event, TradeReport)
    return event


def order_report(body: dict[str, Any]) -> OrderReport:
    [event] = channel().receive(json.dumps(body), 0)
    assert isinstance(event, OrderReport)
    return event


@pytest.mark.parametrize(
    "entry",
    [
        maker(owner=CREDENTIALS.key),
        maker(maker_address=ACCOUNT.lower()),
        maker(maker_address=ACCOUNT.upper().replace("0X", "0x")),
    ],
)
def test_maker_parts_are_ours_by_key_or_wallet(entry: dict[str, Any]) -> None:
    """A maker part with our API key or our wallet, in any case, is our fill: its own token, side, price and size."""
    found = report(trade(maker(OTHERS, matched_amount="15"), entry))
    [fill] = found.fills
    assert (fill.order_id, fill.token, fill.side, fill.price, fill.size) == (OURS, YES, Side.BUY, 4900, 25_000_000)
    assert fill.is_maker
    assert fill.key == ("t-1", OURS)
    assert (found.status, found.time_ms, fill.time_ms) == (TradeStatus.MATCHED, 1790000003123, 1790000003000)


def test_maker_parts_are_ours_by_order_id() -> None:
    """A known order id in any case is ours although key and wallet are missing."""
    entry = {k: v for k, v in maker(OURS.upper().replace("0X", "0x")).items() if k not in ("owner", "maker_address")}
    assert report(trade(entry), is_ours=lambda id: id == OURS).fills[0].order_id == OURS


def test_missing_side_is_not_inferred() -> None:
    """A maker part without side stays without: in a mint the opposite of the taker's side would be wrong."""
    entry = {k: v for k, v in maker(owner=CREDENTIALS.key).items() if k != "side"}
    assert report(trade(entry)).fills[0].side is None


def test_several_parts_of_one_trade_are_all_kept() -> None:
    """Two orders of ours in one trade are two fills."""
    second = maker("0x" + "dd" * 32, owner=CREDENTIALS.key, price="0.48", matched_amount="1.234567")
    fills = report(trade(maker(owner=CREDENTIALS.key), second)).fills
    assert [(f.price, f.size) for f in fills] == [(4900, 25_000_000), (4800, 1_234_567)]


def test_taker_leg_by_order_id_or_key() -> None:
    """The top level is ours if the taker's order id is, or our key with the role of taker."""
    by_id = report(trade(maker(OTHERS)), is_ours=lambda id: id == TAKERS)
    by_key = report(trade(maker(OTHERS), trader_side="TAKER", owner=CREDENTIALS.key))
    by_trade_owner = report(trade(maker(OTHERS), trader_side="TAKER", trade_owner=CREDENTIALS.key))
    for found in (by_id, by_key, by_trade_owner):
        [fill] = found.fills
        assert (fill.order_id, fill.token, fill.side, fill.price, fill.size) == (TAKERS, NO, Side.BUY, 5100, 40_000_000)
        assert not fill.is_maker


def test_our_key_at_the_top_of_a_maker_trade_is_no_taker_leg() -> None:
    """A trade reported to us as its maker has no taker leg of ours, whoever owns the top level."""
    assert len(report(trade(maker(owner=CREDENTIALS.key), owner=CREDENTIALS.key)).fills) == 1


def test_both_legs_can_be_ours() -> None:
    """A self-match has a taker fill and a maker fill."""
    found = report(trade(maker(OURS)), is_ours=lambda id: id in (OURS, TAKERS))
    assert [f.is_maker for f in found.fills] == [True, False]


def test_trades_of_others_are_no_events() -> None:
    """A trade without any part of ours gives nothing and is not malformed, also if others' numbers are odd."""
    reader = channel()
    assert reader.receive(json.dumps(trade(maker(OTHERS, price="odd"), status="NOVEL")), 0) == []
    assert reader.statistics().malformed == {}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("TRADE_STATUS_MINED", TradeStatus.MINED),
        ("MATCHED_NOT_BROADCASTED", TradeStatus.MATCHED),
        ("TRADE_STATUS_FAILED", TradeStatus.FAILED),
        ("RETRYING", TradeStatus.RETRYING),
        ("CONFIRMED", TradeStatus.CONFIRMED),
    ],
)
def test_trade_statuses(status: str, expected: TradeStatus) -> None:
    """Statuses are read with and without the prefix of the reads."""
    assert report(trade(maker(owner=CREDENTIALS.key), status=status)).status is expected


@pytest.mark.parametrize(
    ("type", "status", "expected"),
    [
        ("PLACEMENT", "LIVE", OrderStatus.LIVE),
        ("PLACEMENT", "DELAYED", OrderStatus.LIVE),
        ("UPDATE", "", OrderStatus.LIVE),
        ("UPDATE", "MATCHED", OrderStatus.MATCHED),
        ("UPDATE", "ORDER_STATUS_CANCELED", OrderStatus.CANCELLED),
        ("UPDATE", "CANCELED_NOT_ENOUGH_BALANCE", OrderStatus.CANCELLED),
        ("CANCELLATION", "INVALID", OrderStatus.CANCELLED),
        ("CANCELLATION", "CANCELED_order couldn't be fully filled.", OrderStatus.CANCELLED),
        ("CANCELLATION", "LIVE", OrderStatus.CANCELLED),
    ],
)
def test_order_statuses(type: str, status: str, expected: OrderStatus) -> None:
    """Every spelling of a status folds into live, matched or cancelled, and the words are kept."""
    found = order_report(order(type=type, status=status))
    assert (found.status, found.detail) == (expected, status)


def test_times_and_missing_amounts() -> None:
    """Seconds and milliseconds are told apart, and an empty matched size is zero."""
    found = order_report(order(size_matched="", created_at=1790000000123, timestamp="1790000000"))
    assert (found.matched, found.created_ms, found.time_ms) == (0, 1790000000123, 1790000000000)
    assert order_report(order(created_at="")).created_ms == 0


def test_recorded_events_are_read(recording: Callable[[str], Any]) -> None:
    """Every recorded user event is an event, also those without event_type and with free text as status."""
    names = ["order_cancellation", "order_fok_killed", "order_matched", "order_msg", "order_placement"]
    names += ["order_update", "order_venue_cancel"]
    reader = channel()
    for name in names:
        [event] = reader.receive(json.dumps(recording(f"user_ws/ws_user_{name}.json")), 0)
        assert isinstance(event, OrderReport)
    for name in ("real_order_cancellation", "real_order_placement"):
        [event] = reader.receive(json.dumps(recording(f"user_ws/{name}.json")), 0)
        assert isinstance(event, OrderReport)
        assert (event.size, event.price) == (5_000_000, 2000)
    wallet = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    taker = PolymarketUserChannel("ws://venue", CREDENTIALS, wallet)
    for name in ("trade", "trade_msg"):
        [event] = taker.receive(json.dumps(recording(f"user_ws/ws_user_{name}.json")), 0)
        assert isinstance(event, TradeReport)
        assert [(f.is_maker, f.size) for f in event.fills] == [(False, 25_000_000)]
        assert event.fills[0].time_ms == 1704067200000
    assert reader.statistics().malformed == taker.statistics().malformed == {}


def test_authentication_frame() -> None:
    """The first frame carries the credentials and no markets key, which would mute trades."""
    reader: UserChannel = channel()
    [text] = reader.connected(0)
    assert json.loads(text) == {
        "type": "user",
        "auth": {"apiKey": CREDENTIALS.key, "secret": CREDENTIALS.secret, "passphrase": CREDENTIALS.passphrase},
    }
    assert CREDENTIALS.secret not in repr(reader)


def test_samples_hold_no_credentials() -> None:
    """A malformed frame that echoes our credentials is kept without them."""
    reader = channel()
    reader.receive(f"bad login {CREDENTIALS.key} {CREDENTIALS.secret}", 0)
    assert reader.statistics().samples == {"text": "bad login … …"}


def test_malformed_events_cost_only_themselves() -> None:
    """An order without price or with an unknown status is counted; its neighbours are events."""
    reader = channel()
    frame = [order(price="x"), order(), order(status="NOVEL"), {"event_type": "novel"}, 7]
    assert len(reader.receive(json.dumps(frame), 0)) == 1
    assert reader.statistics().malformed == {"order": 2, "json": 1}
    assert reader.statistics().unknown == {"novel": 1}


JSON: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just([maker()]), st.just({})
)
EVENTS = st.builds(
    lambda base, changes: {**base, **changes},
    st.sampled_from([order(), trade(maker(owner=CREDENTIALS.key))]),
    st.dictionaries(st.sampled_from(sorted({*order(), *trade()})), JSON, max_size=4),
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.text(max_size=40), st.lists(EVENTS, max_size=3).map(json.dumps)))
def test_arbitrary_frames_never_raise(frame: bytes | str) -> None:
    """Nothing that comes in makes the channel raise."""
    channel().receive(frame, 0)
