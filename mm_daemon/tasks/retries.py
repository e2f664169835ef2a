"""Quoting a market anew after a pause that doubles until an order of it is accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mm_daemon.core.units import ConditionId

FIRST_RETRY_SECS = 0.25
LONGEST_RETRY_SECS = 10.0


class Retries:
    """The markets that wait for their next try.

    Args:
        retry: called for a market when its pause is over.
    """

    def __init__(self, retry: Callable[[ConditionId], None]) -> None:
        self._retry = retry
        self._pauses: dict[ConditionId, float] = {}
        self._timers: dict[ConditionId, asyncio.TimerHandle] = {}

    def __contains__(self, market: ConditionId) -> bool:
        return market in self._timers

    def later(self, market: ConditionId) -> None:
        """Try a market again after its pause, unless it waits already; the next pause is twice as long."""
        if market in self._timers:
            return
        pause = self._pauses.get(market, FIRST_RETRY_SECS)
        self._pauses[market] = min(pause * 2, LONGEST_RETRY_SECS)
        self._timers[market] = asyncio.get_running_loop().call_later(pause, self._now, market)

    def succeeded(self, market: ConditionId) -> None:
        """The next pause of a market is the first one again."""
        self._pauses.pop(market, None)

    def _now(self, market: ConditionId) -> None:
        del self._timers[market]
        self._retry(market)
