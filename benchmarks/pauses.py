"""Pauses of the daemon's event loop: `python -m benchmarks.pauses FILE run --config X --live`.

The daemon as it is, with a timer of 5 ms beside its tasks; how much later than asked for it fires is how long the loop
was busy with something else. At the end the process writes all of these to FILE.
"""

from __future__ import annotations

import asyncio
import sys
from array import array
from pathlib import Path

EVERY_SECS = 0.005


class Monitor:
    """Counts how late its timer fires, in nanoseconds."""

    def __init__(self) -> None:
        self.late_ns = array("q")

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time() + EVERY_SECS
        while True:
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            self.late_ns.append(max(round((now - due) * 1e9), 0))
            due = now + EVERY_SECS


def read(file: Path) -> list[int]:
    """The pauses that `main` wrote."""
    late = array("q")
    late.frombytes(file.read_bytes())
    return late.tolist()


def main() -> int:
    """Run the daemon with the timer beside it."""
    file, *arguments = sys.argv[1:]
    from mm_daemon.app import Daemon, ExitCode
    from mm_daemon.cli import main as daemon

    monitor = Monitor()
    run = Daemon.run

    async def watched(self: Daemon) -> ExitCode:
        watching = asyncio.create_task(monitor.run())
        try:
            return await run(self)
        finally:
            watching.cancel()

    Daemon.run = watched  # type: ignore[method-assign]
    exit_code = daemon(arguments)
    Path(file).write_bytes(monitor.late_ns.tobytes())
    return exit_code


if __name__ == "__main__":
    raise SystemExit(main())
