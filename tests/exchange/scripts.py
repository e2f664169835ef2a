"""What the tests of the client send and answer: a market, orders, pages, and answers that fail."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from mm_daemon.core.market import Market
from mm_daemon.core.units import ConditionId, OrderId, Price, Side, Size, TokenId
from mm_daemon.exchange.api import (
    SignedOrder,
)
from mm_daemon.exchange.polymarket.bodies import LAST_CURSOR
from mm_daemon.exchange.polymarket.venue import PolymarketVenue

YES, NO = TokenId("7" + "1" * 76), TokenId("7" + "2" * 76)
CONDITION = ConditionId("0x" + "12" * 32)
MARKET = Market(
    condition_id=CONDITION,
    slug="rain",
    question="Rain?",
    yes=YES,
    no=NO,
    tick=Price(100),
    min_size=Size(5_000_000),
    neg_risk=False,
)
A, B = OrderId("0x" + "aa" * 32), OrderId("0x" + "bb" * 32)


def orders(venue: PolymarketVenue, count: int = 2) -> list[SignedOrder]:
    return [venue.sign(MARKET, YES, Side.BUY, Price(4900), Size(10_000_000)) for _ in range(count)]


def order_body(id: str = A, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "status": "ORDER_STATUS_LIVE",
        "market": CONDITION,
        "asset_id": YES,
        "side": "BUY",
        "original_size": "10",
        "size_matched": "2.5",
        "price": "0.49",
        "created_at": 1790000000,
        **fields,
    }


def page(*data: object, cursor: str = LAST_CURSOR) -> dict[str, object]:
    return {"limit": 100, "count": len(data), "next_cursor": cursor, "data": list(data)}


def drop(request: web.Request, body: bytes) -> web.StreamResponse:
    """Close the connection instead of answering."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def slow_answer(request: web.Request, body: bytes) -> web.StreamResponse:
    """An answer whose body never ends within the deadline."""
    return web.Response(body=_never_ending())


async def _never_ending() -> Any:
    yield b"["
    await asyncio.sleep(3)
