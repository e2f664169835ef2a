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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import msgspec

from benchmarks import pauses, processes
from benchmarks.given import market
from benchmarks.timing import Figure, quantile
from benchmarks.variants import VARIANTS

ONE = "one market"
MANY = 1000
SOME = 50
MOVED = 5
PACE_PER_SEC = 500
BRISK_PER_SEC = 2_000
FAST_PER_SEC = 20_000
SETTLE_SECS = 1.0
ROUNDS = 5
TURNS = 40
ROUNDS_OF_VARIANTS = 3
IMPORTS = (
    "import time; began = time.perf_counter(); import mm_daemon.cli, mm_daemon.config, mm_daemon.loading; "
    "mm_daemon.loading.load_daemon(); print(time.perf_counter() - began)"
)


class Amounts(msgspec.Struct, frozen=True):
    """How much of everything."""

    pace_secs: float = 60.0
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
        *_one_and_many(amounts),
        *_reactions(amounts),
        *_start_and_stop(),
        *_pauses(amounts),
    ]


def compare(*, quick: bool = False) -> list[Figure]:
    """Measure one market with other libraries in the daemon's place (see `variants`), all in turns."""
    amounts = QUICK if quick else Amounts()
    with ExitStack() as stack:
        stages = {which: stack.enter_context(_daemon(1, ("-m", "benchmarks.variants", which))) for which in VARIANTS}
        for stage in stages.values():
            _quoted(stage, 2)
        cpu = _cpu_for_1000(
            {f"{which}: CPU for 1,000 deep frames": stage for which, stage in stages.items()}, amounts.pace_secs
        )
        rates: dict[str, list[float]] = {}
        for _ in range(1 if quick else ROUNDS_OF_VARIANTS):
            for which, stage in stages.items():
                rates.setdefault(which, []).append(_flood(stage, amounts.frames))
    return [*cpu, *[Figure(f"{which}: frames taken", median(found), "frames/s") for which, found in rates.items()]]


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


def _cpu_for_1000(stages: Mapping[str, _Stage], secs: float, per_sec: int = PACE_PER_SEC) -> list[Figure]:
    """Processor milliseconds of each bot for 1,000 frames at a steady pace, less what it uses without them.

    They take turns, each being sent to while the others rest, because the machine's speed changes from one second to
    another; the median of many turns less that of many rests, because now and then a daemon reads the state of a
    thousand markets, in one or the other. Before all come frames at a faster pace: the first one after an order of ours
    makes the daemon look at its market again, and of a thousand markets hardly one would be past that.

    Args:
        stages: by the name of the figure.
        secs: how long each is sent to, all turns together.
        per_sec: the more, the less weighs what a daemon happens to do beside.
    """
    for stage in stages.values():
        stage.venue.tell(do="pace", per_sec=10 * PACE_PER_SEC, secs=secs / 10, moved=0)
    time.sleep(SETTLE_SECS)
    busy: dict[str, list[float]] = {what: [] for what in stages}
    resting: dict[str, list[float]] = {what: [] for what in stages}
    for _ in range(TURNS):
        for turn, stage in stages.items():
            began = {what: each.bot.cpu_secs for what, each in stages.items()}
            frames = int(stage.venue.tell(do="pace", per_sec=per_sec, secs=secs / TURNS, moved=0)["frames"])
            for what, each in stages.items():
                (busy if what == turn else resting)[what].append((each.bot.cpu_secs - began[what]) / frames)
    return [Figure(what, (median(busy[what]) - median(resting[what])) * 1e6, "ms") for what in stages]


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


def _one_and_many(amounts: Amounts) -> list[Figure]:
    """One market beside the floor, then a thousand beside it."""
    name = f"{amounts.many:,} markets"
    with _floor() as floor, _daemon(1) as one:
        _quoted(one, 2)
        rates = {"floor": _flood(floor, amounts.frames), ONE: _flood(one, amounts.frames)}
        cpu = _cpu_for_1000(
            {"floor: CPU for 1,000 frames": floor, f"{ONE}: CPU for 1,000 deep frames": one}, amounts.pace_secs
        )
        with _daemon(amounts.many) as many:
            _quoted(many, 2 * amounts.many, secs=300)
            rates[name] = _flood(many, amounts.frames)
            burst = many.venue.tell(do="burst")
            memory = many.bot.resident_mb
            many.venue.tell(do="burst")  # every touch is back where frames say that it is
            _slow_timer(many, amounts.pace_secs / 5)
            cpu += _cpu_for_1000(
                {
                    f"{which}: CPU for 1,000 frames at {BRISK_PER_SEC:,}/s": stage
                    for which, stage in ((ONE, one), (name, many))
                },
                amounts.pace_secs,
                BRISK_PER_SEC,
            )
    return [
        *cpu,
        *[Figure(f"{what}: frames taken", rate, "frames/s") for what, rate in rates.items()],
        Figure(f"{name}: burst until each is requoted", burst["secs"], "s"),
        Figure(f"{name}: most orders of one market meanwhile", burst["most_orders_of_one"], "orders"),
        Figure(f"{name}: markets left out meanwhile", len(burst["left_out"]), "markets"),
        Figure(f"{name}: resident memory", memory, "MB"),
    ]


def _reactions(amounts: Amounts) -> list[Figure]:
    """Moves of the touch answered while frames come as fast as the goal wants."""
    with _daemon(SOME) as stage:
        _quoted(stage, 2 * SOME)
        fast = stage.venue.tell(do="pace", per_sec=FAST_PER_SEC, secs=amounts.fast_secs, moved=MOVED)
    reactions = sorted(fast["reactions_ns"])
    return [
        Figure(f"{SOME} markets: frames sent at a steady pace", fast["frames"] / fast["secs"], "frames/s"),
        Figure(f"{SOME} markets: move to order meanwhile, median", quantile(reactions, 0.5) / 1e6, "ms"),
        Figure(f"{SOME} markets: move to order meanwhile, longest", reactions[-1] / 1e6, "ms"),
    ]


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
