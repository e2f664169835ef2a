"""The feed: what breaks a book makes it unknown, and an unknown book is asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mm_daemon.core.desk import MarketState
from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.units import Price
from mm_daemon.exchange.polymarket.market_channel import PolymarketMarketChannel
from mm_daemon.tasks.feed import DISAGREEMENT_NS, SILENCE_NS, Feed

from ..given import a_desk, a_market, cents

SECOND = 1_000_000_000


class Listener:
    """Remembers what it was told: the market and whether its book was known then."""

    def __init__(self) -> None:
        self.books: list[tuple[str, bool]] = []
        self.rules: list[str] = []

    def book_changed(self, state: MarketState) -> None:
        self.books.append((state.market.slug, state.book.is_known))

    def market_changed(self, state: MarketState) -> None:
        self.rules.append(state.market.slug)


class Wire:
    """A feed of two markets whose frames a test writes."""

    def __init__(self) -> None:
        self.rain, self.snow = a_market(1), a_market(2)
        self.desk = a_desk(self.rain, self.snow)
        tokens = [self.rain.yes, self.snow.yes]
        self.listener = Listener()
        self.channel = PolymarketMarketChannel("ws://127.0.0.1:1", tokens)
        self.feed = Feed(self.desk, self.channel, tokens, self.listener)
        self.now_ns = 1_000 * SECOND

    def state(self, market: Market) -> MarketState:
        """What the desk knows of a market."""
        return self.desk.markets[market.condition_id]

    def hear(self, *frames: Any) -> None:
        """Frames, as text or as objects."""
        for frame in frames:
            self.feed.receive(frame if isinstance(frame, str) else json.dumps(frame), self.now_ns)

    def sends(self, after_secs: float = 0.0) -> list[Any]:
        """What the feed sends at the next turn of the socket's timer."""
        self.now_ns += round(after_secs * SECOND)
        return [json.loads(text) for text in self.feed.texts_to_send(self.now_ns)]

    def asks_for(self, market: Market, after_secs: float = 0.0) -> bool:
        """Whether it subscribes anew to a market's book."""
        return any(
            text["operation"] == "subscribe" and text["assets_ids"] == [market.yes] for text in self.sends(after_secs)
        )


def book(market: Market, bid: float = 48, ask: float = 52, time_ms: int = 1_000, **more: Any) -> dict[str, Any]:
    """A book frame with one level a side."""
    return {
        "event_type": "book",
        "market": market.condition_id,
        "asset_id": market.yes,
        "timestamp": str(1_700_000_000_000 + time_ms),
        "bids": [{"price": f"{bid / 100:.2f}", "size": "100"}],
        "asks": [{"price": f"{ask / 100:.2f}", "size": "100"}],
        **more,
    }


def change(
    market: Market, price: float, size: float, best: tuple[float, float], time_ms: int = 2_000
) -> dict[str, Any]:
    """A bid level changed; `best` is the touch that the frame carries."""
    entry = {
        "asset_id": market.yes,
        "price": f"{price / 100:.2f}",
        "size": str(size),
        "side": "BUY",
        "best_bid": f"{best[0] / 100:.2f}",
        "best_ask": f"{best[1] / 100:.2f}",
    }
    return {
        "event_type": "price_change",
        "market": market.condition_id,
        "timestamp": str(1_700_000_000_000 + time_ms),
        "price_changes": [entry],
    }


@pytest.fixture
def wire() -> Wire:
    """Both books are known."""
    wire = Wire()
    wire.feed.opened()
    wire.hear([book(wire.rain), book(wire.snow)])
    wire.listener.books.clear()
    return wire


def test_a_frame_tells_each_market_once() -> None:
    """However many books an array carries, the listener hears once of each, after all are applied."""
    wire = Wire()
    wire.hear([book(wire.rain), book(wire.rain, time_ms=1_001), book(wire.snow)])
    assert wire.listener.books == [("market-1", True), ("market-2", True)]
    assert wire.feed.complete.is_set()


def test_a_lost_connection_makes_every_book_unknown(wire: Wire) -> None:
    """The listener is told at once, and changes before the next snapshot are not applied."""
    wire.feed.lost()
    assert wire.listener.books == [("market-1", False), ("market-2", False)]
    wire.feed.opened()
    wire.hear(change(wire.rain, 49, 10, (49, 52)))
    assert not wire.state(wire.rain).book.is_known
    wire.hear(book(wire.rain, bid=40, time_ms=1))  # older than what was lost, and yet the newest there is
    assert wire.state(wire.rain).book.touch == (cents(40), cents(52))
    assert wire.feed.connections == 2


