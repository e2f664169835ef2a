"""Frames of the market channel and the book of a read, as typed structs, and what they become in our integers.

Level order is never trusted: documents and recordings disagree about it.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated

import msgspec

from mm_daemon.core.events import (
    BookSnapshot,
    LastTrade,
    Level,
    LevelChanged,
    LevelsChanged,
    MarketResolved,
    NewMarket,
    TickChanged,
    TopOfBook,
)
from mm_daemon.core.units import DOLLAR, ConditionId, Price, Side, Size, TokenId, parse_price, parse_size
from mm_daemon.exchange.polymarket.wire import moment_ms, optional_price, optional_size, price_of, side_of, size_of

_NONE = msgspec.Raw(b"null")
_PRICES_KEPT = 20_000
_SIZES_KEPT = 2_000

_prices: dict[str, Price] = {}
_sizes: dict[str, Size] = {}
_SIDES = {side.name: side for side in Side}


def cached_price(text: str) -> Price:
    """`parse_price` that remembers the few thousand spellings there are.

    Raises:
        ValueError: not a price.
    """
    price = _prices.get(text)
    if price is None:
        price = parse_price(text)
        if len(_prices) < _PRICES_KEPT:
            _prices[text] = price
    return price


def cached_size(text: str) -> Size:
    """`parse_size` that remembers the first spellings it sees: people like round sizes, and zero comes all the time.

    Raises:
        ValueError: not a size.
    """
    size = _sizes.get(text)
    if size is None:
        size = parse_size(text)
        if len(_sizes) < _SIZES_KEPT:
            _sizes[text] = size
    return size


class LevelBody(msgspec.Struct, gc=False):
    """One level of a book."""

    price: str
    size: str


class BookBody(msgspec.Struct, gc=False):
    """A token's book: the answer of GET /book, and the `book` frame but for its type."""

    asset_id: str
    market: str = ""
    timestamp: str | int = ""
    hash: str = ""
    bids: list[LevelBody] = []
    asks: list[LevelBody] = []
    tick_size: msgspec.Raw = _NONE
    min_order_size: msgspec.Raw = _NONE
    neg_risk: bool | None = None
    last_trade_price: msgspec.Raw = _NONE


class BookFrame(BookBody, tag_field="event_type", tag="book", gc=False):
    """The whole book of one token."""


class ChangeBody(msgspec.Struct, gc=False):
    """One level's new total."""

    asset_id: TokenId
    price: str
    size: str
    side: str
    best_bid: str | None = None
    best_ask: str | None = None


class PriceChangeFrame(msgspec.Struct, tag_field="event_type", tag="price_change", gc=False):
    """Levels that changed, of both tokens of a market."""

    price_changes: list[ChangeBody]
    market: ConditionId = ConditionId("")
    timestamp: str | int = ""


class UsualChangeFrame(PriceChangeFrame, tag_field="event_type", tag="price_change", kw_only=True, gc=False):
    """The same with its time as the venue writes it; to be decoded with `strict=False`, which reads "1" as 1."""

    timestamp: Annotated[int, msgspec.Meta(ge=10**12, lt=10**13)]


class LastTradeFrame(msgspec.Struct, tag_field="event_type", tag="last_trade_price", gc=False):
    """A trade; `side` is the taker's."""

    asset_id: str
    price: msgspec.Raw
    side: str
    market: str = ""
    size: msgspec.Raw = _NONE
    timestamp: str | int = ""


class TickSizeFrame(msgspec.Struct, tag_field="event_type", tag="tick_size_change", gc=False):
    """A market's new price grid."""

    asset_id: str
    new_tick_size: msgspec.Raw
    market: str = ""
    timestamp: str | int = ""


class BestFrame(msgspec.Struct, tag_field="event_type", tag="best_bid_ask", gc=False):
    """The venue's own touch."""

    asset_id: str
    best_bid: str
    best_ask: str
    market: str = ""
    timestamp: str | int = ""


class ResolvedFrame(msgspec.Struct, tag_field="event_type", tag="market_resolved", gc=False):
    """A market's outcome."""

    market: str
    assets_ids: list[str] = []
    winning_asset_id: str = ""
    timestamp: str | int = ""


