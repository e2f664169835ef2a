"""What the daemon takes: frames a second, processor time, memory, time to start and to stop, pauses of its loop.

The real daemon in live mode against `benchmarks.load_venue` in another process, and beside it the floor
(`benchmarks.floor`), which hands frames to nobody. Processor time is that of the whole process, less what it uses in an
equally long time without frames.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import pauses, processes
from benchmarks.given import market
from benchmarks.timing import Figure, quantile
from benchmarks.variants import VARIANTS

MANY = 1000
SOME = 50
MOVED = 5
PACE_PER_SEC = 500
FAST_PER_SEC = 20_000
SETTLE_SECS = 1.0
ROUNDS = 5
ROUNDS_OF_VARIANTS = 3
IMPORTS = (
    "import time; began = time.perf_counter(); import mm_daemon.cli, mm_daemon.config, mm_daemon.loading; "
    "mm_daemon.loading.load_daemon(); print(time.perf_counter() - began)"
)


class Amounts(msgspec.Struct, frozen=True):
    """How much of everything."""

    pace_secs: float = 20.0
    fast_secs: float = 10.0
    frames: int = 400_000
    pause_secs: float = 60.0
    many: int = MANY


QUICK = Amounts(pace_secs=1.0, fast_secs=1.0, frames=5000, pause_secs=2.0, many=20)


class _Stage(msgspec.Struct):
    """A bot and its venue."""

    bot: processes.Bot
    venue: processes.VenueProcess
    spawned_ns: int
    folder: Path


def run(*, quick: bool = False, pause_secs: float | None = None) -> list[Figure]:
    """Measure everything.

    Args:
        quick: little of it: shows that it works.
        pause_secs: how long to watch the event loop; the goal speaks of an hour.
    """
    amounts = QUICK if quick else Amounts()
    if pause_secs is not None:
        amounts = msgspec.structs.replace(amounts, pause_secs=pause_secs)
    return [
        *_one_market(amounts),
        *_many_markets(amounts),
        *_start_and_stop(),
        *_pauses(amounts),
    ]


def compare(*, quick: bool = False) -> list[Figure]:
    """Measure one market with other libraries in the daemon's place (see `variants`), all in turns."""
    amounts = QUICK if quick else Amounts()
    found: dict[str, list[float]] = {}
    for _ in range(1 if quick else ROUNDS_OF_VARIANTS):
        for which in VARIANTS:
            with _daemon(1, ("-m", "benchmarks.variants", which)) as stage:
                _quoted(stage, 2)
                found.setdefault(f"{which}: CPU for 1,000 deep frames", []).append(
                    _cpu_for_1000(stage, amounts.pace_secs)
                )
                found.setdefault(f"{which}: frames taken", []).append(_flood(stage, amounts.frames))
    return [Figure(what, median(values), "ms" if "CPU" in what else "frames/s") for what, values in found.items()]


@contextmanager
def _daemon(markets: int, program: tuple[str, ...] = ("-m", "mm_daemon"), more: str = "") -> Iterator[_Stage]:
    with tempfile.TemporaryDirectory() as name, processes.venue("benchmarks.load_venue", _options(markets)) as venue:
        folder = Path(name)
        command, environment = processes.daemon(
            folder, venue.url, [market(number) for number in range(markets)], program=program, more=more
        )
        spawned_ns = time.monotonic_ns()
        with processes.bot(command, folder / "bot.log", environment) as bot:
            yield _Stage(bot, venue, spawned_ns, folder)


@contextmanager
def _floor() -> Iterator[_Stage]:
    with tempfile.TemporaryDirectory() as folder, processes.venue("benchmarks.load_venue", _options(1)) as venue:
        command = ["-m", "benchmarks.floor", venue.url, market().yes]
        with processes.bot(command, Path(folder) / "floor.log") as bot:
            time.sleep(2)
            yield _Stage(bot, venue, time.monotonic_ns(), Path(folder))


def _options(markets: int) -> list[str]:
    return ["--markets", str(markets)]


def _quoted(stage: _Stage, orders: int, secs: float = 30.0) -> float:
    """Wait until so many orders rest; seconds from the start to the first."""
    answer = stage.venue.tell(do="quotes", orders=orders, secs=secs)
    return float(answer["first_ns"] - stage.spawned_ns) / 1e9


def _cpu_for_1000(stage: _Stage, secs: float) -> float:
    """Processor milliseconds for each 1,000 frames at a steady pace, less what is used in an equal time without them.

    The median of short stretches with a rest after each: the machine's speed changes from one second to another, and
    now and then the daemon reads the state of a thousand markets. Before all come frames at ten times that pace: the
    first one after an order of ours makes the daemon look at its market again, and of a thousand markets hardly one
    would be past that.
    """
    stage.venue.tell(do="pace", per_sec=10 * PACE_PER_SEC, secs=secs / 5, moved=0)
    time.sleep(SETTLE_SECS)
    found: list[float] = []
    for _ in range(ROUNDS):
        began = stage.bot.cpu_secs
        sent = stage.venue.tell(do="pace", per_sec=PACE_PER_SEC, secs=secs / ROUNDS, moved=0)
        between = stage.bot.cpu_secs
        stage.venue.tell(do="pace", per_sec=0, secs=secs / ROUNDS, moved=0)
        found.append((2 * between - began - stage.bot.cpu_secs) / int(sent["frames"]) * 1e6)
    return median(found)


