"""What the market channel shows of a book: levels in hundredths of a share, mirrored for NO, with frames and hashes.

One operation on the book is one batch: its frames share a timestamp and, token by token, the hash of the book as it is
after all of them. The last trade price belongs to the market, not to a token: both books carry the price of the token
that traded last, as recorded books do.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mm_daemon.core.market import Market
from mm_daemon.core.units import (
    DOLLAR,
    SIZE_STEP,
    Outcome,
    Price,
    Side,
    Size,
    TokenId,
    format_fixed,
    format_price,
    format_size,
    mirror,
)
from mm_daemon.sim.hashing import BookText, last_trade_text, price_text
from mm_daemon.sim.model import Trade

Frame = dict[str, Any]

NO_SIZE = "0"
"""A level that is gone."""


@dataclass(frozen=True, slots=True)
class MarketFrame:
    """A frame and who gets it: subscribers of any of `tokens`, or everybody if `tokens` is empty."""

    tokens: tuple[TokenId, ...]
    payload: Frame
    custom_only: bool = False


@dataclass(frozen=True, slots=True)
class LevelChange:
    """A level of the YES axis and its new total."""

    side: Side
    price: Price
    size: Size


class MarketFeed:
    """The public view of one market's book."""

    def __init__(self, market: Market, now_ms: int, last_trade: Price | None) -> None:
        self.market = market
        self.time_ms = now_ms
        self.last_trade = last_trade
        self.last_side = ""
        self._sizes: dict[Side, dict[Price, str]] = {Side.BUY: {}, Side.SELL: {}}
        self._prices: dict[Side, list[Price]] = {Side.BUY: [], Side.SELL: []}

    def best(self, outcome: Outcome) -> tuple[Price, Price]:
        """Best bid and ask of a token; 0 and 10,000 for an empty side."""
        bids, asks = self._prices[Side.BUY], self._prices[Side.SELL]
        bid = bids[-1] if bids else Price(0)
        ask = asks[0] if asks else DOLLAR
        return (bid, ask) if outcome is Outcome.YES else (mirror(ask), mirror(bid))

    def book(self, outcome: Outcome) -> BookText:
        """A token's book as it stands."""
        market = self.market
        own, other = (Side.BUY, Side.SELL) if outcome is Outcome.YES else (Side.SELL, Side.BUY)
        rising, falling = self._levels(own, outcome), self._levels(other, outcome)
        return BookText(
            market.condition_id,
            market.token(outcome),
            str(self.time_ms),
            rising,
            falling,
            format_size(market.min_size),
            format_price(market.tick),
            market.neg_risk,
            last_trade_text(self.last_trade),
        )

    def snapshot(self, outcome: Outcome) -> Frame:
        """The `book` frame that answers a subscription."""
        book = self.book(outcome)
        return {
            **_book_frame(book, book.hash()),
            "tick_size": book.tick_size,
            "event_type": "book",
            "last_trade_price": book.last_trade_price,
        }

    def rest_book(self, outcome: Outcome) -> Frame:
        """The body of GET /book."""
        book = self.book(outcome)
        return {
            **_book_frame(book, book.hash()),
            "min_order_size": book.min_order_size,
            "tick_size": book.tick_size,
            "neg_risk": book.neg_risk,
            "last_trade_price": book.last_trade_price,
        }

    def update(self, changes: Iterable[LevelChange], now_ms: int, traded: Price | None) -> list[MarketFrame]:
        """Take one operation's new levels and return its frames, in the venue's order.

        Args:
            changes: levels of the YES axis with their new totals, in the order in which they changed.
            now_ms: the time; timestamps of one market never repeat nor go back.
            traded: the last traded price if the operation traded, which the hashes already use.
        """
        old_best = self.best(Outcome.YES)
        if traded is not None:
            self.last_trade = traded
        self.time_ms = max(now_ms, self.time_ms + 1)
        frames = [self._apply(change) for change in changes if self._is_news(change)]
        if not frames and traded is None:
            return []
        books = {outcome: self.book(outcome) for outcome in Outcome}
        hashes = {str(book.token): book.hash() for book in books.values()}
        for frame in frames:
            for entry in frame["price_changes"]:
                entry["hash"] = hashes[entry["asset_id"]]
        sent = [MarketFrame(self.market.tokens, frame) for frame in frames]
        if traded is not None:
            for outcome, book in books.items():
                token = self.market.token(outcome)
                payload = {**_book_frame(book, hashes[token]), "event_type": "book"}
                sent.append(MarketFrame((token,), payload))
        if self.best(Outcome.YES) != old_best:
            sent += [self._touch_frame(outcome) for outcome in Outcome]
        return sent

    def tape(self, trade: Trade, now_ms: int, transaction: str) -> MarketFrame:
        """The `last_trade_price` frame of a trade, on the taker's token."""
        return MarketFrame(
            (trade.taker.token,),
            {
                "market": self.market.condition_id,
                "asset_id": trade.taker.token,
                "price": price_text(trade.price),
                "size": format_size(trade.size),
                "fee_rate_bps": "0",
                "side": trade.taker.side.name,
                "timestamp": str(now_ms),
                "event_type": "last_trade_price",
                "transaction_hash": transaction,
            },
        )

    def change_tick(self, market: Market, now_ms: int) -> list[MarketFrame]:
        """Put a new grid in force; returns the events and, for each token, its book under the new grid."""
        old, self.market = self.market.tick, market
        self.time_ms = max(now_ms, self.time_ms + 1)
        frames = [
            MarketFrame(
                (token,),
                {
                    "event_type": "tick_size_change",
                    "market": market.condition_id,
                    "asset_id": token,
                    "old_tick_size": format_price(old),
                    "new_tick_size": format_price(market.tick),
                    "timestamp": str(self.time_ms),
                },
            )
            for token in market.tokens
        ]
        frames += [MarketFrame((market.token(outcome),), self.snapshot(outcome)) for outcome in Outcome]
        return frames

    def _levels(self, side: Side, outcome: Outcome) -> list[tuple[str, str]]:
        """One ladder from its worst to its best level, in the token's own prices."""
        prices = self._prices[side] if side is Side.BUY else self._prices[side][::-1]
        sizes = self._sizes[side]
        if outcome is Outcome.YES:
            return [(price_text(price), sizes[price]) for price in prices]
        return [(price_text(mirror(price)), sizes[price]) for price in prices]

    def _is_news(self, change: LevelChange) -> bool:
        return _shown(change.size) != self._sizes[change.side].get(change.price, NO_SIZE)

    def _apply(self, change: LevelChange) -> Frame:
        """Set one level and describe it for both tokens, with the touch as it is right after."""
        sizes, prices, shown = self._sizes[change.side], self._prices[change.side], _shown(change.size)
        if shown == NO_SIZE:
            del sizes[change.price]
            del prices[bisect_left(prices, change.price)]
        else:
            if change.price not in sizes:
                insort(prices, change.price)
            sizes[change.price] = shown
        return {
            "market": self.market.condition_id,
            "price_changes": [
                self._entry(Outcome.YES, change.price, shown, change.side),
                self._entry(Outcome.NO, mirror(change.price), shown, change.side.opposite),
            ],
            "timestamp": str(self.time_ms),
            "event_type": "price_change",
        }

    def _entry(self, outcome: Outcome, price: Price, shown: str, side: Side) -> Frame:
        bid, ask = self.best(outcome)
        return {
            "asset_id": self.market.token(outcome),
            "price": price_text(price),
            "size": shown,
            "side": side.name,
            "hash": "",
            "best_bid": price_text(bid),
            "best_ask": price_text(ask),
        }

    def _touch_frame(self, outcome: Outcome) -> MarketFrame:
        bid, ask = self.best(outcome)
        token = self.market.token(outcome)
        payload = {
            "event_type": "best_bid_ask",
            "market": self.market.condition_id,
            "asset_id": token,
            "best_bid": price_text(bid),
            "best_ask": price_text(ask),
            "spread": price_text(Price(ask - bid)),
            "timestamp": str(self.time_ms),
        }
        return MarketFrame((token,), payload, custom_only=True)


def _shown(size: Size) -> str:
    """A level's size as shown, in two decimals; what rests is never shown as nothing."""
    return format_fixed(max(1, (size + SIZE_STEP // 2) // SIZE_STEP), 2) if size else NO_SIZE


def _book_frame(book: BookText, digest: str) -> Frame:
    return {
        "market": book.market,
        "asset_id": book.token,
        "timestamp": book.timestamp,
        "hash": digest,
        "bids": [{"price": price, "size": size} for price, size in book.bids],
        "asks": [{"price": price, "size": size} for price, size in book.asks],
    }
