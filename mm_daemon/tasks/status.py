"""Watches what the venue allows: market status, which channels do not always tell, clock, and cash when it is short."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.market import Market
from mm_daemon.core.units import ConditionId
from mm_daemon.exchange.api import Complete, Unavailable, Venue
from mm_daemon.exchange.errors import RejectReason, VenueError
from mm_daemon.tasks.startup import CLOCK_TOLERANCE_SECS, clock_error_secs

PERIOD_SECS = 60.0
ABOUT_THE_MARKET = frozenset(
    {RejectReason.OFF_TICK, RejectReason.TOO_SMALL, RejectReason.MARKET_NOT_READY, RejectReason.NO_BOOK}
)

log = structlog.get_logger()


class StatusWatch:
    """Reads each market's rules once a period, and at once when a refusal says that ours are out of date.

    Attributes:
        turned_ns: monotonic time of the loop's last turn.
    """

    def __init__(
        self,
        desk: Desk,
        venue: Venue,
        refresh_cash: Callable[[], Awaitable[None]],
        market_changed: Callable[[MarketState], None],
    ) -> None:
        self._desk = desk
        self._venue = venue
        self._refresh_cash = refresh_cash
        self._market_changed = market_changed
        self._due: dict[ConditionId, None] = {}
        self._cash_due = False
        self._woken = asyncio.Event()
        self.turned_ns = time.monotonic_ns()

    def refused(self, market: ConditionId, reason: RejectReason) -> None:
        """An order was refused; look into it if our picture is what is wrong."""
        if reason in ABOUT_THE_MARKET:
            self._due[market] = None
            self._woken.set()
        elif reason is RejectReason.NOT_ENOUGH_BALANCE:
            self._cash_due = True
            self._woken.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        next_pass = loop.time() + PERIOD_SECS
        while True:
            try:
                async with asyncio.timeout_at(next_pass):
                    await self._woken.wait()
            except TimeoutError:
                next_pass = loop.time() + PERIOD_SECS
                self._due.update(dict.fromkeys(self._desk.markets))
                await self.check_clock()
            self._woken.clear()
            self.turned_ns = time.monotonic_ns()
            if self._cash_due:
                self._cash_due = False
                await self._refresh_cash()
            due, self._due = self._due, {}
            for market in due:
                await self._look(self._desk.markets[market])

    async def check_clock(self) -> None:
        """Say so when this machine's clock has drifted from the venue's: signatures carry the time."""
        try:
            off = await clock_error_secs(self._venue.server_secs)
        except VenueError as error:
            log.warning("clock_unavailable", why=str(error))
            return
        if off > CLOCK_TOLERANCE_SECS:
            log.error("clock_off", secs=round(off, 1))

    async def _look(self, state: MarketState) -> None:
        match await self._venue.market_status(state.market):
            case Complete(market):
                if market != state.market:
                    self._take(state, market)
            case Unavailable(reason):
                log.warning("market_unavailable", market=state.market.slug, why=reason)

    def _take(self, state: MarketState, market: Market) -> None:
        """New rules. A new tick begins a new epoch, as the feed's own message would."""
        log.info(
            "market_changed",
            market=market.slug,
            status=market.status.value,
            tick=market.tick,
            min_size=market.min_size,
        )
        if market.tick != state.market.tick:
            state.book.forget()
        state.market = msgspec.structs.replace(
            state.market, tick=market.tick, min_size=market.min_size, status=market.status
        )
        self._market_changed(state)
