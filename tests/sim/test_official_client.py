"""The venue's own client, pointed at the exchange, does everything a trader does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from py_clob_client_v2 import ClobClient  # type: ignore[import-untyped]
from py_clob_client_v2.clob_types import (  # type: ignore[import-untyped]
    AssetType,
    BalanceAllowanceParams,
    MarketOrderArgsV2,
    OpenOrderParams,
    OrderArgsV2,
    OrderMarketCancelParams,
    OrderPayload,
    OrderScoringParams,
    OrderType,
    PostOrdersV2Args,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException  # type: ignore[import-untyped]

from mm_daemon.core.market import Market
from mm_daemon.core.units import Outcome, Price
from mm_daemon.sim.main import Exchange
from tests.sim.conftest import DEPOSIT_WALLET, PRIVATE_KEY, shares


@pytest.fixture
def stocked(exchange: Exchange) -> Exchange:
    """A hundred shares at 0.48 and 0.52 in a normal and a neg-risk market."""
    maker = exchange.trader("maker")
    for slug in ("demo-1", "demo-3"):
        maker.buy(slug, Outcome.YES, Price(4800), shares(100))
        maker.sell(slug, Outcome.YES, Price(5200), shares(100))
    return exchange


def client_of(url: str, signature_type: int) -> Any:
    """The official client with derived credentials."""
    funder = DEPOSIT_WALLET if signature_type == 3 else None
    client = ClobClient(url, 137, key=PRIVATE_KEY, signature_type=signature_type, funder=funder)
    client.set_api_creds(client.create_or_derive_api_key())
    assert client.derive_api_key() == client.creds
    return client


def bid(token: str, price: float, size: float) -> OrderArgsV2:
    """A limit buy."""
    return OrderArgsV2(token_id=token, price=price, size=size, side="BUY")


@pytest.mark.parametrize("slug", ["demo-1", "demo-3"])
@pytest.mark.parametrize("signature_type", [0, 3])
async def test_a_whole_session(stocked: Exchange, signature_type: int, slug: str) -> None:
    """Keys, book, orders one by one and in a batch, open orders, fills, trades, balances, heartbeats, cancels."""
    market = stocked.venue.find(slug).market
    await asyncio.to_thread(session, stocked.url, market, signature_type)
    assert stocked.venue.conserves()
    owner = DEPOSIT_WALLET if signature_type == 3 else "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
    assert stocked.venue.orders_of(owner) == []
    assert stocked.venue.ledger.balance(owner.lower(), market.yes).total == shares(20) + shares(19.23075)


def session(url: str, market: Market, signature_type: int) -> None:
    """What the client does, in a thread of its own, for it blocks."""
    client = client_of(url, signature_type)
    assert client.get_ok() == "OK"
    assert client.get_version() == 2
    book = client.get_order_book(market.yes)
    assert (book["bids"], book["asks"]) == ([{"price": "0.48", "size": "100"}], [{"price": "0.52", "size": "100"}])
    assert client.get_closed_only_mode() == {"closed_only": False}
    placed = place_resting(client, market)
    trade_against_the_book(client, market)
    client.post_heartbeat(client.post_heartbeat()["heartbeat_id"])
    assert client.is_order_scoring(OrderScoringParams(orderId=placed[0])) == {"scoring": True}
    assert client.cancel_order(OrderPayload(orderID=placed[0]))["canceled"] == [placed[0]]
    assert client.cancel_orders(placed[:2])["canceled"] == [placed[1]]
    left = client.cancel_market_orders(OrderMarketCancelParams(market=market.condition_id))
    assert left["canceled"] == placed[2:]
    assert client.cancel_all() == {"canceled": [], "not_canceled": {}}
    assert client.get_open_orders() == []
    assert client.get_order(placed[0])["status"] == "CANCELED"


def place_resting(client: Any, market: Market) -> list[str]:
    """One order alone and two in a batch; the third of the batch would cross and is refused."""
    alone = client.create_and_post_order(bid(market.yes, 0.40, 20), order_type=OrderType.GTC, post_only=True)
    assert (alone["success"], alone["status"]) == (True, "live")
    batch = [(market.yes, 0.41), (market.no, 0.42), (market.yes, 0.52)]
    orders = [client.create_order(bid(token, price, 10)) for token, price in batch]
    answers = client.post_orders([PostOrdersV2Args(order=o, orderType=OrderType.GTC) for o in orders], post_only=True)
    assert [answer["status"] for answer in answers] == ["live", "live", ""]
    assert "crosses book" in answers[2]["errorMsg"]
    ids = [alone["orderID"], *(answer["orderID"] for answer in answers[:2])]
    assert {order["id"] for order in client.get_open_orders()} == set(ids)
    assert len(client.get_open_orders(OpenOrderParams(asset_id=market.no))) == 1
    return ids


def trade_against_the_book(client: Any, market: Market) -> None:
    """A marketable limit order and a market order in dollars; both settle and show up in trades and balances."""
    limit = client.create_and_post_order(bid(market.yes, 0.52, 20), order_type=OrderType.GTC)
    assert (limit["status"], limit["makingAmount"], limit["takingAmount"]) == ("matched", "10.4", "20")
    assert limit["transactionsHashes"][0].startswith("0x")
    dollars = MarketOrderArgsV2(token_id=market.yes, amount=10, side="BUY", order_type=OrderType.FAK)
    at_market = client.create_and_post_market_order(dollars, order_type=OrderType.FAK)
    assert (at_market["status"], at_market["takingAmount"]) == ("matched", "19.23075")
    trades = client.get_trades(TradeParams(asset_id=market.yes))
    assert [trade["size"] for trade in trades] == ["19.23075", "20"]
    held = BalanceAllowanceParams(asset_type=AssetType.CONDITIONAL, token_id=market.yes)
    client.update_balance_allowance(held)
    assert int(client.get_balance_allowance(held)["balance"]) >= shares(20)


async def test_a_refusal_reaches_the_client(stocked: Exchange) -> None:
    """The client raises with our status and the venue's words."""
    market = stocked.venue.find("demo-1").market

    def sell_what_is_not_there() -> None:
        client = client_of(stocked.url, 0)
        args = OrderArgsV2(token_id=market.yes, price=0.6, size=20, side="SELL")
        with pytest.raises(PolyApiException) as refused:
            client.create_and_post_order(args)
        assert refused.value.status_code == 400
        assert refused.value.error_msg["error"].startswith("not enough balance / allowance")

    await asyncio.to_thread(sell_what_is_not_there)
