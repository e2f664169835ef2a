"""What happens later, in order of its time. No clock and no asyncio: the owner says what time it is."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

Callback = Callable[[int], None]
"""Called with the time it was due, in milliseconds."""


class Timers:
    """Callbacks by due time in milliseconds; equal times run in the order they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callback]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_due(self) -> int | None:
        """When the next callback is due; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def call_at(self, due_ms: int, callback: Callback) -> None:
        """Run `callback` once the time is `due_ms` or later."""
        heappush(self._heap, (due_ms, next(self._numbers), callback))

    def run_one(self, now_ms: int) -> bool:
        """Run the next callback if it is due; False if none is."""
        if not self._heap or self._heap[0][0] > now_ms:
            return False
        due, _, callback = heappop(self._heap)
        callback(due)
        return True
