"""What we know of a market: its two tokens, its price grid, its smallest order and whether it trades."""

from __future__ import annotations

from enum import Enum

import msgspec

from mm_daemon.core.units import DOLLAR, ConditionId, Outcome, Price, Side, Size, TokenId

TICKS = frozenset(Price(tick) for tick in (1000, 100, 50, 25, 10, 1))
"""The venue's tick sizes: 0.1, 0.01, 0.005, 0.0025, 0.001 and 0.0001."""


class MarketStatus(Enum):
    """Whether orders are taken; anything but OPEN means no quotes, and the value is the reason shown."""

    OPEN = "open"
    NOT_ACCEPTING = "not_accepting_orders"
    CLOSED = "closed"
    RESOLVED = "resolved"


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One binary market as the venue lists it. Immutable: a change of tick or status is a new value.

    `tick` is the price grid in 1/10,000 dollar, `min_size` the smallest resting order in micro-shares, `neg_risk`
    decides which contract an order is signed for, `event_id` groups the markets of one neg-risk event ("" for none).
    """

    condition_id: ConditionId
    slug: str
    question: str
    yes: TokenId
    no: TokenId
    tick: Price
    min_size: Size
    neg_risk: bool
    status: MarketStatus = MarketStatus.OPEN
    event_id: str = ""
    end_secs: int = 0
    """When the market ends or its game starts, in unix seconds; 0 where the venue names no time."""

    def __post_init__(self) -> None:
        if self.tick not in TICKS:
            raise ValueError(f"market {self.slug}: unknown tick size {self.tick}/10000")
        if self.yes == self.no:
            raise ValueError(f"market {self.slug}: both outcomes have the same token id")

    @property
    def tokens(self) -> tuple[TokenId, TokenId]:
        """(YES, NO), indexed by `Outcome`."""
        return (self.yes, self.no)

    def token(self, outcome: Outcome) -> TokenId:
        """The token id of `outcome`."""
        return self.no if outcome else self.yes

    def outcome(self, token: TokenId) -> Outcome:
        """Which outcome `token` is.

        Raises:
            KeyError: the token is not of this market.
        """
        if token == self.yes:
            return Outcome.YES
        if token == self.no:
            return Outcome.NO
        raise KeyError(token)

    @property
    def lowest(self) -> Price:
        """The lowest price an order may have: one tick."""
        return self.tick

    @property
    def highest(self) -> Price:
        """The highest price an order may have: one dollar less one tick."""
        return Price(DOLLAR - self.tick)

    def is_on_grid(self, price: Price) -> bool:
        """Whether an order may have this price: a multiple of the tick, within [tick, 1 - tick]."""
        tick = self.tick
        return tick <= price <= DOLLAR - tick and price % tick == 0


def direction(outcome: Outcome, side: Side) -> Side:
    """What an order does to the YES position: BUY for buying YES or selling NO, SELL for the two others."""
    return side if outcome is Outcome.YES else side.opposite
