"""Why nothing may rest, for all markets or for one: reasons that are set and lifted by name."""

from __future__ import annotations

import asyncio

from mm_daemon.core.units import ConditionId


class Holds:
    """The reasons in force.

    Attributes:
        free: set while no reason is in force for all markets.
    """

    def __init__(self) -> None:
        self._everywhere: dict[str, None] = {}
        self._by_market: dict[ConditionId, dict[str, None]] = {}
        self.free = asyncio.Event()
        self.free.set()

    def of(self, market: ConditionId | None) -> tuple[str, ...]:
        """The reasons that are in force for one market alone; None: for all."""
        return tuple(self._by_market.get(market, ()) if market else self._everywhere)

    def why(self, market: ConditionId) -> str | None:
        """A reason why nothing may rest in a market, None if there is none."""
        return next(iter(self._everywhere), None) or next(iter(self._by_market.get(market, ())), None)

    def add(self, reason: str, market: ConditionId | None) -> bool:
        """Put a reason in force; returns whether it was not yet."""
        reasons = self._by_market.setdefault(market, {}) if market else self._everywhere
        if reason in reasons:
            return False
        reasons[reason] = None
        if not market:
            self.free.clear()
        return True

    def remove(self, reason: str, market: ConditionId | None) -> bool:
        """Lift a reason; returns whether it was in force."""
        reasons = self._by_market.get(market, {}) if market else self._everywhere
        if reason not in reasons:
            return False
        del reasons[reason]
        if not self._everywhere:
            self.free.set()
        return True
