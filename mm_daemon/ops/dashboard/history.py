"""What the charts draw: a sample every two seconds, fifteen minutes deep, in arrays that never grow.

A market costs 14 bytes a sample, so 1,000 markets are about 6 MB; sampling one is a handful of attribute reads.
"""

from __future__ import annotations

from array import array

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.units import Cash, ConditionId, Side

SAMPLE_SECS = 2.0
DEPTH = 450
"""Samples kept: fifteen minutes."""


class _Lines:
    """One market's lines: mid in 1/20,000 dollar, our quotes in 1/10,000 (0: there was none), net in micro-shares."""

    __slots__ = ("asks", "bids", "mids", "nets")

    def __init__(self, depth: int) -> None:
        self.mids, self.bids, self.asks = (array("H", bytes(2 * depth)) for _ in range(3))
        self.nets = array("q", bytes(8 * depth))


def our_quotes(desk: Desk, state: MarketState) -> tuple[int, int]:
    """Our best bid and ask that may rest, on the YES axis in 1/10,000 dollar; 0 where there is none."""
    bid = ask = 0
    for order in desk.orders.working(state.market.condition_id):
        if order.may_rest:
            price = order.yes_price
            if order.direction is Side.BUY:
                bid = max(bid, price)
            else:
                ask = min(ask or price, price)
    return bid, ask


class History:
    """Samples of every market and of the totals, on one time axis.

    A round is `sample` for each market, then `end`; the loop may turn in between, and readers see whole rounds only.

    Attributes:
        number: rounds finished since the start.
    """

    def __init__(self, depth: int = DEPTH) -> None:
        self._depth = depth + 1  # one slot is being written while the others are read
        self._times = array("q", bytes(8 * self._depth))
        self._pnl, self._exposure = (array("q", bytes(8 * self._depth)) for _ in range(2))
        self._lines: dict[ConditionId, _Lines] = {}
        self.number = 0

    def sample(self, desk: Desk, state: MarketState) -> None:
        """Take a market's sample of the round under way."""
        lines = self._lines.get(state.market.condition_id)
        if lines is None:
            lines = self._lines[state.market.condition_id] = _Lines(self._depth)
        slot = self.number % self._depth
        lines.mids[slot] = state.twice_mid if state.twice_mid and state.book.is_known else 0
        lines.bids[slot], lines.asks[slot] = our_quotes(desk, state)
        lines.nets[slot] = state.position.net

    def end(self, time_ms: int, pnl: Cash, exposure: Cash) -> None:
        """Finish the round: its time in unix ms, and the totals in micro-dollars."""
        slot = self.number % self._depth
        self._times[slot], self._pnl[slot], self._exposure[slot] = time_ms, pnl, exposure
        self.number += 1

    def totals(self, last: int | None = None) -> dict[str, list[int]]:
        """Times in unix ms with profit and exposure in micro-dollars, oldest first; of the `last` rounds, or all."""
        return self._read(last, times=self._times, pnl=self._pnl, exposure=self._exposure)

    def market(self, id: ConditionId, last: int | None = None) -> dict[str, list[int]]:
        """A market's lines with their times, oldest first; of the `last` rounds, or all. Empty before its first."""
        lines = self._lines.get(id)
        if lines is None:
            return {name: [] for name in ("times", "mids", "bids", "asks", "nets")}
        return self._read(last, times=self._times, mids=lines.mids, bids=lines.bids, asks=lines.asks, nets=lines.nets)

    def _read(self, last: int | None, **lines: array[int]) -> dict[str, list[int]]:
        kept = min(self.number, self._depth - 1)
        count = kept if last is None else min(last, kept)
        start = (self.number - count) % self._depth
        stop = start + count
        return {name: (line[start:stop] + line[: max(stop - self._depth, 0)]).tolist() for name, line in lines.items()}
