"""Our own limit on orders and cancels, below the venue's, so that the venue never has to refuse a cancel.

Pure token buckets: time is an argument, in seconds of any steady clock. The venue's own count, where its answers carry
it, can only lower ours.
"""

from __future__ import annotations

from dataclasses import dataclass

STANDARD_SHARE = 0.7
"""Part of the Standard tier that we allow ourselves."""
ORDERS_PER_SEC, ORDER_BURST = 40 * STANDARD_SHARE, 60 * STANDARD_SHARE
CANCELS_PER_SEC, CANCEL_BURST = 80 * STANDARD_SHARE, 120 * STANDARD_SHARE
CANCEL_RESERVE = 30
"""Cancels that only a stop may use."""
MAX_ORDERS_PER_CALL = 15
MAX_CANCELS_PER_CALL = 100


class TokenBucket:
    """`burst` tokens at most, refilled at `rate` a second; may be overdrawn by what has to be sent anyway."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at: float | None = None
        self._closed_until = float("-inf")

    def available(self, now: float) -> int:
        """Whole tokens that may be spent now; 0 while the bucket is overdrawn or closed."""
        self._refill(now)
        return 0 if now < self._closed_until else max(int(self._tokens), 0)

    def spend(self, tokens: int, now: float) -> None:
        """Take tokens, also more than there are."""
        self._refill(now)
        self._tokens -= tokens

    def close(self, secs: float, now: float) -> None:
        """The venue said to wait: nothing is available for `secs` from now."""
        self._closed_until = max(self._closed_until, now + secs)

    def cap(self, remaining: int, now: float) -> None:
        """The venue counts `remaining` tokens (may be negative): ours are no more than that."""
        self._refill(now)
        self._tokens = min(self._tokens, float(remaining))

    def wait_secs(self, tokens: int, now: float) -> float:
        """Seconds until `tokens` will be available; 0 if they are."""
        self._refill(now)
        return max((tokens - self._tokens) / self._rate, self._closed_until - now, 0.0)

    def closed_secs(self, now: float) -> float:
        """Seconds for which the venue told us to wait still."""
        return max(self._closed_until - now, 0.0)

    def _refill(self, now: float) -> None:
        if self._at is not None and now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now if self._at is None else max(self._at, now)


@dataclass(slots=True)
class RateLimits:
    """The two buckets of one API key."""

    orders: TokenBucket
    cancels: TokenBucket
    reserve: int = CANCEL_RESERVE

    @classmethod
    def below_standard_tier(cls) -> RateLimits:
        """70 % of the tier that every account has."""
        return cls(TokenBucket(ORDERS_PER_SEC, ORDER_BURST), TokenBucket(CANCELS_PER_SEC, CANCEL_BURST))

    def order_allowance(self, now: float) -> int:
        """Orders that may be sent now in one call."""
        return min(self.orders.available(now), MAX_ORDERS_PER_CALL)

    def cancel_allowance(self, now: float, *, urgent: bool = False) -> int:
        """Cancels that may be sent now in one call; `urgent` opens the reserve."""
        kept = 0 if urgent else self.reserve
        return max(min(self.cancels.available(now) - kept, MAX_CANCELS_PER_CALL), 0)

    def bucket(self, method: str, path: str) -> TokenBucket | None:
        """The bucket that a call draws on; None for reads and all else."""
        if method == "POST" and path in ("/order", "/orders"):
            return self.orders
        return self.cancels if method == "DELETE" else None
