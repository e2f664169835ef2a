"""The reconciler: what we believe against what the venue says, over REST.

`synchronise` reads all orders and recent trades and does not return before it has; it runs at the start and after each
reconnect. In between, orders whose fate is open are looked up by id until they are decided, and once in a while
everything is read again. Only a complete read ever removes anything.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import structlog

from mm_daemon.core.desk import Desk, FillEffect
from mm_daemon.core.events import OrderReport, TradeReport
from mm_daemon.core.orders import Order, OrderEvent, OrderState, new_order
from mm_daemon.core.units import ConditionId, OrderId
from mm_daemon.exchange.api import Complete, Read, Unavailable, Venue
from mm_daemon.exchange.errors import VenueError
from mm_daemon.tasks.user_feed import log_effects

LOOK_NS = 500_000_000
"""How long an order may be undecided before it is looked up, and between look-ups."""
GRACE_NS = 3_000_000_000
"""How long fills may come after an order is gone, and how long an order nobody knows is still believed possible."""
PERIOD_SECS = 30.0
SLICE = 50
"""How many reports are taken before the event loop turns again: some 0.5 ms of work."""
OPEN_FATES = (OrderState.UNKNOWN, OrderState.GONE)
EXPECTED = (OrderState.LIVE, OrderState.CANCELLING)
"""States in which a complete read shows an order."""
CANCELS_AT_ONCE = 100
TRADES_MARGIN_SECS = 60
SETTLES_WITHIN_SECS = 300
"""A fill that takes longer to get to the chain is worth a warning at every reading."""
RETRY_SECS = 1.0

ForeignOrders = Literal["ignore", "report", "count", "cancel"]
T = TypeVar("T")
log = structlog.get_logger()


class Reconciler:
    """Keeps the desk true.

    Attributes:
        foreign_orders: what to do with orders on our key that are not ours; a reload replaces it.
        trades_read: called with the unix second up to which trades were read completely.
        turned_ns: monotonic time of the loop's last turn.
        passes: complete readings of orders and trades so far.
        passed_ns: monotonic time of the last one; None before the first.
        repairs: orders and fills that a reading put right.
    """

    def __init__(
        self,
        desk: Desk,
        venue: Venue,
        wake: Callable[[ConditionId], None],
        filled: Callable[[list[FillEffect]], None],
        clock_ns: Callable[[], int],
        foreign_orders: ForeignOrders = "report",
    ) -> None:
        self._desk = desk
        self._venue = venue
        self._wake = wake
        self._filled = filled
        self._clock_ns = clock_ns
        self.foreign_orders = foreign_orders
        self._foreign: set[OrderId] = set()
        self._trades_since = int(time.time())
        self._looked: dict[str, int] = {}
        self.trades_read: Callable[[int], None] = lambda until_secs: None
        self.turned_ns = clock_ns()
        self.passes = 0
        self.passed_ns: int | None = None
        self.repairs = 0

    async def run(self) -> None:
        """Look after undecided orders, and read everything once a period, until cancelled."""
        loop = asyncio.get_running_loop()
        next_pass = loop.time() + PERIOD_SECS
        while True:
            await asyncio.sleep(LOOK_NS / 2e9)
            self.turned_ns = self._clock_ns()
            await self.decide_open_fates()
            if loop.time() >= next_pass:
                await self.read_once()
                next_pass = loop.time() + PERIOD_SECS

    async def synchronise(self) -> None:
        """Read orders and trades, trying until both reads are complete."""
        while True:
            if await self.read_once():
                return
            await asyncio.sleep(RETRY_SECS)

    async def read_once(self) -> bool:
        """One reading; False if something was unavailable, and then nothing was removed."""
        began_ns = self._clock_ns()
        if not await self.read_trades():
            return False
        reports = await self._complete("open_orders", self._venue.open_orders())
        if reports is None:
            return False
        seen = {report.id for report in reports}
        await self._take_open_orders(reports)
        for order in list(self._desk.orders.working()):
            is_expected = order.state in EXPECTED and order.since_ns < began_ns
            if is_expected and order.id not in seen:
                await self._look_up(order)
        self.passes += 1
        self.passed_ns = self._clock_ns()
        return True

    async def _take_open_orders(self, reports: list[OrderReport]) -> None:
        """Apply what the venue says of our orders, and deal with those that are not ours as the operator wishes."""
        strangers = []
        for number, report in enumerate(reports, 1):
            if not self._take_report(report):
                strangers.append(report)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        fresh = [report for report in strangers if report.id not in self._foreign]
        self._foreign = {report.id for report in strangers}
        if self.foreign_orders == "ignore" or not strangers:
            return
        for report in fresh:
            log.warning("foreign_order_rests", order=report.id, token=report.token, policy=self.foreign_orders)
        if self.foreign_orders == "count":
            for report in fresh:
                self._count(report)
        elif self.foreign_orders == "cancel":
            try:
                await self._venue.cancel([report.id for report in strangers[:CANCELS_AT_ONCE]])
            except VenueError as error:
                log.warning("foreign_orders_not_cancelled", why=str(error))

    def _count(self, report: OrderReport) -> None:
        """Take a stranger in as exposure; it is never touched."""
        state = self._desk.of_token(report.token)
        if state is None:
            return
        now_ns = self._clock_ns()
        order = new_order(
            state.market, report.id, report.token, report.side, report.price, report.size, why="foreign", now_ns=now_ns
        )
        order.is_foreign = True
        order.filled = order.matched = report.matched
        self._desk.register(order)
        self._desk.apply(order.id, OrderEvent.SEEN_LIVE, now_ns)

    async def decide_open_fates(self) -> None:
        """Look up orders that are undecided, missing from the last read, or gone with fills still to be told."""
        now_ns = self._clock_ns()
        due = [
            order
            for order in self._desk.orders.working()
            if (order.state in OPEN_FATES or (order.lookups and order.state in EXPECTED))
            and now_ns - max(order.since_ns, self._looked.get(order.id, 0)) > LOOK_NS
        ]
        for order in due:
            self._looked[order.id] = now_ns
            await self._look_up(order)
        gone = [o for o in due if o.state is OrderState.GONE and now_ns - o.since_ns > GRACE_NS]
        if gone and await self.read_trades():
            for order in gone:
                if order.exposure:
                    log.warning("fills_never_told", order=order.id, matched=order.matched, filled=order.filled)
                self._desk.apply(order.id, OrderEvent.ACCOUNTED, self._clock_ns())
                self._wake(order.market)
        if len(self._looked) > 1000:
            working = {order.id for order in self._desk.orders.working()}
            self._looked = {id: at for id, at in self._looked.items() if id in working}

    async def _look_up(self, order: Order) -> None:
        """Ask for one order by id. Absence counts only after a grace time and two complete reads in a row."""
        state = order.state
        match await self._venue.order(order.id):
            case Complete(None):
                order.lookups += 1
                is_old = self._clock_ns() - order.since_ns > GRACE_NS
                if order.may_rest and order.state is state and order.lookups >= 2 and is_old:
                    log.warning("order_not_found", order=order.id, was=state.name)
                    self._desk.apply(order.id, OrderEvent.NOT_FOUND, self._clock_ns())
                    self._wake(order.market)
            case Complete(report) if report is not None:
                order.lookups = 0
                self._take_report(report)
            case Unavailable(reason):
                log.warning("order_unavailable", order=order.id, why=reason)

    def _take_report(self, report: OrderReport) -> bool:
        """Apply a report; False if the order is not one we know."""
        known = self._desk.orders.get(report.id)
        was = known.state if known else None
        order = self._desk.receive_report(report, self._clock_ns())
        if order is None:
            return False
        if order.state is not was:
            self.repairs += 1
            self._wake(order.market)
        return True

    async def read_trades(self) -> bool:
        """Apply every trade since the last complete read or the oldest one not settled, with a margin; False if they
        were unavailable."""
        began = int(time.time())
        since, oldest_ms = self._trades_since, self._desk.fills.oldest_pending_ms()
        if oldest_ms is not None:
            since = min(since, oldest_ms // 1000)
            if began - since > SETTLES_WITHIN_SECS:
                log.warning("fills_unsettled", oldest_secs=began - since, pending=self._desk.fills.pending)
        trades: list[TradeReport] | None = await self._complete(
            "trades", self._venue.trades(since - TRADES_MARGIN_SECS)
        )
        if trades is None:
            return False
        for trade in trades:
            effects = self._desk.receive_trade(trade, self._clock_ns())
            if effects:
                self.repairs += len(effects)
                log_effects(self._desk, effects)
                self._filled(effects)
        self._trades_since = began
        self.trades_read(began)
        return True

    async def _complete(self, what: str, read: Awaitable[Read[T]]) -> T | None:
        match await read:
            case Complete(value):
                return value
            case Unavailable(reason):
                log.warning(f"{what}_unavailable", why=reason)
        return None
