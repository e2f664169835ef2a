"""The market channel reads every recorded frame, survives every other one, and keeps its socket alive."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.events import (
    BookSnapshot,
    LastTrade,
    LevelsChanged,
    MarketResolved,
    NewMarket,
    TickChanged,
    TopOfBook,
)
from mm_daemon.core.units import Price, Side, Size, TokenId
from mm_daemon.exchange.api import MarketChannel
from mm_daemon.exchange.polymarket.market_channel import PolymarketMarketChannel

YES, NO = TokenId("1" * 77), TokenId("2" * 77)
SECOND = 1_000_000_000


def channel(*tokens: str) -> PolymarketMarketChannel:
    return PolymarketMarketChannel("ws://venue", [TokenId(token) for token in tokens or (YES, NO)])


def change(token: str, price: str = "0.49", size: str = "220", side: str = "BUY", **more: Any) -> dict[str, Any]:
    return {"asset_id": token, "price": price, "size": size, "side": side, "hash": "h", **more}


def price_change(*changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_type": "price_change",
        "market": "0xm",
        "timestamp": "1790000001456",
        "price_changes": list(changes),
    }


def tokens_of(frames: Any) -> set[str]:
    text = json.dumps(frames)
    elements = [e for frame in frames for e in (frame if isinstance(frame, list) else [frame])]
    tokens = {e["asset_id"] for e in elements if "asset_id" in e}
    tokens |= {c["asset_id"] for e in elements for c in e.get("price_changes", [])}
    assert all(token in text for token in tokens)
    return tokens


@pytest.mark.parametrize("name", ["fed_negrisk_tick0.001_51s", "two_markets_tick0.001_9s"])
def test_recorded_frames_lose_nothing(recording: Callable[[str], Any], name: str) -> None:
    """Every element of a recorded stream becomes one event with exactly the recorded numbers."""
    frames = recording(f"market_ws/{name}.json")
    reader = channel(*tokens_of(frames))
    for frame in frames:
        elements = frame if isinstance(frame, list) else [frame]
        events = reader.receive(json.dumps(frame), 0)
        assert len(events) == len(elements)
        for event, element in zip(events, elements, strict=True):
            assert_same(event, element)
    assert reader.statistics().malformed == {}
    assert reader.statistics().unknown == {}


def assert_same(event: object, element: dict[str, Any]) -> None:
    """The event says what the recorded element says, in our integers."""
    if isinstance(event, BookSnapshot):
        for ours, theirs in ((event.bids, element["bids"]), (event.asks, element["asks"])):
            assert [(p / 10_000, s / 1_000_000) for p, s in ours] == [
                (float(level["price"]), float(level["size"])) for level in theirs
            ]
        assert event.hash == element["hash"]
        assert (event.tick is None) == ("tick_size" not in element)
    elif isinstance(event, LevelsChanged):
        assert [(c.token, c.side.name, c.price / 10_000, c.size / 1_000_000) for c in event.changes] == [
            (c["asset_id"], c["side"], float(c["price"]), float(c["size"])) for c in element["price_changes"]
        ]
        assert [c.best_bid for c in event.changes] == [
            round(float(c["best_bid"]) * 10_000) for c in element["price_changes"]
        ]
    else:
        assert isinstance(event, LastTrade)
        assert event.price == round(float(element["price"]) * 10_000)
    assert getattr(event, "time_ms", None) == int(element["timestamp"])


def test_recorded_single_frames(recording: Callable[[str], Any]) -> None:
    """A one-sided book, a trade with five decimals and the custom events are read as recorded."""
    [book] = recording("market_ws/single_book.json")
    [event] = channel(book["asset_id"]).receive(json.dumps([book]), 0)
    assert isinstance(event, BookSnapshot)
    assert event.bids == []
    assert (event.tick, event.last_trade, event.min_size, event.neg_risk) == (Price(10), Price(10), None, None)

    [trade] = recording("market_ws/single_last_trade_price.json")
    [event] = channel(trade["asset_id"]).receive(json.dumps([trade]), 0)
    assert event == LastTrade(
        trade["market"], trade["asset_id"], 1783132561947, Price(4200), Side.BUY, Size(21_428_570)
    )

    best = recording("market_ws/fixture_ws_market_best_bid_ask_msg.json")
    [event] = channel(best["asset_id"]).receive(json.dumps(best), 0)
    assert event == TopOfBook(best["market"], best["asset_id"], 1766789469958, Price(7300), Price(7700))

    resolved = recording("market_ws/fixture_ws_market_resolved_msg.json")
    [event] = channel(resolved["assets_ids"][1]).receive(json.dumps(resolved), 0)
    assert event == MarketResolved(resolved["market"], 1766790415550, resolved["winning_asset_id"])
    assert channel().receive(json.dumps(resolved), 0) == []

    tick = recording("market_ws/fixture_ws_market_tick_size_msg.json")
    [event] = channel(tick["asset_id"]).receive(json.dumps(tick), 0)
    assert event == TickChanged(tick["market"], tick["asset_id"], 1703875210000, Price(100))

    [event] = channel().receive(json.dumps(recording("market_ws/fixture_ws_market_new_market_msg.json")), 0)
    assert isinstance(event, NewMarket)
    assert event.slug == "nvda-above-240-on-january-30-2026"


def test_only_subscribed_tokens_are_kept() -> None:
    """Both entries of a subscribed pair are kept, the sibling of a single subscription is not."""
    frame = json.dumps(price_change(change(YES), change(NO, side="SELL", price="0.51")))
    [both] = channel(YES, NO).receive(frame, 0)
    [one] = channel(YES).receive(frame, 0)
    assert isinstance(both, LevelsChanged)
    assert isinstance(one, LevelsChanged)
    assert [c.token for c in both.changes] == [YES, NO]
    assert [c.token for c in one.changes] == [YES]
    assert channel("3" * 77).receive(frame, 0) == []


def test_several_price_changes_in_one_array_stay_in_order() -> None:
    """An array of changes becomes as many events in the array's order."""
    frame = json.dumps([price_change(change(YES, size=str(n))) for n in range(5)])
    events = channel().receive(frame, 0)
    assert [e.changes[0].size for e in events if isinstance(e, LevelsChanged)] == [n * 1_000_000 for n in range(5)]


