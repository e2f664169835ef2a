"""One run of the fault suite: an exchange with its faults, the real daemon, kills and a stop; then what was seen."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..e2e.daemon import DaemonProcess, running_daemon, until
from .exchange import FaultyExchange, Report, faulty_exchange
from .ledger import LedgerSeen, lose_ledger, read_ledger
from .plan import Kill, Plan
from .settings import write_settings

STOP_SECS = 10.0
EXPIRY_SECS = 16.0
"""The venue's dead-man switch works within 15 s."""
SETTLED_SECS = 0.7
"""How long after the end we look again for orders that came late."""


@dataclass(kw_only=True)
class Life:
    """One daemon process, from start to end. Times are of the monotonic clock, in seconds."""

    started: float
    ended: float = 0.0
    code: int = 0
    told_to_stop: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The log lines of these names."""
        return [line for line in self.log if line.get("event") in names]


@dataclass(kw_only=True)
class Seen:
    """All that was seen of a run.

    Attributes:
        lives: the daemon's processes, oldest first; the last was told to stop.
        at_end: the exchange's view when the last process was gone.
        later: the same a little later, or when the last order was gone.
        gone_secs: how long after the end the last order of ours was gone; None if one was still there.
        ledger: what the daemon left on disk.
    """

    plan: Plan
    lives: list[Life]
    at_end: Report
    later: Report
    gone_secs: float | None
    ledger: LedgerSeen | None


@asynccontextmanager
async def life(plan: Plan, config: Path) -> AsyncIterator[tuple[Life, DaemonProcess]]:
    """One daemon process while the block lasts."""
    record = Life(started=time.monotonic())
    async with running_daemon(config, plan.private_key) as daemon:
        record.log = daemon.log
        yield record, daemon
        record.code = await daemon.exit_code(STOP_SECS + 5)
        record.ended = time.monotonic()


async def run_plan(plan: Plan, folder: Path) -> Seen:
    """Carry out a plan."""
    async with faulty_exchange(plan, folder) as exchange:
        config = write_settings(plan, exchange.url, folder)
        lives: list[Life] = []
        epoch: float | None = None
        for kill in [*plan.kills, None]:
            async with life(plan, config) as (record, daemon):
                lives.append(record)
                if epoch is None:
                    epoch = await _begin(plan, exchange, daemon)
                elif plan.trade_secs is not None:
                    await _started(record, daemon)
                    await asyncio.sleep(plan.trade_secs)
                await _end(plan, record, daemon, kill, epoch)
            if kill is not None:
                await asyncio.sleep(kill.down_secs)
                if kill.loses_ledger:
                    lose_ledger(folder)
        at_end, later, gone_secs = await aftermath(exchange, lives[-1])
    for number, each in enumerate(lives):
        text = "\n".join(str(line) for line in each.log)
        (folder / f"daemon-{number}.log").write_text(f"{text}\nexit code {each.code}\n")
    return Seen(plan=plan, lives=lives, at_end=at_end, later=later, gone_secs=gone_secs, ledger=read_ledger(folder))


async def _begin(plan: Plan, exchange: FaultyExchange, daemon: DaemonProcess) -> float:
    """Start the faults; returns the zero of the plan's clock."""
    if not plan.from_spawn:
        await daemon.logged("started", 20)
    await exchange.start_schedule()
    return time.monotonic()


async def _started(record: Life, daemon: DaemonProcess) -> None:
    """Wait until a process trades, or has ended by itself."""
    await until(lambda: record.events("started") or daemon.has_ended, "a restart", 20)


async def _end(plan: Plan, record: Life, daemon: DaemonProcess, kill: Kill | None, epoch: float) -> None:
    """End the process when its hour has come. One that has ended by itself before is left to be judged."""
    due = epoch + (plan.stop_at if kill is None else kill.at)
    await asyncio.sleep(max(0.0, due - time.monotonic()))
    if not daemon.has_ended:
        record.told_to_stop = time.monotonic()
        daemon.send(signal.SIGTERM if kill is None else signal.SIGKILL)


async def aftermath(exchange: FaultyExchange, last: Life) -> tuple[Report, Report, float | None]:
    """Look at the exchange at once, and again later; after an unverified end until nothing rests."""
    at_end = later = await exchange.report()
    gone_secs = None if at_end.orders else 0.0
    deadline = last.ended + (EXPIRY_SECS if last.code else SETTLED_SECS)
    while time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        later = await exchange.report()
        if not later.orders:
            gone_secs = gone_secs if gone_secs is not None else time.monotonic() - last.ended
            if time.monotonic() > last.ended + SETTLED_SECS:
                break
        else:
            gone_secs = None
    return at_end, later, gone_secs
