"""Fills whose mid is still to be looked at again, 5, 60 and 300 seconds after them.

A markout is taken at the first mark at or after its time. One that is much too late (the daemon did not run, or the
book was unknown) would say something else, and is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from mm_daemon.core.pnl import HORIZONS_SECS, markout_x
from mm_daemon.core.units import ConditionId, OrderId, Side, Size

MAX_PENDING = 20_000
"""For each horizon; the oldest give way."""
LATE_MS = tuple(max(5_000, secs * 200) for secs in HORIZONS_SECS)
"""How late a markout may be taken: a fifth of its horizon, at least 5 s."""
REACH_MS = HORIZONS_SECS[-1] * 1000 + LATE_MS[-1]
"""How old a fill may be and still have a markout to come."""


class Tracked(msgspec.Struct):
    """A fill that may still fail or has markouts to come; `twice_mid` is the mid at the fill."""

    key: tuple[str, OrderId]
    market: ConditionId
    direction: Side
    size: Size
    twice_mid: int | None
    spread_x: int
    booked_ms: int
    markouts_x: list[int] = msgspec.field(default_factory=lambda: [0] * len(HORIZONS_SECS))
    has_failed: bool = False


class Taken(NamedTuple):
    """A markout: `horizon` is the index in `HORIZONS_SECS`."""

    fill: Tracked
    horizon: int
    twice_mid: int
    value_x: int


class Markouts:
    """The waiting markouts of each horizon, in the order in which they fall due.

    Attributes:
        missed: how many could not be taken in time, or gave way.
    """

    def __init__(self, max_pending: int = MAX_PENDING) -> None:
        self._waiting: tuple[deque[Tracked], ...] = tuple(deque(maxlen=max_pending) for _ in HORIZONS_SECS)
        self._max_pending = max_pending
        self.missed = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting))

    def add(self, fill: Tracked) -> None:
        """Wait for every markout of a fill whose mid is known; fills come in the order of their time."""
        for waiting in self._waiting:
            if len(waiting) == self._max_pending:
                self.missed += 1
            waiting.append(fill)

    def resume(self, fill: Tracked, horizon: int) -> None:
        """Wait for one markout of a fill of an earlier run."""
        waiting = self._waiting[horizon]
        if len(waiting) == self._max_pending:
            self.missed += 1
        waiting.append(fill)

    def take(self, now_ms: int, mids: Mapping[ConditionId, int | None]) -> list[Taken]:
        """The markouts that are due and whose market has a mid (in 1/20,000 dollar) now, written into their fills."""
        taken = []
        for horizon, waiting in enumerate(self._waiting):
            after_ms, unknown = HORIZONS_SECS[horizon] * 1000, []
            while waiting and waiting[0].booked_ms + after_ms <= now_ms:
                fill = waiting.popleft()
                twice_mid = mids.get(fill.market)
                if fill.has_failed or fill.twice_mid is None:
                    continue
                if fill.booked_ms + after_ms + LATE_MS[horizon] < now_ms:
                    self.missed += 1
                elif twice_mid is None:
                    unknown.append(fill)
                else:
                    value = markout_x(fill.direction, fill.size, fill.twice_mid, twice_mid)
                    fill.markouts_x[horizon] = value
                    taken.append(Taken(fill, horizon, twice_mid, value))
            waiting.extendleft(reversed(unknown))
        return taken
