"""The composition root: what the daemon is made of, and its life from start to stop.

    start: checks, markets, orders found, holdings  ->  run: feeds, quoting, orders, heartbeat  ->  stop: verified

Every task runs under a guard: one that fails takes the daemon through the same stop as a signal, never half alive.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import IntEnum

import msgspec
import structlog

from mm_daemon.books import Books
from mm_daemon.config import Config
from mm_daemon.connection import Connection
from mm_daemon.controls import handlers
from mm_daemon.core.desk import Desk
from mm_daemon.engine import Engine
from mm_daemon.exchange.errors import AuthError
from mm_daemon.http_token import HttpToken
from mm_daemon.journal.errors import LedgerError
from mm_daemon.observe import Observer
from mm_daemon.ops.control import Handler, control_socket, socket_path
from mm_daemon.ops.courier import CourierStatistics
from mm_daemon.ops.lock import LockHeld, wallet_lock
from mm_daemon.ops.logs import configure_logging, flush_repeats
from mm_daemon.ops.notify import Systemd
from mm_daemon.reload import ReloadRefused, read_again
from mm_daemon.strategies.api import Strategy
from mm_daemon.tasks.order_manager import OrderManager, VenueRefused
from mm_daemon.tasks.shutdown import Verdict, stop_trading
from mm_daemon.tasks.startup import StartRefused, start_up

STOP_SECS = 8.0
"""The deadline over cancelling and verifying; with the rest of the stop it stays below ten seconds."""
HEARTBEAT_ENDS_SECS = 15
"""When our heartbeat ends, the venue cancels what still rests within this time."""

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
    LOCKED = 5
    """Another daemon trades this wallet."""


class End(msgspec.Struct, frozen=True):
    """How a daemon ended: what its exit code means, what began the end, how many orders may rest as far as we know."""

    meaning: str = ExitCode.UNVERIFIED.name.lower()
    why: str = ""
    may_rest: int = 0


class Daemon:
    """One daemon: a desk, a strategy, a venue, and from start to stop the engine between them."""

    def __init__(
        self,
        config: Config,
        strategy: Strategy,
        connect: Callable[[Desk], Connection],
        as_read: Config | None = None,
        http_token: HttpToken | None = None,
        systemd: Systemd | None = None,
    ) -> None:
        self.config = config
        self._as_read = as_read or config
        self.strategy = strategy
        self.desk = Desk(config.risk.limits(strategy.max_position, strategy.max_total_position))
        self.connection = connect(self.desk)
        self.venue = self.connection.venue
        self.manager = OrderManager(self.desk, self.venue, time.monotonic_ns)
        self.books: Books | None = None
        self.engine: Engine | None = None
        self.observer = Observer(self)
        self.url: str | None = None
        self.alerts = CourierStatistics()
        self.end = End()
        self.started = asyncio.Event()
        self._http_token = http_token
        self._systemd = systemd or Systemd()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._why_stop = ""
        self._commands: dict[str, Handler] = {}

    def request_stop(self, why: str) -> None:
        """Begin the stop; asking again changes nothing."""
        if not self._stop.is_set():
            log.info("stop_requested", why=why)
            self._why_stop = why
            self._stop.set()
            self._systemd.stopping(why)

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stop.is_set()

    @property
    def commands(self) -> Mapping[str, Handler]:
        """What it can be told now; empty until it trades."""
        return self._commands

    def reload(self) -> None:
        """Read the settings again and put them in force; settings that do not fit change nothing."""
        refusal: str | None = "it failed"
        self._systemd.reloading()
        try:
            self._take_settings()
            refusal = None
        except ReloadRefused as refused:
            refusal = str(refused)
            log.error("reload_refused", why=refusal)
        finally:
            self._systemd.reloaded(refusal)

    def _take_settings(self) -> None:
        """Read the settings and put them in force.

        Raises:
            ReloadRefused: they do not fit, and nothing was changed.
        """
        fresh = read_again(self._as_read, self.strategy)
        if fresh.log != self._as_read.log:
            configure_logging(fresh.log.level, fresh.log.format)
        self._as_read = fresh
        if self.engine is not None:
            self.engine.take_risk(fresh.risk)

    async def run(self) -> ExitCode:
        """Live: start, trade until a stop is requested or a task fails, stop.

        The last log line and the exit code say what was verified, not what was asked for.
        """
        code, verdict, why = ExitCode.UNVERIFIED, None, ""
        try:
            async with self._supervised(), self._state() as books:
                if await self._start(books):
                    verdict = await self._trade(books)
                elif self.desk.markets:
                    verdict = await self._take_down()
                code = self._exit_code(verdict)
        except StartRefused as refusal:
            code, why = ExitCode(refusal.exit_code), str(refusal)
            log.error("start_refused", why=why)
        finally:
            await self.venue.close()
            self._log_end(code, verdict, why)
            self._systemd.ended(f"exit {int(code)}, {why or code.name.lower()}")
        return code

    @asynccontextmanager
    async def _supervised(self) -> AsyncIterator[None]:
        """Tell systemd how we stand while the block lasts, if it listens."""
        if not self._systemd.is_listening:
            yield
            return
        telling = asyncio.create_task(self.guarded("systemd", self._systemd.run(self.observer.watch)))
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait({telling})

    @asynccontextmanager
    async def _state(self) -> AsyncIterator[Books]:
        """Hold what others may have instead: the wallet's lock, the books, the control socket, the HTTP port.

        Raises:
            StartRefused: it cannot be held.
        """
        from mm_daemon.watching import CannotListen, served

        directory, wallet = self.config.state_directory, self.connection.wallet
        async with AsyncExitStack() as stack:
            try:
                stack.enter_context(wallet_lock(directory, wallet))
                books = self.books = Books(self.desk, directory, wallet)
                stack.push_async_callback(books.close)
                await stack.enter_async_context(control_socket(socket_path(directory), self._commands))
                self.url = await stack.enter_async_context(served(self, self._http_token))
            except LockHeld as held:
                raise StartRefused(str(held), ExitCode.LOCKED) from held
            except CannotListen as error:
                raise StartRefused(f"{error}; [http] sets the port, or turns it off", ExitCode.CONFIG) from error
            except (LedgerError, OSError) as error:
                raise StartRefused(f"state cannot be kept in {directory}: {error}", ExitCode.CONFIG) from error
            yield books

    def _log_end(self, code: ExitCode, verdict: Verdict | None, refusal: str) -> None:
        failure = f"{type(self._failure).__name__}: {self._failure}" if self._failure else ""
        why = ", ".join(part for part in (refusal or self._why_stop, failure) if part)
        self.end = End(code.name.lower(), why, verdict.may_rest if verdict is not None else 0)
        flush_repeats()
        facts: dict[str, object] = {"exit_code": int(code), "meaning": code.name.lower()}
        if verdict is not None and not verdict.is_verified:
            facts |= {"orders_that_may_rest": verdict.may_rest, "venue_cancels_them_within_secs": HEARTBEAT_ENDS_SECS}
        log.info("stopped", **facts)

    async def _start(self, books: Books) -> bool:
        """Run the start-up checks; False if a stop was requested meanwhile."""
        policy = self.config.risk.orders_at_start
        starting = asyncio.create_task(
            start_up(self.desk, self.venue, self.strategy.markets, policy, time.monotonic_ns, books.keeper)
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

    async def _trade(self, books: Books) -> Verdict:
        """Run every task until the stop, then take everything down while they still listen."""
        engine = self.engine = Engine(self.desk, self.strategy, self.connection, self.manager, books, self.config.risk)
        self._commands.update(handlers(engine, self.venue))
        async with asyncio.TaskGroup() as group:
            workers = [
                group.create_task(self.guarded(name, work), name=name) for name, work in engine.workers().items()
            ]
            self.started.set()
            log.info("started", markets=[state.market.slug for state in self.desk.markets.values()])
            await self._stop.wait()
            verdict = await self._take_down()
            for worker in workers:
                worker.cancel()
        return verdict

    async def guarded(self, name: str, work: Awaitable[None]) -> None:
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
        read_trades = self.engine.reconciler.read_trades if self.engine else None
        return await stop_trading(self.desk, self.venue, self.manager, STOP_SECS, time.monotonic_ns, read_trades)

    def _exit_code(self, verdict: Verdict | None) -> ExitCode:
        if isinstance(self._failure, VenueRefused | AuthError):
            return ExitCode.REFUSED
        if verdict is None or not verdict.is_verified:
            return ExitCode.UNVERIFIED
        return ExitCode.FAILED if self._failure else ExitCode.STOPPED
