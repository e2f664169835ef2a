"""Our orders and trades as the user channel and the reads write them, and what they become in our integers.

A trade's top level describes the taker. Which of its parts are ours is decided for each part alone, and the side of a
maker part is never inferred from the taker's: in a mint or a merge both have the same side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mm_daemon.core.events import Fill, OrderReport, TradeReport
from mm_daemon.core.units import ConditionId, OrderId, Size, TokenId
from mm_daemon.exchange.polymarket.wire import (
    optional_size,
    order_status,
    price_of,
    side_of,
    size_of,
    time_ms,
    trade_status,
)

_NONE = msgspec.Raw(b"null")


class OrderBody(msgspec.Struct):
    """An order of ours, in an event or a read."""

    id: str
    asset_id: str
    side: str
    price: msgspec.Raw
    original_size: msgspec.Raw
    size_matched: msgspec.Raw = _NONE
    status: str | None = None
    market: str = ""
    type: str | None = None
    created_at: msgspec.Raw = _NONE
    timestamp: msgspec.Raw = _NONE


class MakerBody(msgspec.Struct):
    """One maker's part in a trade."""

    order_id: str
    asset_id: str = ""
    price: msgspec.Raw = _NONE
    matched_amount: msgspec.Raw = _NONE
    side: str | None = None
    owner: str | None = None
    maker_address: str | None = None


class TradeBody(msgspec.Struct):
    """A trade, in an event or a read; the fields outside `maker_orders` are the taker's."""

    id: str
    status: str
    market: str = ""
    asset_id: str = ""
    side: str | None = None
    size: msgspec.Raw = _NONE
    price: msgspec.Raw = _NONE
    taker_order_id: str | None = None
    owner: str | None = None
    trade_owner: str | None = None
    maker_address: str | None = None
    trader_side: str | None = None
    match_time: msgspec.Raw = _NONE
    matchtime: msgspec.Raw = _NONE
    last_update: msgspec.Raw = _NONE
    timestamp: msgspec.Raw = _NONE
    maker_orders: list[MakerBody] | None = None


def nobody(id: OrderId) -> bool:
    """An `is_ours` that knows no order."""
    return False


@dataclass(frozen=True, slots=True)
class Ownership:
    """How to tell our parts of a trade: by order id, API key or wallet (any case)."""

    api_key: str
    wallet: str
    is_ours: Callable[[OrderId], bool] = nobody

    def made(self, maker: MakerBody) -> bool:
        """Whether this maker part is ours."""
        return (
            self.is_ours(order_id(maker.order_id))
            or bool(maker.owner and maker.owner == self.api_key)
            or bool(maker.maker_address and maker.maker_address.lower() == self.wallet.lower())
        )

    def took(self, trade: TradeBody, *, has_maker_part: bool) -> bool:
        """Whether we are the taker: by order id, or by our key on a trade that is reported to us as its taker."""
        if trade.taker_order_id and self.is_ours(order_id(trade.taker_order_id)):
            return True
        role = (trade.trader_side or "").upper()
        if role == "MAKER" or (not role and has_maker_part):
            return False
        is_our_wallet = bool(trade.maker_address) and (trade.maker_address or "").lower() == self.wallet.lower()
        return self.api_key in (trade.owner, trade.trade_owner) or (role == "TAKER" and is_our_wallet)


def order_id(text: str) -> OrderId:
    """An order id in the spelling we compute it in."""
    return OrderId(text.lower())


def order_report(body: OrderBody) -> OrderReport:
    """An order as the venue sees it.

    Raises:
        ValueError: a field cannot be read.
    """
    if not body.id:
        raise ValueError("an order without id")
    return OrderReport(
        id=order_id(body.id),
        market=ConditionId(body.market),
        token=TokenId(body.asset_id),
        side=side_of(body.side),
        price=price_of(body.price),
        size=size_of(body.original_size),
        matched=optional_size(body.size_matched) or Size(0),
        status=order_status(body.status or "", (body.type or "").upper()),
        detail=body.status or "",
        time_ms=time_ms(body.timestamp),
        created_ms=time_ms(body.created_at),
    )


def trade_report(body: TradeBody, ownership: Ownership) -> TradeReport | None:
    """The parts of a trade that are ours; None if there are none.

    Raises:
        ValueError: a field of a part that is ours cannot be read.
    """
    matched_ms = time_ms(body.match_time) or time_ms(body.matchtime)
    at = time_ms(body.timestamp) or time_ms(body.last_update) or matched_ms
    fills = [_maker_fill(body, maker, matched_ms or at) for maker in body.maker_orders or () if ownership.made(maker)]
    if ownership.took(body, has_maker_part=bool(fills)):
        fills.append(_taker_fill(body, matched_ms or at))
    if not fills:
        return None
    if not body.id:
        raise ValueError("a trade without id")
    return TradeReport(body.id, trade_status(body.status), tuple(fills), at)


def _maker_fill(trade: TradeBody, maker: MakerBody, at: int) -> Fill:
    return Fill(
        trade_id=trade.id,
        order_id=order_id(maker.order_id),
        market=ConditionId(trade.market),
        token=TokenId(maker.asset_id),
        side=side_of(maker.side) if maker.side else None,
        price=price_of(maker.price),
        size=size_of(maker.matched_amount),
        is_maker=True,
        time_ms=at,
    )


def _taker_fill(trade: TradeBody, at: int) -> Fill:
    if not trade.taker_order_id:
        raise ValueError("a trade of ours as taker without taker_order_id")
    return Fill(
        trade_id=trade.id,
        order_id=order_id(trade.taker_order_id),
        market=ConditionId(trade.market),
        token=TokenId(trade.asset_id),
        side=side_of(trade.side) if trade.side else None,
        price=price_of(trade.price),
        size=size_of(trade.size),
        is_maker=False,
        time_ms=at,
    )
