"""Balances: what we believe to hold against what the venue says, a few assets at a time.

While trades of an asset are on their way to the chain, or have just got there, a difference is explained. One that
stands in two readings without any fill in between is real: somebody moved money or tokens, or a fill never reached us.
The venue's word is taken, and the difference is told with both values.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import cycle

import msgspec
import structlog

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.units import Cash, ConditionId, Outcome, Size
from mm_daemon.exchange.api import Complete, Unavailable, Venue

TURN_SECS = 5.0
AGAIN_SECS = 3.0
DUST = 10_000
"""Micro-shares that rounding on the way to the chain may leave."""

log = structlog.get_logger()


class Difference(msgspec.Struct, frozen=True):
    """Something the venue knows differently: micro-dollars for "cash", micro-shares for a token."""

    kind: str
    market: str
    ours: int
    venues: int


class Balances:
    """Compares cash and one market's tokens every few seconds.

    Attributes:
        repaired: called with each difference after the venue's word was taken.
        checks, repairs: counts since the start.
        turned_ns: monotonic time of the loop's last turn.
    """

    def __init__(self, desk: Desk, venue: Venue, market_changed: Callable[[MarketState], None]) -> None:
        self._desk = desk
        self._venue = venue
        self._market_changed = market_changed
        self.repaired: Callable[[Difference], None] = lambda difference: None
        self.turned_ns = time.monotonic_ns()
        self.checks = 0
        self.repairs = 0

    async def run(self) -> None:
        """Compare until cancelled."""
        turns: Iterator[ConditionId] = cycle(list(self._desk.markets))
        while True:
            await asyncio.sleep(TURN_SECS)
            self.turned_ns = time.monotonic_ns()
            await self.check_cash()
            state = self._desk.markets[next(turns)]
            for outcome in Outcome:
                await self.check_tokens(state, outcome)

    async def check_all(self) -> None:
        """Compare everything once."""
        await self.check_cash()
        for state in self._desk.markets.values():
            for outcome in Outcome:
                await self.check_tokens(state, outcome)

    async def check_cash(self) -> None:
        """Compare our cash with the venue's and take the venue's word on a difference that stands."""
        difference = await self._cash_difference()
        if difference is None:
            return
        await asyncio.sleep(AGAIN_SECS)
        if await self._cash_difference() == difference:
            self._desk.cash = Cash(difference.venues)
            self._tell(difference)

    async def check_tokens(self, state: MarketState, outcome: Outcome) -> None:
        """The same for one token."""
        difference = await self._token_difference(state, outcome)
        if difference is None:
            return
        await asyncio.sleep(AGAIN_SECS)
        if await self._token_difference(state, outcome) == difference:
            holding = state.position.holding(outcome)
            change = difference.venues - difference.ours
            holding.settled = Size(holding.settled + change)
            holding.held = Size(holding.held + change)
            self._desk.refresh(state.market.condition_id)
            self._tell(difference)
            self._market_changed(state)

    async def _cash_difference(self) -> Difference | None:
        """How the venue's cash differs from ours now; None too where trades under way explain anything."""
        booked = self._desk.fills.booked
        match await self._venue.collateral():
            case Complete(balance):
                self.checks += 1
                if self._desk.fills.pending or booked != self._desk.fills.booked:
                    return None
                if abs(balance.amount - self._desk.cash) <= self._cash_dust():
                    return None
                return Difference("cash", "", self._desk.cash, balance.amount)
            case Unavailable(reason):
                log.warning("collateral_unavailable", why=reason)
        return None

    def _cash_dust(self) -> int:
        """Each fill may leave a micro-dollar of rounding."""
        return self._desk.fills.booked + 1

    async def _token_difference(self, state: MarketState, outcome: Outcome) -> Difference | None:
        booked = self._desk.fills.booked
        token = state.market.token(outcome)
        match await self._venue.holding(token):
            case Complete(balance):
                self.checks += 1
                settled = state.position.holding(outcome).settled
                if self._desk.fills.is_pending(token) or booked != self._desk.fills.booked:
                    return None
                if abs(balance.amount - settled) <= DUST:
                    return None
                return Difference(outcome.name, state.market.slug, settled, balance.amount)
            case Unavailable(reason):
                log.warning("holding_unavailable", market=state.market.slug, why=reason)
        return None

    def _tell(self, difference: Difference) -> None:
        self.repairs += 1
        log.error("balance_differs", **msgspec.structs.asdict(difference))
        self.repaired(difference)
