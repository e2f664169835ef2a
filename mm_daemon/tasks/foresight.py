"""What the next quotes may be, signed while there is time: those that stand, and one tick up and down.

A mid hardly ever moves further at once. What comes otherwise is signed when it is wanted, as if this were not there.
"""

from __future__ import annotations

import asyncio
from collections import deque

from mm_daemon.core.desk import Desk
from mm_daemon.core.market import Market
from mm_daemon.core.quotes import Desired, Quote, TwoSidedQuote, quotes_for
from mm_daemon.core.units import ConditionId, Price
from mm_daemon.exchange.api import Venue

AFTER_SECS = 0.02
"""How long what was just sent has the loop for itself: its answers come first."""
MOST_MARKETS = 40
"""So many that renewing their orders costs little beside everything else."""


class Foresight:
    """Has orders signed ahead, one in each turn of the loop, so that no frame waits for more than one signature.

    Where there are more markets than `MOST_MARKETS`, those whose mid moved last are served.
    """

    def __init__(self, desk: Desk, venue: Venue) -> None:
        self._desk = desk
        self._venue = venue
        self._wishes: dict[ConditionId, Desired] = {}
        self._served: dict[ConditionId, Desired] = {}
        self._quotes: deque[tuple[Market, Quote]] = deque()
        self._is_due = False

    def expect(self, wish: Desired) -> None:
        """A market wants this now: what it may want next is signed a little later, once for each wish."""
        if wish.quote is None or not self._take_up(wish):
            return
        self._wishes[wish.market] = wish
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(AFTER_SECS, self._take_a_step)

    def _take_up(self, wish: Desired) -> bool:
        """Put a wish in the place of its market's last one; False if it is the same, or its market is not served.

        Where there is no more room, a market that a frame has moved takes the place of the one moved the longest ago.
        """
        served, market = self._served, wish.market
        if served.get(market) is wish:
            return False
        if market not in served and len(served) >= MOST_MARKETS and not wish.arrived_ns:
            return False
        if wish.arrived_ns:
            served.pop(market, None)  # so that the dictionary is in the order of moves
        served[market] = wish
        if len(served) > MOST_MARKETS:
            del served[next(iter(served))]
        return True

    def _take_a_step(self) -> None:
        if self._quotes:
            market, quote = self._quotes.popleft()
            self._venue.sign_ahead(market, quote.token, quote.side, quote.price, quote.size)
        elif self._wishes:
            self._quotes.extend(self._next_quotes(self._wishes.pop(next(iter(self._wishes)))))
        else:
            self._is_due = False
            return
        asyncio.get_running_loop().call_soon(self._take_a_step)

    def _next_quotes(self, wish: Desired) -> list[tuple[Market, Quote]]:
        """With the market as it is now: its grid may be another one when they are signed."""
        assert wish.quote is not None
        state = self._desk.markets[wish.market]
        market, room = state.market, self._desk.room(state)
        return [
            (market, quote)
            for ticks in (0, 1, -1)
            for quote in quotes_for(market, _shifted(wish.quote, ticks, market), room)[0]
        ]


def _shifted(quote: TwoSidedQuote, ticks: int, market: Market) -> TwoSidedQuote:
    """The quote some ticks up or down; a side that would leave the grid is left out."""

    def moved(price: Price | None) -> Price | None:
        if price is None:
            return None
        there = Price(price + ticks * market.tick)
        return there if market.is_on_grid(there) else None

    return TwoSidedQuote(bid=moved(quote.bid), ask=moved(quote.ask), notional=quote.notional)
