"""Rate limits: never more than the bucket holds, cancels kept back for a stop, the venue's word obeyed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.exchange.polymarket.throttle import CANCEL_RESERVE, RateLimits, TokenBucket


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 60)), max_size=60))
def test_never_more_than_rate_and_burst(steps: list[tuple[float, int]]) -> None:
    """Whoever spends only what is available spends at most burst + rate x time."""
    bucket, now, spent = TokenBucket(28, 42), 100.0, 0
    for pause, wanted in steps:
        now += pause
        granted = min(wanted, bucket.available(now))
        bucket.spend(granted, now)
        spent += granted
        assert spent <= 42 + 28 * (now - 100.0) + 1e-6


def test_limits_start_at_seventy_percent_of_the_standard_tier() -> None:
    """28 orders a second after a burst of 42, at most 15 a call; 56 cancels after a burst of 84."""
    limits = RateLimits.below_standard_tier()
    assert limits.order_allowance(0) == 15
    limits.orders.spend(42, 0)
    assert limits.order_allowance(0) == 0
    assert limits.order_allowance(0.5) == 14
    assert limits.cancel_allowance(0, urgent=True) == 84
    assert limits.cancel_allowance(0) == 84 - CANCEL_RESERVE


def test_a_stop_may_use_the_reserve() -> None:
    """Routine cancels end at the reserve, urgent ones go on; overdrawing delays both."""
    limits = RateLimits.below_standard_tier()
    limits.cancels.spend(84 - CANCEL_RESERVE, 0)
    assert limits.cancel_allowance(0) == 0
    assert limits.cancel_allowance(0, urgent=True) == CANCEL_RESERVE
    limits.cancels.spend(CANCEL_RESERVE + 56, 0)
    assert limits.cancel_allowance(0.9, urgent=True) == 0
    assert limits.cancel_allowance(1.5, urgent=True) == 28


def test_the_venues_count_only_lowers_ours() -> None:
    """A lower count of the venue replaces ours, also a negative one; a higher one does not."""
    bucket = TokenBucket(10, 20)
    bucket.cap(50, 0)
    assert bucket.available(0) == 20
    bucket.cap(-10, 0)
    assert bucket.available(0.5) == 0
    assert bucket.available(1.5) == 5


def test_a_closed_bucket_opens_after_the_wait() -> None:
    """Retry-After closes the bucket for its time, and a shorter one later does not shorten it."""
    bucket = TokenBucket(10, 20)
    bucket.close(5, 100)
    bucket.close(1, 101)
    assert bucket.available(104.9) == 0
    assert round(bucket.wait_secs(1, 104), 6) == 1
    assert bucket.available(105) == 20
    assert bucket.closed_secs(200) == 0


def test_time_that_stands_still_or_runs_back_gives_nothing() -> None:
    """A clock that does not advance refills nothing and a step back does no harm."""
    bucket = TokenBucket(10, 20)
    bucket.spend(20, 100)
    assert bucket.available(90) == 0
    assert bucket.available(100) == 0
    assert bucket.available(101) == 10


def test_calls_draw_on_their_bucket() -> None:
    """Placements and cancels have their own buckets, reads have none."""
    limits = RateLimits.below_standard_tier()
    assert limits.bucket("POST", "/orders") is limits.orders
    assert limits.bucket("DELETE", "/orders") is limits.cancels
    assert limits.bucket("DELETE", "/cancel-all") is limits.cancels
    assert limits.bucket("GET", "/data/orders") is None
    assert limits.bucket("POST", "/v1/heartbeats") is None
