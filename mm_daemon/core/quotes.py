"""From a two-sided quote in YES prices to orders on tokens.

A strategy thinks in one book, the YES book. Here a bid becomes a BUY of YES, or a SELL of NO where we hold NO to sell,
and an ask becomes a SELL of YES, or a BUY of NO at 1 - ask. Sizes are cut to what is held and to what the limits allow.
"""

from __future__ import annotations

import msgspec

from mm_daemon.core.market import Market
from mm_daemon.core.units import (
    Cash,
    ConditionId,
    Outcome,
    Price,
    Side,
    Size,
    TokenId,
    floor_size,
    mirror,
    size_for,
)


class TwoSidedQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy wants in a market: YES prices on the grid, None for no quote on that side.

    `notional` is the dollars of each order on the token it trades.
    """

    bid: Price | None
    ask: Price | None
    notional: Cash

    def __post_init__(self) -> None:
        if self.bid is not None and self.ask is not None and self.bid >= self.ask:
            raise ValueError(f"bid {self.bid} is not below ask {self.ask}: both sides together would reach one dollar")


class Quote(msgspec.Struct, frozen=True):
    """One order that should rest; `direction` is its side on the YES axis."""

    direction: Side
    token: TokenId
    side: Side
    price: Price
    size: Size

    @property
    def yes_price(self) -> Price:
        """Its price on the YES axis."""
        return self.price if self.side is self.direction else mirror(self.price)


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """What should rest in a market from now on. Empty `quotes`: nothing, and `why` says why not."""

    market: ConditionId
    quotes: tuple[Quote, ...]
    why: str
    made_ns: int
    arrived_ns: int = 0
    """When the frame that led to it came in; 0: it was no frame."""
    quote: TwoSidedQuote | None = None
    """What it was made from, to tell what may be wanted next; None: nothing, or nobody can tell."""
    replace_bids_before_ns: int = 0
    """Bids made before this time are replaced even where their price is right."""
    replace_asks_before_ns: int = 0
    """The same for asks."""

    def replace_before_ns(self, direction: Side) -> int:
        """Orders of this direction made before this time are replaced."""
        return self.replace_bids_before_ns if direction is Side.BUY else self.replace_asks_before_ns


class Room(msgspec.Struct, frozen=True):
    """What the quotes of one market may use: sizes the limits leave on each side, and tokens free to sell."""

    buy: Size
    sell: Size
    free_yes: Size
    free_no: Size


def route(market: Market, direction: Side, yes_price: Price, notional: Cash, room: Room) -> Quote | str:
    """Turn one side of a quote into the order that makes it.

    Returns:
        The order, or the reason why there is none: "limit" (no room) or "below_min_size".
    """
    is_bid = direction is Side.BUY
    sellable = Outcome.NO if is_bid else Outcome.YES
    free, limit = (room.free_no, room.buy) if is_bid else (room.free_yes, room.sell)
    if free >= market.min_size:
        outcome, side = sellable, Side.SELL
    else:
        outcome, side, free = sellable.other, Side.BUY, limit
    price = mirror(yes_price) if outcome else yes_price
    wanted = size_for(notional, price)
    size = floor_size(min(wanted, free, limit))
    if size < market.min_size or size == 0:
        return "limit" if limit < min(wanted, market.min_size) else "below_min_size"
    return Quote(direction, market.token(outcome), side, price, size)


def quotes_for(market: Market, quote: TwoSidedQuote, room: Room) -> tuple[tuple[Quote, ...], dict[Side, str]]:
    """The orders that make a two-sided quote, and for each side without one the reason."""
    quotes: list[Quote] = []
    missing: dict[Side, str] = {}
    for direction, yes_price in ((Side.BUY, quote.bid), (Side.SELL, quote.ask)):
        made = "not_quoted" if yes_price is None else route(market, direction, yes_price, quote.notional, room)
        if isinstance(made, Quote):
            quotes.append(made)
        else:
            missing[direction] = made
    return tuple(quotes), missing
