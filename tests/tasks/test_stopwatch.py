"""The stopwatch: what is counted when orders and cancels are answered, and what is not."""

from __future__ import annotations

from mm_daemon.core.quotes import Desired
from mm_daemon.core.units import Side
from mm_daemon.exchange.api import Accepted, AnswerLost, CancelOutcome
from mm_daemon.tasks.stopwatch import Sent, Stopwatch

from ..given import a_market, order_id
from .fakes import Clock

MS = 1_000_000


def a_wish(arrived_ns: int, made_ns: int = 1) -> Desired:
    """A wish for nothing in particular, after a frame that came in then."""
    id = a_market().condition_id
    return Desired(market=id, quotes=(), why="test", made_ns=made_ns, arrived_ns=arrived_ns)


def test_an_answered_order_is_timed_from_its_frame_and_from_its_bytes() -> None:
    """Frame to bytes, bytes to answer, frame to answer; an order that no frame led to has only the second."""
    clock = Clock()
    watch = Stopwatch(clock)
    clock.now_ns = 10 * MS
    watch.placed(Sent([4 * MS, 0], 6 * MS), [Accepted(order_id(1)), Accepted(order_id(2))])
    took = watch.latencies
    assert (took.frame_to_order.count, took.frame_to_order.sum_ns) == (1, 2 * MS)
    assert (took.order_to_ack.count, took.order_to_ack.sum_ns) == (2, 8 * MS)
    assert (took.frame_to_ack.count, took.frame_to_ack.sum_ns) == (1, 6 * MS)


def test_a_lost_answer_is_no_answer() -> None:
    """Its bytes left and are counted; how long nothing came says nothing about the venue."""
    watch = Stopwatch(Clock())
    watch.placed(Sent([4 * MS], 6 * MS), [AnswerLost(order_id(1), "timeout")])
    watch.cancelled(6 * MS, [CancelOutcome.CANCELLED, CancelOutcome.ANSWER_LOST])
    took = watch.latencies
    counts = (took.frame_to_order.count, took.order_to_ack.count, took.frame_to_ack.count, took.cancel_to_ack.count)
    assert counts == (1, 0, 0, 0)
    watch.cancelled(6 * MS, [CancelOutcome.CANCELLED, CancelOutcome.NOT_CANCELLED])
    assert took.cancel_to_ack.count == 1


def test_a_wish_goes_back_to_its_frame_once_for_each_side() -> None:
    """An order that replaces one which went away later was not caused by the frame of long ago."""
    watch = Stopwatch(Clock())
    wish = a_wish(arrived_ns=5)
    assert [watch.arrival_ns(wish, side) for side in (Side.BUY, Side.SELL, Side.BUY)] == [5, 5, 0]
    assert watch.arrival_ns(a_wish(arrived_ns=7, made_ns=2), Side.BUY) == 7
    assert watch.arrival_ns(a_wish(arrived_ns=0, made_ns=3), Side.BUY) == 0
