"""The reconciler: open fates are looked up, and only complete reads remove anything."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from mm_daemon.core.desk import FillEffect
from mm_daemon.core.events import OrderStatus, TradeReport, TradeStatus
from mm_daemon.core.orders import Order, OrderEvent, OrderState, new_order
from mm_daemon.core.units import Side
from mm_daemon.exchange.api import Complete, Unavailable
from mm_daemon.tasks import reconciler
from mm_daemon.tasks.reconciler import GRACE_NS, LOOK_NS, SLICE, Reconciler

from ..given import a_fill, cents, order_id, shares
from .fakes import Stage, a_report, until

A, B = order_id(1001), order_id(1002)
LOOK_SECS, GRACE_SECS = LOOK_NS / 1e9, GRACE_NS / 1e9


class Books:
    """A reconciler over the stage's desk."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.desk, self.venue, self.clock = self.stage.desk, self.stage.venue, self.stage.clock
        self.woken: list[str] = []
        self.filled: list[FillEffect] = []
        self.reconciler = Reconciler(self.desk, self.venue, self.woken.append, self.filled.extend, self.clock)

    def order(self, id: str = A, *events: OrderEvent) -> Order:
        """An order of ours, a bid at 49 for 10, after these events."""
        market = self.stage.market
        order = new_order(
            market, order_id(int(id, 16)), market.yes, Side.BUY, cents(49), shares(10), why="", now_ns=self.clock()
        )
        self.desk.register(order)
        for event in events:
            self.desk.apply(order.id, event, self.clock())
        return order

    def report(self, order: Order, status: OrderStatus = OrderStatus.LIVE, matched: float = 0) -> None:
        """What the venue will say of an order, resting or not."""
        report = a_report(
            self.stage.market,
            order.id,
            order.token,
            order.side,
            order.price,
            order.size,
            matched=matched,
            status=status,
        )
        self.venue.answers["order"] = Complete(report)
        if status is OrderStatus.LIVE:
            self.venue.resting[order.id] = report

    async def look(self, after_secs: float = LOOK_SECS * 1.1) -> None:
        """Let time pass and look after open fates."""
        self.clock.pass_secs(after_secs)
        await self.reconciler.decide_open_fates()


@pytest.fixture
async def books() -> Books:
    """Nothing rests yet."""
    return Books()


async def test_an_unknown_order_is_believed_absent_late(books: Books) -> None:
    """Absence counts only after two complete reads and the grace time; until then it is exposure."""
    order = books.order(A, OrderEvent.ANSWER_LOST)
    await books.look()
    await books.look()
    assert (order.state, order.lookups) == (OrderState.UNKNOWN, 2)
    await books.look(GRACE_SECS)
    assert not order.may_rest
    assert books.woken


async def test_one_read_after_the_grace_time_is_not_enough(books: Books) -> None:
    """However old an order is, a single read that does not find it decides nothing."""
    order = books.order(A, OrderEvent.ANSWER_LOST)
    await books.look(GRACE_SECS * 2)
    assert order.may_rest
    await books.look()
    assert not order.may_rest


async def test_look_ups_keep_their_distance(books: Books) -> None:
    """An open fate is asked for once in LOOK_NS, not at every turn."""
    books.order(A, OrderEvent.ANSWER_LOST)
    books.venue.answers["order"] = Unavailable("HTTP 500")
    for _ in range(10):
        await books.look(LOOK_SECS / 4)
    assert len(books.venue.called("order")) == 2


async def test_an_unknown_order_that_rests_is_live(books: Books) -> None:
    """A look-up that finds it decides at once."""
    order = books.order(A, OrderEvent.ANSWER_LOST)
    books.report(order)
    await books.look()
    assert order.state is OrderState.LIVE
    assert books.reconciler.repairs == 1


async def test_unavailable_removes_nothing(books: Books) -> None:
    """No failing read, whichever and however often, takes an order away."""
    live = books.order(A, OrderEvent.ACCEPTED)
    lost = books.order(B, OrderEvent.ANSWER_LOST)
    for name in ("open_orders", "order", "trades"):
        books.venue.answers[name] = Unavailable("HTTP 500")
    for _ in range(5):
        await books.look(GRACE_SECS)
        assert not await books.reconciler.read_once()
    assert (live.state, lost.state) == (OrderState.LIVE, OrderState.UNKNOWN)
    books.venue.answers = {"order": Unavailable("HTTP 500")}
    for _ in range(5):
        books.clock.pass_secs(GRACE_SECS)
        assert await books.reconciler.read_once()
    assert (live.state, lost.state) == (OrderState.LIVE, OrderState.UNKNOWN)


async def test_a_vanished_order_is_decided_within_seconds(books: Books) -> None:
    """A live order that a complete read does not show is looked up until decided, not at the next period."""
    order = books.order(A, OrderEvent.ACCEPTED)
    books.clock.pass_secs(60)
    assert await books.reconciler.read_once()
    assert order.may_rest
    await books.look()
    assert not order.may_rest


