"""How long orders and cancels take, read from clocks at the two ends and counted when the answer is in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mm_daemon.core.latency import Latencies
from mm_daemon.core.quotes import Desired
from mm_daemon.core.units import ConditionId, Side
from mm_daemon.exchange.api import AnswerLost, CancelOutcome, Placement


class Sent(NamedTuple):
    """One request's orders: when each one's frame came in, 0 where there was none, and when its bytes left."""

    arrivals_ns: Sequence[int]
    sent_ns: int


class Stopwatch:
    """Fills the histograms.

    Attributes:
        latencies: what was counted so far.
    """

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._answered: dict[tuple[ConditionId, Side], int] = {}
        self.latencies = Latencies()

    def arrival_ns(self, wish: Desired, direction: Side) -> int:
        """When the frame came in that an order of this wish goes back to.

        0 for no frame, and for a second order from the same wish on the same side: that one replaces an order which
        went away later, and goes back to no frame.
        """
        if not wish.arrived_ns:
            return 0
        side = (wish.market, direction)
        is_second = self._answered.get(side) == wish.made_ns
        self._answered[side] = wish.made_ns
        return 0 if is_second else wish.arrived_ns

    def placed(self, sent: Sent, verdicts: Sequence[Placement]) -> None:
        """The answer to orders is in; for those whose answer was lost only their sending is counted."""
        now_ns, took = self._clock_ns(), self.latencies
        for arrived_ns, verdict in zip(sent.arrivals_ns, verdicts, strict=False):
            if arrived_ns:
                took.frame_to_order.observe(sent.sent_ns - arrived_ns)
            if isinstance(verdict, AnswerLost):
                continue
            took.order_to_ack.observe(now_ns - sent.sent_ns)
            if arrived_ns:
                took.frame_to_ack.observe(now_ns - arrived_ns)

    def cancelled(self, sent_ns: int, outcomes: Iterable[CancelOutcome]) -> None:
        """The answer to one request of cancels is in, unless it was lost."""
        if CancelOutcome.ANSWER_LOST not in outcomes:
            self.latencies.cancel_to_ack.observe(self._clock_ns() - sent_ns)
