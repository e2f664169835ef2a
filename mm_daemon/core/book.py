"""One token's order book, kept from snapshots and level changes.

A book is *known* from a snapshot until the connection that carried it is lost or the tick changes; an unknown book has
no touch. The sizes of a side live in one array over the grid of prices: a change costs the same however deep the book
is, and touches few cache lines, which of a thousand books are all cold. The NO book of a market is the mirror of its
YES book; we keep the YES one.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from math import gcd
from typing import NamedTuple

from mm_daemon.core.events import BookSnapshot, Level, LevelChanged
from mm_daemon.core.units import DOLLAR, SIZE_STEP, Cash, Price, Side, Size, TokenId, format_price, format_size


class Touch(NamedTuple):
    """Best bid and best ask; `bid` 0 and `ask` 10,000 mean that side is empty."""

    bid: Price
    ask: Price

    @property
    def is_two_sided(self) -> bool:
        """Whether both sides have an order."""
        return self.bid > 0 and self.ask < DOLLAR

    @property
    def is_crossed(self) -> bool:
        """Whether the bid reaches the ask, which a moment between two frames can show."""
        return self.bid >= self.ask

    @property
    def twice_mid(self) -> int:
        """Bid plus ask: the mid in 1/20,000 dollar, so that it stays whole."""
        return self.bid + self.ask


_COARSEST = 100
"""A grid of cents: what most markets are on."""
_ALL = -DOLLAR - 1
"""Below the key of every level: all of a ladder was read."""
_NOTHING = DOLLAR + 1
_NO_BID = Price(0)


class Ladder:
    """One side of a book: the size at each price of a grid that is as fine as the prices on it.

    It remembers how deep it was read, so that changes beyond what anybody read need no second look. A price's *key* is
    the higher the better the price is: bids and asks differ in its sign.

    Attributes:
        best_price: the highest bid or the lowest ask; 0 or 10,000 where there is none.
    """

    __slots__ = ("_empty", "_read_to", "_sign", "_sizes", "_step", "best_price")

    def __init__(self, side: Side) -> None:
        self._sign = 1 if side is Side.BUY else -1
        self._empty = _NO_BID if side is Side.BUY else DOLLAR
        self._read_to = _ALL
        self.replace(())

    def replace(self, levels: Iterable[Level]) -> None:
        """Forget every level and take these."""
        kept = {price: size for price, size in levels if size > 0}
        self._step = step = gcd(_COARSEST, *kept)
        self._sizes = sizes = array("q", bytes(8 * (DOLLAR // step + 1)))
        for price, size in kept.items():
            sizes[price // step] = size
        self.best_price = (max if self._sign > 0 else min)(kept, default=self._empty)

    def set(self, price: Price, size: Size) -> bool:
        """Make the total at `price` `size`; zero removes the level.

        Returns:
            Whether that changed something which was read since `forget_reads`.
        """
        at, between = divmod(price, self._step)
        sizes, sign = self._sizes, self._sign
        if size == 0:
            if between or not sizes[at]:
                return False
            sizes[at] = 0
            if price == self.best_price:
                self.best_price = next((best for best, _ in self.best_first()), self._empty)
        elif between:
            self.replace([*self.best_first(), (price, size)])
        else:
            sizes[at] = size
            if sign * price > sign * self.best_price:
                self.best_price = price
        return sign * price >= self._read_to

    def forget_reads(self, *, all_read: bool) -> None:
        """Count as read from now on what is read from now on; or everything, until this is called again."""
        self._read_to = _ALL if all_read else _NOTHING

    def best_without(self, own: Mapping[Price, Size]) -> Price | None:
        """The best price at which somebody else rests; remainders below 0.01 share are rounding, not orders."""
        step, sizes = self._step, self._sizes
        for at in self._outwards():
            if size := sizes[at]:
                price: Price = at * step  # type: ignore[assignment]
                if size - own.get(price, 0) >= SIZE_STEP:
                    self._read_to = min(self._read_to, self._sign * price)
                    return price
        self._read_to = _ALL
        return None

    def best_first(self) -> Iterator[Level]:
        """Levels from the touch outwards."""
        step, sizes = self._step, self._sizes
        return ((Price(at * step), Size(sizes[at])) for at in self._outwards() if sizes[at])

    def _outwards(self) -> range:
        """The steps of the grid from the touch outwards."""
        best = self.best_price // self._step
        return range(best, -1, -1) if self._sign > 0 else range(best, len(self._sizes))

    def depth_to(self, limit: Price, own: Mapping[Price, Size], enough: Cash | None = None) -> Cash:
        """Dollars of others' orders from the touch to `limit`, inclusive, each at its own price.

        Args:
            limit: the last price that counts.
            own: our size at each price.
            enough: no level is read once there is that much; None: all are.
        """
        step, sizes, sign = self._step, self._sizes, self._sign
        total, bound = 0, sign * limit
        most = None if enough is None else enough * DOLLAR
        for at in self._outwards():
            price: Price = at * step  # type: ignore[assignment]
            if sign * price < bound:
                break
            if size := sizes[at]:
                total += price * max(size - own.get(price, 0), 0)
                if most is not None and total >= most:
                    bound = sign * price
                    break
        self._read_to = min(self._read_to, bound)
        return Cash(total // DOLLAR)


class Book:
    """The book of one token.

    Attributes:
        bids, asks: the two ladders.
        is_known: a snapshot arrived and nothing has invalidated it since.
        time_ms: the venue's time of the last change applied.
        received_ns: our monotonic time of the last frame that named this token.
        last_trade: the market's last traded price, of whichever token traded, if the venue told one.
        disagrees_since_ns: since when the touch differs from the one the frames carry; 0 when it does not.
    """

    __slots__ = (
        "_snapshot_ms",
        "asks",
        "bids",
        "disagrees_since_ns",
        "is_known",
        "last_trade",
        "received_ns",
        "time_ms",
        "token",
    )

    def __init__(self, token: TokenId) -> None:
        self.token = token
        self.bids = Ladder(Side.BUY)
        self.asks = Ladder(Side.SELL)
        self.is_known = False
        self.time_ms = 0
        self.received_ns = 0
        self.last_trade: Price | None = None
        self.disagrees_since_ns = 0
        self._snapshot_ms = 0

    def receive_snapshot(self, snapshot: BookSnapshot, now_ns: int) -> bool:
        """Replace the book; returns False for a snapshot older than what a known book already shows."""
        self.received_ns = now_ns
        if self.is_known and snapshot.time_ms < self.time_ms:
            return False
        self.bids.replace(snapshot.bids)
        self.asks.replace(snapshot.asks)
        self.time_ms = self._snapshot_ms = snapshot.time_ms
        if snapshot.last_trade is not None:
            self.last_trade = snapshot.last_trade
        self.disagrees_since_ns = 0
        self.is_known = True
        return True

    def receive_change(self, change: LevelChanged, time_ms: int, now_ns: int) -> bool:
        """Apply one level.

        Returns:
            Whether that may change what a look at this book sees: not if the book is unknown, the change is older than
            its snapshot, or the level is deeper than anything that the last look read.
        """
        self.received_ns = now_ns
        if not self.is_known or time_ms < self._snapshot_ms:
            return False
        is_seen = (self.asks if change.side else self.bids).set(change.price, change.size)
        if time_ms > self.time_ms:
            self.time_ms = time_ms
        if change.best_bid is not None and change.best_ask is not None:
            if self.bids.best_price == change.best_bid and self.asks.best_price == change.best_ask:
                self.disagrees_since_ns = 0
            elif not self.disagrees_since_ns:
                self.disagrees_since_ns = now_ns
        return is_seen

    def begin_look(self) -> None:
        """Forget what was read: `receive_change` tells of changes to what is read from now on."""
        self.bids.forget_reads(all_read=False)
        self.asks.forget_reads(all_read=False)

    def outdate_look(self) -> None:
        """What the last look saw is out of date for other reasons: `receive_change` tells of every change."""
        self.bids.forget_reads(all_read=True)
        self.asks.forget_reads(all_read=True)

    def forget(self) -> None:
        """Make the book unknown: its connection is gone or its grid changed."""
        self.is_known = False
        self.bids.replace(())
        self.asks.replace(())
        self.time_ms = self._snapshot_ms = self.disagrees_since_ns = 0

    @property
    def touch(self) -> Touch:
        """Best bid and ask, everybody's orders included."""
        return Touch(self.bids.best_price, self.asks.best_price)

    def touch_without(self, own_bids: Mapping[Price, Size], own_asks: Mapping[Price, Size]) -> Touch:
        """Best bid and ask of everybody else, given our own size at each price."""
        bid, ask = self.bids.best_without(own_bids), self.asks.best_without(own_asks)
        return Touch(_NO_BID if bid is None else bid, DOLLAR if ask is None else ask)


