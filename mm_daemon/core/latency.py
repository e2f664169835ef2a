"""How long things take: histograms that cost the hot path one bisection, read by whoever shows them.

A histogram has fixed bounds, so that it never grows and two of them can be added up. Quantiles are read from it by
interpolation within a bucket, as Prometheus' `histogram_quantile` does.
"""

from __future__ import annotations

from bisect import bisect_left

import msgspec

BOUNDS_NS = tuple(
    round(secs * 1e9)
    for secs in (
        0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075,
        0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    )
)  # fmt: skip
"""Upper bounds of the buckets in nanoseconds; a last bucket holds what is longer."""


class Histogram:
    """Durations by bucket.

    Attributes:
        counts: for each bound how many were at most that long and longer than the bound before; last, the rest.
        sum_ns: of all durations.
    """

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_NS) + 1)
        self.sum_ns = 0

    def observe(self, duration_ns: int) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_NS, duration_ns)] += 1
        self.sum_ns += duration_ns

    @property
    def count(self) -> int:
        """How many durations there were."""
        return sum(self.counts)

    def quantile_ns(self, share: float) -> int | None:
        """The duration that `share` (0 to 1) of all did not exceed, in nanoseconds; None while there were none.

        Within a bucket durations are taken as spread evenly; beyond the last bound the answer is that bound.
        """
        wanted = share * self.count
        if not self.count:
            return None
        seen, lower = 0, 0
        for bound, count in zip(BOUNDS_NS, self.counts, strict=False):
            if count and seen + count >= wanted:
                return lower + round((bound - lower) * (wanted - seen) / count)
            seen, lower = seen + count, bound
        return BOUNDS_NS[-1]


class Latencies(msgspec.Struct, frozen=True):
    """What is timed between a frame's arrival and the venue's answer."""

    frame_to_order: Histogram = msgspec.field(default_factory=Histogram)
    """From the arrival of the frame that moved a quote to its order's bytes being handed to the socket."""
    frame_to_ack: Histogram = msgspec.field(default_factory=Histogram)
    """From the same frame to the venue's answer to the order."""
    order_to_ack: Histogram = msgspec.field(default_factory=Histogram)
    """From the order's bytes to the venue's answer."""
    cancel_to_ack: Histogram = msgspec.field(default_factory=Histogram)
    """From a cancel's bytes to the venue's answer."""
