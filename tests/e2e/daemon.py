"""The daemon as a process: its settings, its log as it comes, its signals and its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account

DEPOSIT_WALLET = "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
POLL_SECS = 0.01


def patience(secs: float) -> float:
    """A deadline as it stands on a machine that is free for it; longer where more wants to run than there are cores."""
    crowding = os.getloadavg()[0] / (os.cpu_count() or 1)
    return secs * max(1.0, 1.5 * crowding) if crowding > 1 else secs


async def until(condition: Callable[[], object], what: str, secs: float = 5.0) -> None:
    """Wait until `condition` holds.

    Raises:
        AssertionError: it did not within `secs`.
    """
    deadline = asyncio.get_running_loop().time() + patience(secs)
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {secs:g} s: {what}")
        await asyncio.sleep(POLL_SECS)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the daemon finds each service of its venue."""

    clob: str
    gamma: str
    market_ws: str
    user_ws: str


@dataclass(kw_only=True)
class Settings:
    """What a test sets in the two settings files; everything else is small and quick."""

    addresses: Addresses | None = None
    mode: str = "live"
    wallet: dict[str, Any] = field(default_factory=lambda: {"signature_type": 0})
    risk: dict[str, Any] = field(default_factory=dict)
    sim: dict[str, Any] = field(default_factory=dict)
    http: dict[str, Any] = field(default_factory=lambda: {"port": 0})
    alerts: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = field(default_factory=dict)
    strategy_name: str = "liquidity_provision"

    def write(self, folder: Path) -> Path:
        """Write both files; returns the main one."""
        quoting: dict[str, Any] = {
            "markets": ["demo-1"],
            "base_spread_pct": 0.02,
            "order_size_usd": 25,
            "max_position_usd": 100,
            "max_total_position_usd": 100,
            "inventory_skew_factor": 0.3,
            "refresh_interval_secs": 0.5,
            "stale_order_secs": 60,
        } | self.strategy
        main: dict[str, Any] = {"mode": self.mode, "strategy": "strategy.toml"}
        tables = {
            "wallet": self.wallet,
            "risk": self.risk,
            "sim": self.sim,
            "http": self.http,
            "alerts": self.alerts,
            "log": {"format": "json"},
        }
        if self.addresses is not None:
            tables["venue"] = {
                "clob_url": self.addresses.clob,
                "gamma_url": self.addresses.gamma,
                "market_ws_url": self.addresses.market_ws,
                "user_ws_url": self.addresses.user_ws,
            }
        (folder / "strategy.toml").write_text(_toml({"name": self.strategy_name}, {"strategy": quoting}))
        file = folder / "mm-daemon.toml"
        file.write_text(_toml(main, tables))
        return file


def _toml(top: dict[str, Any], tables: dict[str, dict[str, Any]]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def new_key() -> tuple[str, str]:
    """A fresh private key and the address of its account, lower case."""
    account = Account.create()
    return account.key.hex().removeprefix("0x"), account.address.lower()


class DaemonProcess:
    """A daemon that runs beside the test.

    Attributes:
        log: every line it logged so far; a line that is no JSON stands under "text".
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reader = asyncio.create_task(self._read())
        self.log: list[dict[str, Any]] = []

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.returncode is not None

    async def _read(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode().rstrip()
            try:
                self.log.append(json.loads(text))
            except ValueError:
                self.log.append({"text": text})

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines logged under this name."""
        return [line for line in self.log if line.get("event") == name]

    async def logged(self, name: str, secs: float = 5.0, count: int = 1) -> dict[str, Any]:
        """Wait for the `count`th line of this name."""
        try:
            await until(lambda: len(self.events(name)) >= count or self.has_ended, f"{name} in the log", secs)
            return self.events(name)[count - 1]
        except (AssertionError, IndexError) as error:
            raise AssertionError(f"no {name} in the log:\n{self.tail()}") from error

    def tail(self) -> str:
        """The end of the log, for a failed test."""
        return "\n".join(str(line) for line in self.log[-40:])

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if there still is a process to get it.

        By its number: `send_signal` polls the process first, and so takes its exit code away from the loop's watcher.
        """
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def exit_code(self, within_secs: float) -> int:
        """Wait for its end."""
        try:
            async with asyncio.timeout(patience(within_secs)):
                code = await self._process.wait()
        except TimeoutError as error:
            raise AssertionError(f"still running after {within_secs:g} s:\n{self.tail()}") from error
        await self._reader
        return code

    async def stop(self, number: signal.Signals = signal.SIGTERM, within_secs: float = 10.0) -> int:
        """Send a signal and wait for the end."""
        self.send(number)
        return await self.exit_code(within_secs)

    async def end(self) -> None:
        """Make sure that nothing is left."""
        if not self.has_ended:
            self._process.kill()
        await self._process.wait()
        await self._reader


@asynccontextmanager
async def running_daemon(
    config: Path, private_key: str | None, python_path: Path | None = None
) -> AsyncIterator[DaemonProcess]:
    """`mm-daemon run` while the block lasts; with a key it is live."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MM_")}
    if private_key is not None:
        environ["MM_PRIVATE_KEY"] = private_key
    if python_path is not None:
        environ["PYTHONPATH"] = str(python_path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mm_daemon", "run", "--config", str(config)),
        *(["--live"] if private_key is not None else []),
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    daemon = DaemonProcess(process)
    try:
        yield daemon
    finally:
        await daemon.end()