async def test_an_order_posted_during_the_read_is_not_missed(books: Books) -> None:
    """An order that came to be after the read began is not expected in it."""
    books.venue.held.add("open_orders")
    reading = asyncio.create_task(books.reconciler.read_once())
    await until(lambda: books.venue.waiting("open_orders"), "the read is on its way")
    books.clock.pass_secs(0.001)
    order = books.order(A, OrderEvent.ACCEPTED)
    books.venue.waiting("open_orders")[0].settle(Complete([]))
    assert await reading
    assert not books.venue.called("order")
    assert order.state is OrderState.LIVE


async def test_a_reading_of_many_orders_lets_others_work(books: Books) -> None:
    """The loop turns between slices of what was read, and all of it is taken."""
    for number in range(10 * SLICE):
        books.report(books.order(hex(5000 + number)))
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(turn)

    turn()
    assert await books.reconciler.read_once()
    assert turns >= 10
    assert {order.state for order in books.desk.orders.working()} == {OrderState.LIVE}


async def test_fills_found_by_a_read_are_booked_once(books: Books) -> None:
    """A fill that the channel did not tell comes in by the read, once, and the order knows it."""
    order = books.order(A, OrderEvent.ACCEPTED)
    market = books.stage.market
    fill = a_fill(market, order.id, market.yes, Side.BUY, cents(49), shares(10))
    books.venue.answers["trades"] = Complete([TradeReport("trade-1", TradeStatus.MATCHED, (fill,))])
    await books.reconciler.synchronise()
    await books.reconciler.synchronise()
    assert books.stage.state.position.net == shares(10)
    assert order.state is OrderState.DEAD
    assert len(books.filled) == 1


async def test_a_gone_order_waits_for_its_fills(books: Books) -> None:
    """Off the book with fills untold it stays exposure for the grace time, then the trades are read and it is dead."""
    order = books.order(A, OrderEvent.ACCEPTED)
    books.report(order, OrderStatus.CANCELLED, matched=4)
    books.desk.receive_report(books.venue.answers["order"].value, books.clock())
    assert (order.state, order.exposure) == (OrderState.GONE, shares(4))
    await books.look()
    assert order.exposure == shares(4)
    market = books.stage.market
    fill = a_fill(market, order.id, market.yes, Side.BUY, cents(49), shares(4))
    books.venue.answers["trades"] = Complete([TradeReport("trade-1", TradeStatus.MATCHED, (fill,))])
    await books.look(GRACE_SECS)
    assert (order.state, books.stage.state.position.net) == (OrderState.DEAD, shares(4))


async def test_a_gone_order_is_not_buried_by_a_failing_read(books: Books) -> None:
    """Without a complete read of the trades its exposure stays."""
    order = books.order(A, OrderEvent.ACCEPTED, OrderEvent.CANCEL_SENT, OrderEvent.CANCEL_CONFIRMED)
    books.venue.answers |= {"trades": Unavailable("HTTP 500"), "order": Unavailable("HTTP 500")}
    for _ in range(3):
        await books.look(GRACE_SECS * 2)
    assert order.state is OrderState.GONE
    assert order.exposure == shares(10)


async def test_synchronise_tries_until_complete(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not return before one reading of everything succeeded."""
    monkeypatch.setattr(reconciler, "RETRY_SECS", 0.001)
    books.venue.answers |= {"trades": [Unavailable("one")], "open_orders": [Unavailable("two")]}
    await asyncio.wait_for(books.reconciler.synchronise(), 1)
    assert len(books.venue.called("trades")) == 3
    assert books.reconciler.passes == 1


async def test_trades_are_read_with_a_margin(books: Books) -> None:
    """Each read goes back a minute before the last complete one."""
    books.venue.answers["trades"] = [Unavailable("HTTP 500")]
    await books.reconciler.read_once()
    await books.reconciler.read_once()
    await books.reconciler.read_once()
    first, second, third = (call.argument for call in books.venue.called("trades"))
    assert first == second
    assert 0 <= third - first <= 2


async def test_a_settlement_that_nobody_told_is_read_however_late(books: Books) -> None:
    """Trades are read from the oldest fill that is not settled on: its tokens become sellable after lost events."""
    matched_secs = int(time.time()) - 1_000
    fill = a_fill(
        books.stage.market, order_id(5), books.stage.market.yes, Side.BUY, cents(49), shares(10), trade="trade-7"
    )
    fill = msgspec.structs.replace(fill, time_ms=matched_secs * 1_000)
    books.desk.receive_trade(TradeReport("trade-7", TradeStatus.MATCHED, (fill,)), 1)
    books.venue.answers["trades"] = Complete([TradeReport("trade-7", TradeStatus.CONFIRMED, (fill,))])
    assert await books.reconciler.read_trades()
    assert books.venue.called("trades")[-1].argument <= matched_secs
    assert books.stage.state.position.yes.settled == shares(10) and books.desk.fills.pending == 0


async def test_it_runs_by_itself(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running, it decides open fates and reads everything once a period."""
    monkeypatch.setattr(reconciler, "LOOK_NS", 1_000_000)
    monkeypatch.setattr(reconciler, "PERIOD_SECS", 0.02)
    order = books.order(A, OrderEvent.ANSWER_LOST)
    books.report(order)
    books.clock.pass_secs(1)
    run = asyncio.create_task(books.reconciler.run())
    await until(lambda: order.state is OrderState.LIVE, "the fate is decided")
    await until(lambda: books.reconciler.passes >= 2, "two readings")
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
