"""The end: nothing new is placed, everything is cancelled, and the exchange is read until it shows nothing of ours.

One deadline holds over all of it. The verdict says what was verified, not what was asked for; the exit code is its.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from mm_daemon.core.desk import Desk
from mm_daemon.core.orders import OrderEvent, OrderState
from mm_daemon.core.units import OrderId
from mm_daemon.exchange.api import CancelOutcome, Complete, Unavailable, Venue
from mm_daemon.exchange.errors import VenueError
from mm_daemon.tasks.order_manager import CANCEL_CHUNK, OrderManager

FIRST_PAUSE_SECS = 0.05
LONGEST_PAUSE_SECS = 1.0
ABSENCE_READS = 2
ABSENCE_NS = 3_000_000_000
"""An order whose POST was never answered is believed not to exist after this many complete reads without it, the last
of them this long after it was made: its bytes may still be on their way."""

log = structlog.get_logger()


class Verdict(NamedTuple):
    """How the stop ended. `may_rest`: how many orders of ours may still be on the book, by the last we know."""

    is_verified: bool
    may_rest: int
    secs: float


async def stop_trading(
    desk: Desk,
    venue: Venue,
    manager: OrderManager,
    budget_secs: float,
    clock_ns: Callable[[], int],
    read_trades: Callable[[], Awaitable[bool]] | None = None,
) -> Verdict:
    """Take every order off the book and verify it; then read the last fills, which no event may have told us of.

    Placement ends the moment this is called. Never raises on what the venue does; the verdict tells.

    Args:
        desk, venue, manager, clock_ns: as everywhere.
        budget_secs: one deadline over all of it.
        read_trades: reads and books what traded; False if the venue did not let it.
    """
    started = time.monotonic()
    manager.is_stopping = True
    verified = False
    try:
        async with asyncio.timeout(budget_secs):
            await _cancel_until_empty(desk, venue, manager, clock_ns)
            verified = True
            if read_trades is not None:
                await _until_read(read_trades)
    except TimeoutError:
        log.warning("stop_out_of_time", missing="the last fills" if verified else "an empty book")
    may_rest = 0 if verified else desk.open_orders
    verdict = Verdict(verified, may_rest, time.monotonic() - started)
    log.info("trading_stopped", verified=verdict.is_verified, may_rest=may_rest, secs=round(verdict.secs, 3))
    log.info("position_at_stop", tokens=_tokens_held(desk), cash=desk.cash)
    return verdict


def _tokens_held(desk: Desk) -> dict[str, tuple[int, int]]:
    """YES and NO of each market that we hold something in, unsettled fills included, in micro-shares."""
    held = {state.market.slug: state.position.holdings for state in desk.markets.values()}
    return {slug: (holdings.yes, holdings.no) for slug, holdings in held.items() if holdings.yes or holdings.no}


async def _cancel_until_empty(desk: Desk, venue: Venue, manager: OrderManager, clock_ns: Callable[[], int]) -> None:
    """Cancel and read until a complete read is empty and no order is undecided.

    What rests does not wait for a placement in flight: that one stays undecided, and is cancelled when it lands.
    """
    pause = FIRST_PAUSE_SECS
    resting: list[OrderId] | None = None
    while True:
        try:
            manager.receive_cancels(await _cancel(venue, resting))
        except VenueError as error:
            log.warning("cancel_failed", why=str(error))
        resting = await _read_resting(desk, venue, clock_ns)
        if resting == [] and await _all_decided(desk, venue, clock_ns):
            return
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECS)


async def _until_read(read: Callable[[], Awaitable[bool]]) -> None:
    pause = FIRST_PAUSE_SECS
    while True:
        if await read():
            return
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SECS)


async def _cancel(venue: Venue, resting: list[OrderId] | None) -> dict[OrderId, CancelOutcome]:
    """Cancel what the last read showed, by id; everything where nothing could be read yet."""
    if not resting:
        return await venue.cancel_all()
    return await venue.cancel(resting[:CANCEL_CHUNK])


async def _read_resting(desk: Desk, venue: Venue, clock_ns: Callable[[], int]) -> list[OrderId] | None:
    """Ids of all orders that rest on our key, None if that could not be read."""
    match await venue.open_orders():
        case Complete(reports):
            for report in reports:
                desk.receive_report(report, clock_ns())
            return [report.id for report in reports]
        case Unavailable(reason):
            log.warning("open_orders_unavailable", why=reason)
            return None


async def _all_decided(desk: Desk, venue: Venue, clock_ns: Callable[[], int]) -> bool:
    """Look up by id every order that the empty read does not decide; True if none is left."""
    for order in [order for order in desk.orders.working() if order.may_rest]:
        match await venue.order(order.id):
            case Complete(None):
                order.lookups += 1
                was_answered = order.state in (OrderState.LIVE, OrderState.CANCELLING)
                is_old = order.lookups >= ABSENCE_READS and clock_ns() - order.created_ns > ABSENCE_NS
                if was_answered or (is_old and order.state is not OrderState.SENDING):
                    desk.apply(order.id, OrderEvent.NOT_FOUND, clock_ns())
            case Complete(report) if report is not None:
                desk.receive_report(report, clock_ns())
            case Unavailable(reason):
                log.warning("order_unavailable", order=order.id, why=reason)
    return not any(order.may_rest for order in desk.orders.working())
