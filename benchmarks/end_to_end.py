"""From a frame on the socket to the order's bytes on the socket: the real daemon against a venue in another process.

`mm-daemon run --live` trades one market on loopback with the settings the project ships (signature type 0, log at
"info" as JSON into a file, its own garbage collector settings). `benchmarks.venue` sends frames that move the mid and
stamps the arrival of each request's first bytes; its docstring tells how. So the time holds the kernel's work, the
daemon's wake-up and the venue's, and nothing that the venue does with a request.

    floor      a bot without book, decision or signing, on the same libraries (`benchmarks.floor`)
    fresh      the book was one-sided and the quotes were pulled; it comes back and nothing has to be cancelled
    reprice    the mid moves by one tick: both orders are cancelled and replaced, and the new cannot meet the old
               (the new are among those that the daemon signs ahead, as with fresh and unlike crossing)
    crossing   the mid moves by more than the spread: one new order would meet an old one, so it waits for the cancel's
               answer, which the venue gives 2 ms after the cancel; "last order" holds that wait
    watched    the same with a Prometheus that scrapes each second and the daemon's page open
    TLS        the floor and the daemon as they speak to the real exchange, with a certificate made for the occasion
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TypeAlias

import msgspec

from benchmarks import processes
from benchmarks.given import market
from benchmarks.timing import Timing, timing
from benchmarks.variants import VARIANTS

SAMPLES, WARM_UP = 100, 30
ROUNDS, ROUNDS_OF_VARIANTS = 3, 2
QUICK_SAMPLES, QUICK_WARM_UP = 10, 2

Scenarios = dict[str, dict[str, list[int]]]
"""Nanoseconds by scenario and by what was waited for."""
_Play: TypeAlias = Callable[[Path], Scenarios]
_TITLES = {"first_order": "first order", "last_order": "last order", "cancel": "cancel"}
_SHOWN = {
    "floor": ("first_order",),
    "fresh": ("first_order",),
    "reprice": ("first_order", "cancel"),
    "crossing": ("first_order", "last_order"),
}


def run(*, quick: bool = False) -> list[Timing]:
    """Measure the floor and the daemon, in turns.

    Args:
        quick: a few samples only.

    Raises:
        BenchmarkFailed: a process ended early, or there is no certificate.
    """
    amounts = _amounts(quick)
    with tempfile.TemporaryDirectory() as safe:
        tls = processes.certificate(Path(safe))
        plays: list[tuple[str, _Play]] = [
            ("", partial(_floor, amounts)),
            ("", partial(_played, amounts)),
            ("watched, ", partial(_played, amounts, is_watched=True)),
            ("TLS, ", partial(_floor, amounts, tls=tls)),
            ("TLS, ", partial(_played, amounts, tls=tls)),
        ]
        return _in_turns(plays, 1 if quick else ROUNDS)


def compare(*, quick: bool = False) -> list[Timing]:
    """Measure the daemon with other libraries in its place (see `variants`), and all over TLS as well, in turns.

    Raises:
        BenchmarkFailed: a process ended early, or there is no certificate.
    """
    amounts = _amounts(quick)
    plays: list[tuple[str, _Play]] = []
    with tempfile.TemporaryDirectory() as safe:
        for over, tls in (("", None), ("TLS, ", processes.certificate(Path(safe)))):
            plays.append((f"floor, {over}", partial(_floor, amounts, tls=tls)))
            for which in VARIANTS:
                program = ("-m", "benchmarks.variants", which)
                plays.append((f"{which}, {over}", partial(_played, amounts, program=program, tls=tls)))
        return _in_turns(plays, 1 if quick else ROUNDS_OF_VARIANTS)


def timed_inside(stages_file: Path, *, quick: bool = False) -> None:
    """Run the daemon with clocks inside (see `stages`), which write to a file.

    Raises:
        BenchmarkFailed: a process ended early.
    """
    with tempfile.TemporaryDirectory() as folder:
        _played(_amounts(quick), Path(folder), program=("-m", "benchmarks.stages", str(stages_file)))


def _amounts(quick: bool) -> list[str]:
    samples, warm_up = (QUICK_SAMPLES, QUICK_WARM_UP) if quick else (SAMPLES, WARM_UP)
    return ["--samples", str(samples), "--warm-up", str(warm_up)]


def _in_turns(plays: Sequence[tuple[str, _Play]], rounds: int) -> list[Timing]:
    """Play each once a round, because the machine's speed changes; rows of all rounds together.

    Args:
        plays: by what their rows' names begin with; those of one name are of different scenarios.
        rounds: how many.
    """
    taken: dict[str, Scenarios] = {}
    for _ in range(rounds):
        for how, play in plays:
            with tempfile.TemporaryDirectory() as folder:
                played = play(Path(folder))
            scenarios = taken.setdefault(how, {})
            for scenario, times in played.items():
                for what, more in times.items():
                    scenarios.setdefault(scenario, {}).setdefault(what, []).extend(more)
    return [row for how, scenarios in taken.items() for row in _rows(scenarios, how)]


def _floor(options: list[str], folder: Path, *, tls: Path | None = None) -> Scenarios:
    """Run the floor against a venue, over TLS where there is a certificate for it."""
    with (
        _venue([*options, "--floor"], tls) as venue,
        processes.bot(["-m", "benchmarks.floor", venue.url], folder / "bot.log", {**os.environ, **_trust(tls)}) as bot,
    ):
        played = msgspec.convert(venue.read(), Scenarios)
        bot.stop()
    return played


def _played(
    options: list[str],
    folder: Path,
    *,
    program: Sequence[str] = ("-m", "mm_daemon"),
    is_watched: bool = False,
    tls: Path | None = None,
) -> Scenarios:
    """Run the daemon against a venue; `is_watched` with a scraper and an open page."""
    with _venue(options, tls) as venue:
        command, environment = processes.daemon(folder, venue.url, [market()], program=program)
        with processes.bot(command, folder / "bot.log", environment | _trust(tls)) as bot:
            with processes.watcher(bot, market().condition_id) if is_watched else nullcontext():
                played = msgspec.convert(venue.read(), Scenarios)
            bot.stop()
    return played


def _venue(options: list[str], tls: Path | None) -> AbstractContextManager[processes.VenueProcess]:
    return processes.venue("benchmarks.venue", options if tls is None else [*options, "--tls", str(tls)])


def _trust(tls: Path | None) -> dict[str, str]:
    """The environment of a bot that trusts this certificate."""
    return {} if tls is None else {"SSL_CERT_FILE": str(tls)}


def _rows(played: Scenarios, how: str) -> list[Timing]:
    return [
        timing("end to end", f"{how}{scenario}: frame to {_TITLES[what]}", times[what])
        for scenario, times in played.items()
        for what in _SHOWN[scenario]
    ]
