"""`python -m tests.docker.scrape`: a real Prometheus scrapes a real daemon, and every panel gets what it asks for.

Needs the program `prometheus` and two minutes. The daemon trades on the built-in exchange with the settings of
compose.yaml's profile sim; Prometheus runs with deploy/prometheus as it is, but for the daemon's address and where the
token lies. Each query of the dashboard gets a line PASS or FAIL, and each rule Prometheus' own word on it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .expressions import DEPLOY, dashboard_expressions

START_SECS = 60.0
SCRAPES = 14
SCRAPE_SECS = 5
POLL_SECS = 0.5
STOP_SECS = 30.0
LOG_TAIL = 3000

WHEN_THINGS_GO_WRONG = ("orders_refused_total", "request_errors_total", "ALERTS")
"""Metrics that have no sample while nothing was refused, failed or alarming."""


def main() -> int:
    """Run everything; the exit code is 1 if a query found nothing, or a rule could not be evaluated."""
    if shutil.which("prometheus") is None:
        say("needs the program prometheus (Debian: apt install prometheus)")
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        daemon_port, prometheus_port = free_port(), free_port()
        settings = write_settings(folder, daemon_port)
        daemon = [sys.executable, "-m", "mm_daemon", "run", "--config", str(settings)]
        with running(daemon, folder / "daemon.log"), running(prometheus(folder, prometheus_port), folder / "prom.log"):
            try:
                return 1 if examine(f"http://127.0.0.1:{prometheus_port}/api/v1") else 0
            except TimeoutError:
                say("\n".join((folder / log).read_text()[-LOG_TAIL:] for log in ("daemon.log", "prom.log")))
                raise


def say(line: str) -> None:
    """To the terminal, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def write_settings(folder: Path, port: int) -> Path:
    """The settings of the profile sim and a token for both sides; returns the main file."""
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    shutil.copy(DEPLOY / "sim/liquidity_provision.toml", folder)
    text = replaced(
        (DEPLOY / "sim/mm-daemon.toml").read_text(), "[http]\n", f'[http]\nport = {port}\ntoken_file = "token"\n'
    )
    (folder / "mm-daemon.toml").write_text(text)
    config = (DEPLOY / "prometheus/prometheus.yml").read_text()
    config = replaced(config, "mm-daemon:9464", f"127.0.0.1:{port}")
    config = replaced(config, "/run/secrets/prometheus_token", str(token))
    (folder / "prometheus.yml").write_text(config)
    shutil.copy(DEPLOY / "prometheus/rules.yml", folder)
    return folder / "mm-daemon.toml"


def replaced(text: str, old: str, new: str) -> str:
    """`text` with its one `old` replaced.

    Raises:
        ValueError: it is not there exactly once.
    """
    if text.count(old) != 1:
        raise ValueError(f"{old!r} is there {text.count(old)} times")
    return text.replace(old, new)


def prometheus(folder: Path, port: int) -> list[str]:
    """Its command line."""
    return [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    """The command runs while the block lasts, and is asked to stop at its end."""
    with log.open("w") as stream, subprocess.Popen(command, stdout=stream, stderr=stream) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECS)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def examine(api: str) -> int:
    """Wait for some scrapes, then ask everything; returns how much failed."""
    wait_for(lambda: sample(api, 'up{job="mm-daemon"}') == 1, "a first scrape", START_SECS)
    wait_for(
        lambda: (sample(api, "count_over_time(mm_daemon_ready[10m])") or 0) >= SCRAPES,
        f"{SCRAPES} scrapes",
        START_SECS + SCRAPES * SCRAPE_SECS,
    )
    markets = ask(api, "label/market/values", {})
    failed = 0
    for title, expression in dashboard_expressions():
        concrete = expression.replace("$__rate_interval", "1m").replace("$market", markets[0])
        found = sum(series["value"][1] != "NaN" for series in ask(api, "query", {"query": concrete})["result"])
        is_expected = found or any(name in expression for name in WHEN_THINGS_GO_WRONG)
        failed += not is_expected
        say(f"{'PASS' if is_expected else 'FAIL'}  {found:4} series  {title}: {expression}")
    for rule in (rule for group in ask(api, "rules", {})["groups"] for rule in group["rules"]):
        is_sound = rule["health"] == "ok" and rule["state"] == "inactive"
        failed += not is_sound
        say(f"{'PASS' if is_sound else 'FAIL'}  {rule['health']}, {rule['state']}  {rule['name']}")
    say(f"{failed} failed; {sample(api, 'scrape_samples_scraped'):.0f} samples a scrape")
    return failed


def ask(api: str, path: str, parameters: dict[str, str]) -> Any:
    """The data of an answer of Prometheus' HTTP API."""
    with urllib.request.urlopen(f"{api}/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


def sample(api: str, expression: str) -> float | None:
    """The value of the first series, if there is one."""
    found = ask(api, "query", {"query": expression})["result"]
    return float(found[0]["value"][1]) if found else None


def wait_for(condition: Callable[[], bool], what: str, secs: float) -> None:
    """Wait until `condition` holds; a server that does not answer yet is one more reason to wait.

    Raises:
        TimeoutError: it did not within `secs`.
    """
    deadline = time.monotonic() + secs
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            say(f"waiting for {what}")
        time.sleep(POLL_SECS)
    raise TimeoutError(f"not within {secs:g} s: {what}")


if __name__ == "__main__":
    sys.exit(main())