class NewMarketFrame(msgspec.Struct, tag_field="event_type", tag="new_market", gc=False):
    """A market that opened, any market."""

    market: str
    slug: str = ""
    timestamp: str | int = ""


MarketFrame = BookFrame | PriceChangeFrame | LastTradeFrame | TickSizeFrame | BestFrame | ResolvedFrame | NewMarketFrame


def _time(timestamp: str | int) -> int:
    if isinstance(timestamp, str) and len(timestamp) == 13 and timestamp.isascii() and timestamp.isdecimal():
        return int(timestamp)
    return moment_ms(timestamp if isinstance(timestamp, str) else str(timestamp))


def _levels(bodies: list[LevelBody]) -> list[Level]:
    return [(cached_price(body.price), cached_size(body.size)) for body in bodies]


def book_snapshot(body: BookBody) -> BookSnapshot:
    """A whole book.

    Raises:
        ValueError: a number in it cannot be read.
    """
    return BookSnapshot(
        ConditionId(body.market),
        TokenId(body.asset_id),
        _time(body.timestamp),
        _levels(body.bids),
        _levels(body.asks),
        body.hash,
        optional_price(body.tick_size),
        optional_size(body.min_order_size),
        body.neg_risk,
        optional_price(body.last_trade_price),
    )


def levels_changed(frame: PriceChangeFrame, wanted: Container[TokenId]) -> LevelsChanged | None:
    """The changed levels of the tokens that are `wanted`; None if there are none.

    Nearly every frame comes by here, so a look into a dictionary stands where a call would be shorter.

    Raises:
        ValueError: a number in it cannot be read.
    """
    changes = []
    for body in frame.price_changes:
        if body.asset_id not in wanted:
            continue
        side, size = _SIDES.get(body.side), _sizes.get(body.size)
        bid, ask = body.best_bid, body.best_ask
        best_bid = (_prices.get(bid) or cached_price(bid)) if bid else None
        best_ask = (_prices.get(ask) or cached_price(ask) or DOLLAR) if ask else None
        changes.append(
            LevelChanged(
                body.asset_id,
                side_of(body.side) if side is None else side,
                _prices.get(body.price) or cached_price(body.price),
                cached_size(body.size) if size is None else size,
                best_bid,
                best_ask,
            )
        )
    if not changes:
        return None
    time_ms = frame.timestamp if isinstance(frame, UsualChangeFrame) else _time(frame.timestamp)
    return LevelsChanged(frame.market, time_ms, changes)


def last_trade(frame: LastTradeFrame) -> LastTrade:
    """A trade on the tape; size 0 where the frame names none.

    Raises:
        ValueError: a number in it cannot be read.
    """
    size = size_of(frame.size) if frame.size != _NONE else parse_size("0")
    return LastTrade(
        ConditionId(frame.market),
        TokenId(frame.asset_id),
        _time(frame.timestamp),
        price_of(frame.price),
        side_of(frame.side),
        size,
    )


def tick_changed(frame: TickSizeFrame) -> TickChanged:
    """A new price grid.

    Raises:
        ValueError: the tick cannot be read.
    """
    tick = price_of(frame.new_tick_size)
    return TickChanged(ConditionId(frame.market), TokenId(frame.asset_id), _time(frame.timestamp), tick)


def top_of_book(frame: BestFrame) -> TopOfBook:
    """The venue's touch; an empty side is 0 for bids and one dollar for asks, as in our own books.

    Raises:
        ValueError: a price cannot be read.
    """
    return TopOfBook(
        ConditionId(frame.market),
        TokenId(frame.asset_id),
        _time(frame.timestamp),
        cached_price(frame.best_bid) if frame.best_bid else Price(0),
        (cached_price(frame.best_ask) if frame.best_ask else Price(0)) or DOLLAR,
    )


def market_resolved(frame: ResolvedFrame) -> MarketResolved:
    """The outcome of a market."""
    return MarketResolved(ConditionId(frame.market), _time(frame.timestamp), TokenId(frame.winning_asset_id))


def new_market(frame: NewMarketFrame) -> NewMarket:
    """A market that opened."""
    return NewMarket(ConditionId(frame.market), frame.slug, _time(frame.timestamp))
