"""Keeps a line that repeats itself from filling the log: it is counted, and the count is told.

Only warnings and errors are ever held back, by their event and the fields that say what it is about, such as an order's
id. What is critical always goes through, and so do info and debug: orders and fills are told there, each one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

BURST = 5
"""So many lines of one kind are written in one window; the others are counted."""
WINDOW_SECS = 60.0
MOST_KINDS = 1_000
"""Of more kinds than this at a time the oldest is forgotten, and its lines are written again."""
IDENTIFYING = ("market", "order", "token", "socket", "kind", "what", "task", "key", "reason", "why")
REPEATED = "repeated"
"""The field that says how many lines like this one were not written."""

_LIMITED = frozenset({"warning", "error"})


class _Kind(msgspec.Struct):
    ends_at: float
    written: int = 0
    held_back: int = 0
    last: EventDict = {}
    level: str = "warning"


class RepeatLimit:
    """A structlog processor, to stand after the level is known.

    The line that is written after the window carries the count of those that were not; where none comes, the count is
    written by itself with the next line of any kind.

    Args:
        log: writes a line by level, event and fields; it comes through this processor again.
        clock: monotonic seconds.
    """

    def __init__(self, log: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._kinds: dict[tuple[object, ...], _Kind] = {}
        self._next_end = float("inf")
        self._lock = threading.Lock()  # the ledger's thread logs as well
        self.held_back = 0

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Let the line through, or drop and count it.

        Raises:
            DropEvent: enough lines like it were written in this window.
        """
        now = self._clock()
        if now >= self._next_end:
            self._tell_ended(now)
        if event["level"] in _LIMITED and REPEATED not in event and not self._may_write(event, now):
            raise structlog.DropEvent
        return event

    def flush(self) -> None:
        """Tell every count now, as at the end of the process."""
        self._tell_ended(float("inf"))

    def _may_write(self, event: EventDict, now: float) -> bool:
        key = (event["event"], *(str(event.get(name, "")) for name in IDENTIFYING))
        with self._lock:
            kind = self._kinds.get(key)
            if kind is None:
                if len(self._kinds) >= MOST_KINDS:
                    del self._kinds[next(iter(self._kinds))]
                kind = self._kinds[key] = _Kind(now + WINDOW_SECS)
                self._next_end = min(self._next_end, kind.ends_at)
            if kind.written < BURST:
                kind.written += 1
                return True
            kind.held_back += 1
            self.held_back += 1
            kind.last, kind.level = dict(event), event["level"]
            return False

    def _tell_ended(self, now: float) -> None:
        """Forget the windows that are over, and tell what they held back."""
        with self._lock:
            ended = [key for key, kind in self._kinds.items() if kind.ends_at <= now]
            counts = [kind for kind in map(self._kinds.pop, ended) if kind.held_back]
            self._next_end = min((kind.ends_at for kind in self._kinds.values()), default=float("inf"))
        for kind in counts:
            fields = {name: value for name, value in kind.last.items() if name not in ("event", "level", "exc_info")}
            self._log(kind.level, kind.last["event"], **{**fields, REPEATED: kind.held_back})