def book_hash(
    *,
    market: str,
    token: str,
    time_ms: int,
    bids: Iterable[Level],
    asks: Iterable[Level],
    min_size: Size,
    tick: Price,
    neg_risk: bool,
    last_trade: Price | None,
) -> str:
    """The venue's fingerprint of a book: SHA-1 over its compact JSON, as the recorded frames show it.

    Sizes are in the venue's two decimals, bids ascend and asks descend, `hash` is empty and the last trade price has
    three decimals ("" where there was none).
    """

    def levels(pairs: Iterable[Level], *, descending: bool) -> str:
        ordered = sorted(pairs, reverse=descending)
        return ",".join(f'{{"price":"{format_price(p)}","size":"{format_size(s)}"}}' for p, s in ordered)

    last = "" if last_trade is None else f"{last_trade / DOLLAR:.3f}"
    text = (
        f'{{"market":"{market}","asset_id":"{token}","timestamp":"{time_ms}","hash":"",'
        f'"bids":[{levels(bids, descending=False)}],"asks":[{levels(asks, descending=True)}],'
        f'"min_order_size":"{format_size(min_size)}","tick_size":"{format_price(tick)}",'
        f'"neg_risk":{"true" if neg_risk else "false"},"last_trade_price":"{last}"}}'
    )
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
