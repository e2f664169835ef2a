"""Looks at a running daemon: the one place that knows where each value of an `Observation` is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from mm_daemon import __version__
from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.inventory import at_risk
from mm_daemon.core.latency import Latencies
from mm_daemon.core.orders import Order, OrderState
from mm_daemon.core.pnl import DayResult, to_cash, together
from mm_daemon.core.units import Price, Side
from mm_daemon.ops.logs import log_statistics
from mm_daemon.ops.observation import MarketSeen, Observation, Result, SocketSeen, TaskSeen

if TYPE_CHECKING:
    from mm_daemon.app import Daemon
    from mm_daemon.engine import Engine
    from mm_daemon.journal.keeper import Bookkeeper

SLOW_TASK_SECS = 90.0
"""How long a task that waits for the venue may take for one turn."""
QUICK_TASK_SECS = 15.0
FRESH_SECS = 0.5
"""A look in slices is shared with whoever asks within this time."""
SLICE = 16
"""How many markets are looked at before the event loop turns again: some 0.2 ms of work."""


class Observer:
    """Looks at one daemon, from before its start to after its stop."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._began_ns = time.monotonic_ns()
        self._looking = asyncio.Lock()
        self._last: Observation | None = None
        self._last_ns = 0

    @property
    def latencies(self) -> Latencies:
        """The daemon's histograms, live."""
        return self._daemon.manager.latencies

    def look(self) -> Observation:
        """Everything as it is now, at once. Costs some microseconds for each market; `watch` lets others work."""
        return self._whole(self._markets(self._daemon.desk.markets.values()))

    async def watch(self) -> Observation:
        """A look in slices, so that with a thousand markets no order waits for it; at most `FRESH_SECS` old.

        Each market is seen at one moment, and all of them within some milliseconds.
        """
        async with self._looking:
            if self._last is None or time.monotonic_ns() - self._last_ns > FRESH_SECS * 1e9:
                states, seen = list(self._daemon.desk.markets.values()), []
                for start in range(0, len(states), SLICE):
                    seen += self._markets(states[start : start + SLICE])
                    await asyncio.sleep(0)
                self._last, self._last_ns = self._whole(seen), time.monotonic_ns()
            return self._last

    def tasks(self) -> tuple[TaskSeen, ...]:
        """The periodic tasks as they are now; none before they run."""
        engine = self._daemon.engine
        return tuple(_tasks(engine, time.monotonic_ns())) if engine else ()

    def _markets(self, states: Iterable[MarketState]) -> list[MarketSeen]:
        daemon, now_ns = self._daemon, time.monotonic_ns()
        keeper = daemon.books.keeper if daemon.books else None
        return [
            _market(daemon.desk, state, daemon.manager.held(state.market.condition_id), keeper, now_ns)
            for state in states
        ]

    def _whole(self, markets: Iterable[MarketSeen]) -> Observation:
        daemon, desk, now_ns = self._daemon, self._daemon.desk, time.monotonic_ns()
        engine, keeper = daemon.engine, daemon.books.keeper if daemon.books else None
        rest = daemon.connection.statistics().rest
        undecided = [order for order in desk.orders.working() if order.state is OrderState.UNKNOWN]
        limits = desk.limits
        return Observation(
            time_ms=time.time_ns() // 1_000_000,
            version=__version__,
            mode=daemon.config.mode,
            strategy=type(daemon.strategy).name,
            wallet=daemon.connection.wallet,
            uptime_secs=(now_ns - self._began_ns) / 1e9,
            is_started=daemon.started.is_set(),
            is_stopping=daemon.is_stopping,
            is_synchronised=engine is not None and engine.reconciler.passed_ns is not None,
            holds=daemon.manager.holds,
            halts=tuple(engine.guard.halts) if engine else (),
            is_flattening=engine is not None and engine.quoting.is_flattening,
            day=keeper.day if keeper else "",
            today=_result(together(keeper.days.values() if keeper else ())),
            worst=keeper.worst if keeper else 0,
            day_loss=keeper.day_loss if keeper else 0,
            max_daily_loss=engine.guard.limits.max_daily_loss if engine else daemon.config.risk.max_daily_loss,
            equity=keeper.equity if keeper else None,
            cash=desk.cash,
            exposure=desk.exposure,
            max_total_position=limits.max_total_position,
            open_orders=desk.open_orders,
            max_open_orders=limits.max_open_orders,
            undecided=len(undecided),
            undecided_secs=max((now_ns - order.since_ns for order in undecided), default=0) / 1e9,
            pending_fills=desk.fills.pending,
            heartbeat_secs=engine.heartbeat.silent_secs if engine else 0.0,
            reconciled_secs=_age(now_ns, engine.reconciler.passed_ns) if engine else None,
            sockets=tuple(_sockets(engine, now_ns)) if engine else (),
            tasks=self.tasks(),
            counts=_counts(daemon, engine),
            refusals=dict(daemon.manager.refusals),
            requests=dict(rest.requests),
            request_errors=dict(rest.errors),
            ledger_problem=daemon.books.problem if daemon.books else None,
            markets=tuple(markets),
        )


