"""The processes of a benchmark: a venue, and a bot in front of it. All end when their block does."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.given import PRIVATE_KEY
from mm_daemon.core.market import Market

STOP_SECS = 30.0
PACKAGE_FOLDER = Path(__file__).parent.parent


class BenchmarkFailed(Exception):
    """A process of the benchmark ended or fell silent; the text holds the end of its log."""


class VenueProcess:
    """A venue in a process of its own: lines of JSON out, and in where it takes commands."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.url: str = self.read()["url"]

    def read(self) -> Any:
        """Its next line.

        Raises:
            BenchmarkFailed: it ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkFailed("the venue ended")
        return msgspec.json.decode(line)

    def tell(self, **command: object) -> Any:
        """Give it a command and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(command) + b"\n")
        self._process.stdin.flush()
        return self.read()


@contextmanager
def venue(module: str, options: Sequence[str]) -> Iterator[VenueProcess]:
    """Run `python -m module`; it ends when its standard input is closed."""
    command = [sys.executable, "-m", module, *options]
    with subprocess.Popen(command, cwd=PACKAGE_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield VenueProcess(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(STOP_SECS)
            except subprocess.TimeoutExpired:
                process.kill()


class Bot:
    """A bot's process, the daemon or a floor, and what it uses of the machine."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def log(self) -> str:
        """Everything it logged."""
        return self._log.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Where the daemon's own HTTP server listens, once it does."""
        return self._wait_for('"url":"(http[^"]+)"')[1]

    def _wait_for(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + STOP_SECS
        while not (found := re.search(pattern, self.log)):
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"it did not log {pattern}")
            time.sleep(0.05)
        return found

    @property
    def cpu_secs(self) -> float:
        """Processor time of all its threads so far, user and system; a thread that ended is not counted any more."""
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9

    @property
    def resident_mb(self) -> float:
        """Resident memory in 10^6 bytes."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return kib * 1024 / 1e6

    def reload(self) -> None:
        """SIGHUP; returns when it says that its settings were read again.

        Raises:
            BenchmarkFailed: it does not say so.
        """
        self._process.send_signal(signal.SIGHUP)
        self._wait_for('"event":"reloaded"')

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECS)


def certificate(folder: Path) -> Path:
    """A new certificate for 127.0.0.1 that signs itself, with its key, by the program openssl.

    Raises:
        BenchmarkFailed: there is no such program, or it failed.
    """
    file = folder / "venue.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=venue", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", "-"]
    try:
        made = subprocess.run(command, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchmarkFailed(f"no certificate: {error}") from error
    with file.open("ab") as stream:
        stream.write(made)
    return file


@contextmanager
def watcher(running: Bot, market: str) -> Iterator[None]:
    """Scrape the daemon's metrics and keep its page open while the block lasts.

    Raises:
        BenchmarkFailed: nothing was seen.
    """
    command = [sys.executable, "-m", "benchmarks.watcher", running.url, market]
    with subprocess.Popen(command, cwd=PACKAGE_FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield
        seen, _ = process.communicate(timeout=STOP_SECS)
        if process.returncode or not all(msgspec.json.decode(seen).values()):
            raise BenchmarkFailed(f"the watcher ended with {process.returncode} and saw {seen!r}")


@contextmanager
def bot(command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[Bot]:
    """Run a bot and stop it at the end.

    Raises:
        BenchmarkFailed: something of the benchmark failed; with the end of the bot's log.
    """
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, *command], cwd=PACKAGE_FOLDER, env=environment, stderr=stream)
    running = Bot(process, log)
    try:
        yield running
        if process.poll() is not None and process.returncode > 0:
            raise BenchmarkFailed(f"the bot ended with {process.returncode}")
    except BenchmarkFailed as failure:
        raise BenchmarkFailed(f"{failure}; {running.log[-2000:]}") from failure
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def daemon(
    folder: Path, url: str, markets: Sequence[Market], *, program: Sequence[str] = ("-m", "mm_daemon"), more: str = ""
) -> tuple[list[str], dict[str, str]]:
    """The daemon's command line and environment: the settings the project ships, but for addresses, wallet and markets.

    Args:
        program: what runs in the place of `mm_daemon`.
        more: further tables for the main settings file.
    """
    socket_url = url.replace("http", "ws", 1)
    names = ", ".join(f'"{market.condition_id}"' for market in markets)
    total = 100_000 if len(markets) > 1 else 1000
    # Replacing stale orders of a thousand markets every minute is more than the venue's rate limit allows.
    patience = "stale_order_secs = 3600\n" if len(markets) > 100 else ""
    (folder / "strategy.toml").write_text(
        f'name = "liquidity_provision"\n[strategy]\nmarkets = [{names}]\nmax_total_position_usd = {total}\n{patience}'
    )
    config = folder / "mm-daemon.toml"
    config.write_text(
        'mode = "live"\nstrategy = "strategy.toml"\n'
        f'[venue]\nclob_url = "{url}"\ngamma_url = "{url}/gamma"\ndata_url = "{url}/data"\n'
        f'market_ws_url = "{socket_url}/ws/market"\nuser_ws_url = "{socket_url}/ws/user"\n'
        f"[risk]\nmax_total_position_usd = {total}\nmax_open_orders = 10000\n"
        f'[wallet]\nsignature_type = 0\n[state]\ndirectory = "{folder / "state"}"\n[log]\nformat = "json"\n'
        f"[http]\nport = 0\n{more}"
    )
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MM_") and name != "PYTHONDONTWRITEBYTECODE"
    }
    environment["MM_PRIVATE_KEY"] = PRIVATE_KEY
    return [*program, "run", "--config", str(config), "--live"], environment
