"""The life of an order as a table of (state, event) -> state, and the table of our orders.

An order counts as exposure from before its bytes are sent until its death is confirmed *and* every fill it had is
booked. Messages about an order come from three sides (the answer to our request, the user channel, reads) in any order,
any number of times; the table takes them all to the same end.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import Enum, auto

import msgspec

from mm_daemon.core.events import OrderReport, OrderStatus
from mm_daemon.core.market import Market, direction
from mm_daemon.core.units import SIZE_STEP, ConditionId, OrderId, Price, Side, Size, TokenId, mirror


class OrderState(Enum):
    """Where an order is. SENDING, LIVE, UNKNOWN and CANCELLING may rest on the book; all but DEAD are exposure."""

    __hash__ = object.__hash__  # there is one of each; Enum hashes the name, in Python

    SENDING = auto()
    """Its bytes may have left; no answer yet."""
    LIVE = auto()
    """The venue confirmed that it rests."""
    UNKNOWN = auto()
    """An answer was lost or contradicts what we know; it is looked up until decided, and nothing replaces it."""
    CANCELLING = auto()
    """A cancel may have left; no answer yet."""
    GONE = auto()
    """Off the book, but fills it had before may not have been told yet."""
    DEAD = auto()
    """Off the book with every fill booked, or never accepted."""


class OrderEvent(Enum):
    """Everything that can happen to an order once it is registered."""

    __hash__ = object.__hash__

    ACCEPTED = auto()
    REFUSED = auto()
    ANSWER_LOST = auto()
    CANCEL_SENT = auto()
    CANCEL_CONFIRMED = auto()
    CANCEL_REFUSED = auto()
    CANCEL_LOST = auto()
    CANCEL_UNSENT = auto()
    SEEN_LIVE = auto()
    SEEN_MATCHED = auto()
    SEEN_CANCELLED = auto()
    NOT_FOUND = auto()
    FILLED = auto()
    ACCOUNTED = auto()


_S, _E = OrderState, OrderEvent

TRANSITIONS: Mapping[OrderState, Mapping[OrderEvent, OrderState]] = {
    _S.SENDING: {
        _E.ACCEPTED: _S.LIVE,
        _E.REFUSED: _S.DEAD,
        _E.ANSWER_LOST: _S.UNKNOWN,
        _E.SEEN_LIVE: _S.LIVE,
        _E.SEEN_MATCHED: _S.GONE,
        _E.SEEN_CANCELLED: _S.GONE,
        _E.CANCEL_CONFIRMED: _S.GONE,
        _E.FILLED: _S.LIVE,
    },
    _S.LIVE: {
        _E.ACCEPTED: _S.LIVE,
        _E.REFUSED: _S.UNKNOWN,
        _E.ANSWER_LOST: _S.LIVE,
        _E.CANCEL_SENT: _S.CANCELLING,
        _E.CANCEL_CONFIRMED: _S.GONE,
        _E.CANCEL_REFUSED: _S.UNKNOWN,
        _E.CANCEL_LOST: _S.UNKNOWN,
        _E.CANCEL_UNSENT: _S.LIVE,
        _E.SEEN_LIVE: _S.LIVE,
        _E.SEEN_MATCHED: _S.GONE,
        _E.SEEN_CANCELLED: _S.GONE,
        _E.NOT_FOUND: _S.GONE,
        _E.FILLED: _S.LIVE,
    },
    _S.UNKNOWN: {
        _E.ACCEPTED: _S.LIVE,
        _E.REFUSED: _S.UNKNOWN,
        _E.ANSWER_LOST: _S.UNKNOWN,
        _E.CANCEL_SENT: _S.CANCELLING,
        _E.CANCEL_CONFIRMED: _S.GONE,
        _E.CANCEL_REFUSED: _S.UNKNOWN,
        _E.CANCEL_LOST: _S.UNKNOWN,
        _E.CANCEL_UNSENT: _S.UNKNOWN,
        _E.SEEN_LIVE: _S.LIVE,
        _E.SEEN_MATCHED: _S.GONE,
        _E.SEEN_CANCELLED: _S.GONE,
        _E.NOT_FOUND: _S.GONE,
        _E.FILLED: _S.UNKNOWN,
    },
    _S.CANCELLING: {
        _E.ACCEPTED: _S.CANCELLING,
        _E.REFUSED: _S.UNKNOWN,
        _E.ANSWER_LOST: _S.CANCELLING,
        _E.CANCEL_SENT: _S.CANCELLING,
        _E.CANCEL_CONFIRMED: _S.GONE,
        _E.CANCEL_REFUSED: _S.UNKNOWN,
        _E.CANCEL_LOST: _S.UNKNOWN,
        _E.CANCEL_UNSENT: _S.LIVE,
        _E.SEEN_LIVE: _S.CANCELLING,
        _E.SEEN_MATCHED: _S.GONE,
        _E.SEEN_CANCELLED: _S.GONE,
        _E.NOT_FOUND: _S.GONE,
        _E.FILLED: _S.CANCELLING,
    },
    # From here on nothing brings an order back: late and repeated messages are expected and change nothing.
    _S.GONE: dict.fromkeys(set(_E) - {_E.CANCEL_SENT}, _S.GONE) | {_E.ACCOUNTED: _S.DEAD},
    _S.DEAD: dict.fromkeys(set(_E) - {_E.CANCEL_SENT}, _S.DEAD),
}

MAY_REST = frozenset({_S.SENDING, _S.LIVE, _S.UNKNOWN, _S.CANCELLING})
"""States in which an order may be on the book."""


class IllegalTransition(Exception):
    """An event that the table does not know in the order's state: our own fault; nothing changed."""


