"""The exchange with faults as a process beside the daemon, and its view of our account."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from mm_daemon.sim.faults.monitor import FillSeen, Snapshot
from mm_daemon.sim.faults.schedule import Fault, Kind

from .plan import Plan


class Report(msgspec.Struct, frozen=True):
    """What GET /faults/report says; see `Monitor`."""

    now_ms: int
    orders: list[str]
    history: list[Snapshot]
    fills: list[FillSeen]
    violations: list[str]
    accounts: str
    placed: int
    peak: dict[str, float]
    hits: dict[Kind, int]
    begun: list[tuple[Kind, int, float]]


class FaultyExchange:
    """A running one."""

    def __init__(self, url: str, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.process = process
        self._session = session

    async def start_schedule(self) -> None:
        """Let the faults of the plan begin."""
        async with self._session.post(f"{self.url}/faults/start") as response:
            response.raise_for_status()

    async def play(self, *faults: Fault) -> None:
        """Let these faults begin now."""
        async with self._session.post(f"{self.url}/faults/now", data=msgspec.json.encode(list(faults))) as response:
            response.raise_for_status()

    async def report(self) -> Report:
        """How our account stands."""
        async with self._session.get(f"{self.url}/faults/report") as response:
            response.raise_for_status()
            return msgspec.json.decode(await response.read(), type=Report)


@asynccontextmanager
async def faulty_exchange(plan: Plan, folder: Path, *options: str) -> AsyncIterator[FaultyExchange]:
    """Run the exchange of a plan while the block lasts."""
    schedule = folder / "faults.json"
    schedule.write_bytes(msgspec.json.encode(plan.faults))
    with (folder / "exchange.log").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mm_daemon.sim.faults", "--account", plan.account, "--seed", str(plan.seed)),
            *("--file", str(schedule), "--markets", str(plan.markets), "--speed", str(plan.speed)),
            *("--max-position", str(plan.limits.max_position), "--max-total", str(plan.limits.max_total)),
            *("--max-open-orders", str(plan.limits.max_open_orders), *options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdin is not None and process.stdout is not None  # both are pipes
    try:
        async with asyncio.timeout(20):
            ready: dict[str, Any] = json.loads(await process.stdout.readline())
        async with aiohttp.ClientSession() as session:
            yield FaultyExchange(ready["url"], process, session)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