def _market(desk: Desk, state: MarketState, held: str | None, keeper: Bookkeeper | None, now_ns: int) -> MarketSeen:
    market, position, book = state.market, state.position, state.book
    day = keeper.days.get(market.condition_id) if keeper else None
    orders = [order for order in desk.orders.working(market.condition_id) if order.may_rest]
    touch = desk.touch(state)
    return MarketSeen(
        id=market.condition_id,
        slug=market.slug,
        question=market.question,
        status=market.status.value,
        tick=market.tick,
        end_secs=market.end_secs,
        is_book_known=book.is_known,
        book_age_secs=_age(now_ns, book.received_ns or None),
        bid=touch.bid,
        ask=touch.ask,
        twice_mid=state.twice_mid,
        our_bid=max(_prices(orders, Side.BUY), default=None),
        our_ask=min(_prices(orders, Side.SELL), default=None),
        why=state.why,
        held=held,
        net=position.net,
        yes=position.yes.held,
        no=position.no.held,
        at_risk=at_risk(position.net, state.twice_mid),
        exposure=state.exposure,
        max_position=desk.limits.max_position,
        open_orders=state.open_orders,
        today=_result(day) if day else None,
    )


def _prices(orders: Iterable[Order], direction: Side) -> list[Price]:
    return [order.yes_price for order in orders if order.direction is direction]


def _age(now_ns: int, at_ns: int | None) -> float | None:
    return None if at_ns is None else (now_ns - at_ns) / 1e9


def _result(day: DayResult) -> Result:
    return Result(
        total=day.pnl,
        realised=to_cash(day.realised_x),
        unrealised=to_cash(day.unrealised_x - day.opening_x),
        spread=to_cash(day.spread_x),
        markouts=tuple(to_cash(value) for value in day.markouts_x),
        fees=day.fees,
        rebates=day.rebates,
        rewards=day.rewards,
        volume=day.volume,
        fills=day.fills,
    )


def _sockets(engine: Engine, now_ns: int) -> Iterable[SocketSeen]:
    for number, feed in enumerate(engine.feeds):
        yield SocketSeen(
            f"market_{number}", feed.is_open, (now_ns - feed.heard_ns) / 1e9, feed.frames, feed.connections
        )
    user = engine.user_feed
    yield SocketSeen("user", user.is_open, (now_ns - user.heard_ns) / 1e9, user.frames, user.connections)


def _tasks(engine: Engine, now_ns: int) -> Iterable[TaskSeen]:
    yield TaskSeen("quoting", engine.quoting_still_secs, engine.quoting_patience_secs)
    turns = {
        "guard": (engine.guard.turned_ns, QUICK_TASK_SECS),
        "reconciler": (engine.reconciler.turned_ns, SLOW_TASK_SECS),
        "audit": (engine.audit.turned_ns, SLOW_TASK_SECS),
        "balances": (engine.balances.turned_ns, SLOW_TASK_SECS),
        "status": (engine.status.turned_ns, SLOW_TASK_SECS),
    }
    for name, (turned_ns, patience_secs) in turns.items():
        yield TaskSeen(name, (now_ns - turned_ns) / 1e9, patience_secs)


def _counts(daemon: Daemon, engine: Engine | None) -> dict[str, int]:
    """Counters since the start, by name."""
    counts = {f"orders_{name}": count for name, count in daemon.manager.statistics.items() if name != "cancels_sent"}
    counts["cancels_sent"] = daemon.manager.statistics["cancels_sent"]
    counts["fills"] = daemon.desk.fills.booked
    lines = log_statistics()
    counts |= {
        "log_lines_lost": lines.lost_lines,
        "log_lines_held_back": lines.held_back,
        "alerts_delivered": daemon.alerts.delivered,
        "alerts_lost": daemon.alerts.lost,
    }
    if engine is not None:
        audit = engine.audit.statistics
        counts |= {
            "decisions": engine.quoting.decisions,
            "audit_hashes_equal": audit.hashes_equal,
            "audit_touches_equal": audit.touches_equal,
            "audit_contradictions": audit.contradictions,
            "books_distrusted": audit.distrusted,
            "audits_unavailable": audit.unavailable,
            "reconciliations": engine.reconciler.passes,
            "reconciler_repairs": engine.reconciler.repairs,
            "balance_checks": engine.balances.checks,
            "balance_repairs": engine.balances.repairs,
            "foreign_reports": engine.user_feed.foreign,
        }
    if daemon.books is not None:
        ledger = daemon.books.ledger.statistics()
        counts |= {
            "ledger_rows_written": ledger.written,
            "ledger_rows_lost": ledger.lost,
            "ledger_write_failures": ledger.failures,
        }
    return counts