class Order(msgspec.Struct, kw_only=True):
    """One order of ours.

    `side` is on the order's own token; `direction` and `yes_price` are the same order on the YES axis. `filled` sums
    the fills we booked, `matched` is the most the venue said was matched, `final` whether `matched` cannot grow.
    """

    id: OrderId
    market: ConditionId
    token: TokenId
    side: Side
    price: Price
    size: Size
    direction: Side
    yes_price: Price
    why: str = ""
    created_ns: int = 0
    since_ns: int = 0
    """When it came into its present state."""
    state: OrderState = OrderState.SENDING
    filled: Size = Size(0)
    matched: Size = Size(0)
    final: bool = False
    is_foreign: bool = False
    """Somebody else's order on our key: counted, and left where it is."""
    lookups: int = 0
    """How many complete reads in a row did not find it."""

    @property
    def may_rest(self) -> bool:
        """Whether it may be on the book now."""
        return self.state in MAY_REST

    @property
    def exposure(self) -> Size:
        """What may still become position: unfilled size while it may rest, then what was matched but not yet booked."""
        if self.state is OrderState.DEAD:
            return Size(0)
        limit = self.matched if self.final and self.state is OrderState.GONE else self.size
        return Size(max(limit - self.filled, 0))

    @property
    def remaining(self) -> Size:
        """What may still rest on the book."""
        return Size(max(self.size - max(self.filled, self.matched), 0)) if self.may_rest else Size(0)


def new_order(
    market: Market, id: OrderId, token: TokenId, side: Side, price: Price, size: Size, *, why: str, now_ns: int
) -> Order:
    """An order about to be sent, in state SENDING."""
    outcome = market.outcome(token)
    return Order(
        id=id,
        market=market.condition_id,
        token=token,
        side=side,
        price=price,
        size=size,
        direction=direction(outcome, side),
        yes_price=mirror(price) if outcome else price,
        why=why,
        created_ns=now_ns,
        since_ns=now_ns,
    )


