"""What the venue tells us, in our own integers: market data, and the life of our orders and trades.

A channel turns frames into these; feeds, replay and tests hand them on. Times are the venue's, in milliseconds.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from mm_daemon.core.units import ConditionId, OrderId, Price, Side, Size, TokenId

Level = tuple[Price, Size]


class BookSnapshot(msgspec.Struct, frozen=True, gc=False):
    """A token's whole book; it replaces what we had. Levels come in any order. None: the frame did not carry it."""

    market: ConditionId
    token: TokenId
    time_ms: int
    bids: list[Level]
    asks: list[Level]
    hash: str = ""
    tick: Price | None = None
    min_size: Size | None = None
    neg_risk: bool | None = None
    last_trade: Price | None = None


class LevelChanged(msgspec.Struct, frozen=True, gc=False):
    """One price level's new total size (zero: the level is gone) and the touch after the change, if the frame had it.

    `side` BUY is the bid side. `best_bid` 0 and `best_ask` 10,000 mean that side is empty.
    """

    token: TokenId
    side: Side
    price: Price
    size: Size
    best_bid: Price | None = None
    best_ask: Price | None = None


class LevelsChanged(msgspec.Struct, frozen=True, gc=False):
    """The levels one frame changed; it carries both tokens of a market, also when one is subscribed."""

    market: ConditionId
    time_ms: int
    changes: list[LevelChanged]


class LastTrade(msgspec.Struct, frozen=True, gc=False):
    """A trade on the tape; `side` is the taker's."""

    market: ConditionId
    token: TokenId
    time_ms: int
    price: Price
    side: Side
    size: Size


class TickChanged(msgspec.Struct, frozen=True, gc=False):
    """The price grid of a market changed: an epoch, after which every book is unknown until a new snapshot."""

    market: ConditionId
    token: TokenId
    time_ms: int
    tick: Price


class TopOfBook(msgspec.Struct, frozen=True, gc=False):
    """The venue's own best bid and ask of a token, to compare our book with."""

    market: ConditionId
    token: TokenId
    time_ms: int
    best_bid: Price
    best_ask: Price


class MarketResolved(msgspec.Struct, frozen=True, gc=False):
    """The market's outcome is decided; nothing trades any more."""

    market: ConditionId
    time_ms: int
    winner: TokenId


class NewMarket(msgspec.Struct, frozen=True, gc=False):
    """The venue opened a market, any market."""

    market: ConditionId
    slug: str
    time_ms: int


MarketEvent = BookSnapshot | LevelsChanged | LastTrade | TickChanged | TopOfBook | MarketResolved | NewMarket


class OrderStatus(Enum):
    """Where the venue says an order is, its many spellings folded into three."""

    LIVE = "live"
    MATCHED = "matched"
    CANCELLED = "cancelled"
    """Cancelled, expired, refused after the fact or invalid: off the book for good, `detail` says which."""


class OrderReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order of ours as the venue reports it, by the user channel or a read. `matched` is what was filled so far."""

    id: OrderId
    market: ConditionId
    token: TokenId
    side: Side
    price: Price
    size: Size
    matched: Size
    status: OrderStatus
    detail: str = ""
    time_ms: int = 0
    created_ms: int = 0


class TradeStatus(Enum):
    """Where a trade is on its way to the chain."""

    MATCHED = "matched"
    MINED = "mined"
    CONFIRMED = "confirmed"
    RETRYING = "retrying"
    FAILED = "failed"


class Fill(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One of our orders' part in one trade. (trade_id, order_id) names it once and for all.

    `side` None: the venue's maker entry named no side; our own order's record tells it.
    """

    trade_id: str
    order_id: OrderId
    market: ConditionId
    token: TokenId
    side: Side | None
    price: Price
    size: Size
    is_maker: bool
    time_ms: int = 0

    @property
    def key(self) -> tuple[str, OrderId]:
        """What identifies this fill among all repetitions of its messages."""
        return (self.trade_id, self.order_id)


class TradeReport(msgspec.Struct, frozen=True, gc=False):
    """A trade with fills of ours in it; the same trade is reported once for each step of its settlement."""

    trade_id: str
    status: TradeStatus
    fills: tuple[Fill, ...]
    time_ms: int = 0


UserEvent = OrderReport | TradeReport
