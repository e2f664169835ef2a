"""Orders, trades and markets in the words of the wire: REST bodies and user-channel events."""

from __future__ import annotations

from typing import Any

from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.units import Outcome, format_fixed, format_price, format_size
from mm_daemon.sim.model import MakerPart, SimOrder, Trade

Body = dict[str, Any]

OUTCOMES = ("Yes", "No")


def order_body(order: SimOrder) -> Body:
    """An order as GET /data/orders shows it."""
    return {
        "id": order.id,
        "status": order.status,
        "owner": order.owner,
        "maker_address": order.maker,
        "market": order.market,
        "asset_id": order.token,
        "side": order.side.name,
        "original_size": format_size(order.size),
        "size_matched": format_size(order.matched),
        "price": format_price(order.price),
        "outcome": OUTCOMES[order.outcome],
        "expiration": str(order.expiration),
        "order_type": order.tif.value,
        "associate_trades": list(order.trades),
        "created_at": order.created_ms // 1000,
    }


def order_event(order: SimOrder, kind: str, now_ms: int) -> Body:
    """An order event of the user channel; `kind` is PLACEMENT, UPDATE or CANCELLATION."""
    return {
        **order_body(order),
        "order_owner": order.owner,
        "created_at": str(order.created_ms // 1000),
        "type": kind,
        "timestamp": str(now_ms),
        "event_type": "order",
    }


def maker_entry(part: MakerPart) -> Body:
    """A maker's part of a trade. In a mint or merge its side is the taker's own side, on the other token."""
    order = part.order
    return {
        "order_id": order.id,
        "owner": order.owner,
        "maker_address": order.maker,
        "matched_amount": format_size(part.size),
        "price": format_price(order.price),
        "fee_rate_bps": "0",
        "asset_id": order.token,
        "outcome": OUTCOMES[order.outcome],
        "outcome_index": int(order.outcome),
        "side": order.side.name,
    }


def trade_body(trade: Trade, owner: str) -> Body:
    """A trade as GET /data/trades shows it to `owner`; the top level describes the taker."""
    taker = trade.taker
    return {
        "id": trade.id,
        "taker_order_id": taker.id,
        "market": taker.market,
        "asset_id": taker.token,
        "side": taker.side.name,
        "size": format_size(trade.size),
        "fee_rate_bps": "0",
        "price": format_price(trade.price),
        "status": f"TRADE_STATUS_{trade.status.value}",
        "match_time": str(trade.matched_ms // 1000),
        "last_update": str(trade.updated_ms // 1000),
        "outcome": OUTCOMES[taker.outcome],
        "bucket_index": 0,
        "owner": taker.owner,
        "maker_address": taker.maker,
        "transaction_hash": trade.transaction_hash,
        "trader_side": "TAKER" if owner == taker.owner else "MAKER",
        "maker_orders": [maker_entry(part) for part in trade.makers],
    }


def trade_event(trade: Trade, owner: str, now_ms: int) -> Body:
    """A trade event of the user channel, for one step of the settlement."""
    return {
        **trade_body(trade, owner),
        "status": trade.status.value,
        "trade_owner": owner,
        "type": "TRADE",
        "timestamp": str(now_ms),
        "event_type": "trade",
    }


def order_answer(order: SimOrder, trades: list[Trade]) -> Body:
    """The answer to an accepted order; amounts are decimal dollars and shares, empty if nothing matched."""
    making = taking = ""
    if order.matched:
        paid, got = format_fixed(order.spent, 6), format_size(order.matched)
        making, taking = (paid, got) if order.side.name == "BUY" else (got, paid)
    return {
        "success": True,
        "errorMsg": "",
        "orderID": order.id,
        "status": "matched" if order.matched else "live",
        "makingAmount": making,
        "takingAmount": taking,
        "tradeIDs": [trade.id for trade in trades],
        "transactionsHashes": [],
    }


def refused_answer(text: str) -> Body:
    """A refused element of a batch: HTTP 200, `success` true, no order id, and the reason."""
    return {
        "success": True,
        "errorMsg": text,
        "orderID": "",
        "status": "",
        "makingAmount": "",
        "takingAmount": "",
        "tradeIDs": [],
        "transactionsHashes": [],
    }


def new_market_frame(market: Market, now_ms: int) -> Body:
    """The event that tells everybody of a new market."""
    tokens = list(market.tokens)
    about = {"id": market.slug, "ticker": market.slug, "slug": market.slug, "title": market.question}
    return {
        "event_type": "new_market",
        "id": market.slug,
        "question": market.question,
        "market": market.condition_id,
        "condition_id": market.condition_id,
        "slug": market.slug,
        "description": market.question,
        "assets_ids": tokens,
        "clob_token_ids": tokens,
        "outcomes": list(OUTCOMES),
        "event_message": about,
        "timestamp": str(now_ms),
        "tags": [],
        "active": True,
        "game_start_time": "",
        "order_price_min_tick_size": format_price(market.tick),
        "group_item_title": "",
    }


def market_body(market: Market, fair: float, winner: Outcome | None) -> Body:
    """A market as GET /markets/{condition} shows it."""
    is_closed = market.status in (MarketStatus.CLOSED, MarketStatus.RESOLVED)
    return {
        "condition_id": market.condition_id,
        "question_id": market.condition_id,
        "question": market.question,
        "description": market.question,
        "market_slug": market.slug,
        "end_date_iso": "2030-12-31T00:00:00Z",
        "game_start_time": None,
        "accepting_order_timestamp": "2026-01-01T00:00:00Z",
        "active": True,
        "closed": is_closed,
        "archived": False,
        "accepting_orders": market.status is MarketStatus.OPEN,
        "enable_order_book": not is_closed,
        "minimum_order_size": _number(market.min_size, 6),
        "minimum_tick_size": _number(market.tick, 4),
        "neg_risk": market.neg_risk,
        "neg_risk_market_id": market.event_id,
        "neg_risk_request_id": "",
        "seconds_delay": 0,
        "maker_base_fee": 0,
        "taker_base_fee": 0,
        "is_50_50_outcome": False,
        "notifications_enabled": True,
        "fpmm": "",
        "icon": "",
        "image": "",
        "rewards": {"rates": None, "min_size": 0, "max_spread": 0},
        "tags": ["Demo"],
        "tokens": _tokens(market, fair, winner),
    }


def simplified_body(market: Market, fair: float, winner: Outcome | None) -> Body:
    """A market as GET /simplified-markets shows it."""
    body = market_body(market, fair, winner)
    keys = ("condition_id", "rewards", "tokens", "active", "closed", "archived", "accepting_orders")
    return {key: body[key] for key in keys}


def clob_market_body(market: Market, fee_rate: int) -> Body:
    """A market as GET /clob-markets/{condition} shows it."""
    return {
        "c": market.condition_id,
        "t": [{"t": market.token(outcome), "o": OUTCOMES[outcome]} for outcome in Outcome],
        "mos": _number(market.min_size, 6),
        "mts": _number(market.tick, 4),
        "mbf": 1000,
        "tbf": 1000,
        "fd": {"r": fee_rate / 10_000, "e": 1, "to": True},
        "r": {"mi": 0, "ma": 0, "moas": 30},
        "nr": market.neg_risk,
        "sd": 0,
        "itode": False,
        "ibce": False,
        "rfqe": False,
        "gst": None,
        "oas": 0,
    }


def _tokens(market: Market, fair: float, winner: Outcome | None) -> list[Body]:
    prices = (fair, 1 - fair)
    return [
        {
            "token_id": market.token(outcome),
            "outcome": OUTCOMES[outcome],
            "price": round(prices[outcome], 4) if winner is None else float(winner is outcome),
            "winner": winner is outcome,
        }
        for outcome in Outcome
    ]


def _number(value: int, decimals: int) -> float | int:
    """A JSON number: whole where it can be."""
    whole, rest = divmod(value, 10**decimals)
    return whole if not rest else float(value) / float(10**decimals)
