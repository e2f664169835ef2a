"""Reads of the client against a scripted venue on a real socket: everything, or nothing and a reason."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from mm_daemon.exchange.api import (
    Balance,
    Complete,
    Unavailable,
)
from mm_daemon.exchange.errors import (
    ProtocolError,
    Rejected,
    Unknown,
)
from mm_daemon.exchange.polymarket.auth import RequestSigner
from mm_daemon.exchange.polymarket.bodies import FIRST_CURSOR
from mm_daemon.exchange.polymarket.venue import PolymarketVenue

from .conftest import ACCOUNT, CREDENTIALS, Responder, ScriptedVenue
from .scripts import CONDITION, MARKET, NO, YES, A, B, drop, order_body, page, slow_answer


async def test_open_orders_reads_all_pages(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """Every page is read, the query is not signed, and an order seen twice counts once."""

    def pages(request: web.Request, body: bytes) -> web.StreamResponse:
        first = request.query["next_cursor"] == FIRST_CURSOR
        found = page(order_body(A), cursor="MQ==") if first else page(order_body(A), order_body(B))
        return web.json_response(found)

    scripted.respond("GET /data/orders", pages)
    match await venue.open_orders():
        case Complete(found):
            assert [(o.id, o.size, o.matched, o.price) for o in found] == [
                (A, 10_000_000, 2_500_000, 4900),
                (B, 10_000_000, 2_500_000, 4900),
            ]
        case Unavailable(reason):
            pytest.fail(reason)
    headers = scripted.requests[0][3]
    expected = RequestSigner(ACCOUNT, CREDENTIALS).signature(int(headers["POLY_TIMESTAMP"]), "GET", "/data/orders")
    assert headers["POLY_SIGNATURE"] == expected


@pytest.mark.parametrize(
    "second",
    [
        (500, {"error": "x"}),
        (200, {"data": []}),
        (200, page(order_body(B, price="odd"))),
        (200, page({"id": B})),
        (200, page(cursor=FIRST_CURSOR)),
        (200, b"{"),
    ],
)
async def test_half_a_read_is_no_read(
    scripted: ScriptedVenue, venue: PolymarketVenue, second: tuple[int, object]
) -> None:
    """If any page or any element cannot be read, the whole read is unavailable."""

    def pages(request: web.Request, body: bytes) -> web.StreamResponse:
        if request.query["next_cursor"] == FIRST_CURSOR:
            return web.json_response(page(order_body(A), cursor="MQ=="))
        status, content = second
        return web.Response(status=status, body=content if isinstance(content, bytes) else json.dumps(content).encode())

    scripted.respond("GET /data/orders", pages)
    assert isinstance(await venue.open_orders(), Unavailable)


async def test_reads_are_tried_again(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """A read survives a server error and a dropped connection, three attempts in all."""
    failures: list[Responder] = [drop, lambda request, body: web.Response(status=502)]

    def flaky(request: web.Request, body: bytes) -> web.StreamResponse:
        return failures.pop()(request, body) if failures else web.json_response(page())

    scripted.respond("GET /data/orders", flaky)
    assert await venue.open_orders() == Complete([])
    scripted.answer("GET /time", 500)
    with pytest.raises(Unknown):
        await venue.server_secs()
    assert scripted.count("GET /time") == 3


async def test_reads_have_a_total_deadline(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """A venue that answers forever costs a read its deadline and no more."""
    scripted.respond("GET /time", slow_answer)
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unknown):
        await venue.server_secs()
    assert asyncio.get_running_loop().time() - started < 3


@pytest.mark.parametrize(("status", "body"), [(404, {"error": "not found"}), (200, b"null"), (200, b""), (200, {})])
async def test_an_order_that_is_not_known(
    scripted: ScriptedVenue, venue: PolymarketVenue, status: int, body: object
) -> None:
    """404, null and nothing are the venue's ways to say that there is no such order."""
    scripted.answer(f"GET /data/order/{A}", status, body)
    assert await venue.order(A) == Complete(None)


