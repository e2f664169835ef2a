"""The start: everything that can be wrong is found before the first order.

Credentials, clock, account, markets, orders that rest from before, holdings and cash, in that order. A failure is a
`StartRefused` with one clear line and the exit code that it means.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Literal, TypeVar

import structlog

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.events import OrderReport, TradeReport, TradeStatus
from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.orders import Order, OrderEvent, new_order
from mm_daemon.core.units import Cash, Outcome, Size, format_size, format_usd
from mm_daemon.exchange.api import Balance, Complete, Read, Unavailable, Venue
from mm_daemon.exchange.errors import AuthError, Mode, Rejected, RejectReason, Restricted, VenueError
from mm_daemon.journal.keeper import Bookkeeper

CLOCK_TOLERANCE_SECS = 2
TRIES = 5
RETRY_SECS = 0.5
CALLS_AT_ONCE = 16
TRADES_BACK_SECS = 3600
"""Trades of the last hour may still be on their way to the chain."""
TRADES_MARGIN_SECS = 60

EXIT_CONFIG = 2
EXIT_UNVERIFIED = 3
EXIT_REFUSED = 4

T = TypeVar("T")
log = structlog.get_logger()


class StartRefused(Exception):
    """The daemon must not start; the text is one line for the operator, `exit_code` the process's."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


async def start_up(
    desk: Desk,
    venue: Venue,
    market_refs: Sequence[str],
    orders_at_start: Literal["cancel", "adopt"],
    clock_ns: Callable[[], int],
    books: Bookkeeper | None = None,
) -> None:
    """Bring the desk to the venue's truth, and the books, if there are any, to the desk's.

    Raises:
        StartRefused: something is wrong that quoting must not begin with.
    """
    await _call("credentials", venue.connect)
    await _check_clock(venue)
    if await _call("account status", venue.is_closed_only):
        raise StartRefused("the account is in closed-only mode: it may not open positions", EXIT_REFUSED)
    await _load_markets(desk, venue, market_refs)
    await _deal_with_orders_found(desk, venue, orders_at_start, clock_ns)
    await _load_holdings(desk, venue, books)
    await _call("heartbeat", venue.heartbeat)


async def _call(what: str, call: Callable[[], Awaitable[T]]) -> T:
    """Try a call a few times; refusals for good end at once.

    Raises:
        StartRefused: it failed.
    """
    for attempt in range(TRIES):
        try:
            return await call()
        except AuthError as error:
            raise StartRefused(f"{what}: the venue does not accept our key: {error}", EXIT_REFUSED) from error
        except Restricted as error:
            if error.mode is Mode.REGION:
                raise StartRefused(f"{what}: {error}", EXIT_REFUSED) from error
            problem: VenueError = error
        except Rejected as error:
            raise StartRefused(f"{what}: {error}", EXIT_REFUSED) from error
        except VenueError as error:
            problem = error
        log.warning("start_retries", what=what, why=str(problem))
        if attempt < TRIES - 1:
            await asyncio.sleep(RETRY_SECS * 2**attempt)
    raise StartRefused(f"{what}: {problem}", EXIT_UNVERIFIED) from problem


async def _read(what: str, read: Callable[[], Awaitable[Read[T]]]) -> T:
    """Read until complete, a few times.

    Raises:
        StartRefused: it stayed unavailable.
    """
    reason = ""
    for attempt in range(TRIES):
        match await read():
            case Complete(value):
                return value
            case Unavailable(reason):
                log.warning("start_retries", what=what, why=reason)
        if attempt < TRIES - 1:
            await asyncio.sleep(RETRY_SECS * 2**attempt)
    raise StartRefused(f"{what} could not be read: {reason}", EXIT_UNVERIFIED)


async def clock_error_secs(server_secs: Callable[[], Awaitable[int]]) -> float:
    """How far this machine's clock is off the venue's at least, either way.

    The venue tells whole seconds: its clock is somewhere within the second it names, at some time during the call.
    """
    before = time.time()
    server = await server_secs()
    return max(server - time.time(), before - (server + 1), 0.0)


async def _check_clock(venue: Venue) -> None:
    off = await _call("clock", lambda: clock_error_secs(venue.server_secs))
    if off > CLOCK_TOLERANCE_SECS:
        raise StartRefused(
            f"this machine's clock is {off:.1f} s off the venue's, at most {CLOCK_TOLERANCE_SECS} s: "
            "set it by NTP, signatures carry the time",
            EXIT_CONFIG,
        )


