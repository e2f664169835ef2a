"""Both websocket channels over a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from mm_daemon.core.units import Outcome, Price, Side
from mm_daemon.sim import ws
from mm_daemon.sim.main import Exchange
from mm_daemon.sim.markets import demo_listings
from tests.sim.conftest import Wallet, recording, shares


class Ear:
    """A subscriber: what was said to it, object by object."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._heard: list[dict[str, Any]] = []

    async def say(self, **words: Any) -> None:
        """Send a JSON object."""
        await self.socket.send(json.dumps(words))

    async def frame(self) -> Any:
        """The next frame as it came."""
        text = await self.socket.recv()
        return text if text in ("PONG", ws.INVALID) else json.loads(text)

    async def until(self, kind: str) -> list[dict[str, Any]]:
        """Everything up to the next event of a kind."""
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["event_type"] != kind:
            heard.append(await self.frame())
        return heard

    async def is_in_step(self) -> None:
        """Everything said before has been read by the exchange."""
        await self.socket.send("PING")
        assert await self.frame() == "PONG"


@asynccontextmanager
async def ear(exchange: Exchange, channel: str) -> AsyncIterator[Ear]:
    """A connection to a channel."""
    async with connect(f"{exchange.ws_url}/{channel}") as socket:
        yield Ear(socket)


async def test_the_first_frame_is_an_array_of_books(exchange: Exchange) -> None:
    """One book for each token asked for; unknown tokens have none; deltas follow as single objects."""
    market = exchange.venue.find("demo-1").market
    maker = exchange.trader("maker")
    maker.buy("demo-1", Outcome.YES, Price(4800), shares(10))
    async with ear(exchange, "market") as listener:
        await listener.say(type="market", assets_ids=[market.yes, market.no, "1"])
        books = await listener.frame()
        assert [book["asset_id"] for book in books] == [market.yes, market.no]
        assert books[0]["bids"] == [{"price": "0.48", "size": "10"}]
        maker.buy("demo-1", Outcome.YES, Price(4700), shares(10))
        change = await listener.frame()
        assert [entry["asset_id"] for entry in change["price_changes"]] == [market.yes, market.no]


async def test_one_token_is_told_of_both(exchange: Exchange) -> None:
    """A price_change carries both outcomes, and a trade's book only the token subscribed."""
    market = exchange.venue.find("demo-1").market
    exchange.trader("maker").sell("demo-1", Outcome.YES, Price(5200), shares(10))
    async with ear(exchange, "market") as listener:
        await listener.say(type="market", assets_ids=[market.yes])
        await listener.frame()
        exchange.trader("taker").buy("demo-1", Outcome.YES, Price(5200), shares(4))
        heard = await listener.until("last_trade_price")
        assert [frame["event_type"] for frame in heard] == ["price_change", "book", "last_trade_price"]
        assert heard[1]["asset_id"] == market.yes


async def test_subscriptions_change_on_the_same_socket(exchange: Exchange) -> None:
    """Subscribe adds and answers with the book; unsubscribe ends it; a token is not dumped twice."""
    one, other = (exchange.venue.find(slug).market for slug in ("demo-1", "demo-3"))
    maker = exchange.trader("maker")
    async with ear(exchange, "market") as listener:
        await listener.say(type="market", assets_ids=[one.yes])
        await listener.frame()
        await listener.say(operation="subscribe", assets_ids=[one.yes, other.yes])
        assert [book["asset_id"] for book in await listener.frame()] == [other.yes]
        await listener.say(operation="unsubscribe", assets_ids=[one.yes])
        await listener.is_in_step()
        maker.buy("demo-1", Outcome.YES, Price(4700), shares(10))
        maker.buy("demo-3", Outcome.YES, Price(4700), shares(10))
        assert (await listener.frame())["market"] == other.condition_id


async def test_custom_events_are_asked_for(exchange: Exchange) -> None:
    """best_bid_ask and market_resolved come with custom_feature_enabled, which a later subscribe can switch on."""
    market = exchange.venue.find("demo-1").market
    maker = exchange.trader("maker")
    async with ear(exchange, "market") as listener:
        await listener.say(type="market", assets_ids=[market.yes])
        await listener.frame()
        maker.buy("demo-1", Outcome.YES, Price(4700), shares(10))
        assert (await listener.frame())["event_type"] == "price_change"
        await listener.say(operation="subscribe", assets_ids=[market.yes], custom_feature_enabled=True)
        await listener.is_in_step()
        maker.buy("demo-1", Outcome.YES, Price(4800), shares(10))
        touch = (await listener.until("best_bid_ask"))[-1]
        assert (touch["best_bid"], touch["best_ask"], touch["spread"]) == ("0.48", "1", "0.52")
        exchange.venue.resolve("demo-1", Outcome.YES)
        resolved = (await listener.until("market_resolved"))[-1]
        assert (resolved["winning_asset_id"], resolved["winning_outcome"]) == (market.yes, "Yes")


