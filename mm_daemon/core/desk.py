"""The desk: every market's book, orders and position in one place, and the sums over all markets that limits need.

The tasks share this object. Each kind of change has one caller: the feed writes books, the user feed and the reconciler
write reports and trades, the order manager writes what it sends. All are plain calls on the event loop, so no locks.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from mm_daemon.core.book import Book, Touch
from mm_daemon.core.events import Fill, OrderReport, TradeReport, TradeStatus
from mm_daemon.core.fills import FillBook, Step
from mm_daemon.core.inventory import Position
from mm_daemon.core.market import Market, direction
from mm_daemon.core.orders import Order, OrderEvent, OrderState, OrderTable, own_levels
from mm_daemon.core.quotes import Desired, Room
from mm_daemon.core.risk import Commitments, Limits, Situation, commitments, room_for
from mm_daemon.core.units import (
    Cash,
    ConditionId,
    OrderId,
    Price,
    Side,
    Size,
    TokenId,
    floor_size,
    notional,
)

RECENT_FILLS = 100


class MarketState:
    """All we know and want in one market.

    Attributes:
        market: its rules now.
        book: its YES book.
        position: what we hold.
        twice_mid: the last mid without our orders, in 1/20,000 dollar; None until one was seen.
        desired: the newest wish for what should rest; the slot the order manager reads.
        why: why it is quoted as it is, or not.
        commitments: what its orders may still do.
        exposure: its dollars at risk in the worst case.
        own: our size at each price of its book, bids and asks; None until somebody asks, after a change of its orders.
    """

    __slots__ = ("book", "commitments", "desired", "exposure", "market", "own", "position", "twice_mid", "why")

    def __init__(self, market: Market) -> None:
        self.market = market
        self.book = Book(market.yes)
        self.position = Position()
        self.twice_mid: int | None = None
        self.desired: Desired | None = None
        self.why = "starting"
        self.commitments = Commitments()
        self.exposure = Cash(0)
        self.own: tuple[Mapping[Price, Size], Mapping[Price, Size]] | None = None

    @property
    def open_orders(self) -> int:
        """Its orders that may rest."""
        return self.commitments.resting


class FillEffect(NamedTuple):
    """What one message about a fill did."""

    fill: Fill
    side: Side
    direction: Side
    step: Step


class Witness(Protocol):
    """Who is told of every change of orders and fills, to keep an account of it. It must not change anything."""

    def order_changed(self, order: Order) -> None:
        """An order was registered, moved along its table, or was filled further."""
        ...

    def fill_changed(self, effect: FillEffect, state: MarketState) -> None:
        """A fill was booked, settled or reversed; `state` shows the market after it."""
        ...


class Desk:
    """The state the tasks share.

    Attributes:
        cash: pUSD that can be spent, resting BUYs not deducted, in micro-dollars.
        recent: the last fills booked, settled or reversed, newest last.
        witness: is told of every change of orders and fills.
        strangers: fills whose side could not be told because neither the trade nor an order of ours named it.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.markets: dict[ConditionId, MarketState] = {}
        self.orders = OrderTable()
        self.fills = FillBook()
        self.cash = Cash(0)
        self.strangers = 0
        self.recent: deque[FillEffect] = deque(maxlen=RECENT_FILLS)
        self.witness: Witness | None = None
        self._by_token: dict[TokenId, MarketState] = {}
        self._exposure = 0
        self._event_exposure: defaultdict[str, int] = defaultdict(int)
        self._reserved = 0
        self._open_orders = 0

    def add_market(self, market: Market) -> MarketState:
        """Take a market in."""
        state = MarketState(market)
        self.markets[market.condition_id] = state
        self._by_token[market.yes] = self._by_token[market.no] = state
        return state

    def of_token(self, token: TokenId) -> MarketState | None:
        """The market a token belongs to, if it is one of ours."""
        return self._by_token.get(token)

    # Orders

    def register(self, order: Order) -> None:
        """Count an order as exposure before it is sent."""
        self.orders.register(order)
        self._order_changed(order)

    def apply(self, id: OrderId, event: OrderEvent, now_ns: int) -> Order:
        """Move an order along its table; raises what `OrderTable.apply` raises."""
        order = self.orders.apply(id, event, now_ns)
        self._order_changed(order)
        return order

    def receive_report(self, report: OrderReport, now_ns: int) -> Order | None:
        """Take the venue's word on an order; None if it is not one of ours. What says nothing new changes nothing."""
        known = self.orders.get(report.id)
        if known is None:
            return None
        before = known.state, known.matched, known.final
        order = self.orders.receive_report(report, now_ns)
        if order is not None and (order.state, order.matched, order.final) != before:
            self._order_changed(order)
        return order

    def _order_changed(self, order: Order) -> None:
        self.refresh(order.market)
        if self.witness is not None:
            self.witness.order_changed(order)

    def receive_trade(self, report: TradeReport, now_ns: int) -> list[FillEffect]:
        """Book, settle or reverse our fills in a trade; each does its work once however often it is told."""
        effects = []
        for fill in report.fills:
            found = self._place_of(fill)
            if found is None:
                continue
            state, side, order = found
            step = self.fills.receive(fill, report.status)
            if step is Step.NOTHING:
                continue
            if step in (Step.BOOK, Step.BOOK_SETTLED, Step.VOID) and order is not None:
                self.orders.receive_fill(fill.order_id, fill.size, now_ns)
                self._order_changed(order)
            if step is Step.VOID:
                continue
            self._book(state, side, fill, step)
            effects.append(self._effect(state, side, fill, step))
            self._tell(effects[-1], state)
        self.recent.extend(effects)
        return effects

    def take_over_trade(self, report: TradeReport, *, is_new: bool) -> list[FillEffect]:
        """A trade from before our start, when balances were just read: what is settled is in them, the rest is booked.

        Args:
            report: the trade as the venue tells it now.
            is_new: whether it belongs to what our own accounts have to know; the witness is told what it changes.

        Returns:
            What the witness was not told, because it is not new.
        """
        untold: list[FillEffect] = []
        for fill in report.fills:
            found = self._place_of(fill)
            if found is None:
                continue
            state, side, _ = found
            step = self.fills.receive(fill, report.status)
            if report.status not in (TradeStatus.CONFIRMED, TradeStatus.FAILED):
                self._book(state, side, fill, Step.BOOK)
            if step in (Step.NOTHING, Step.VOID):
                continue
            effect = self._effect(state, side, fill, step)
            if is_new:
                self._tell(effect, state)
            else:
                untold.append(effect)
        return untold

    def _place_of(self, fill: Fill) -> tuple[MarketState, Side, Order | None] | None:
        """The market and side of a fill; None if it is of another market, or nobody names its side."""
        state = self._by_token.get(fill.token)
        order = self.orders.get(fill.order_id)
        side = order.side if order else fill.side
        if state is None or side is None:
            self.strangers += 1
            return None
        return state, side, order

    def _book(self, state: MarketState, side: Side, fill: Fill, step: Step) -> None:
        outcome = state.market.outcome(fill.token)
        self._move_cash(side, step, state.position.receive_fill(outcome, side, fill.price, fill.size, step), fill)
        self.refresh(state.market.condition_id)

    def _effect(self, state: MarketState, side: Side, fill: Fill, step: Step) -> FillEffect:
        return FillEffect(fill, side, direction(state.market.outcome(fill.token), side), step)

    def _tell(self, effect: FillEffect, state: MarketState) -> None:
        if self.witness is not None:
            self.witness.fill_changed(effect, state)

    def _move_cash(self, side: Side, step: Step, change: Cash, fill: Fill) -> None:
        """What a BUY paid is gone at once; what a SELL brings can be spent when it is settled."""
        if side is Side.BUY:
            self.cash = Cash(self.cash + change)
        elif step in (Step.SETTLE, Step.BOOK_SETTLED):
            self.cash = Cash(self.cash + notional(fill.price, fill.size))

    # Sums

    def refresh(self, condition_id: ConditionId) -> None:
        """Bring a market's part of the sums up to date; every change of its orders or its position ends here."""
        state = self.markets.get(condition_id)
        if state is None:
            return
        before = state.commitments
        state.commitments = now = commitments(self.orders.working(condition_id))
        self._reserved += now.paid - before.paid
        self._open_orders += now.resting - before.resting
        state.own = None
        state.book.outdate_look()
        self._weigh(state)

    def _weigh(self, state: MarketState) -> None:
        """Bring a market's exposure up to date, and with it the sums over markets."""
        exposure = state.commitments.worst_case(state.position.net).exposure(state.twice_mid)
        if exposure != state.exposure:
            self._exposure += exposure - state.exposure
            self._event_exposure[state.market.event_id] += exposure - state.exposure
            state.exposure = exposure

    @property
    def exposure(self) -> Cash:
        """Dollars at risk over all markets in the worst case."""
        return Cash(self._exposure)

    @property
    def open_orders(self) -> int:
        """Orders that may rest."""
        return self._open_orders

    def set_mid(self, state: MarketState, twice_mid: int) -> None:
        """Mark a market at a new mid."""
        if twice_mid != state.twice_mid:
            state.twice_mid = twice_mid
            if state.position.opening_value is None:
                state.position.mark_opening(twice_mid)
            self._weigh(state)

    def cap(self, state: MarketState) -> Cash:
        """Dollars this market may have at risk: its own limit, and what others leave of its event's and the total."""
        limits = self.limits
        room = min(limits.max_position, limits.max_total_position - (self._exposure - state.exposure))
        event = state.market.event_id
        if event and limits.max_event_position is not None:
            room = min(room, limits.max_event_position - (self._event_exposure[event] - state.exposure))
        return Cash(max(room, 0))

    def own_levels(self, state: MarketState) -> tuple[Mapping[Price, Size], Mapping[Price, Size]]:
        """Our own size at each price of the YES book, bids and asks; see `orders.own_levels`."""
        if state.own is None:
            state.own = own_levels(self.orders.working(state.market.condition_id))
        return state.own

    def touch(self, state: MarketState) -> Touch:
        """The best bid and ask of everybody else."""
        return state.book.touch_without(*self.own_levels(state))

    def room(self, state: MarketState) -> Room:
        """What a new pair of quotes may use when every order that it replaces is gone.

        Orders that it cannot replace (undecided, or with fills still to be told) stay in the worst case.
        """
        staying = [
            order
            for order in self.orders.working(state.market.condition_id)
            if order.state in (OrderState.UNKNOWN, OrderState.GONE)
        ]
        held, kept, cap = state.position, commitments(staying), self.cap(state)
        case = kept.worst_case(held.net)
        return Room(
            buy=room_for(Side.BUY, case, cap, state.twice_mid),
            sell=room_for(Side.SELL, case, cap, state.twice_mid),
            free_yes=floor_size(held.yes.settled - kept.yes),
            free_no=floor_size(held.no.settled - kept.no),
        )

    def situation(self, state: MarketState) -> Situation:
        """What one more order is judged by now: everything that rests or is in flight is counted."""
        held, committed = state.position, state.commitments
        return Situation(
            market=state.market,
            orders=self.orders.working(state.market.condition_id),
            case=committed.worst_case(held.net),
            twice_mid=state.twice_mid,
            cap=self.cap(state),
            free_cash=Cash(self.cash - self._reserved),
            free_yes=floor_size(held.yes.settled - committed.yes),
            free_no=floor_size(held.no.settled - committed.no),
            open_orders=self._open_orders,
            last_trade=state.book.last_trade,
            limits=self.limits,
        )
