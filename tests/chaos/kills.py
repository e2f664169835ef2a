"""`python -m tests.chaos.kills --kills 100`: SIGKILL at random instants, restart, and how long until the next quote."""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from signal import SIGKILL, SIGTERM

from ..e2e.daemon import DaemonProcess, until
from .checks import violations
from .exchange import FaultyExchange, faulty_exchange
from .ledger import read_ledger
from .plan import Kill, Plan
from .run import Life, Seen, aftermath, life
from .settings import write_settings

CUT_SHORT = 0.25
"""The share of kills that come while the process still starts."""
_SHARES = re.compile(r"([\d.]+) YES, ([\d.]+) NO")


@dataclass
class Kills:
    """What was seen: seconds from each spawn to trading and to the first quote, and what was wrong."""

    started: list[float] = field(default_factory=list)
    quoted: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def kill_often(count: int, seed: int, folder: Path) -> Kills:
    """Kill one wallet's daemon `count` times while it trades, then stop it properly and check everything."""
    rng, seen = Random(f"kills:{seed}"), Kills()
    plan = Plan(seed=seed, kills=[Kill(at=0, down_secs=0)] * count)
    lives: list[Life] = []
    async with faulty_exchange(plan, folder) as exchange:
        config = write_settings(plan, exchange.url, folder)
        for number in range(count + 1):
            async with life(plan, config) as (record, daemon):
                lives.append(record)
                if number < count and rng.random() < CUT_SHORT:
                    await asyncio.sleep(rng.uniform(0, 3))
                else:
                    await _see_restart(exchange, record, daemon, seen)
                    await asyncio.sleep(rng.expovariate(1.5))
                record.told_to_stop = time.monotonic()
                daemon.send(SIGKILL if number < count else SIGTERM)
        at_end, later, gone_secs = await aftermath(exchange, lives[-1])
    whole = Seen(plan=plan, lives=lives, at_end=at_end, later=later, gone_secs=gone_secs, ledger=read_ledger(folder))
    seen.wrong += violations(whole)
    return seen


async def _see_restart(exchange: FaultyExchange, record: Life, daemon: DaemonProcess, seen: Kills) -> None:
    """Wait for the first quote after a start; what the daemon then believes has to be so."""
    spawned = time.time() - (time.monotonic() - record.started)
    await until(lambda: record.events("order_sent") or daemon.has_ended, "a first quote", 30)
    report = await exchange.report()
    seen.started.append(_time(record, "started") - spawned)
    seen.quoted.append(_time(record, "order_sent") - spawned)
    sent = {line["order"] for line in record.events("order_sent")}
    if older := set(report.orders) - sent:
        seen.wrong.append(f"{len(older)} orders of an earlier life rest beside the first quote")
    loaded = record.events("holdings_loaded")[-1]
    ours = {slug: _SHARES.fullmatch(text) for slug, text in loaded["positions"].items()}
    held = {slug: tuple(round(float(part) * 1e6) for part in match.groups()) for slug, match in ours.items() if match}
    if held not in [snapshot.positions for snapshot in report.history]:
        seen.wrong.append(f"started with {held}, the exchange has {report.history[-1].positions}")


def _time(record: Life, event: str) -> float:
    return datetime.fromisoformat(record.events(event)[0]["timestamp"]).timestamp()


def main() -> int:
    """Kill, print, and say by the exit code whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    seen = asyncio.run(kill_often(arguments.kills, arguments.seed, folder))
    for name, secs in (("trading", seen.started), ("first quote", seen.quoted)):
        deciles = statistics.quantiles(secs, n=10)
        sys.stdout.write(
            f"{arguments.kills} kills; spawn to {name}: median {statistics.median(secs):.2f} s, "
            f"p90 {deciles[8]:.2f} s, most {max(secs):.2f} s ({len(secs)} restarts that were left to trade)\n"
        )
    sys.stdout.write("\n".join([*seen.wrong, f"{len(seen.wrong)} violations"]) + "\n")
    return 1 if seen.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