async def test_an_order_by_id(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """A known order is read; a failure or another order's record tells nothing."""
    scripted.answer(f"GET /data/order/{A}", 200, order_body(A, status="CANCELED_MARKET_RESOLVED"))
    scripted.answer(f"GET /data/order/{B}", 200, order_body(A))
    found = await venue.order(A)
    assert isinstance(found, Complete)
    assert found.value is not None
    assert found.value.status.value == "cancelled"
    assert isinstance(await venue.order(B), Unavailable)
    scripted.answer(f"GET /data/order/{A}", 500)
    assert isinstance(await venue.order(A), Unavailable)


async def test_trades_are_filtered_by_wallet_and_time_only(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """The query names no market; only parts of ours since the time asked for come back, oldest first."""

    def trade(id: str, at: int, wallet: str = ACCOUNT) -> dict[str, Any]:
        maker = {"order_id": A, "maker_address": wallet.lower(), "asset_id": YES, "side": "BUY"}
        maker |= {"price": "0.49", "matched_amount": "1.5"}
        return {"id": id, "status": "TRADE_STATUS_CONFIRMED", "match_time": str(at), "maker_orders": [maker]}

    records = [trade("late", 300), trade("early", 200), trade("before", 99), trade("other", 250, "0x" + "9" * 40)]
    scripted.answer("GET /data/trades", 200, page(*records))
    found = await venue.trades(100)
    assert isinstance(found, Complete)
    assert [(t.trade_id, t.fills[0].size) for t in found.value] == [("early", 1_500_000), ("late", 1_500_000)]
    path = scripted.requests[0][1]
    assert "maker_address=" + ACCOUNT in path
    assert "after=100" in path
    assert "market=" not in path


async def test_balances(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """Collateral and tokens are asked for with the signature type; the allowance is that of the market's contract."""
    contracts = {"0xE111180000d2663C0091e4f400237545B87B996B": "7", "0xe2222d279d744050d28e00520010520000310F59": "3"}
    scripted.answer("GET /balance-allowance", 200, {"balance": "1000000", "allowances": contracts})
    scripted.answer("GET /balance-allowance/update", 200, {})
    scripted.answer(f"GET /markets/{CONDITION}", 200, clob_market())
    assert await venue.collateral() == Complete(Balance(1_000_000, 3))
    await venue.load_market(CONDITION)
    assert await venue.collateral() == Complete(Balance(1_000_000, 7))
    assert await venue.holding(YES) == Complete(Balance(1_000_000, 7))
    await venue.refresh_collateral()
    queries = [path for _, path, _, _ in scripted.requests]
    assert queries[0].endswith("?asset_type=COLLATERAL&signature_type=0")
    assert queries[3].endswith(f"?asset_type=CONDITIONAL&token_id={YES}&signature_type=0")
    assert queries[4] == "/balance-allowance/update?asset_type=COLLATERAL&signature_type=0"
    scripted.answer("GET /balance-allowance", 500)
    assert isinstance(await venue.collateral(), Unavailable)


def clob_market(**fields: Any) -> dict[str, Any]:
    return {
        "condition_id": CONDITION,
        "tokens": [{"token_id": NO, "outcome": "No"}, {"token_id": YES, "outcome": "Yes"}],
        "minimum_tick_size": 0.01,
        "minimum_order_size": 5,
        "neg_risk": False,
        "market_slug": "rain",
        "question": "Rain?",
        "accepting_orders": True,
        "closed": False,
        "enable_order_book": True,
        **fields,
    }


async def test_markets_by_slug(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """The catalogue gives the condition id, the exchange everything else."""
    scripted.answer("GET /markets", 200, [{"slug": "rain", "conditionId": CONDITION, "orderPriceMinTickSize": 0.1}])
    scripted.answer(f"GET /markets/{CONDITION}", 200, clob_market())
    assert await venue.load_market("rain") == MARKET
    with pytest.raises(Rejected):
        await venue.load_market("snow")


async def test_market_status_follows_the_exchange(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """A new tick and a closed market are seen; a market with other tokens is not believed."""
    scripted.answer(f"GET /markets/{CONDITION}", 200, clob_market(minimum_tick_size="0.001", closed=True))
    now = await venue.market_status(MARKET)
    assert isinstance(now, Complete)
    assert (now.value.tick, now.value.status.value) == (10, "closed")
    scripted.answer(f"GET /markets/{CONDITION}", 200, clob_market(neg_risk=True))
    assert isinstance(await venue.market_status(MARKET), Unavailable)


async def test_book(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """A book is read whole; none, or another token's, is unavailable."""
    book = {"asset_id": YES, "market": CONDITION, "timestamp": "1790000000123", "hash": "h", "tick_size": "0.01"}
    book |= {"bids": [{"price": "0.48", "size": "10"}], "asks": []}  # type: ignore[dict-item]
    scripted.answer("GET /book", 200, book)
    found = await venue.book(YES)
    assert isinstance(found, Complete)
    assert (found.value.bids, found.value.asks, found.value.tick) == ([(4800, 10_000_000)], [], 100)
    assert isinstance(await venue.book(NO), Unavailable)
    scripted.answer("GET /book", 404, {"error": "No orderbook exists for the requested token id"})
    missing = await venue.book(YES)
    assert isinstance(missing, Unavailable)
    assert "no_book" in missing.reason


async def test_account_and_clock(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """The venue's clock and the closed-only flag are plain values or an error."""
    scripted.answer("GET /time", 200, b"1790000000")
    scripted.answer("GET /auth/ban-status/closed-only", 200, {"closed_only": True})
    assert await venue.server_secs() == 1790000000
    assert await venue.is_closed_only()
    scripted.answer("GET /auth/ban-status/closed-only", 200, {})
    with pytest.raises(ProtocolError):
        await venue.is_closed_only()
