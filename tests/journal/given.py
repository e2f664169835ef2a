"""What the ledger's tests are given."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mm_daemon.journal.reading import LedgerReader
from mm_daemon.journal.rows import Row, event_row

NOON_MS = 20_000 * 86_400_000 + 43_200_000


class Clock:
    """Unix milliseconds, set by hand."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def entry(number: int) -> Row:
    """Some row that is told apart by its number."""
    return event_row("test", "", str(number), "", number)


def numbers(path: Path) -> list[int]:
    """The numbers of all such rows on disk, in their order."""
    with LedgerReader(path) as reader:
        return [int(ours) for _, kind, _, ours, _ in reader.events(1_000_000) if kind == "test"]


def eventually(claim: Callable[[], bool], secs: float = 10.0) -> None:
    """Wait for another thread or process to make this true."""
    deadline = time.monotonic() + secs
    while not claim():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.01)