class OrderTable:
    """All our orders: the working ones by market, and a bounded memory of the dead so that late messages find them."""

    def __init__(self, remember: int = 20_000) -> None:
        self._working: dict[OrderId, Order] = {}
        self._by_market: dict[ConditionId, dict[OrderId, Order]] = {}
        self._dead: OrderedDict[OrderId, Order] = OrderedDict()
        self._remember = remember

    def __contains__(self, id: object) -> bool:
        return id in self._working or id in self._dead

    def get(self, id: OrderId) -> Order | None:
        """The order with this id, dead ones included while they are remembered."""
        return self._working.get(id) or self._dead.get(id)

    def working(self, market: ConditionId | None = None) -> Iterable[Order]:
        """Orders that are not dead: of one market, or all."""
        return (self._working if market is None else self._by_market.get(market, {})).values()

    def register(self, order: Order) -> None:
        """Take a new order in before it is sent.

        Raises:
            ValueError: an order with this id exists.
        """
        if order.id in self:
            raise ValueError(f"order {order.id} is already registered")
        self._working[order.id] = order
        self._by_market.setdefault(order.market, {})[order.id] = order

    def remember(self, order: Order) -> None:
        """Take in an order of an earlier run as dead, so that late messages about it find it; known ones stay."""
        if order.id not in self:
            order.state = OrderState.DEAD
            self._dead[order.id] = order

    def apply(self, id: OrderId, event: OrderEvent, now_ns: int) -> Order:
        """Move an order along the table.

        Raises:
            KeyError: no such order.
            IllegalTransition: the event is not defined in the order's state; nothing changed.
        """
        order = self.get(id)
        if order is None:
            raise KeyError(id)
        state = TRANSITIONS[order.state].get(event)
        if state is None:
            raise IllegalTransition(f"{event.name} in state {order.state.name} of order {id}")
        if state is not order.state:
            order.state, order.since_ns, order.lookups = state, now_ns, 0
        self._bury_if_accounted(order, now_ns)
        return order

    def receive_report(self, report: OrderReport, now_ns: int) -> Order | None:
        """Take what the venue says of an order; None if the order is not one of ours that we remember."""
        order = self.get(report.id)
        if order is None:
            return None
        order.matched = max(order.matched, report.matched)
        short = order.size - order.matched
        if report.status is OrderStatus.CANCELLED:
            order.final = True
            return self.apply(order.id, OrderEvent.SEEN_CANCELLED, now_ns)
        if report.status is OrderStatus.MATCHED and (short <= SIZE_STEP or not report.matched):
            order.final = short <= SIZE_STEP
            return self.apply(order.id, OrderEvent.SEEN_MATCHED, now_ns)
        return self.apply(order.id, OrderEvent.SEEN_LIVE, now_ns)

    def receive_fill(self, id: OrderId, size: Size, now_ns: int) -> Order | None:
        """Add a booked fill to its order; an order filled to its size is off the book. None: not remembered."""
        order = self.get(id)
        if order is None:
            return None
        order.filled = Size(order.filled + size)
        order.matched = max(order.matched, order.filled)
        self.apply(id, OrderEvent.FILLED, now_ns)
        if order.size - order.filled <= SIZE_STEP and order.may_rest:
            order.final = True
            self.apply(id, OrderEvent.SEEN_MATCHED, now_ns)
        return order

    def _bury_if_accounted(self, order: Order, now_ns: int) -> None:
        """Let an order that is off the book with all its fills booked be dead, and remember it for late messages."""
        if order.state is OrderState.GONE and order.final and order.matched - order.filled <= SIZE_STEP:
            order.state, order.since_ns = OrderState.DEAD, now_ns
        if order.state is OrderState.DEAD and order.id in self._working:
            del self._working[order.id]
            del self._by_market[order.market][order.id]
            self._dead[order.id] = order
            if len(self._dead) > self._remember:
                self._dead.popitem(last=False)


def own_levels(orders: Iterable[Order]) -> tuple[dict[Price, Size], dict[Price, Size]]:
    """Our own size at each price of the YES book, bids and asks, of orders that may be on it.

    Orders that have just gone count as well: the book may still show them, and our own ghost is no mid to quote around.
    """
    bids: dict[Price, Size] = {}
    asks: dict[Price, Size] = {}
    for order in orders:
        side = bids if order.direction is Side.BUY else asks
        side[order.yes_price] = Size(side.get(order.yes_price, 0) + max(order.size - order.filled, 0))
    return bids, asks
