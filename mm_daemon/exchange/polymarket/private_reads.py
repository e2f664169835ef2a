"""Reads of our own account: orders, trades and balances. Each either sees everything or raises.

One element that cannot be read makes the whole read fail, because what is missing from a complete read is taken to be
gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import msgspec

from mm_daemon.core.events import OrderReport, TradeReport
from mm_daemon.core.units import OrderId
from mm_daemon.exchange.api import Balance
from mm_daemon.exchange.errors import ProtocolError, Rejected, RejectReason
from mm_daemon.exchange.polymarket.bodies import FIRST_CURSOR, LAST_CURSOR, read_balance, read_page
from mm_daemon.exchange.polymarket.rest import Rest
from mm_daemon.exchange.polymarket.user_frames import OrderBody, Ownership, TradeBody, order_report, trade_report
from mm_daemon.exchange.polymarket.wire import decoded

_MOST_PAGES = 200
_SLICE = 50
"""How many elements are read before the event loop turns again: some 0.5 ms of work."""
_ORDER = msgspec.json.Decoder(OrderBody)
_ORDER_OR_NULL = msgspec.json.Decoder(OrderBody | None)
_TRADE = msgspec.json.Decoder(TradeBody)
_EMPTY = frozenset({b"", b"null", b"{}", b'""'})


async def _elements(rest: Rest, path: str, query: dict[str, str]) -> AsyncIterator[msgspec.Raw]:
    """The elements of all pages; between slices of them the event loop turns, so that no frame waits for a thousand.

    Raises:
        VenueError: a page failed, a cursor came twice or the pages do not end.
    """
    cursor = FIRST_CURSOR
    seen = {cursor}
    for _ in range(_MOST_PAGES):
        page = read_page(await rest.get(path, {**query, "next_cursor": cursor}, private=True))
        for number, element in enumerate(page.data, 1):
            yield element
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        cursor = page.next_cursor
        if cursor in (LAST_CURSOR, ""):
            return
        if cursor in seen:
            raise ProtocolError(f"{path}: the cursor {cursor[:40]!r} came twice")
        seen.add(cursor)
    raise ProtocolError(f"{path}: more than {_MOST_PAGES} pages")


def _reported(body: OrderBody) -> OrderReport:
    try:
        return order_report(body)
    except ValueError as error:
        raise ProtocolError(f"order {body.id[:80]}: {error}") from error


async def open_orders(rest: Rest) -> list[OrderReport]:
    """Every open order of the API key, each once.

    Raises:
        VenueError: not all of them could be read.
    """
    orders: dict[OrderId, OrderReport] = {}
    async for element in _elements(rest, "/data/orders", {}):
        report = _reported(decoded(_ORDER, element, "an order"))
        orders[report.id] = report
    return list(orders.values())


async def order(rest: Rest, id: OrderId) -> OrderReport | None:
    """One order; None where the venue knows none (any more).

    Raises:
        VenueError: it could not be read.
    """
    try:
        body = await rest.get(f"/data/order/{id}", private=True)
    except Rejected as error:
        if error.reason is RejectReason.NOT_FOUND:
            return None
        raise
    if body.strip() in _EMPTY:
        return None
    found = decoded(_ORDER_OR_NULL, body, "an order")
    if found is None:
        return None
    report = _reported(found)
    if report.id != id:
        raise ProtocolError(f"asked for order {id}, got {report.id}")
    return report


async def trades(rest: Rest, ownership: Ownership, after_secs: int) -> list[TradeReport]:
    """Trades with parts of ours since `after_secs`, oldest first.

    Only the wallet and the time are filtered by the venue: its filters by market and asset look at the taker's leg and
    so miss fills of ours that were matched across the two outcomes.

    Raises:
        VenueError: not all of them could be read.
    """
    found: dict[str, TradeReport] = {}
    query = {"maker_address": ownership.wallet, "after": str(after_secs)}
    async for element in _elements(rest, "/data/trades", query):
        body = decoded(_TRADE, element, "a trade")
        try:
            report = trade_report(body, ownership)
        except ValueError as error:
            raise ProtocolError(f"trade {body.id[:80]}: {error}") from error
        if report is not None and _matched_ms(report) >= after_secs * 1000:
            found[report.trade_id] = report
    return sorted(found.values(), key=_matched_ms)


def _matched_ms(report: TradeReport) -> int:
    return min(fill.time_ms for fill in report.fills)


async def balance(rest: Rest, query: dict[str, str], spenders: Iterable[str]) -> Balance:
    """What the venue's cache says of one asset.

    Raises:
        VenueError: it could not be read.
    """
    return read_balance(await rest.get("/balance-allowance", query, private=True), spenders)
