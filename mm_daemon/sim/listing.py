"""What the exchange is set up with, a listed market with its book, and a private event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mm_daemon.core.market import Market
from mm_daemon.core.units import USD, Cash, ConditionId, Outcome
from mm_daemon.sim.marketdata import MarketFeed
from mm_daemon.sim.matching import OrderBook

STARTING_CASH = Cash(10_000 * USD)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRules:
    """What can be set about an exchange. Delays are in milliseconds of wall time."""

    starting_cash: Cash = STARTING_CASH
    mined_after_ms: int = 2_000
    confirmed_after_ms: int = 5_000
    tape_delay_ms: int = 100
    chain_id: int = 137
    seed: int = 1


@dataclass(frozen=True, slots=True)
class UserFrame:
    """A private event and the API key it is for."""

    owner: str
    market: ConditionId
    payload: dict[str, Any]


@dataclass(slots=True)
class MarketState:
    """A market with its book and its public view."""

    market: Market
    fee_rate: int
    book: OrderBook
    feed: MarketFeed
    winner: Outcome | None = None

    @property
    def fair(self) -> float:
        """The mid of YES in dollars, or the last trade where a side is empty."""
        bid, ask = self.feed.best(Outcome.YES)
        if bid and ask < 10_000:
            return (bid + ask) / 20_000
        return (self.feed.last_trade or 5000) / 10_000
