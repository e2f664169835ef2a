"""The guard: limits that look at time and money rather than at one order, and the halts that only a person lifts.

A breach pulls every quote and latches a kill on disk; a restart finds it and quotes nothing either. Markets that are
about to end are left alone one by one, and while the ledger cannot be written nothing is quoted at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
import structlog

from mm_daemon.core.desk import Desk
from mm_daemon.core.units import Cash, ConditionId, format_usd

TURN_SECS = 1.0
MOST_ERRORS = 10_000
LEDGER_HOLD = "ledger_unwritable"
END_HOLD = "ends_soon"

log = structlog.get_logger()


class Accounts(Protocol):
    """What the guard needs of the books that are kept on disk."""

    @property
    def day_loss(self) -> Cash:
        """What this UTC day has lost so far, realised and not; zero in a winning day."""
        ...

    @property
    def problem(self) -> str | None:
        """Why the ledger cannot be written, None while it can."""
        ...

    def mark(self, mids: Mapping[ConditionId, int]) -> None:
        """Value everything at these mids (1/20,000 dollar) now."""
        ...

    def set_latch(self, kind: str, reason: str, by: str) -> None:
        """Remember a pause or kill on disk."""
        ...

    def clear_latches(self, by: str) -> None:
        """Forget every pause and kill."""
        ...


class Holder(Protocol):
    """Who pulls quotes."""

    def hold(self, reason: str, market: ConditionId | None = None) -> None:
        """Quote nothing."""
        ...

    def release(self, reason: str, market: ConditionId | None = None) -> None:
        """Quote again."""
        ...


class GuardLimits(msgspec.Struct, frozen=True):
    """The operator's limits over time."""

    max_daily_loss: Cash
    max_order_errors: int
    order_error_window_secs: int
    stop_before_end_secs: int


class Guard:
    """Watches once a second, and carries out a person's pause and resume.

    Attributes:
        limits: the operator's limits over time; a reload replaces them.
        halts: why quoting is halted until a person resumes it: "kill: …" or "pause: …".
        turned_ns: monotonic time of the loop's last turn.
    """

    def __init__(
        self,
        desk: Desk,
        holder: Holder,
        accounts: Accounts,
        limits: GuardLimits,
        clock_ns: Callable[[], int],
        unix_secs: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._holder = holder
        self._accounts = accounts
        self.limits = limits
        self._clock_ns = clock_ns
        self._unix_secs = unix_secs
        self._errors: deque[int] = deque(maxlen=MOST_ERRORS)
        self.halts: dict[str, None] = {}
        self.turned_ns = clock_ns()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            self.turned_ns = self._clock_ns()
            await asyncio.sleep(TURN_SECS)

    def look(self) -> None:
        """One look at everything."""
        self._accounts.mark({id: s.twice_mid for id, s in self._desk.markets.items() if s.twice_mid is not None})
        if self._accounts.day_loss > self.limits.max_daily_loss:
            self.kill(
                f"daily loss of ${format_usd(self._accounts.day_loss)} is over "
                f"${format_usd(self.limits.max_daily_loss)}"
            )
        if self._accounts.problem is not None:
            self._holder.hold(LEDGER_HOLD)
        else:
            self._holder.release(LEDGER_HOLD)
        now = self._unix_secs()
        for id, state in self._desk.markets.items():
            end = state.market.end_secs
            if end and now > end - self.limits.stop_before_end_secs:
                self._holder.hold(END_HOLD, id)
            else:
                self._holder.release(END_HOLD, id)

    def order_error(self) -> None:
        """An order was refused or not answered; too many of them within the window end it."""
        now_ns = self._clock_ns()
        self._errors.append(now_ns)
        window_ns = self.limits.order_error_window_secs * 1_000_000_000
        recent = sum(1 for at in self._errors if now_ns - at <= window_ns)
        if recent >= self.limits.max_order_errors:
            self.kill(f"{recent} order errors within {self.limits.order_error_window_secs} s")

    def kill(self, reason: str) -> None:
        """Pull every quote, for good until a person resumes."""
        if not any(halt.startswith("kill") for halt in self.halts):
            log.critical("killed", why=reason)
            self._halt("kill", reason, by="guard")

    async def pause(self, reason: str) -> str:
        """A person's pause."""
        self._halt("pause", reason or "by hand", by="operator")
        return "paused: every quote is pulled; `resume` lifts it"

    async def resume(self, reason: str) -> str:
        """A person lifts every pause and kill. A loss or errors that still stand will kill again."""
        lifted = list(self.halts)
        for halt in lifted:
            del self.halts[halt]
            self._holder.release(halt)
        self._errors.clear()
        self._accounts.clear_latches(by=f"operator {reason}".strip())
        return f"resumed; lifted: {', '.join(lifted) or 'nothing was halted'}"

    def restore(self, latches: Mapping[str, str]) -> None:
        """Take over the halts that a former run left on disk, as kind -> reason."""
        for kind, reason in latches.items():
            self.halts[f"{kind}: {reason}"] = None
            self._holder.hold(f"{kind}: {reason}")

    def _halt(self, kind: str, reason: str, by: str) -> None:
        self.halts[f"{kind}: {reason}"] = None
        self._holder.hold(f"{kind}: {reason}")
        self._accounts.set_latch(kind, reason, by)
