"""Histograms of durations."""

from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.latency import BOUNDS_NS, Histogram


def test_an_empty_histogram_has_no_quantile() -> None:
    """Nothing is said of durations that were never seen."""
    assert Histogram().quantile_ns(0.5) is None


def test_a_duration_on_a_bound_belongs_below_it() -> None:
    """Bounds are inclusive, as Prometheus' `le` is."""
    histogram = Histogram()
    histogram.observe(BOUNDS_NS[3])
    assert histogram.counts[3] == 1


def test_what_is_longer_than_every_bound_is_counted_and_read_as_the_last_bound() -> None:
    """A quantile never invents a duration beyond what the buckets know."""
    histogram = Histogram()
    histogram.observe(60_000_000_000)
    assert histogram.count == 1
    assert histogram.sum_ns == 60_000_000_000
    assert histogram.quantile_ns(0.99) == BOUNDS_NS[-1]


@given(st.lists(st.integers(0, 5_000_000_000), min_size=1), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(durations: list[int], share: float) -> None:
    """Interpolation is never off by more than its bucket."""
    histogram = Histogram()
    for duration in durations:
        histogram.observe(duration)
    read = histogram.quantile_ns(share)
    rank = max(0, -(-int(share * len(durations) * 10**9) // 10**9) - 1)
    true = sorted(durations)[min(rank, len(durations) - 1)]
    bounds = (0, *BOUNDS_NS)
    upper = next(bound for bound in BOUNDS_NS if true <= bound)
    lower = bounds[bounds.index(upper) - 1] if upper != BOUNDS_NS[0] else 0
    assert read is not None
    assert lower <= read <= max(upper, next((b for b in BOUNDS_NS if any(d <= b for d in durations)), upper))
