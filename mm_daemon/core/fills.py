"""Fills and their way to settlement, booked once and reversed at most once whatever messages come.

A fill is named by (trade id, order id). Its messages come in any order, doubled, or with steps left out; the state only
moves forward along the table, and each move says what inventory has to do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum, auto

import msgspec

from mm_daemon.core.events import Fill, TradeStatus
from mm_daemon.core.units import OrderId, TokenId


class Step(Enum):
    """What a message about a fill makes inventory do."""

    NOTHING = auto()
    BOOK = auto()
    """First sight: the position changes, provisionally."""
    BOOK_SETTLED = auto()
    """First sight and already on chain."""
    SETTLE = auto()
    """A booked fill reached the chain: its tokens can be sold."""
    REVERSE = auto()
    """A booked fill failed for good: the position goes back."""
    VOID = auto()
    """First sight and already failed: nothing is booked, but that part of the order is gone all the same."""


_T = TradeStatus

STEPS: Mapping[TradeStatus | None, Mapping[TradeStatus, Step]] = {
    None: {
        _T.MATCHED: Step.BOOK,
        _T.RETRYING: Step.BOOK,
        _T.MINED: Step.BOOK,
        _T.CONFIRMED: Step.BOOK_SETTLED,
        _T.FAILED: Step.VOID,
    },
    _T.MATCHED: {_T.RETRYING: Step.NOTHING, _T.MINED: Step.NOTHING, _T.CONFIRMED: Step.SETTLE, _T.FAILED: Step.REVERSE},
    _T.RETRYING: {_T.MINED: Step.NOTHING, _T.CONFIRMED: Step.SETTLE, _T.FAILED: Step.REVERSE},
    _T.MINED: {_T.CONFIRMED: Step.SETTLE, _T.FAILED: Step.REVERSE},
    # The two ends: whatever comes after them is late.
    _T.CONFIRMED: {},
    _T.FAILED: {},
}
"""What moving a fill from one known status (None: never seen) to a told one does; pairs not here are late news."""


class FillRecord(msgspec.Struct):
    """A fill and the furthest status told for it."""

    fill: Fill
    status: TradeStatus


class FillBook:
    """Every fill we heard of. Settled and failed ones are remembered up to a bound, pending ones always."""

    def __init__(self, remember: int = 10_000) -> None:
        self._pending: dict[tuple[str, OrderId], FillRecord] = {}
        self._ended: OrderedDict[tuple[str, OrderId], FillRecord] = OrderedDict()
        self._remember = remember
        self.booked = 0

    def receive(self, fill: Fill, status: TradeStatus) -> Step:
        """Take one message about a fill and say what it changes."""
        record = self._pending.get(fill.key) or self._ended.get(fill.key)
        step = STEPS[record.status if record else None].get(status)
        if step is None:
            return Step.NOTHING
        if step in (Step.BOOK, Step.BOOK_SETTLED):
            self.booked += 1
        if record is None:
            record = FillRecord(fill, status)
            self._pending[fill.key] = record
        record.status = status
        if not STEPS[status]:
            self._ended[fill.key] = self._pending.pop(fill.key)
            if len(self._ended) > self._remember:
                self._ended.popitem(last=False)
        return step

    def status(self, key: tuple[str, OrderId]) -> TradeStatus | None:
        """The furthest status told for a fill, None if never heard of."""
        record = self._pending.get(key) or self._ended.get(key)
        return record.status if record else None

    def is_pending(self, token: TokenId) -> bool:
        """Whether a fill of this token is on its way to the chain."""
        return any(record.fill.token == token for record in self._pending.values())

    def oldest_pending_ms(self) -> int | None:
        """When the oldest fill that is still on its way to the chain was matched, in the venue's time."""
        return min((record.fill.time_ms for record in self._pending.values() if record.fill.time_ms), default=None)

    @property
    def pending(self) -> int:
        """How many fills are on their way to the chain."""
        return len(self._pending)
