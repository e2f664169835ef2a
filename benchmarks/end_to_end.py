"""From a frame on the socket to the order's bytes on the socket: the real daemon against a venue in another process.

`mm-daemon run --live` trades one market on loopback with the settings the project ships (signature type 0, log at
"info" as JSON into a file, its own garbage collector settings). `benchmarks.venue` sends frames that move the mid and
stamps the arrival of each request's first bytes; its docstring tells how. So the time holds the kernel's work, the
daemon's wake-up and the venue's, and nothing that the venue does with a request.

    floor      a bot without book, decision or signing, on the same libraries (`benchmarks.floor`)
    fresh      the book was one-sided and the quotes were pulled; it comes back and nothing has to be cancelled
    reprice    the mid moves by one tick: both orders are cancelled and replaced, and the new cannot meet the old
    crossing   the mid moves by more than the spread: one new order would meet an old one, so it waits for the cancel's
               answer, which the venue gives 2 ms after the cancel; "last order" holds that wait
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from benchmarks.given import PRIVATE_KEY, market
from benchmarks.timing import Timing, timing

SAMPLES, WARM_UP = 300, 30
SAMPLES_OF_STAGES = 100
QUICK_SAMPLES, QUICK_WARM_UP = 10, 2
STOP_SECS = 15.0
PACKAGE_FOLDER = Path(__file__).parent.parent

_TITLES = {"first_order": "first order", "last_order": "last order", "cancel": "cancel"}
_SHOWN = {
    "floor": ("first_order",),
    "fresh": ("first_order",),
    "reprice": ("first_order", "cancel"),
    "crossing": ("first_order", "last_order"),
}
_ANSWER = msgspec.json.Decoder(dict[str, dict[str, list[int]]])


class BenchmarkFailed(Exception):
    """A process of the benchmark ended or fell silent; the text holds the end of the daemon's log."""


def run(*, quick: bool = False, stages_file: Path | None = None) -> list[Timing]:
    """Measure the floor, then the daemon.

    Args:
        quick: a few samples only.
        stages_file: the daemon runs with clocks inside (see `stages`), which write here; slows it by some microseconds.

    Raises:
        BenchmarkFailed: a process ended early.
    """
    with tempfile.TemporaryDirectory() as folder:
        samples, warm_up = (QUICK_SAMPLES, QUICK_WARM_UP) if quick else (SAMPLES, WARM_UP)
        if stages_file is not None and not quick:
            samples = SAMPLES_OF_STAGES
        amounts = ["--samples", str(samples), "--warm-up", str(warm_up)]
        floor = [] if stages_file else _play(Path(folder), [*amounts, "--floor"], None, is_daemon=False)
        return floor + _play(Path(folder), amounts, stages_file, is_daemon=True)


def _play(folder: Path, options: list[str], stages_file: Path | None, *, is_daemon: bool) -> list[Timing]:
    """Run one bot against one venue."""
    log_file = folder / "bot.log"
    with log_file.open("wb") as log, _venue(options) as (url, answers):
        bot = _daemon(folder, url, stages_file, log) if is_daemon else _floor(url, log)
        try:
            line = answers.readline()
        finally:
            bot.send_signal(signal.SIGTERM)
            exit_code = bot.wait(STOP_SECS)
        if not line or (is_daemon and exit_code):
            raise BenchmarkFailed(f"exit code {exit_code}; {log_file.read_text(errors='replace')[-2000:]}")
    played = _ANSWER.decode(line)
    return [
        timing("end to end", f"{scenario}: frame to {_TITLES[what]}", times[what])
        for scenario, times in played.items()
        for what in _SHOWN[scenario]
    ]


@contextmanager
def _venue(options: list[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """A venue process: its URL, and where it prints its times. It ends when its standard input is closed."""
    command = [sys.executable, "-m", "benchmarks.venue", *options]
    with subprocess.Popen(command, cwd=PACKAGE_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise BenchmarkFailed("the venue did not start")
            yield msgspec.json.decode(line, type=dict[str, str])["url"], process.stdout
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_SECS)
            except subprocess.TimeoutExpired:
                process.kill()


def _floor(url: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "benchmarks.floor", url], cwd=PACKAGE_FOLDER, stderr=log)


def _daemon(folder: Path, url: str, stages_file: Path | None, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """The daemon on the shipped settings, but for the addresses, the wallet and the market."""
    socket_url = url.replace("http", "ws", 1)
    (folder / "strategy.toml").write_text(
        f'name = "liquidity_provision"\n[strategy]\nmarkets = ["{market().condition_id}"]\n'
    )
    config = folder / "mm-daemon.toml"
    config.write_text(
        'mode = "live"\nstrategy = "strategy.toml"\n'
        f'[venue]\nclob_url = "{url}"\ngamma_url = "{url}/gamma"\ndata_url = "{url}/data"\n'
        f'market_ws_url = "{socket_url}/ws/market"\nuser_ws_url = "{socket_url}/ws/user"\n'
        f'[wallet]\nsignature_type = 0\n[state]\ndirectory = "{folder / "state"}"\n[log]\nformat = "json"\n'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MM_")}
    environment["MM_PRIVATE_KEY"] = PRIVATE_KEY
    program = ["-m", "benchmarks.stages", str(stages_file)] if stages_file else ["-m", "mm_daemon"]
    command = [sys.executable, *program, "run", "--config", str(config), "--live"]
    return subprocess.Popen(command, cwd=PACKAGE_FOLDER, env=environment, stderr=log)