async def test_everybody_hears_of_a_new_market(exchange: Exchange) -> None:
    """new_market reaches sockets with the custom feature, whatever they subscribed to."""
    async with ear(exchange, "market") as listener:
        await listener.say(type="market", assets_ids=[], custom_feature_enabled=True, initial_dump=False)
        await listener.is_in_step()
        exchange.venue.list_market(demo_listings(5, 1)[-1])
        frame = await listener.frame()
        recorded = recording("market_ws/fixture_ws_market_new_market_msg.json")
        assert (frame["event_type"], frame["slug"]) == ("new_market", "demo-5")
        assert set(frame) <= set(recorded)


async def test_an_initial_dump_can_be_declined(exchange: Exchange) -> None:
    """initial_dump false: the first frame is the first change."""
    market = exchange.venue.find("demo-1").market
    async with ear(exchange, "market") as listener:
        await listener.say(type="market", assets_ids=[market.yes], initial_dump=False)
        await listener.is_in_step()
        exchange.trader("maker").buy("demo-1", Outcome.YES, Price(4700), shares(10))
        assert (await listener.frame())["event_type"] == "price_change"


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"type":"market"}', '{"operation":"dance","assets_ids":[]}'])
async def test_what_is_not_a_subscription_is_named(exchange: Exchange, text: str) -> None:
    """The market channel answers INVALID OPERATION and lives on."""
    async with ear(exchange, "market") as listener:
        await listener.socket.send(text)
        assert await listener.frame() == ws.INVALID
        await listener.is_in_step()


async def test_who_does_not_read_is_dropped(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose queue is full loses its connection, and the exchange goes on."""
    monkeypatch.setattr(ws, "QUEUED_FRAMES", 3)
    market = exchange.venue.find("demo-1").market
    maker = exchange.trader("maker")
    async with ear(exchange, "market") as listener:
        await listener.say(type="market", assets_ids=[market.yes])
        await listener.frame()
        for price in range(100, 1000, 100):
            maker.buy("demo-1", Outcome.YES, Price(price), shares(10))
        with pytest.raises(ConnectionClosed):
            while True:
                await listener.frame()
    assert len(exchange.venue.orders_of(maker.address)) == 9


async def test_the_owner_hears_of_orders_and_trades(exchange: Exchange, wallet: Wallet) -> None:
    """Placement, the trade in its three steps, and the update; the id is the one of the answer."""
    market = exchange.venue.find("demo-1").market
    async with ear(exchange, "user") as listener:
        await listener.say(type="user", auth=proof(wallet))
        await listener.is_in_step()
        _, body = await wallet.place(market, Side.BUY, 0.49, 20)
        placed = await listener.frame()
        assert (placed["type"], placed["id"], placed["status"]) == ("PLACEMENT", body["orderID"], "LIVE")
        exchange.trader("other").sell("demo-1", Outcome.YES, Price(4900), shares(20))
        statuses = []
        while "CONFIRMED" not in statuses:
            frame = await listener.frame()
            statuses.append(frame["status"])
        assert statuses == ["MATCHED", "MATCHED", "MINED", "CONFIRMED"]


async def test_a_market_filter_keeps_to_its_markets(exchange: Exchange, wallet: Wallet) -> None:
    """With `markets` only those are heard; without it, all."""
    one, other = (exchange.venue.find(slug).market for slug in ("demo-1", "demo-3"))
    async with ear(exchange, "user") as listener:
        await listener.say(type="user", auth=proof(wallet), markets=[other.condition_id])
        await listener.is_in_step()
        await wallet.place(one, Side.BUY, 0.4, 20)
        await wallet.place(other, Side.BUY, 0.4, 20)
        assert (await listener.frame())["market"] == other.condition_id
        await listener.say(operation="subscribe", markets=[one.condition_id])
        await listener.is_in_step()
        await wallet.place(one, Side.BUY, 0.41, 20)
        assert (await listener.frame())["market"] == one.condition_id


async def test_bad_credentials_close_the_socket(exchange: Exchange, wallet: Wallet) -> None:
    """A wrong secret, an unknown key or no credentials at all."""
    wrong = {**proof(wallet), "secret": "wrong"}
    for words in ({"type": "user", "auth": wrong}, {"type": "user"}, {"operation": "subscribe", "markets": []}):
        async with ear(exchange, "user") as listener:
            await listener.say(**words)
            with pytest.raises(ConnectionClosed):
                await listener.frame()


def proof(wallet: Wallet) -> dict[str, str]:
    """The `auth` object of a wallet."""
    creds = wallet.creds
    return {"apiKey": creds.api_key, "secret": creds.api_secret, "passphrase": creds.api_passphrase}
