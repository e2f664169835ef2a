"""The desk: whatever order the venue's messages come in, however often and in whatever pieces, it ends the same."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.desk import Desk, FillEffect, MarketState
from mm_daemon.core.events import LevelChanged, OrderReport, OrderStatus, TradeReport, TradeStatus
from mm_daemon.core.orders import Order, OrderEvent, OrderState, new_order
from mm_daemon.core.units import Cash, OrderId, Side, Size, TokenId
from tests.given import NO, YES, a_desk, a_fill, a_market, book_at, cents, order_id, shares, usd

MARKET = a_market()
LADDER = (TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.CONFIRMED)

Message = OrderReport | TradeReport | tuple[OrderId, OrderEvent]


class Life:
    """Some orders of ours and everything the venue ever says of them, in the order in which it happened."""

    def __init__(self, seed: int, orders: int) -> None:
        self.rng = random.Random(seed)
        self.orders: list[Order] = []
        self.messages: list[Message] = []
        matched: dict[OrderId, int] = {}
        for number in range(1, orders + 1):
            outcome, side = self.rng.choice((YES, NO)), self.rng.choice(list(Side))
            order = new_order(
                MARKET, order_id(number), TokenId(outcome), side, cents(self.rng.randint(30, 70)), shares(100),
                why="test", now_ns=0,
            )  # fmt: skip
            self.orders.append(order)
            matched[order.id] = 0
            self.messages += [(order.id, OrderEvent.ACCEPTED), self.report(order, 0, OrderStatus.LIVE)]
        for trade in range(self.rng.randint(0, 5)):
            self._trade(f"trade-{trade}", matched)
        for order in self.orders:
            full = matched[order.id] == order.size
            end = OrderStatus.MATCHED if full else OrderStatus.CANCELLED
            if not full:
                self.messages.append((order.id, OrderEvent.CANCEL_CONFIRMED))
            self.messages.append(self.report(order, matched[order.id], end))

    def report(self, order: Order, matched: int, status: OrderStatus) -> OrderReport:
        return OrderReport(
            id=order.id, market=order.market, token=order.token, side=order.side, price=order.price,
            size=order.size, matched=Size(matched), status=status,
        )  # fmt: skip

    def _trade(self, trade: str, matched: dict[OrderId, int]) -> None:
        """A trade that takes one or several of our orders, and settles or fails."""
        fills = []
        for order in self.rng.sample(self.orders, self.rng.randint(1, len(self.orders))):
            left = order.size - matched[order.id]
            size = self.rng.choice((left, left // 2, 123_457))
            if not 0 < size <= left:
                continue
            matched[order.id] += size
            fills.append(a_fill(MARKET, order.id, order.token, order.side, order.price, Size(size), trade=trade))
            if matched[order.id] < order.size:
                self.messages.append(self.report(order, matched[order.id], OrderStatus.LIVE))
        if fills:
            ends = self.rng.choice((LADDER, (TradeStatus.MATCHED, TradeStatus.RETRYING, TradeStatus.FAILED)))
            self.messages += [TradeReport(trade, status, tuple(fills)) for status in ends]

    def retold(self) -> list[Message]:
        """The same messages in another order, some of them twice, some trades in pieces, some steps left out."""
        told: list[Message] = []
        for message in self.messages:
            is_step = isinstance(message, TradeReport) and message.status in (TradeStatus.MINED, TradeStatus.RETRYING)
            if is_step and self.rng.random() < 0.3:
                continue
            if isinstance(message, TradeReport) and self.rng.random() < 0.5:
                told += [TradeReport(message.trade_id, message.status, (fill,)) for fill in message.fills]
            else:
                told.append(message)
            if self.rng.random() < 0.4:
                told.append(message)
        self.rng.shuffle(told)
        return told


def after(life: Life, messages: list[Message]) -> Desk:
    """A desk that sent these orders and then heard these messages."""
    desk = a_desk(MARKET)
    for order in life.orders:
        desk.register(Order(**{field: getattr(order, field) for field in order.__struct_fields__}))
    for message in messages:
        match message:
            case OrderReport():
                desk.receive_report(message, 1)
            case TradeReport():
                desk.receive_trade(message, 1)
            case (id, event):
                desk.apply(id, event, 1)
    return desk


def facts(desk: Desk) -> tuple[object, ...]:
    """Everything that must be the same: holdings, cash, sums, and the state of every order."""
    position = desk.markets[MARKET.condition_id].position
    orders = {
        order_id(number): (order.state, order.filled, order.exposure)
        for number in range(1, 5)
        if (order := desk.orders.get(order_id(number)))
    }
    sums = (desk.exposure, desk.open_orders, desk.fills.pending, position.fills, position.bought, position.sold)
    return (position.holdings, position.cash, desk.cash, sums, orders)


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=400, deadline=None)
def test_messages_shuffled_doubled_and_split_end_in_the_same_state(seed: int, orders: int) -> None:
    """Order and trade messages commute, repeat and come in pieces without any effect on the end."""
    life = Life(seed, orders)
    expected = facts(after(life, life.messages))
    for _ in range(5):
        assert facts(after(life, life.retold())) == expected


@given(st.integers(0, 2**32), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_at_the_end_nothing_is_owed(seed: int, orders: int) -> None:
    """Every order is dead, no fill is pending, nothing is reserved; what failed left nothing behind."""
    life = Life(seed, orders)
    desk = after(life, life.retold())
    assert {desk.orders.get(order.id).state for order in life.orders} == {OrderState.DEAD}  # type: ignore[union-attr]
    assert (desk.fills.pending, desk.open_orders) == (0, 0)
    position = desk.markets[MARKET.condition_id].position
    assert (position.yes.held, position.no.held) == (position.yes.settled, position.no.settled)
    rounding = Cash(len(life.messages))
    assert abs(desk.cash - usd(10_000) - position.cash) <= rounding


class Witness:
    """Notes which orders it is told of."""

    def __init__(self) -> None:
        self.told: list[OrderId] = []

    def order_changed(self, order: Order) -> None:
        self.told.append(order.id)

    def fill_changed(self, effect: FillEffect, state: MarketState) -> None:
        raise AssertionError("nothing was filled")


def test_a_report_that_says_nothing_new_changes_nothing() -> None:
    """A read that finds an order as we know it is not told to the ledger, and calls for no look at the market."""
    desk = a_desk(MARKET)
    state = book_at(desk, MARKET, 49, 51)
    order = new_order(MARKET, order_id(1), YES, Side.BUY, cents(48), shares(100), why="test", now_ns=0)
    desk.register(order)
    desk.apply(order.id, OrderEvent.ACCEPTED, 1)
    state.book.begin_look()
    desk.touch(state)
    desk.witness = witness = Witness()
    behind = LevelChanged(MARKET.yes, Side.BUY, cents(40), shares(5))

    def told_and_seen(matched: float) -> tuple[int, bool]:
        desk.receive_report(
            OrderReport(
                id=order.id, market=order.market, token=order.token, side=order.side, price=order.price,
                size=order.size, matched=shares(matched), status=OrderStatus.LIVE,
            ),
            2,
        )  # fmt: skip
        return len(witness.told), state.book.receive_change(behind, state.book.time_ms, 3)

    assert told_and_seen(matched=0) == (0, False)
    assert told_and_seen(matched=10) == (1, True)