def test_a_book_that_does_not_come_is_asked_for_again(wire: Wire) -> None:
    """Only the missing one, only after a while, and again after the next while."""
    wire.feed.lost()
    wire.feed.opened()
    wire.hear(book(wire.rain))
    assert wire.sends() == []
    assert not wire.asks_for(wire.snow, SILENCE_NS / SECOND - 1)
    assert wire.asks_for(wire.snow, 2)
    assert not wire.asks_for(wire.snow, 1)
    assert wire.asks_for(wire.snow, SILENCE_NS / SECOND + 1)
    assert not wire.asks_for(wire.rain, 100)


def test_a_touch_that_contradicts_its_frames_is_not_trusted(wire: Wire) -> None:
    """A disagreement that lasts makes the book unknown and asks for it; one that heals does not."""
    wire.hear(change(wire.rain, 49, 10, (50, 52)))
    assert wire.sends(DISAGREEMENT_NS / SECOND / 2) == []
    wire.hear(change(wire.rain, 50, 10, (50, 52), time_ms=3_000))
    assert wire.sends(DISAGREEMENT_NS / SECOND * 2) == []
    wire.hear(change(wire.rain, 51, 10, (50, 52), time_ms=4_000))
    assert wire.asks_for(wire.rain, DISAGREEMENT_NS / SECOND * 2)
    assert not wire.state(wire.rain).book.is_known
    assert wire.listener.books[-1] == ("market-1", False)


def test_a_new_tick_is_a_new_epoch(wire: Wire) -> None:
    """The grid changes, the book is unknown and asked for at once, and quoting is told; the other token's word is no
    second change."""
    for token in (wire.rain.yes, wire.rain.no):
        told = {"market": wire.rain.condition_id, "asset_id": token, "old_tick_size": "0.01", "new_tick_size": "0.001"}
        wire.hear({"event_type": "tick_size_change", "timestamp": "1700000003000", **told})
    assert wire.state(wire.rain).market.tick == cents(0.1)
    assert not wire.state(wire.rain).book.is_known
    assert wire.listener.rules == ["market-1"]
    assert wire.asks_for(wire.rain)
    assert wire.state(wire.snow).book.is_known


def test_a_snapshot_on_another_grid_is_a_tick_change_that_was_missed(wire: Wire) -> None:
    """The snapshot's grid counts, and its book is known at once."""
    wire.hear(book(wire.rain, time_ms=3_000, tick_size="0.001"))
    assert wire.state(wire.rain).market.tick == cents(0.1)
    assert wire.state(wire.rain).book.is_known
    assert wire.listener.rules == ["market-1"]


def test_a_tick_that_nobody_knows_closes_the_market(wire: Wire) -> None:
    """A grid that is not the venue's: no quotes there, whatever the book shows."""
    told = {"market": wire.rain.condition_id, "asset_id": wire.rain.yes, "new_tick_size": "0.03"}
    wire.hear({"event_type": "tick_size_change", "timestamp": "1700000003000", **told})
    assert wire.state(wire.rain).market.status is MarketStatus.NOT_ACCEPTING
    assert wire.state(wire.rain).market.tick == Price(100)


def test_a_resolved_market_is_told(wire: Wire) -> None:
    """Quoting hears of it, and the market's status says why there are no quotes."""
    told = {"market": wire.rain.condition_id, "assets_ids": list(wire.rain.tokens), "winning_asset_id": wire.rain.yes}
    wire.hear({"event_type": "market_resolved", "timestamp": "1700000003000", **told})
    assert wire.state(wire.rain).market.status is MarketStatus.RESOLVED
    assert wire.listener.rules == ["market-1"]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "PONG",
        "no json",
        "[]",
        "{}",
        "null",
        '{"event_type": "book"}',
        '{"event_type": "never_heard_of"}',
        '[{"event_type": "price_change", "price_changes": 5}]',
        '{"event_type": "book", "asset_id": "1", "bids": "x"}',
    ],
)
def test_malformed_frames_change_nothing(wire: Wire, frame: str) -> None:
    """Whatever comes, both books stand and the next good frame is applied."""
    wire.hear(frame)
    assert wire.listener.books == []
    wire.hear(change(wire.rain, 49, 10, (49, 52)))
    assert wire.listener.books == [("market-1", True)]


def test_the_tape(wire: Wire) -> None:
    """A trade is handed on and remembered as the book's last price, and is no change of the book."""
    tape: list[Any] = []
    wire.feed.on_tape = tape.append
    told = {"market": wire.rain.condition_id, "asset_id": wire.rain.yes, "price": "0.51", "size": "3", "side": "BUY"}
    wire.hear({"event_type": "last_trade_price", "timestamp": "1700000003000", **told})
    assert [trade.price for trade in tape] == [cents(51)]
    assert wire.state(wire.rain).book.last_trade == cents(51)
    assert wire.listener.books == []
