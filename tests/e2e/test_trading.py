"""The daemon's day: it quotes both sides, is filled on both, leans against its position, and leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest

from mm_daemon.core.units import Outcome, Side

from ..given import cents, shares
from .conftest import MARKET, Scene
from .daemon import DEPOSIT_WALLET, Settings, patience, until


@pytest.mark.parametrize("signature_type", [0, 3])
async def test_quotes_fills_and_skew(scene: Scene, signature_type: int) -> None:
    """Quotes both sides within 5 s, is filled on both, quotes lower while long, and ends with exit 0 and no order."""
    wallet: dict[str, object] = {"signature_type": signature_type}
    if signature_type:
        wallet["funder"] = scene.wallet = DEPOSIT_WALLET
        scene.wallet = scene.wallet.lower()
    taker = scene.exchange.trader("taker")
    began = asyncio.get_running_loop().time()
    async with scene.daemon(Settings(addresses=scene.direct, wallet=wallet)) as daemon:
        await scene.quoted(secs=5)
        assert asyncio.get_running_loop().time() - began < patience(5)
        assert scene.prices == (cents(49), cents(51))

        taker.sell(MARKET, Outcome.YES, cents(49), shares(40))
        booked = await daemon.logged("fill_book")
        assert booked["net"] == 40
        await until(lambda: scene.is_two_sided and scene.prices[0] < cents(49), "a lower bid")
        await until(lambda: scene.is_two_sided and scene.prices[1] < cents(51), "a lower ask")
        await daemon.logged("fill_settle")
        # Once settled the ask is a SELL of what is held.
        await until(lambda: scene.is_two_sided and scene.order(Side.SELL).side is Side.SELL, "a SELL of YES held")

        ask = scene.order(Side.SELL)
        taker.buy(MARKET, Outcome.YES, ask.yes_price, ask.size)
        sold = await daemon.logged("fill_book", count=2)
        assert sold["net"] == pytest.approx(40 - ask.size / 1_000_000)
        await scene.quoted()
        assert await daemon.stop() == 0
        assert daemon.log[-1]["event"] == "stopped"
    assert scene.orders == []


async def test_the_mid_moves(scene: Scene) -> None:
    """When the crowd moves, the quotes follow it at once, and never does more than one order rest on a side."""
    async with scene.daemon(Settings(strategy={"refresh_interval_secs": 30})) as daemon:
        await scene.quoted()
        most = 0

        def follows() -> bool:
            nonlocal most
            most = max(most, len(scene.orders))
            return scene.is_two_sided and scene.prices == (cents(51), cents(53))

        scene.crowd(bid=50, ask=54)
        await until(follows, "quotes around 52", secs=3)
        assert most <= 2
        assert await daemon.stop() == 0


async def test_a_tick_change(scene: Scene) -> None:
    """A finer grid is a new epoch: the old quotes are pulled, and the new ones stand on the new grid."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        assert scene.prices == (cents(49), cents(51))
        old = scene.ids
        scene.exchange.venue.set_tick(MARKET, cents(0.1))
        await until(lambda: not old & scene.ids, "the old quotes are pulled")
        await until(lambda: scene.is_two_sided and scene.prices == (cents(49.5), cents(50.5)), "quotes on the new grid")
        assert await daemon.stop() == 0
    assert scene.orders == []


async def test_a_market_is_resolved(scene: Scene) -> None:
    """When the market is decided nothing more is quoted, and the stop finds nothing to do."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        scene.exchange.venue.resolve(MARKET, Outcome.YES)
        await daemon.logged("quotes_pulled")
        sent = len(daemon.events("order_sent"))
        assert await daemon.stop() == 0
        assert len(daemon.events("order_sent")) == sent
        assert daemon.events("quotes_pulled")[-1]["why"] == "resolved"


async def test_an_outage_of_the_sockets(scene: Scene) -> None:
    """While deaf nothing is quoted; once the sockets are back the position is read anew and quoting goes on."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        await scene.line.cut()
        await until(lambda: not scene.orders, "no quotes while deaf")
        await scene.line.open()
        await scene.quoted(secs=10)
        assert daemon.events("quoting_held")
        assert await daemon.stop() == 0
    assert scene.orders == []


async def test_limits_hold_at_the_exchange(scene: Scene) -> None:
    """However often it is hit, position and open bids never exceed the limit, and the ask keeps quoting."""
    taker = scene.exchange.trader("taker")
    async with scene.daemon(Settings(strategy={"inventory_skew_factor": 0, "max_position_usd": 60})) as daemon:
        for _ in range(6):
            await until(lambda: any(o.direction is Side.SELL for o in scene.orders), "an ask")
            bids = [order for order in scene.orders if order.direction is Side.BUY]
            if not bids:
                break
            hits = len(daemon.events("fill_book"))
            taker.sell(MARKET, Outcome.YES, bids[0].yes_price, bids[0].size)
            await daemon.logged("fill_book", count=hits + 1)
            await daemon.logged("fill_settle", count=hits + 1)
            state = scene.exchange.venue.ledger.holdings(scene.wallet)
            held = sum(balance.total for balance in state.values())
            open_bids = sum(order.size - order.matched for order in scene.orders if order.direction is Side.BUY)
            assert (held + open_bids) * 0.5 <= 60_000_000
        else:
            pytest.fail("the bid never stopped")
        assert held * 0.5 > 50_000_000
        assert await daemon.stop() == 0
