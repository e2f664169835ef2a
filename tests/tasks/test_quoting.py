"""The quoting loop: events in, wishes in the slots, and a timer that turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec
import pytest

from mm_daemon.core.events import LevelChanged, TradeReport, TradeStatus
from mm_daemon.core.quotes import TwoSidedQuote
from mm_daemon.core.units import Cash, Price, Side
from mm_daemon.strategies.api import (
    BookChanged,
    CancelQuotes,
    Event,
    Filled,
    MarketChanged,
    QuoteMarket,
    Signal,
    TimerFired,
    View,
)
from mm_daemon.tasks import quoting
from mm_daemon.tasks.quoting import Quoting

from ..given import a_fill, book_at, cents, shares, usd
from .fakes import Holder, Stage, turns, until


class Told(msgspec.Struct):
    """No settings."""


class Parrot:
    """A strategy that remembers every event and answers what a test has put in its mouth."""

    name: ClassVar[str] = "parrot"
    config_type: ClassVar[type[msgspec.Struct]] = Told
    markets: tuple[str, ...] = ()
    enabled = True
    config = Told()
    max_position = max_total_position = Cash(0)
    refresh_interval_secs = 1000.0

    def __init__(self, config: Any = None) -> None:
        self.events: list[Event] = []
        self.answers: list[Signal] = []
        self.views: list[View] = []

    def initialize(self, view: View) -> Sequence[Signal]:
        self.views.append(view)
        return self.answers

    def on_event(self, event: Event, view: View) -> Sequence[Signal]:
        self.events.append(event)
        return self.answers

    def reload(self, config: Any) -> None:
        raise NotImplementedError


class Scene:
    """A parrot over the stage's desk."""

    def __init__(self) -> None:
        self.stage = Stage(markets=2, max_position=100)
        self.desk = self.stage.desk
        self.parrot = Parrot()
        self.placer = Holder()
        self.quoting = Quoting(self.desk, self.parrot, self.placer, self.stage.clock)
        self.id = self.stage.market.condition_id

    def says(self, bid: float | None, ask: float | None, replace: frozenset[Side] = frozenset()) -> None:
        """What the strategy wants from now on, in cents."""
        quote = TwoSidedQuote(
            bid=None if bid is None else cents(bid), ask=None if ask is None else cents(ask), notional=usd(25)
        )
        self.parrot.answers = [QuoteMarket(self.id, quote, "because", 60 * 10**9, replace)]

    @property
    def wished(self) -> list[tuple[Side, Price]]:
        """Direction and token price of each wanted order."""
        assert self.stage.state.desired is not None
        return [(quote.direction, quote.price) for quote in self.stage.state.desired.quotes]

    async def book_changes(self) -> None:
        """The first market's book changes, and is looked at."""
        self.quoting.book_changed(self.stage.state)
        await asyncio.sleep(0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """The loop, ready at once."""
        ready = asyncio.get_running_loop().create_future()
        ready.set_result(None)
        run = asyncio.create_task(self.quoting.run(ready))
        await turns()
        try:
            yield run
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


@pytest.fixture
async def scene() -> Scene:
    """Two markets at 48/52."""
    return Scene()


async def test_nothing_is_decided_before_it_is_ready(scene: Scene) -> None:
    """Until books and orders were read no event reaches the strategy; then it looks at everything once."""
    ready = asyncio.get_running_loop().create_future()
    run = asyncio.create_task(scene.quoting.run(ready))
    await turns()
    await scene.book_changes()
    assert (scene.parrot.events, scene.parrot.views) == ([], [])
    ready.set_result(None)
    await turns()
    assert len(scene.parrot.views) == 1
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await scene.book_changes()
    assert scene.parrot.events == [], "nor after the end"


async def test_a_book_change_becomes_a_wish_in_one_turn(scene: Scene) -> None:
    """The change is marked, decided, put into the slot and sent in the loop's next turn."""
    async with scene.running():
        scene.says(49, 51)
        book_at(scene.desk, scene.stage.market, 50, 54)
        await scene.book_changes()
        assert scene.parrot.events == [BookChanged(scene.id)]
        assert scene.stage.state.twice_mid == 2 * cents(52)
        assert scene.wished == [(Side.BUY, cents(49)), (Side.SELL, cents(49))]
        assert (scene.placer.woken[scene.id], scene.placer.sent_now) == (1, 1)


async def test_a_burst_is_looked_at_once(scene: Scene) -> None:
    """However often books changed while frames were read, each is looked at once, in the order of their first changes,
    and the wish carries the time of the first frame that it answers."""
    async with scene.running():
        first, second = scene.desk.markets.values()
        scene.says(49, 51)
        for received_ns, state in ((5, first), (6, second), (7, first), (8, second)):
            state.book.received_ns = received_ns
            scene.quoting.book_changed(state)
        await turns()
        assert [event.market for event in scene.parrot.events] == list(scene.desk.markets)
        assert scene.placer.sent_now == 1
        for first.book.received_ns in (9, 10):
            scene.quoting.book_changed(first)
        await turns()
        assert first.desired is not None and first.desired.arrived_ns == 9


async def test_long_looks_let_others_have_their_turn(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking stops when its time is up and goes on in the next turn; what changes anew waits behind the rest."""
    monkeypatch.setattr(quoting, "LOOK_NS", -1)
    async with scene.running():
        first, second = scene.desk.markets.values()
        for state in (first, second):
            scene.quoting.book_changed(state)
        await asyncio.sleep(0)
        assert [event.market for event in scene.parrot.events] == [first.market.condition_id]
        scene.quoting.book_changed(first)
        await turns()
        markets = [first.market.condition_id, second.market.condition_id, first.market.condition_id]
        assert [event.market for event in scene.parrot.events] == markets


async def test_only_changes_to_what_was_read_are_told(scene: Scene) -> None:
    """A level behind everything that the strategy read calls for no look, until our own orders change."""
    async with scene.running():
        await scene.book_changes()
        book = scene.stage.state.book
        behind = LevelChanged(scene.stage.market.yes, Side.BUY, cents(47), shares(10))
        at_touch = LevelChanged(scene.stage.market.yes, Side.BUY, cents(48), shares(20))
        assert not book.receive_change(behind, book.time_ms, 1)
        assert book.receive_change(at_touch, book.time_ms, 1)
        scene.desk.refresh(scene.id)
        assert book.receive_change(behind, book.time_ms, 1)


async def test_a_look_that_fails_ends_the_loop(scene: Scene) -> None:
    """The strategy's error at a change of a book is raised by the task."""

    def fail(event: Event, view: View) -> Sequence[Signal]:
        raise RuntimeError("out of ideas")

    async with scene.running() as run:
        scene.parrot.on_event = fail  # type: ignore[method-assign]
        await scene.book_changes()
        with pytest.raises(RuntimeError, match="out of ideas"):
            await asyncio.wait_for(asyncio.shield(run), 1)


async def test_the_slot_holds_the_newest_wish(scene: Scene) -> None:
    """A later signal replaces an earlier one, a cancel empties the slot and keeps its reason."""
    async with scene.running():
        for bid in (47, 48, 49):
            scene.says(bid, None)
            await scene.book_changes()
        assert scene.wished == [(Side.BUY, cents(49))]
        scene.parrot.answers = [CancelQuotes(scene.id, "min_liquidity")]
        await scene.book_changes()
        assert scene.wished == []
        assert scene.stage.state.why == "min_liquidity"


async def test_no_signal_leaves_the_wish(scene: Scene) -> None:
    """A strategy that says nothing changes nothing, and nobody is woken."""
    async with scene.running():
        scene.says(49, 51)
        await scene.book_changes()
        scene.parrot.answers = []
        await scene.book_changes()
        assert len(scene.wished) == 2
        assert scene.placer.woken[scene.id] == 1


async def test_fills_are_told_in_yes_prices(scene: Scene) -> None:
    """A fill of a NO order is a fill on the other side at the mirrored price; its settlement is no second fill."""
    async with scene.running():
        market = scene.stage.market
        scene.stage.start()
        scene.stage.wish(ask=51)
        await until(lambda: scene.stage.venue.resting, "the ask rests")
        [id] = scene.stage.venue.resting
        fill = a_fill(market, id, market.no, Side.BUY, cents(49), shares(4))
        for status in (TradeStatus.MATCHED, TradeStatus.CONFIRMED):
            scene.quoting.filled(scene.desk.receive_trade(TradeReport("trade-1", status, (fill,)), 0))
        assert scene.parrot.events == [Filled(scene.id, Side.SELL, cents(51), shares(4)), TimerFired(scene.id)]
        await scene.stage.stop()


async def test_a_side_to_replace_is_replaced_once(scene: Scene) -> None:
    """`replace` makes orders from before it stale, and only those: the order that came instead keeps its place."""
    async with scene.running():
        before_ns = scene.stage.clock()
        scene.stage.clock.pass_secs(1)
        scene.says(49, 51, frozenset({Side.SELL}))
        await scene.book_changes()
        replaced_ns = scene.stage.clock()
        scene.stage.clock.pass_secs(1)
        scene.says(49, 51)
        await scene.book_changes()
        desired = scene.stage.state.desired
        assert desired is not None
        assert before_ns < desired.replace_before_ns(Side.SELL) <= replaced_ns
        assert desired.replace_before_ns(Side.BUY) < before_ns


async def test_limits_cut_the_wish_and_say_so(scene: Scene) -> None:
    """At the limit the side that would add is not wished for, and the reason is shown."""
    async with scene.running():
        scene.stage.state.position.yes.held = shares(200)  # 100 dollars at the mid
        scene.desk.refresh(scene.id)
        scene.says(49, 51)
        await scene.book_changes()
        assert [direction for direction, _ in scene.wished] == [Side.SELL]
        assert "no bid: limit" in scene.stage.state.why


async def test_a_changed_market_is_told(scene: Scene) -> None:
    """A new tick or status reaches the strategy as such."""
    async with scene.running():
        scene.quoting.market_changed(scene.stage.state)
        assert scene.parrot.events == [MarketChanged(scene.id)]


async def test_every_market_has_its_turn(scene: Scene) -> None:
    """The timer goes round all markets within the refresh interval, and moves the time the heartbeat looks at."""
    scene.parrot.refresh_interval_secs = 0.01
    before = scene.quoting.decided_ns
    scene.stage.clock.pass_secs(5)
    async with scene.running():
        await until(lambda: len(scene.parrot.events) >= 6, "three rounds")
    turn = [event.market for event in scene.parrot.events[:6]]
    assert turn == list(scene.desk.markets) * 3
    assert scene.quoting.decided_ns == before + 5 * 10**9


async def test_a_strategy_that_fails_ends_the_loop(scene: Scene) -> None:
    """Its error is raised by the task, not swallowed."""
    scene.parrot.refresh_interval_secs = 0.01

    def fail(event: Event, view: View) -> Sequence[Signal]:
        raise RuntimeError("out of ideas")

    scene.parrot.on_event = fail  # type: ignore[method-assign]
    async with scene.running() as run:
        with pytest.raises(RuntimeError, match="out of ideas"):
            await asyncio.wait_for(asyncio.shield(run), 1)


async def test_the_view_shows_others_only_and_gives_copies(scene: Scene) -> None:
    """Our own orders are not in the touch nor in the depth, and what the view hands out changes nothing of ours."""
    async with scene.running():
        book_at(scene.desk, scene.stage.market, 48, 52, size=100)
        scene.stage.start()
        scene.stage.wish(bid=48, size=100)
        await until(lambda: scene.stage.venue.resting, "the bid rests")
        [view] = scene.parrot.views
        seen = view.markets[scene.id]
        assert seen.touch.bid == 0, "everything at 48 is ours"
        assert seen.others_depth(cents(40), cents(60)) == usd(52)
        [order] = seen.open_orders
        order.size = shares(1)
        assert next(iter(scene.desk.orders.working())).size == shares(100)
        await scene.stage.stop()
