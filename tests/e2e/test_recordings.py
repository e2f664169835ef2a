"""The recorded frames of the real venue through the real feed task over a real socket.

What is counted: each `best_bid`/`best_ask` of a price change of a token whose book the recording has, compared with our
book when that frame has been applied; and each `hash` of a book or a price change, compared with the fingerprint of our
book at that moment. The sibling token of a recorded one has no snapshot of its own; its book is the mirror of ours, so
its touches and hashes are compared with the mirror, which is what quoting NO relies on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from mm_daemon.core.book import Book, Ladder, book_hash
from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.events import Level
from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.units import ConditionId, Price, TokenId, mirror, parse_price
from mm_daemon.exchange.polymarket.market_channel import PolymarketMarketChannel
from mm_daemon.sim.main import ExchangeOptions, running_exchange
from mm_daemon.tasks.feed import Feed

from ..given import a_desk, shares
from .daemon import until

RECORDINGS = Path(__file__).parents[2] / "../shared/recordings/market_ws"
FED = "fed_negrisk_tick0.001_51s.json"
TWO = "two_markets_tick0.001_9s.json"
SINGLES = ("single_book.json", "single_last_trade_price.json", "single_price_change.json")
FIXTURES = (
    "fixture_ws_market_best_bid_ask_msg.json",
    "fixture_ws_market_new_market_msg.json",
    "fixture_ws_market_resolved_msg.json",
    "fixture_ws_market_tick_size_msg.json",
    "fixture_ws_tick_size_change.json",
)

pytestmark = pytest.mark.skipif(not RECORDINGS.is_dir(), reason=f"no recordings at {RECORDINGS}")


def frames_of(name: str) -> list[Any]:
    """The frames of a recording, each an object or an array of objects."""
    recorded = json.loads((RECORDINGS / name).read_text())
    return recorded if isinstance(recorded, list) else [recorded]


def objects_of(frames: list[Any]) -> Iterator[dict[str, Any]]:
    """Every object of these frames."""
    for frame in frames:
        yield from frame if isinstance(frame, list) else [frame]


def markets_of(frames: list[Any]) -> list[Market]:
    """The markets of a recording, each with a token whose book it has as YES; a token without a sibling gets one."""
    tokens: dict[str, dict[str, None]] = {}
    has_book: dict[str, dict[str, Any]] = {}
    for item in objects_of(frames):
        named = [entry["asset_id"] for entry in item.get("price_changes", ())] + item.get("assets_ids", [])
        named.append(item.get("asset_id"))
        tokens.setdefault(item["market"], {}).update(dict.fromkeys(token for token in named if token))
        if item.get("event_type") == "book":
            has_book.setdefault(item["asset_id"], item)
    markets = []
    for condition, named_tokens in tokens.items():
        yes, *others = sorted(named_tokens, key=lambda token: token not in has_book)
        book = has_book.get(yes, {})
        markets.append(
            Market(
                condition_id=ConditionId(condition),
                slug=condition[:10],
                question="",
                yes=TokenId(yes),
                no=TokenId(others[0] if others else "1"),
                tick=parse_price(book.get("tick_size", "0.01")),
                min_size=shares(5),
                neg_risk=False,
            )
        )
    return markets


def mirrored(ladder: Ladder) -> list[Level]:
    """The same orders seen from the other token."""
    return [(mirror(price), size) for price, size in ladder.best_first()]


class Witness(Feed):
    """A feed that checks, after each frame, what that frame says of its books.

    Attributes:
        touches: how many best bids and asks were compared and equal.
        hashes, odd: the hashes that were equal and those that were not, as (kind, timestamp, hash).
        stale: price changes older than the book's snapshot.
        latest: the hash of the book that the last frame was about.
        unknown: how often a known book became unknown.
    """

    def __init__(self, desk: Desk, channel: PolymarketMarketChannel, tokens: list[TokenId], *, neg_risk: bool) -> None:
        super().__init__(desk, channel, tokens, self)
        self.desk = desk
        self.channel = channel
        self.neg_risk = neg_risk
        self.touches = self.stale = self.unknown = 0
        self.latest = ""
        self.hashes: list[tuple[str, str, str]] = []
        self.odd: list[tuple[str, str, str]] = []

    def book_changed(self, state: MarketState) -> None:
        self.unknown += not state.book.is_known

    def market_changed(self, state: MarketState) -> None:
        pass

    def receive(self, text: str | bytes, now_ns: int) -> None:
        super().receive(text, now_ns)
        frame = msgspec.json.decode(text)
        for item in frame if isinstance(frame, list) else [frame]:
            state = self.desk.markets.get(item["market"])
            if state is not None and state.book.is_known:
                self._check(item, state)
                self.latest = fingerprint(state, state.market.yes, state.book.time_ms, self.neg_risk)

    def _check(self, item: dict[str, Any], state: MarketState) -> None:
        if item["event_type"] == "book" and item["asset_id"] in state.market.tokens:
            self._check_hash("book", item["asset_id"], item, item["timestamp"], state)
        for entry in item.get("price_changes", ()):
            if int(item["timestamp"]) < state.book.time_ms:
                self.stale += 1
                continue
            touch = state.book.touch
            if entry["asset_id"] == state.market.no:
                expected = (mirror(touch.ask), mirror(touch.bid))
            else:
                expected = (touch.bid, touch.ask)
            assert (parse_price(entry["best_bid"]), parse_price(entry["best_ask"])) == expected, item
            self.touches += 2
            self._check_hash("price_change", entry["asset_id"], entry, item["timestamp"], state)

    def _check_hash(self, kind: str, token: str, carrier: dict[str, Any], timestamp: str, state: MarketState) -> None:
        found = (kind, timestamp, carrier["hash"])
        matches = fingerprint(state, token, int(timestamp), self.neg_risk) == carrier["hash"]
        (self.hashes if matches else self.odd).append(found)


def fingerprint(state: MarketState, token: str, time_ms: int, neg_risk: bool) -> str:
    """What our book of a token hashes to; NO is the mirror of YES."""
    book: Book = state.book
    last = book.last_trade
    if token == state.market.no:
        bids, asks = mirrored(book.asks), mirrored(book.bids)
    else:
        bids, asks = list(book.bids.best_first()), list(book.asks.best_first())
    return book_hash(
        market=state.market.condition_id,
        token=token,
        time_ms=time_ms,
        bids=bids,
        asks=asks,
        min_size=state.market.min_size,
        tick=state.market.tick,
        neg_risk=neg_risk,
        last_trade=last,
    )


@asynccontextmanager
async def speaking(*connections: list[Any]) -> AsyncIterator[str]:
    """A server of the test's own: the frames of the nth list on the nth connection, which then ends if more follow."""
    scripts = iter(connections)
    left = len(connections)

    async def speak(socket: ServerConnection) -> None:
        nonlocal left
        left -= 1
        assert json.loads(await socket.recv())["type"] == "market"
        for frame in next(scripts):
            await socket.send(json.dumps(frame))
        if not left:
            await socket.wait_closed()

    async with serve(speak, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def fed(url: str, markets: list[Market], frames: int, *, neg_risk: bool = False) -> Witness:
    """Run the feed on a socket until it has taken so many frames."""
    desk = a_desk(*markets)
    tokens = [market.yes for market in markets]
    witness = Witness(desk, PolymarketMarketChannel(url, tokens), tokens, neg_risk=neg_risk)
    run = asyncio.create_task(witness.run())
    try:
        await until(lambda: witness.frames == frames or run.done(), f"{frames} frames", secs=10)
    finally:
        run.cancel()
        await asyncio.wait({run})
    if not run.cancelled():
        run.result()
    assert witness.channel.statistics().malformed == {}
    return witness


@pytest.mark.parametrize(("name", "neg_risk", "entries", "books"), [(FED, True, 48, 2), (TWO, False, 8, 3)])
async def test_a_recording_over_a_socket(name: str, neg_risk: bool, entries: int, books: int) -> None:
    """Served as recorded: every best price is reproduced, and the hash of every book and of every change is ours."""
    frames = frames_of(name)
    async with speaking(frames) as url:
        witness = await fed(url, markets_of(frames), len(frames), neg_risk=neg_risk)
    assert witness.touches == 2 * entries
    assert (len(witness.hashes), witness.odd) == (entries + books, [])
    assert witness.stale == 0


@pytest.mark.parametrize(("name", "neg_risk", "entries", "books"), [(FED, True, 48, 2), (TWO, False, 8, 2)])
async def test_a_recording_by_the_built_in_exchange(name: str, neg_risk: bool, entries: int, books: int) -> None:
    """The same, served by the exchange, which sends the snapshots of the tokens asked for: one of each market."""
    frames = frames_of(name)
    options = ExchangeOptions(recording=RECORDINGS / name, speed=0)
    async with running_exchange(options) as exchange:
        witness = await fed(f"{exchange.ws_url}/market", markets_of(frames), len(frames), neg_risk=neg_risk)
    assert witness.touches == 2 * entries
    assert (len(witness.hashes), witness.odd) == (entries + books, [])


async def test_deltas_older_than_the_snapshot_are_dropped() -> None:
    """The changes before a snapshot, sent after it, change nothing: its hash still stands."""
    frames = frames_of(FED)
    first = frames[0][0]
    place = next(place for place, frame in enumerate(frames) if place and "bids" in frame)
    meta = {"tick_size": first["tick_size"], "last_trade_price": "0.925"}
    late = [[{**frames[place], **meta}], *frames[1 : place - 1]]
    async with speaking(late) as url:
        witness = await fed(url, markets_of(frames), len(late), neg_risk=True)
    assert witness.stale == 2 * (place - 2) == 20
    assert witness.touches == 0
    assert witness.latest == frames[place]["hash"]


async def test_a_lost_connection_in_the_middle() -> None:
    """Cut in half, the book is unknown until the new connection's snapshot; then all is reproduced as before."""
    frames = frames_of(FED)
    half = len(frames) // 2
    async with speaking(frames[:half], frames) as url:
        witness = await fed(url, markets_of(frames), half + len(frames), neg_risk=True)
    assert witness.connections == 2
    assert witness.unknown == 2, "at the cut and at the end"
    assert witness.odd == []
    assert witness.touches > 96


async def test_single_frames() -> None:
    """A one-sided book is taken, though its hash covers facts it does not carry; changes without a book do nothing."""
    frames = [frame for name in SINGLES for frame in frames_of(name)]
    async with speaking(frames) as url:
        witness = await fed(url, markets_of(frames), len(frames))
    assert (len(witness.hashes), len(witness.odd), witness.touches) == (0, 1, 0)
    assert witness.unknown == 1, "the one known book, at the end"
    assert not any(state.book.is_known for state in witness.desk.markets.values()), "the socket is closed again"


async def test_the_rare_frames() -> None:
    """A new tick is a new grid and an unknown book, a resolved market is closed, the others are passed over."""
    frames = [frame for name in FIXTURES for frame in frames_of(name)]
    markets = [msgspec.structs.replace(market, tick=Price(1000)) for market in markets_of(frames)]
    async with speaking(frames) as url:
        witness = await fed(url, markets, len(frames))
    states = list(witness.desk.markets.values())
    assert [state.market.tick for state in states if state.book.token.startswith("71321")] == [Price(100)]
    assert [state.market.status for state in states if state.market.status is not MarketStatus.OPEN] == [
        MarketStatus.RESOLVED
    ]
    assert witness.channel.statistics().unknown == {"without event_type": 1}
