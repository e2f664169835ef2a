"""The engine: the tasks of a running daemon, wired to each other over one desk.

feeds ─► quoting ─► order manager ─► venue          guard: limits over time, halts
user feed, reconciler ─► desk                       audit, balances, status: is what we believe true?
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from mm_daemon.books import Books
from mm_daemon.config import RiskSettings
from mm_daemon.connection import Connection
from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.strategies.api import Strategy
from mm_daemon.tasks.audit import Audit
from mm_daemon.tasks.balances import Balances
from mm_daemon.tasks.feed import Feed
from mm_daemon.tasks.guard import Guard, GuardLimits
from mm_daemon.tasks.heartbeat import Heartbeat
from mm_daemon.tasks.order_manager import OrderManager
from mm_daemon.tasks.quoting import Quoting
from mm_daemon.tasks.reconciler import Reconciler
from mm_daemon.tasks.status import StatusWatch
from mm_daemon.tasks.user_feed import HOLD, UserFeed

READY_SECS = 5.0
STUCK_SECS = 10.0
"""The quoting loop stands still when its timer has not turned for this long beyond its interval."""
TOKENS_PER_SOCKET = 100

log = structlog.get_logger()


def guard_limits(risk: RiskSettings) -> GuardLimits:
    """The part of the operator's limits that the guard holds."""
    return GuardLimits(
        risk.max_daily_loss, risk.max_order_errors, risk.order_error_window_secs, risk.stop_before_end_secs
    )


class Engine:
    """Everything that runs between start and stop.

    Attributes:
        manager, quoting, reconciler, guard, balances, audit, feeds, user_feed: the tasks, to read or to command.
    """

    def __init__(
        self,
        desk: Desk,
        strategy: Strategy,
        connection: Connection,
        manager: OrderManager,
        books: Books,
        risk: RiskSettings,
    ) -> None:
        venue, clock_ns = connection.venue, time.monotonic_ns
        self._desk = desk
        self._strategy = strategy
        self._risk = risk
        self.manager = manager
        self.quoting = Quoting(desk, strategy, manager, clock_ns)
        self.reconciler = Reconciler(desk, venue, manager.wake, self.quoting.filled, clock_ns, risk.foreign_orders)
        self.balances = Balances(desk, venue, self.quoting.market_changed)
        self.status = StatusWatch(desk, venue, self.balances.check_cash, self.quoting.market_changed)
        self.guard = Guard(desk, manager, books, guard_limits(risk), clock_ns, time.time)
        self.user_feed = UserFeed(
            desk,
            connection.user_channel(),
            manager,
            self.quoting.filled,
            self.reconciler.synchronise,
            clock_ns,
        )
        self.heartbeat = Heartbeat(venue, manager, self.is_healthy, self.reconciler.synchronise)
        self._tokens = [state.market.yes for state in desk.markets.values()]
        self.feeds = [
            Feed(desk, connection.market_channel(shard), shard, self.quoting)
            for start in range(0, len(self._tokens), TOKENS_PER_SOCKET)
            if (shard := self._tokens[start : start + TOKENS_PER_SOCKET])
        ]
        self.audit = Audit(desk, venue, self._distrust, clock_ns)
        manager.requote = self.quoting.requote
        manager.on_refused = self.status.refused
        manager.on_error = self.guard.order_error
        self.balances.repaired = books.note_difference
        self.reconciler.trades_read = books.keeper.set_cursor
        self.guard.restore(books.latches())
        manager.hold(HOLD)  # until the user channel is up and everything was read

    def workers(self) -> Mapping[str, Coroutine[Any, Any, None]]:
        """Every task's work, by name."""
        return {
            "orders": self.manager.run(),
            "quoting": self.quoting.run(self._ready()),
            "heartbeat": self.heartbeat.run(),
            "reconciler": self.reconciler.run(),
            "status": self.status.run(),
            "balances": self.balances.run(),
            "audit": self.audit.run(),
            "guard": self.guard.run(),
            "user_feed": self.user_feed.run(),
            **{f"feed_{number}": feed.run() for number, feed in enumerate(self.feeds)},
        }

    def is_healthy(self) -> bool:
        """Whether the quoting loop's timer turns."""
        return self.quoting_still_secs < self.quoting_patience_secs

    @property
    def quoting_still_secs(self) -> float:
        """How long ago the quoting loop's timer last turned."""
        return (time.monotonic_ns() - self.quoting.decided_ns) / 1e9

    @property
    def quoting_patience_secs(self) -> float:
        """How long that may be before the loop counts as stuck."""
        return self._strategy.refresh_interval_secs + STUCK_SECS

    def take_risk(self, risk: RiskSettings) -> None:
        """Put new limits in force."""
        self._desk.limits = risk.limits(self._strategy.max_position, self._strategy.max_total_position)
        self.guard.limits = guard_limits(risk)
        self.reconciler.foreign_orders = risk.foreign_orders

    async def _ready(self) -> None:
        """Wait until our orders were read and every book came once, for as long as a start may take.

        What has been made by then stays: no garbage collection between a frame and an order walks over it again.
        """
        try:
            async with asyncio.timeout(READY_SECS):
                await self.manager.free.wait()
                for feed in self.feeds:
                    await feed.complete.wait()
        except TimeoutError:
            missing = [state.market.slug for state in self._desk.markets.values() if not state.book.is_known]
            log.warning("started_without", holds=self.manager.holds, books_missing=missing)
        gc.collect()
        gc.freeze()

    def _distrust(self, state: MarketState, why: str) -> None:
        self.feeds[self._tokens.index(state.market.yes) // TOKENS_PER_SOCKET].distrust(state, why)
