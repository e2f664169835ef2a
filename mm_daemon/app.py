"""The composition root: what the daemon is made of, and its life from start to stop.

    start: checks, markets, orders found, holdings  ->  run: feeds, quoting, orders, heartbeat  ->  stop: verified

Every task runs under a guard: one that fails takes the daemon through the same stop as a signal, never half alive.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine
from enum import IntEnum
from typing import Any

import structlog
import uvloop

from mm_daemon.config import Config
from mm_daemon.connection import Connection, polymarket
from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.credentials import PrivateKey
from mm_daemon.exchange.errors import AuthError
from mm_daemon.plugins import load_strategy_settings
from mm_daemon.strategies.api import Strategy
from mm_daemon.tasks.audit import Audit
from mm_daemon.tasks.balances import Balances
from mm_daemon.tasks.feed import Feed
from mm_daemon.tasks.heartbeat import Heartbeat
from mm_daemon.tasks.order_manager import OrderManager, VenueRefused
from mm_daemon.tasks.quoting import Quoting
from mm_daemon.tasks.reconciler import Reconciler
from mm_daemon.tasks.shutdown import Verdict, stop_trading
from mm_daemon.tasks.startup import StartRefused, start_up
from mm_daemon.tasks.status import StatusWatch
from mm_daemon.tasks.user_feed import HOLD, UserFeed

STOP_SECS = 8.0
"""The deadline over cancelling and verifying; with the rest of the stop it stays below ten seconds."""
HEARTBEAT_ENDS_SECS = 15
"""When our heartbeat ends, the venue cancels what still rests within this time."""
READY_SECS = 5.0
STUCK_SECS = 10.0
"""The quoting loop stands still when its timer has not turned for this long beyond its interval."""
TOKENS_PER_SOCKET = 100
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


class ExitCode(IntEnum):
    """What the end of the process says."""

    STOPPED = 0
    """Stopped, and verified that no order rests."""
    FAILED = 1
    """A task failed; stopped, and verified that no order rests."""
    CONFIG = 2
    UNVERIFIED = 3
    """Stopped, but open orders could not be verified."""
    REFUSED = 4
    """The venue refuses us for good."""


class Daemon:
    """One daemon: a desk, a strategy, a venue, and the tasks between them."""

    def __init__(self, config: Config, strategy: Strategy, connect: Callable[[Desk], Connection]) -> None:
        self.config = config
        self.strategy = strategy
        self.desk = Desk(config.risk.limits(strategy.max_position, strategy.max_total_position))
        self.connection = connect(self.desk)
        self.venue = self.connection.venue
        self.manager = OrderManager(self.desk, self.venue, time.monotonic_ns)
        self.started = asyncio.Event()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    def request_stop(self, why: str) -> None:
        """Begin the stop; asking again changes nothing."""
        if not self._stop.is_set():
            log.info("stop_requested", why=why)
            self._stop.set()

    async def run(self) -> ExitCode:
        """Live: start, trade until a stop is requested or a task fails, stop.

        The last log line and the exit code say what was verified, not what was asked for.
        """
        code, verdict = ExitCode.UNVERIFIED, None
        try:
            if await self._start():
                verdict = await self._trade()
            elif self.desk.markets:
                verdict = await self._take_down()
            code = self._exit_code(verdict)
        except StartRefused as refusal:
            code = ExitCode(refusal.exit_code)
            log.error("start_refused", why=str(refusal))
        finally:
            await self.venue.close()
            self._log_end(code, verdict)
        return code

    def _log_end(self, code: ExitCode, verdict: Verdict | None) -> None:
        facts: dict[str, object] = {"exit_code": int(code), "meaning": code.name.lower()}
        if verdict is not None and not verdict.is_verified:
            facts |= {"orders_that_may_rest": verdict.may_rest, "venue_cancels_them_within_secs": HEARTBEAT_ENDS_SECS}
        log.info("stopped", **facts)

    async def _start(self) -> bool:
        """Run the start-up checks; False if a stop was requested meanwhile."""
        starting = asyncio.create_task(
            start_up(self.desk, self.venue, self.strategy.markets, self.config.risk.orders_at_start, time.monotonic_ns)
        )
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
            return False
        starting.result()
        return True

    async def _trade(self) -> Verdict:
        """Run every task until the stop, then take everything down while they still listen."""
        async with asyncio.TaskGroup() as group:
            workers = [
                group.create_task(self._guarded(name, work), name=name) for name, work in self._workers().items()
            ]
            self.started.set()
            log.info("started", markets=[state.market.slug for state in self.desk.markets.values()])
            await self._stop.wait()
            verdict = await self._take_down()
            for worker in workers:
                worker.cancel()
        return verdict

    def _workers(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Wire the tasks to each other."""
        desk, venue, manager, clock_ns = self.desk, self.venue, self.manager, time.monotonic_ns
        quoting = Quoting(desk, self.strategy, manager, clock_ns)
        manager.requote = quoting.requote
        reconciler = Reconciler(desk, venue, manager.wake, quoting.filled, clock_ns, self.config.risk.foreign_orders)
        balances = Balances(desk, venue, quoting.market_changed)
        status = StatusWatch(desk, venue, balances.check_cash, quoting.market_changed)
        manager.on_refused = status.refused
        manager.hold(HOLD)  # until the user channel is up and everything was read
        user_feed = UserFeed(
            desk, self.connection.user_channel(), manager, quoting.filled, reconciler.synchronise, clock_ns
        )

        def is_healthy() -> bool:
            still_secs = (clock_ns() - quoting.decided_ns) / 1e9
            return still_secs < self.strategy.refresh_interval_secs + STUCK_SECS

        heartbeat = Heartbeat(venue, manager, is_healthy, reconciler.synchronise)
        tokens = [state.market.yes for state in desk.markets.values()]
        shards = [tokens[start : start + TOKENS_PER_SOCKET] for start in range(0, len(tokens), TOKENS_PER_SOCKET)]
        feeds = [Feed(desk, self.connection.market_channel(shard), shard, quoting) for shard in shards]

        def distrust(state: MarketState, why: str) -> None:
            feeds[tokens.index(state.market.yes) // TOKENS_PER_SOCKET].distrust(state, why)

        return {
            "orders": manager.run(),
            "quoting": quoting.run(self._ready(feeds)),
            "heartbeat": heartbeat.run(),
            "reconciler": reconciler.run(),
            "status": status.run(),
            "balances": balances.run(),
            "audit": Audit(desk, venue, distrust, clock_ns).run(),
            "user_feed": user_feed.run(),
            **{f"feed_{number}": feed.run() for number, feed in enumerate(feeds)},
        }

    async def _ready(self, feeds: list[Feed]) -> None:
        """Wait until our orders were read and every book came once, for as long as a start may take."""
        try:
            async with asyncio.timeout(READY_SECS):
                await self.manager.free.wait()
                for feed in feeds:
                    await feed.complete.wait()
        except TimeoutError:
            missing = [state.market.slug for state in self.desk.markets.values() if not state.book.is_known]
            log.warning("started_without", holds=self.manager.holds, books_missing=missing)

    async def _guarded(self, name: str, work: Awaitable[None]) -> None:
        """Run one task; its failure is the daemon's, and begins the stop."""
        try:
            await work
            raise RuntimeError("the task ended by itself")
        except Exception as error:
            self._failure = self._failure or error
            refused = isinstance(error, VenueRefused | AuthError)
            log.error("task_failed", task=name, why=f"{type(error).__name__}: {error}", exc_info=not refused)
            self.request_stop(f"{name} failed")

    async def _take_down(self) -> Verdict:
        return await stop_trading(self.desk, self.venue, self.manager, STOP_SECS, time.monotonic_ns)

    def _exit_code(self, verdict: Verdict | None) -> ExitCode:
        if isinstance(self._failure, VenueRefused | AuthError):
            return ExitCode.REFUSED
        if verdict is None or not verdict.is_verified:
            return ExitCode.UNVERIFIED
        return ExitCode.FAILED if self._failure else ExitCode.STOPPED


async def live(
    config: Config, private_key: PrivateKey, watch: Callable[[Daemon], Awaitable[None]] | None = None
) -> int:
    """Run a daemon until SIGTERM or SIGINT.

    Args:
        config: where to trade and within which limits.
        private_key: of the account.
        watch: runs beside the daemon, to show it; cancelled at the end.

    Returns:
        The exit code.
    """
    plugin, settings = load_strategy_settings(config)
    daemon = Daemon(config, plugin(settings), lambda desk: polymarket(config, private_key, desk))
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, daemon.request_stop, number.name)
    watching = asyncio.ensure_future(watch(daemon)) if watch else None
    try:
        return await daemon.run()
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})


async def _to_the_end(life: Coroutine[Any, Any, int]) -> int:
    """Await a daemon's life. Signals before it takes them over end it at once, for nothing was sent; signals after its
    last word change nothing any more, least of all the exit code."""
    loop = asyncio.get_running_loop()
    living = asyncio.ensure_future(life)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, living.cancel)
    try:
        return await living
    except asyncio.CancelledError:
        return ExitCode.STOPPED
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def run_daemon(config: Config, *, private_key: PrivateKey | None) -> int:
    """Run until a signal; without a key, against the built-in exchange. Returns the exit code."""
    if private_key is not None:
        return uvloop.run(_to_the_end(live(config, private_key)))

    from mm_daemon.simulated import simulated

    return uvloop.run(_to_the_end(simulated(config)))
