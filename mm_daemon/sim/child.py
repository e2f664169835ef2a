"""The built-in exchange in a process of its own, beside the daemon that trades on it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

READY_SECS = 40.0
STOP_SECS = 5.0


class _Ready(msgspec.Struct):
    url: str


@asynccontextmanager
async def exchange_beside(*, markets: int, seed: int, speed: float, starting_cash_usd: str) -> AsyncIterator[str]:
    """Run `mm-daemon exchange` as a child for as long as the context lasts; yields its base URL.

    The child ends when our end of its standard input closes, so that it never outlives us, whatever ends us. It has a
    session of its own: a Ctrl-C at the terminal is for the daemon, which still needs the exchange to stop cleanly.

    Raises:
        RuntimeError: it did not start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mm_daemon", "exchange", "--ready-json", "--markets", str(markets), "--seed", str(seed)),
        *("--speed", str(speed), "--starting-cash-usd", starting_cash_usd),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None  # both are pipes
    try:
        async with asyncio.timeout(READY_SECS):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"the built-in exchange ended at its start, exit code {await process.wait()}")
        yield msgspec.json.decode(line, type=_Ready).url
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
