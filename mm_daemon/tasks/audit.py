"""The audit: our books against the venue's own over REST, one market at a time, the quiet ones first.

A feed can be open, answer every PING, and say nothing any more. Quiet alone is not wrong: a book is only distrusted
when the venue contradicts it. Where both show the same moment, our levels must give the venue's own hash; where they do
not, the best prices must agree. A contradiction counts when a second reading finds it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import structlog

from mm_daemon.core.book import book_hash
from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.events import BookSnapshot
from mm_daemon.core.units import DOLLAR, Price
from mm_daemon.exchange.api import Complete, Unavailable, Venue

TURN_SECS = 5.0
AGAIN_SECS = 1.0
QUIET_NS = 30_000_000_000

log = structlog.get_logger()


class AuditStatistics(msgspec.Struct):
    """Counts since the start."""

    hashes_equal: int = 0
    touches_equal: int = 0
    contradictions: int = 0
    distrusted: int = 0
    unavailable: int = 0


class Audit:
    """Reads one market's book every few seconds and compares.

    Args:
        desk: whose books are audited.
        venue: where the truth is read.
        distrust: called with a market whose book is wrong, and how.
        clock_ns: monotonic time.

    Attributes:
        statistics: counts since the start.
        turned_ns: monotonic time of the loop's last turn.
    """

    def __init__(
        self,
        desk: Desk,
        venue: Venue,
        distrust: Callable[[MarketState, str], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self._desk = desk
        self._venue = venue
        self._distrust = distrust
        self._clock_ns = clock_ns
        self._audited_ns: dict[str, int] = {}
        self.statistics = AuditStatistics()
        self.turned_ns = clock_ns()

    async def run(self) -> None:
        """Audit until cancelled."""
        while True:
            await asyncio.sleep(TURN_SECS)
            self.turned_ns = self._clock_ns()
            state = self._next()
            if state is None:
                continue
            wrong = await self.contradiction(state)
            if wrong is not None:
                await asyncio.sleep(AGAIN_SECS)
                wrong = await self.contradiction(state)
            if wrong is not None:
                self.statistics.distrusted += 1
                self._distrust(state, wrong)

    def _next(self) -> MarketState | None:
        """The market whose turn it is: a quiet one not audited since it fell quiet, else the longest waiting."""
        known = [state for state in self._desk.markets.values() if state.book.is_known]
        if not known:
            return None
        now_ns = self._clock_ns()

        def urgency(state: MarketState) -> tuple[bool, int]:
            audited = self._audited_ns.get(state.market.condition_id, 0)
            is_quiet = now_ns - state.book.received_ns > QUIET_NS and now_ns - audited > QUIET_NS
            return (not is_quiet, audited)

        chosen = min(known, key=urgency)
        self._audited_ns[chosen.market.condition_id] = now_ns
        return chosen

    async def contradiction(self, state: MarketState) -> str | None:
        """Read the venue's book and say what is wrong with ours; None if nothing is, or nothing can be said."""
        before_ms = state.book.time_ms
        match await self._venue.book(state.market.yes):
            case Unavailable(reason):
                self.statistics.unavailable += 1
                log.warning("audit_unavailable", market=state.market.slug, why=reason)
                return None
            case Complete(theirs):
                pass
        if not state.book.is_known:
            return None
        if theirs.time_ms == state.book.time_ms:
            wrong = None if our_hash(state, theirs) == theirs.hash else "hash"
            self.statistics.hashes_equal += wrong is None
        elif before_ms <= theirs.time_ms <= state.book.time_ms:
            return None  # our book moved on while we read
        else:
            best = (
                max((p for p, _ in theirs.bids), default=Price(0)),
                min((p for p, _ in theirs.asks), default=DOLLAR),
            )
            wrong = None if state.book.touch == best else f"touch {state.book.touch} is {best} at the venue"
            self.statistics.touches_equal += wrong is None
        self.statistics.contradictions += wrong is not None
        return wrong


def our_hash(state: MarketState, theirs: BookSnapshot) -> str:
    """The hash of our levels, with everything else as the venue tells it."""
    market, book = state.market, state.book
    return book_hash(
        market=market.condition_id,
        token=market.yes,
        time_ms=theirs.time_ms,
        bids=book.bids.best_first(),
        asks=book.asks.best_first(),
        min_size=market.min_size if theirs.min_size is None else theirs.min_size,
        tick=market.tick if theirs.tick is None else theirs.tick,
        neg_risk=market.neg_risk if theirs.neg_risk is None else theirs.neg_risk,
        last_trade=theirs.last_trade,
    )