@pytest.mark.parametrize(("best_ask", "expected"), [("0", 10_000), ("1", 10_000), ("0.52", 5200), ("", None)])
def test_empty_ask_side_reads_as_one_dollar(best_ask: str, expected: int | None) -> None:
    """An empty ask side is one dollar in our books, however the venue writes it; "" says nothing."""
    [event] = channel().receive(json.dumps(price_change(change(YES, best_ask=best_ask, best_bid="0"))), 0)
    assert isinstance(event, LevelsChanged)
    assert (event.changes[0].best_bid, event.changes[0].best_ask) == (0, expected)


def test_one_odd_element_costs_only_itself() -> None:
    """Unknown types are counted and ignored, malformed ones counted by kind with a sample; their neighbours survive."""
    reader = channel()
    good = price_change(change(YES))
    frame = [{"event_type": "novelty", "x": 1}, good, {"event_type": "price_change"}, 5, good]
    assert len(reader.receive(json.dumps(frame), 0)) == 2
    assert len(reader.receive(json.dumps([price_change(change(YES, price="abc")), good]), 0)) == 1
    assert len(reader.receive(json.dumps([price_change(change(YES, side="HOLD"))]), 0)) == 0
    counts = reader.statistics()
    assert counts.unknown == {"novelty": 1}
    assert counts.malformed == {"price_change": 3, "json": 1}
    assert counts.samples["price_change"].startswith('{"event_type":"price_change"'.replace(":", ": "))


def test_unknown_kinds_are_bounded() -> None:
    """A venue that invents types without end cannot make the counts grow without end."""
    reader = channel()
    for n in range(1000):
        reader.receive(json.dumps({"event_type": f"type {n}"}), 0)
    assert sum(reader.statistics().unknown.values()) == 1000
    assert len(reader.statistics().unknown) <= 65


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_arbitrary_bytes_never_raise(frame: bytes | str) -> None:
    """No bytes and no text, valid or not, make the channel raise."""
    assert channel().receive(frame, 0) == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([YES, "0.5", "BUY"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["asset_id", "market", "timestamp", "bids", "asks", "price_changes", "price", "size", "side", "new_tick_size"]
KEYS += ["best_bid", "best_ask", "tick_size", "neg_risk", "assets_ids", "last_trade_price", "hash", "slug"]
TYPES = [
    "book",
    "price_change",
    "last_trade_price",
    "tick_size_change",
    "best_bid_ask",
    "market_resolved",
    "new_market",
]
FRAMES = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8).flatmap(
    lambda body: st.sampled_from(TYPES).map(lambda kind: {**body, "event_type": kind})
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(FRAMES, JSON), max_size=4))
def test_arbitrary_json_never_raises_and_is_accounted_for(frames: list[Any]) -> None:
    """Every element of any JSON array is one event at most, unwanted, unknown or malformed, and nothing is raised."""
    reader = channel()
    events = reader.receive(json.dumps(frames), 0)
    odd = [*reader.statistics().unknown.values(), *reader.statistics().malformed.values()]
    assert len(events) + sum(odd) <= len(frames)


def test_control_texts_stand_outside_json() -> None:
    """PONG keeps the socket alive and is no JSON; prose is counted; empty frames and arrays are nothing."""
    reader = channel()
    reader.connected(0)
    for text in ("PONG", b"PONG", "", "  ", "[]"):
        assert reader.receive(text, 25 * SECOND) == []
    assert reader.statistics().pongs == 2
    assert reader.statistics().malformed == {}
    assert reader.receive("INVALID OPERATION", 0) == []
    assert reader.statistics().samples == {"text": "INVALID OPERATION"}


def test_ping_every_ten_seconds_and_dead_when_nothing_answers_it() -> None:
    """PING is due each 10 s; 5 s without any frame after it is dead; any frame is life; a new socket starts afresh."""
    reader = channel()
    assert reader.tick(5 * SECOND) == []
    assert not reader.is_dead(10**15)
    reader.connected(0)
    assert reader.tick(9 * SECOND) == []
    assert reader.tick(10 * SECOND) == ["PING"]
    assert reader.tick(11 * SECOND) == []
    assert not reader.is_dead(15 * SECOND)
    assert reader.is_dead(15 * SECOND + 1)
    reader.receive("PONG", 16 * SECOND)
    assert not reader.is_dead(19 * SECOND)
    assert reader.tick(20 * SECOND) == ["PING"]
    reader.receive(json.dumps(price_change(change(YES))), 21 * SECOND)
    assert not reader.is_dead(26 * SECOND)
    assert reader.tick(30 * SECOND) == ["PING"]
    reader.connected(31 * SECOND)
    assert not reader.is_dead(40 * SECOND)


def test_subscription_frames() -> None:
    """The first frame names all tokens once, with the venue's spelling; a repeat takes the subscription back first."""
    reader: MarketChannel = channel(YES, NO, YES)
    [first] = reader.connected(0)
    assert json.loads(first) == {"type": "market", "assets_ids": [YES, NO], "custom_feature_enabled": True}
    again = [json.loads(text) for text in channel().resubscribe([NO])]
    assert [text["operation"] for text in again] == ["unsubscribe", "subscribe"]
    assert all(text["assets_ids"] == [NO] for text in again)
