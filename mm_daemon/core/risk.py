"""Limits that hold in the worst case: position, plus everything resting and in flight, plus the order at hand.

In the worst case either all our bids fill and no ask, or all asks and no bid. A market's exposure is the larger of the
two, in dollars at risk at the mid; the sum of the markets' exposures is the total. Checks are plain functions of one
signature; the first that objects names itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from mm_daemon.core.inventory import Position, at_risk
from mm_daemon.core.market import Market
from mm_daemon.core.orders import Order
from mm_daemon.core.quotes import Quote
from mm_daemon.core.units import DOLLAR, Cash, Price, Side, Size, floor_size, mirror


class Limits(msgspec.Struct, frozen=True):
    """The operator's limits in micro-dollars, and the most orders that may rest. None: no such limit."""

    max_position: Cash
    """For each market."""
    max_total_position: Cash
    """Over all markets."""
    max_open_orders: int
    max_event_position: Cash | None = None
    """Over the markets of one neg-risk event, whose outcomes exclude each other."""
    max_order: Cash | None = None
    """Notional of one order on the token it trades."""
    collar: Price | None = None
    """How far an order's YES price may be from the mid and from the last trade, in 1/10,000 dollar."""


class WorstCase(msgspec.Struct, frozen=True, gc=False):
    """Net YES in micro-shares if only our bids fill, and if only our asks fill."""

    long: int
    short: int

    def exposure(self, twice_mid: int | None) -> Cash:
        """Dollars at risk in the worse of the two cases."""
        return max(at_risk(self.long, twice_mid), at_risk(self.short, twice_mid))


class Commitments(msgspec.Struct, frozen=True, gc=False):
    """What orders may still do at most.

    `longer` and `shorter` are the micro-shares they may move the YES position by, `paid` what BUYs may cost, `yes` and
    `no` the tokens that SELLs may give away, `resting` how many of them may be on the book.
    """

    longer: int = 0
    shorter: int = 0
    paid: Cash = Cash(0)
    yes: int = 0
    no: int = 0
    resting: int = 0

    def worst_case(self, net: int) -> WorstCase:
        """Where they can take a position at most, either way."""
        return WorstCase(net + self.longer, net - self.shorter)


def commitments(orders: Iterable[Order]) -> Commitments:
    """Sum up the orders of one market."""
    longer = shorter = paid = yes = no = resting = 0
    for order in orders:
        exposure = order.exposure
        if order.direction is Side.BUY:
            longer += exposure
        else:
            shorter += exposure
        if order.side is Side.BUY:
            paid -= -order.price * exposure // DOLLAR  # each order's dollars rounded up
        elif order.direction is Side.SELL:
            yes += exposure  # who sells YES gets shorter, who sells NO longer
        else:
            no += exposure
        resting += order.may_rest
    return Commitments(longer, shorter, Cash(paid), yes, no, resting)


def worst_case(position: Position, orders: Iterable[Order]) -> WorstCase:
    """Where the orders can take the position at most, either way."""
    return commitments(orders).worst_case(position.net)


def room_for(direction: Side, case: WorstCase, cap: Cash, twice_mid: int | None) -> Size:
    """The most shares that may be added on one side so that the worst case stays within `cap` dollars at risk.

    Getting flat is always within the cap, so the side that reduces a position keeps its room when the limit is reached.
    """
    net, price_x2 = (case.long, twice_mid) if direction is Side.BUY else (-case.short, None)
    if direction is Side.SELL and twice_mid is not None:
        price_x2 = 2 * DOLLAR - twice_mid
    shares = max(cap, 0) * 2 * DOLLAR // (2 * DOLLAR if price_x2 is None else price_x2)
    return floor_size(shares - net)


class Situation(msgspec.Struct, frozen=True):
    """Everything a placement is judged by. Cash and tokens are what no other order of ours has reserved."""

    market: Market
    orders: Iterable[Order]
    case: WorstCase
    twice_mid: int | None
    cap: Cash
    free_cash: Cash
    free_yes: Size
    free_no: Size
    open_orders: int
    last_trade: Price | None
    limits: Limits


Check = Callable[[Quote, Situation], str | None]
"""Returns the reason against placing the quote now, or None."""


def check_grid(quote: Quote, now: Situation) -> str | None:
    """The price is on the market's grid and the size is at least its minimum."""
    if not now.market.is_on_grid(quote.price):
        return "off_grid"
    return "below_min_size" if quote.size < now.market.min_size else None


def check_worst_case(quote: Quote, now: Situation) -> str | None:
    """The worst case with this order stays within the market's and the total limit."""
    return "limit" if quote.size > room_for(quote.direction, now.case, now.cap, now.twice_mid) else None


def check_self_match(quote: Quote, now: Situation) -> str | None:
    """The order cannot meet one of ours on the other side, not even one that is being cancelled."""
    price = quote.yes_price
    for order in now.orders:
        if order.may_rest and order.direction is not quote.direction:
            bid, ask = (price, order.yes_price) if quote.direction is Side.BUY else (order.yes_price, price)
            if bid >= ask:
                return "self_match"
    return None


def check_funds(quote: Quote, now: Situation) -> str | None:
    """Cash for a BUY, settled tokens for a SELL, beyond what other orders have reserved."""
    if quote.side is Side.BUY:
        return "balance" if quote.price * quote.size > now.free_cash * DOLLAR else None
    free = now.free_no if now.market.outcome(quote.token) else now.free_yes
    return "balance" if quote.size > free else None


def check_open_orders(quote: Quote, now: Situation) -> str | None:
    """The number of open orders stays within its limit."""
    return "max_open_orders" if now.open_orders >= now.limits.max_open_orders else None


def check_order_size(quote: Quote, now: Situation) -> str | None:
    """One order's dollars stay within their limit, whatever a strategy asks for."""
    most = now.limits.max_order
    return "max_order" if most is not None and quote.price * quote.size > most * DOLLAR else None


def check_collar(quote: Quote, now: Situation) -> str | None:
    """The price is near the mid and near the last trade; far from either, something is wrong with what we see.

    The venue gives a market one last trade price, that of whichever token traded: it or its mirror has to be near.
    """
    collar, last = now.limits.collar, now.last_trade
    if collar is None:
        return None
    price = quote.yes_price
    if now.twice_mid is not None and abs(2 * price - now.twice_mid) > 2 * collar:
        return "collar_mid"
    if last is not None and min(abs(price - last), abs(price - mirror(last))) > collar:
        return "collar_last_trade"
    return None


CHECKS: tuple[Check, ...] = (
    check_grid,
    check_order_size,
    check_collar,
    check_self_match,
    check_worst_case,
    check_funds,
    check_open_orders,
)


def objection(quote: Quote, now: Situation) -> str | None:
    """The first reason against placing the quote now; None: it may be placed."""
    for check in CHECKS:
        reason = check(quote, now)
        if reason is not None:
            return reason
    return None