async def _side_by_side(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make these calls, some at a time; their results in order. The first failure ends the others and is raised."""
    gate = asyncio.Semaphore(CALLS_AT_ONCE)

    async def one(call: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await call()

    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(one(call)) for call in calls]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in running]


async def _load_markets(desk: Desk, venue: Venue, refs: Sequence[str]) -> None:
    """Take in the markets in their configured order."""
    markets = await _side_by_side(partial(_find_market, venue, ref) for ref in refs)
    for ref, market in zip(refs, markets, strict=True):
        if market.condition_id in desk.markets:
            raise StartRefused(f"strategy.markets: {ref} is the same market as another entry", EXIT_CONFIG)
        desk.add_market(market)
        if market.status is not MarketStatus.OPEN:
            log.warning("market_not_open", market=market.slug, status=market.status.value)


async def _find_market(venue: Venue, ref: str) -> Market:
    async def find() -> Market:
        try:
            return await venue.load_market(ref)
        except Rejected as error:
            if error.reason is RejectReason.NOT_FOUND:
                raise StartRefused(f"strategy.markets: no such market: {ref} ({error.text})", EXIT_CONFIG) from error
            raise

    return await _call(f"market {ref}", find)


async def _deal_with_orders_found(
    desk: Desk, venue: Venue, policy: Literal["cancel", "adopt"], clock_ns: Callable[[], int]
) -> None:
    """Cancel every order that rests on our key, or take over those in our markets.

    Raises:
        StartRefused: orders could not be read, or would not go away.
    """
    for attempt in range(TRIES):
        reports = await _read("open orders", venue.open_orders)
        if not reports:
            return
        if policy == "adopt":
            for report in reports:
                _adopt(desk, report, clock_ns())
            return
        log.warning("orders_found", count=len(reports), action="cancel")
        await _call("cancelling orders found", venue.cancel_all)
        await asyncio.sleep(RETRY_SECS * attempt)
    raise StartRefused(f"{len(reports)} orders from before do not go away", EXIT_UNVERIFIED)


def _adopt(desk: Desk, report: OrderReport, now_ns: int) -> None:
    state = desk.of_token(report.token)
    if state is None:
        log.warning("foreign_order_rests", order=report.id, token=report.token)
        return
    order: Order = new_order(
        state.market, report.id, report.token, report.side, report.price, report.size, why="adopted", now_ns=now_ns
    )
    order.matched = report.matched
    desk.register(order)
    desk.apply(order.id, OrderEvent.SEEN_LIVE, now_ns)
    log.info("order_adopted", order=order.id, market=state.market.slug)


async def _load_holdings(desk: Desk, venue: Venue, books: Bookkeeper | None) -> None:
    """Take balances from the venue; trades that are not settled yet come on top, settled ones are in them.

    The trades are read on both sides of the balances until nothing moved in between.

    Raises:
        StartRefused: something could not be read, or there is nothing to trade with.
    """
    began = int(time.time())
    cursor = books.cursor if books else None
    since = _prime(desk, books, began - TRADES_BACK_SECS, cursor)
    trades = await _read("trades", lambda: venue.trades(since))
    for _ in range(TRIES):
        await _take_balances(desk, venue)
        before, trades = trades, await _read("trades", lambda: venue.trades(since))
        if _statuses(before) == _statuses(trades):
            break
    for trade in trades:
        is_pending = trade.status not in (TradeStatus.CONFIRMED, TradeStatus.FAILED)
        known = desk.take_over_trade(trade, is_new=is_pending or cursor is not None)
        if books is not None:
            books.know(known)
    for order in desk.orders.working():
        order.filled = order.matched  # an adopted order's fills are in the balances or in the trades just booked
        desk.refresh(order.market)
    if books is not None:
        for state in desk.markets.values():
            books.opening(state.market, state.position.yes.held, state.position.no.held, None)
        books.set_cursor(began)
    log.info(
        "holdings_loaded",
        cash=format_usd(desk.cash),
        positions={
            state.market.slug: f"{format_size(state.position.yes.held)} YES, {format_size(state.position.no.held)} NO"
            for state in desk.markets.values()
            if state.position.yes.held or state.position.no.held
        },
    )


def _prime(desk: Desk, books: Bookkeeper | None, since: int, cursor: int | None) -> int:
    """Tell the desk what the books know of fills and orders of earlier runs.

    Returns:
        Since when trades have to be read: before the cursor, and before every fill that was not settled by then.
    """
    if books is None or cursor is None:
        return since
    since = min(since, cursor - TRADES_MARGIN_SECS)
    for fill, status in books.known_fills(since * 1000):
        desk.fills.receive(fill, status)
        if status is TradeStatus.MATCHED and fill.time_ms:
            since = min(since, fill.time_ms // 1000 - TRADES_MARGIN_SECS)
    for known in books.known_orders(since * 1000):
        desk.orders.remember(known.order)
    return since


def _statuses(trades: Sequence[TradeReport]) -> dict[str, TradeStatus]:
    return {trade.trade_id: trade.status for trade in trades}


async def _take_balances(desk: Desk, venue: Venue) -> None:
    collateral = await _collateral(venue)
    desk.cash = Cash(collateral.amount)
    held = sum(await _side_by_side(partial(_take_holdings, desk, venue, state) for state in desk.markets.values()))
    if not desk.cash and not held:
        raise StartRefused("the wallet holds neither pUSD nor tokens of the markets to quote", EXIT_CONFIG)
    if desk.cash and collateral.allowance == 0:
        raise StartRefused("the exchange has no allowance for the wallet's pUSD: approve it first", EXIT_CONFIG)


async def _collateral(venue: Venue) -> Balance:
    """Our pUSD. For a new wallet the venue says nothing until it was asked to look at the chain once."""
    found = await _read("collateral", venue.collateral)
    if found.amount and found.allowance != 0:
        return found
    await _call("collateral", venue.refresh_collateral)
    return await _read("collateral", venue.collateral)


async def _take_holdings(desk: Desk, venue: Venue, state: MarketState) -> int:
    """Take one market's tokens; how many micro-shares there were."""
    held = 0
    for outcome in Outcome:
        balance = await _read(f"holding of {state.market.slug}", partial(venue.holding, state.market.token(outcome)))
        state.position.open_with(outcome, Size(balance.amount))
        held += balance.amount
    desk.refresh(state.market.condition_id)
    return held
