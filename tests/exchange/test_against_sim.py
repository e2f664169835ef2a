"""The client and its channels against the built-in exchange, which checks every signature with the official client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect

from mm_daemon.core.events import BookSnapshot, LevelsChanged, OrderReport, OrderStatus, TradeReport
from mm_daemon.core.market import Market
from mm_daemon.core.units import Outcome, Price, Side, Size
from mm_daemon.exchange.api import Accepted, CancelOutcome, Channel, Complete, MarketChannel, Refused, UserChannel
from mm_daemon.exchange.errors import Rejected, RejectReason
from mm_daemon.exchange.polymarket.market_channel import PolymarketMarketChannel
from mm_daemon.exchange.polymarket.venue import PolymarketVenue
from mm_daemon.sim.main import Exchange, ExchangeOptions, running_exchange

from .conftest import KEY

WALLETS = {0: "", 1: "0x6Cd089333445c89b55B7693c6009DCc229613738", 3: "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"}
SHARES = Size(10_000_000)


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """A quiet exchange with two markets that settles within a tenth of a second."""
    options = ExchangeOptions(markets=2, flow=False, mined_after_ms=50, confirmed_after_ms=50, tape_delay_ms=10)
    async with running_exchange(options) as running:
        yield running


@asynccontextmanager
async def connected(exchange: Exchange, signature_type: int = 0) -> AsyncIterator[PolymarketVenue]:
    """Our client with credentials of the exchange."""
    venue = PolymarketVenue(
        exchange.url,
        exchange.url + "/gamma",
        private_key=KEY,
        funder=WALLETS[signature_type],
        signature_type=signature_type,
    )
    await venue.connect()
    try:
        yield venue
    finally:
        await venue.close()


class Heard(list[object]):
    """The events that came over a socket."""

    def __init__(self) -> None:
        super().__init__()
        self.frame_came = asyncio.Event()

    async def until(self, condition: Callable[[], object], secs: float = 5.0) -> None:
        """Wait until `condition` holds; it is asked again after each frame."""
        async with asyncio.timeout(secs):
            while not condition():
                self.frame_came.clear()
                await self.frame_came.wait()


@asynccontextmanager
async def listening(channel: MarketChannel | UserChannel) -> AsyncIterator[Heard]:
    """The channel over a real socket; its events gather in the list."""
    heard = Heard()
    async with connect(channel.url, ping_interval=None) as socket:
        for text in channel.connected(time.monotonic_ns()):
            await socket.send(text)

        async def listen() -> None:
            async for frame in socket:
                heard.extend(channel.receive(frame, time.monotonic_ns()))
                heard.frame_came.set()

        task = asyncio.create_task(listen())
        await socket.send("PING")
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.wait({task})


async def first_market(venue: PolymarketVenue) -> Market:
    return await venue.load_market("demo-1")


@pytest.mark.parametrize("signature_type", [0, 1, 3])
async def test_place_read_cancel(exchange: Exchange, signature_type: int) -> None:
    """An order of every wallet kind is accepted under the id we computed, read back exactly, and cancelled."""
    async with connected(exchange, signature_type) as venue:
        market = await first_market(venue)
        order = venue.sign(market, market.yes, Side.BUY, market.tick, SHARES)
        assert await venue.place([order]) == [Accepted(order.id)]
        resting = await venue.open_orders()
        assert isinstance(resting, Complete)
        [found] = resting.value
        assert (found.id, found.token, found.price, found.size) == (order.id, market.yes, market.tick, SHARES)
        assert found.status is OrderStatus.LIVE
        assert await venue.cancel([order.id]) == {order.id: CancelOutcome.CANCELLED}
        assert await venue.cancel([order.id]) == {order.id: CancelOutcome.NOT_CANCELLED}
        assert await venue.open_orders() == Complete([])


async def test_batches_stand_order_by_order(exchange: Exchange) -> None:
    """In one batch a good order rests, a crossing one and an unaffordable one are refused with their reasons."""
    async with connected(exchange) as venue:
        market = await first_market(venue)
        exchange.trader("maker").sell("demo-1", Outcome.YES, Price(6000), SHARES)
        good = venue.sign(market, market.yes, Side.BUY, Price(5000), SHARES)
        crossing = venue.sign(market, market.yes, Side.BUY, Price(6000), SHARES)
        unaffordable = venue.sign(market, market.yes, Side.SELL, Price(7000), SHARES)
        accepted, crossed, poor = await venue.place([good, crossing, unaffordable])
        assert accepted == Accepted(good.id)
        assert isinstance(crossed, Refused)
        assert isinstance(poor, Refused)
        assert (crossed.reason, poor.reason) == (RejectReason.POST_ONLY_CROSSED, RejectReason.NOT_ENOUGH_BALANCE)
        assert await venue.cancel_all() == {good.id: CancelOutcome.CANCELLED}


async def test_fills_by_channel_and_by_read_are_the_same(exchange: Exchange) -> None:
    """A mint against our bid comes over the user channel in all its steps, and the read agrees with it."""
    async with connected(exchange) as venue:
        market = await first_market(venue)
        channel = venue.user_channel(exchange.ws_url + "/user")
        async with listening(channel) as events:
            await events.until(lambda: channel.statistics().pongs)
            order = venue.sign(market, market.yes, Side.BUY, Price(4000), SHARES)
            await venue.place([order])
            exchange.trader("taker").buy("demo-1", Outcome.NO, Price(6000), Size(4_000_000))
            await events.until(lambda: sum(isinstance(event, TradeReport) for event in events) >= 3)
        trades = [event for event in events if isinstance(event, TradeReport)]
        [fill] = {fill for trade in trades for fill in trade.fills}
        assert (fill.order_id, fill.token, fill.side, fill.price, fill.size) == (
            order.id,
            market.yes,
            Side.BUY,
            4000,
            4_000_000,
        )
        assert [trade.status.value for trade in trades] == ["matched", "mined", "confirmed"]
        reports = [event for event in events if isinstance(event, OrderReport)]
        assert [report.matched for report in reports][-1] == 4_000_000
        read = await venue.trades(int(time.time()) - 60)
        assert isinstance(read, Complete)
        assert [(trade.trade_id, trade.fills[0].key) for trade in read.value] == [(fill.trade_id, fill.key)]
        found = await venue.order(order.id)
        assert isinstance(found, Complete)
        assert found.value is not None
        assert found.value.matched == 4_000_000
        held = await venue.holding(market.yes)
        assert isinstance(held, Complete)
        assert held.value.amount == 4_000_000
        assert channel.statistics().malformed == {}


async def test_market_channel_and_book_agree(exchange: Exchange) -> None:
    """The first frames are the books of both tokens, changes carry both, and the read shows the same book."""
    async with connected(exchange) as venue:
        market = await first_market(venue)
        channel: PolymarketMarketChannel = PolymarketMarketChannel(exchange.ws_url + "/market", market.tokens)
        async with listening(channel) as events:
            await events.until(lambda: len(events) >= 2)
            assert {event.token for event in events if isinstance(event, BookSnapshot)} == set(market.tokens)
            exchange.trader("maker").buy("demo-1", Outcome.YES, Price(4000), SHARES)
            await events.until(lambda: any(isinstance(event, LevelsChanged) for event in events))
            [changed] = [event for event in events if isinstance(event, LevelsChanged)]
        assert {(c.token, c.side, c.price) for c in changed.changes} == {
            (market.yes, Side.BUY, 4000),
            (market.no, Side.SELL, 6000),
        }
        book = await venue.book(market.no)
        assert isinstance(book, Complete)
        assert (6000, SHARES) in book.value.asks
        assert channel.statistics().malformed == {}
        assert channel.statistics().pongs == 1
        fits: Channel = channel
        assert not fits.is_dead(time.monotonic_ns())


async def test_start_up_reads(exchange: Exchange) -> None:
    """Clock, ban status, collateral with allowance, and a market by slug, by condition id and again."""
    async with connected(exchange) as venue:
        assert abs(await venue.server_secs() - time.time()) < 3
        assert not await venue.is_closed_only()
        await venue.refresh_collateral()
        money = await venue.collateral()
        assert isinstance(money, Complete)
        assert money.value.amount == 10_000_000_000
        assert money.value.allowance is not None
        market = await first_market(venue)
        assert await venue.load_market(market.condition_id) == market
        assert await venue.market_status(market) == Complete(market)
        with pytest.raises(Rejected) as caught:
            await venue.load_market("no-such-market")
        assert caught.value.reason is RejectReason.NOT_FOUND


async def test_credentials_are_the_same_each_time(exchange: Exchange) -> None:
    """A second process with the wallet derives the key that the first one made."""
    async with connected(exchange) as first, connected(exchange) as second:
        assert first.credentials == second.credentials


async def test_heartbeats_of_two_processes(exchange: Exchange) -> None:
    """Beats of another process on the same key are recovered from with the id that the exchange names."""
    async with connected(exchange) as first, connected(exchange) as second:
        await first.heartbeat()
        await second.heartbeat()
        await first.heartbeat()
        await first.heartbeat()
        assert first.statistics().heartbeats == 3
