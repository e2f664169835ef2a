"""Orders signed before they are wanted: a signature is the longest piece of work between a frame and its order.

It takes 45 us in a row, and more than twice that when the processor has long done other things. Each of these is used
once, because its salt makes its id, and only while it is young: its timestamp is signed too.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mm_daemon.core.units import Price, Side, Size, TokenId
from mm_daemon.exchange.api import SignedOrder

LONGEST_KEPT_SECS = 10.0
"""What the venue says to an old timestamp is not known; clocks that are off by as much it has to bear anyway."""
RENEWED_AFTER_SECS = 4.0
"""Below the default interval at which each market is looked at."""
MOST_KEPT = 480
"""A bound, twice what the markets that are served at a time have: what others had may still stand."""


class Terms(msgspec.Struct, frozen=True, gc=False):
    """What an order says: two orders of the same terms serve equally."""

    token: TokenId
    side: Side
    price: Price
    size: Size
    neg_risk: bool


class SignedAhead:
    """A bounded stock of signed orders, none older than `LONGEST_KEPT_SECS`.

    Args:
        unix_secs: the wall clock that is signed into orders; one that is set back makes them all too old as well.
    """

    def __init__(self, unix_secs: Callable[[], float]) -> None:
        self._unix_secs = unix_secs
        self._kept: dict[Terms, tuple[SignedOrder, float]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, terms: Terms) -> SignedOrder | None:
        """An order of these terms, which is nobody else's from now on; None if there is none, or it is too old."""
        kept = self._kept.pop(terms, None)
        if kept is None or not 0 <= self._unix_secs() - kept[1] <= LONGEST_KEPT_SECS:
            return None
        return kept[0]

    def wants(self, terms: Terms) -> bool:
        """Whether an order of these terms should be signed: none is there that stays young, and there is room."""
        now = self._unix_secs()
        kept = self._kept.get(terms)
        if kept is not None:
            return not 0 <= now - kept[1] <= RENEWED_AFTER_SECS
        self._drop_old(now)
        return len(self._kept) < MOST_KEPT

    def keep(self, terms: Terms, order: SignedOrder) -> None:
        """Take in an order that was signed just now, in the place of an older one."""
        self._kept.pop(terms, None)  # so that the dictionary is in the order of age
        self._kept[terms] = (order, self._unix_secs())

    def clear(self) -> None:
        """Forget all: they name an API key that is not ours any more."""
        self._kept.clear()

    def _drop_old(self, now: float) -> None:
        while self._kept:
            terms = next(iter(self._kept))
            if 0 <= now - self._kept[terms][1] <= LONGEST_KEPT_SECS:
                return
            del self._kept[terms]
