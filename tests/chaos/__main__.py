"""`python -m tests.chaos --seeds 200`: random runs, and the table fault x outcome. `--seed 17` shows one run."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .checks import violations
from .plan import Plan, random_plan
from .run import Seen, run_plan

TAIL = 60


@dataclass
class Outcome:
    """What came of one seed."""

    plan: Plan
    seen: Seen | None
    violations: list[str]
    folder: Path


@dataclass
class Table:
    """Counts over all runs, by fault."""

    runs: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Count a run under every fault that hit something in it."""
        hits: Counter[str] = Counter({"(any)": 1})
        if outcome.seen is not None:
            hits.update({kind.value: count for kind, count in outcome.seen.later.hits.items()})
        if outcome.plan.kills:
            hits["sigkill"] = len(outcome.plan.kills)
        if any(kill.loses_ledger for kill in outcome.plan.kills):
            hits["ledger_lost"] = 1
        for kind in hits:
            self.runs[kind] += 1
            self.passed[kind] += not outcome.violations
        self.hits.update(hits)

    def __str__(self) -> str:
        lines = [f"{'fault':<20}{'hits':>8}{'runs':>8}{'passed':>8}{'violated':>10}"]
        for kind in sorted(self.runs):
            runs, passed = self.runs[kind], self.passed[kind]
            lines.append(f"{kind:<20}{self.hits[kind]:>8}{runs:>8}{passed:>8}{runs - passed:>10}")
        return "\n".join(lines)


async def run_seed(seed: int, folder: Path) -> Outcome:
    """One random run; a failure of the suite itself counts as a violation."""
    plan = random_plan(seed)
    home = folder / str(seed)
    home.mkdir()
    try:
        seen = await run_plan(plan, home)
    except (AssertionError, OSError, TimeoutError) as error:
        return Outcome(plan, None, [f"suite: {type(error).__name__}: {error}"[:2000]], home)
    return Outcome(plan, seen, violations(seen), home)


async def run_seeds(seeds: list[int], jobs: int, folder: Path) -> list[Outcome]:
    """Run them, `jobs` at a time, and say of each how it ended."""
    slots = asyncio.Semaphore(jobs)

    async def one(seed: int) -> Outcome:
        async with slots:
            outcome = await run_seed(seed, folder)
            _say(_line(outcome))
            return outcome

    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(one(seed)) for seed in seeds]
    return [run.result() for run in runs]


def _line(outcome: Outcome) -> str:
    kinds = " ".join(fault.kind.value for fault in outcome.plan.faults)
    what = f"{outcome.plan.seed:>6}  {len(outcome.plan.kills)} kills  {kinds}"
    if outcome.seen is not None:
        later, last = outcome.seen.later, outcome.seen.lives[-1]
        stop = last.ended - last.told_to_stop if last.told_to_stop else 0.0
        peak = later.peak
        what += (
            f"  placed {later.placed} fills {len(later.fills)} peak {peak['market']:.2f}/{peak['total']:.2f} "
            f"exit {last.code} in {stop:.2f} s"
        )
    return "\n".join([what, *(f"        VIOLATION {each}" for each in outcome.violations)])


def _show(outcome: Outcome) -> None:
    """Everything about one run."""
    plan = outcome.plan
    _say(f"seed {plan.seed}: markets {plan.markets}, stop at {plan.stop_at}, kills {plan.kills}, {plan.from_spawn=}")
    for fault in plan.faults:
        _say(f"  {fault}")
    for file in sorted(outcome.folder.glob("*.log")):
        _say(f"--- {file}")
        _say("\n".join(file.read_text().splitlines()[-TAIL:]))
    _say(_line(outcome))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run, print, and say by the exit code whether all was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many runs")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seed", type=int, help="this one only, with its schedule and the end of its logs")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--keep", type=Path, help="where the logs stay; a temporary folder otherwise")
    arguments = parser.parse_args()
    seeds = [arguments.seed] if arguments.seed else list(range(arguments.first, arguments.first + arguments.seeds))
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    started = time.monotonic()
    outcomes = asyncio.run(run_seeds(seeds, arguments.jobs, folder))
    table = Table()
    for outcome in outcomes:
        table.add(outcome)
    if arguments.seed:
        _show(outcomes[0])
    failed = [outcome.plan.seed for outcome in outcomes if outcome.violations]
    _say(f"\n{table}\n\n{len(outcomes)} runs in {time.monotonic() - started:.0f} s, logs in {folder}")
    _say(f"violated: {failed}" if failed else "no violation")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