def _slow_timer(stage: _Stage, secs: float) -> None:
    """Have the daemon look at its markets once an hour unless they change, and wait until it has settled.

    At the shipped 5 s a thousand markets are 200 looks a second, each of which takes longer on a processor that rests
    between: less by that, frames would seem to cost nothing.
    """
    settings = stage.folder / "strategy.toml"
    kept = [line for line in settings.read_text().splitlines() if "_secs" not in line]
    settings.write_text("\n".join([*kept, "refresh_interval_secs = 3600", "stale_order_secs = 3600", ""]))
    stage.bot.reload()
    stage.venue.tell(do="pace", per_sec=PACE_PER_SEC, secs=secs, moved=0)


def _flood(stage: _Stage, frames: int) -> float:
    """Frames a second, book current at the end."""
    answer = stage.venue.tell(do="flood", frames=frames)
    return float(answer["frames"] / answer["secs"])


def _one_market(amounts: Amounts) -> list[Figure]:
    with _floor() as floor:
        floor_cpu = _cpu_for_1000(floor, amounts.pace_secs)
        floor_rate = _flood(floor, amounts.frames)
    with _daemon(1) as stage:
        _quoted(stage, 2)
        cpu = _cpu_for_1000(stage, amounts.pace_secs)
        rate = _flood(stage, amounts.frames)
    return [
        Figure("floor: CPU for 1,000 frames", floor_cpu, "ms"),
        Figure("one market: CPU for 1,000 deep frames", cpu, "ms"),
        Figure("floor: frames taken", floor_rate, "frames/s"),
        Figure("one market: frames taken", rate, "frames/s"),
    ]


def _many_markets(amounts: Amounts) -> list[Figure]:
    figures = []
    with _daemon(SOME) as stage:
        _quoted(stage, 2 * SOME)
        fast = stage.venue.tell(do="pace", per_sec=FAST_PER_SEC, secs=amounts.fast_secs, moved=MOVED)
        reactions = sorted(fast["reactions_ns"])
        figures += [
            Figure(f"{SOME} markets: frames sent at a steady pace", fast["frames"] / fast["secs"], "frames/s"),
            Figure(f"{SOME} markets: move to order meanwhile, median", quantile(reactions, 0.5) / 1e6, "ms"),
            Figure(f"{SOME} markets: move to order meanwhile, longest", reactions[-1] / 1e6, "ms"),
        ]
    with _daemon(amounts.many) as stage:
        _quoted(stage, 2 * amounts.many, secs=300)
        name = f"{amounts.many:,} markets"
        figures += [
            Figure(f"{name}: frames taken", _flood(stage, amounts.frames), "frames/s"),
        ]
        burst = stage.venue.tell(do="burst")
        figures += [
            Figure(f"{name}: burst until each is requoted", burst["secs"], "s"),
            Figure(f"{name}: most orders of one market meanwhile", burst["most_orders_of_one"], "orders"),
            Figure(f"{name}: markets left out meanwhile", len(burst["left_out"]), "markets"),
            Figure(f"{name}: resident memory", stage.bot.resident_mb, "MB"),
        ]
        stage.venue.tell(do="burst")  # every touch is back where frames say that it is
        _slow_timer(stage, amounts.pace_secs)
        figures.append(Figure(f"{name}: CPU for 1,000 deep frames", _cpu_for_1000(stage, amounts.pace_secs), "ms"))
    return figures


def _start_and_stop() -> list[Figure]:
    with _daemon(SOME) as stage:
        first = _quoted(stage, 1)
    with _daemon(2 * SOME) as stage:
        _quoted(stage, 4 * SOME)
        began = time.monotonic()
        stage.bot.stop()
        gone = time.monotonic() - began
        found = re.search(r'"secs":([0-9.]+)', next(x for x in stage.bot.log.splitlines() if '"trading_stopped"' in x))
        assert found is not None
    return [
        Figure("imports", median(_import_secs() for _ in range(ROUNDS)), "s"),
        Figure(f"{SOME} markets: start to first quote", first, "s"),
        Figure(f"stop with {4 * SOME} resting orders: verified zero", float(found[1]), "s"),
        Figure(f"stop with {4 * SOME} resting orders: process gone", gone, "s"),
    ]


def _import_secs() -> float:
    """What imports take in a new process, bytecode at hand: the installer makes it, and here the first such process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    took = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        cwd=processes.PACKAGE_FOLDER,
        capture_output=True,
        check=True,
        env=environment,
        text=True,
    )
    return float(took.stdout)


def _pauses(amounts: Amounts) -> list[Figure]:
    """The loop's pauses under load, watched; single ones depend on what else the machine does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pauses"
        with _daemon(SOME, ("-m", "benchmarks.pauses", str(file))) as stage:
            _quoted(stage, 2 * SOME)
            with processes.watcher(stage.bot, market().condition_id):
                stage.venue.tell(do="pace", per_sec=PACE_PER_SEC, secs=amounts.pause_secs, moved=MOVED)
            stage.bot.stop()
        late = sorted(pauses.read(file))
    return [
        Figure("pauses of the event loop, p99", quantile(late, 0.99) / 1e6, "ms"),
        Figure("pauses of the event loop, p99.9", quantile(late, 0.999) / 1e6, "ms"),
        Figure("pauses of the event loop, longest", late[-1] / 1e6, "ms"),
    ]
