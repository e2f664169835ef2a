"""The difference between what should rest and what rests.

An order that is already right keeps its place in the queue. An order whose state is not known is neither replaced nor
joined by another on its side until it is decided. Nothing here knows how an order is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from mm_daemon.core.orders import Order, OrderState
from mm_daemon.core.quotes import Desired, Quote
from mm_daemon.core.units import OrderId, Size

SIZE_TOLERANCE_PCT = 20
"""An order may have shrunk by this much of the wanted size, by partial fills, before it is replaced."""


class Cancel(NamedTuple):
    """An order to cancel, and why."""

    id: OrderId
    why: str


class Plan(NamedTuple):
    """What to do in one market now."""

    cancels: list[Cancel]
    posts: list[Quote]


def why_wrong(order: Order, quote: Quote, replace_before_ns: int) -> str | None:
    """Why a resting order does not serve as this quote; None if it does. The order is on the quote's token and side."""
    if order.price != quote.price:
        return "price"
    if order.created_ns < replace_before_ns:
        return "stale"
    left = order.remaining
    if left > quote.size:
        return "too_large"
    if left < Size(quote.size * (100 - SIZE_TOLERANCE_PCT) // 100):
        return "too_small"
    return None


def plan(desired: Desired, working: Iterable[Order]) -> Plan:
    """Compare the wanted quotes of a market with its orders.

    Args:
        desired: the newest wish.
        working: every order of the market that is not dead.

    Returns:
        Orders to cancel, and quotes to post. A post may still have to wait for the cancels: that is the gate's say.
    """
    wanted = list(desired.quotes)
    cancels: list[Cancel] = []
    for order in working:
        if order.is_foreign:
            continue
        quote = next((q for q in wanted if q.direction is order.direction), None)
        if order.state in (OrderState.SENDING, OrderState.UNKNOWN):
            if quote is not None:
                wanted.remove(quote)  # undecided: its side waits for it
        elif order.state is OrderState.LIVE:
            if quote is None:
                cancels.append(Cancel(order.id, desired.why if not desired.quotes else "side_not_quoted"))
                continue
            is_same_leg = quote.token == order.token and quote.side is order.side
            wrong = (
                why_wrong(order, quote, desired.replace_before_ns(order.direction)) if is_same_leg else "other_token"
            )
            if wrong is None:
                wanted.remove(quote)
            else:
                cancels.append(Cancel(order.id, wrong))
    return Plan(cancels, wanted)
