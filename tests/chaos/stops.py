"""`python -m tests.chaos.stops`: the stop in hard cases, with figures: 200 orders, the venue closed, the venue gone."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from signal import SIGTERM

from mm_daemon.sim.faults.schedule import Fault, Kind

from ..e2e.daemon import DaemonProcess
from .checks import violations
from .exchange import FaultyExchange, Report, faulty_exchange
from .ledger import read_ledger
from .plan import Limits, Plan
from .run import Life, Seen, aftermath, life
from .settings import write_settings

MANY_MARKETS = 100


async def stop_after(
    plan: Plan, folder: Path, before: Callable[[FaultyExchange], Awaitable[None]], orders: int = 1
) -> Seen:
    """Start, wait until `orders` rest, do what comes `before` the stop, stop."""
    async with faulty_exchange(plan, folder) as exchange:
        config = write_settings(plan, exchange.url, folder)
        async with life(plan, config) as (record, daemon):
            await _resting(exchange, daemon, orders)
            await before(exchange)
            record.told_to_stop = time.monotonic()
            daemon.send(SIGTERM)
        at_end, later, gone_secs = await aftermath(exchange, record)
    return Seen(plan=plan, lives=[record], at_end=at_end, later=later, gone_secs=gone_secs, ledger=read_ledger(folder))


async def _resting(exchange: FaultyExchange, daemon: DaemonProcess, count: int, secs: float = 60.0) -> Report:
    """Wait until so many orders of ours rest."""
    deadline = time.monotonic() + secs
    while len((report := await exchange.report()).orders) < count:
        if time.monotonic() > deadline or daemon.has_ended:
            raise AssertionError(f"{len(report.orders)} of {count} orders rest:\n{daemon.tail()}")
        await asyncio.sleep(0.05)
    return report


async def nothing(exchange: FaultyExchange) -> None:
    """The venue is as it should be."""


async def closed_for_a_while(exchange: FaultyExchange) -> None:
    """Trading is disabled, cancels too, for four seconds."""
    await exchange.play(Fault(kind=Kind.DISABLED_503, at=0, secs=4.0))


async def gone_for_good(exchange: FaultyExchange) -> None:
    """Every connection is cut, and every new one."""
    await exchange.play(Fault(kind=Kind.VENUE_GONE, at=0, secs=60.0))


def many_orders_plan() -> Plan:
    """A hundred markets, two orders in each."""
    limits = Limits(order=5.0, max_position=20.0, max_total=5_000.0, max_open_orders=400)
    calm = {"base_spread_pct": 0.06, "stale_order_secs": 300, "refresh_interval_secs": 2}
    return Plan(seed=200, markets=MANY_MARKETS, limits=limits, speed=0.1, strategy=calm)


def summary(name: str, seen: Seen) -> str:
    """One line about a stop."""
    last: Life = seen.lives[-1]
    end = last.events("trading_stopped")[-1]
    stopped = last.events("stopped")[-1]
    may_rest, within = stopped.get("orders_that_may_rest"), stopped.get("venue_cancels_them_within_secs")
    return (
        f"{name}: exit {last.code} {last.ended - last.told_to_stop:.2f} s after SIGTERM; orders were "
        f"{'verified gone' if end['verified'] else 'not verified'} after {end['secs']:.2f} s"
        + (f", the log says that {may_rest} may rest for {within} s" if may_rest else "")
        + (f", gone {seen.gone_secs:.1f} s after the end" if seen.gone_secs else "")
        + "".join(f"\n    VIOLATION {each}" for each in violations(seen))
    )


async def _all(cases: list[tuple[str, Plan, Callable[[FaultyExchange], Awaitable[None]], int]]) -> int:
    wrong = 0
    for name, plan, before, orders in cases:
        seen = await stop_after(plan, Path(tempfile.mkdtemp(prefix="stops-")), before, orders)
        wrong += len(violations(seen))
        sys.stdout.write(summary(name, seen) + "\n")
        sys.stdout.flush()
    return wrong


def main() -> int:
    """Run every case."""
    argparse.ArgumentParser(prog="python -m tests.chaos.stops", description=__doc__).parse_args()
    two = Plan(seed=201)
    return int(
        asyncio.run(
            _all(
                [
                    ("200 resting orders", many_orders_plan(), nothing, 2 * MANY_MARKETS - 5),
                    ("venue disabled for 4 s", two, closed_for_a_while, 2),
                    ("venue gone", two, gone_for_good, 2),
                ]
            )
        )
        > 0
    )


if __name__ == "__main__":
    sys.exit(main())
