"""What the daemon finds when it starts, and mode = "sim", which needs nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mm_daemon.core.market import Market
from mm_daemon.core.units import OrderId, Outcome, Price, Side
from mm_daemon.exchange.api import Accepted
from mm_daemon.exchange.polymarket.venue import PolymarketVenue

from ..given import cents, shares
from .conftest import MARKET, Scene
from .daemon import Settings, running_daemon, until

STOPPED = 0


@asynccontextmanager
async def our_client(scene: Scene) -> AsyncIterator[tuple[PolymarketVenue, Market]]:
    """Another process of the same account."""
    client = PolymarketVenue(scene.exchange.url, f"{scene.exchange.url}/gamma", private_key=scene.private_key)
    await client.connect()
    yield client, await client.load_market(MARKET)
    await client.close()


async def leave_a_bid(scene: Scene, price: Price) -> OrderId:
    """An order of our account from before the daemon's start."""
    async with our_client(scene) as (client, market):
        order = client.sign(market, market.yes, Side.BUY, price, shares(51))
        assert await client.place([order]) == [Accepted(order.id)]
    return order.id


async def test_orders_found_are_cancelled(scene: Scene) -> None:
    """By default every order of the account that rests from before is gone before the first quote."""
    old = await leave_a_bid(scene, cents(49))
    async with scene.daemon() as daemon:
        await scene.quoted()
        assert old not in scene.ids
        assert daemon.events("orders_found")
        assert await daemon.stop() == STOPPED
    assert scene.orders == []


@pytest.mark.parametrize(("price", "is_kept"), [(49, True), (45, False)], ids=["right", "wrong"])
async def test_orders_found_are_adopted(scene: Scene, price: float, is_kept: bool) -> None:
    """With "adopt" an order at the right price keeps its place in the queue, another is replaced."""
    old = await leave_a_bid(scene, cents(price))
    async with scene.daemon(Settings(risk={"orders_at_start": "adopt"})) as daemon:
        await until(lambda: scene.is_two_sided and scene.prices == (cents(49), cents(51)), "the quote")
        assert (old in scene.ids) is is_kept
        assert await daemon.stop() == STOPPED
    assert scene.orders == []


async def test_a_position_found_skews_from_the_first_quote(scene: Scene) -> None:
    """Tokens held at the start count: long, the first quotes are already lower, and the ask sells what is held."""
    await leave_a_bid(scene, cents(49))
    scene.exchange.trader("taker").sell(MARKET, Outcome.YES, cents(49), shares(51))
    await until(lambda: not scene.exchange.venue.orders_of(scene.wallet), "the bid is filled")
    async with scene.daemon() as daemon:
        await scene.quoted()
        assert scene.prices[0] < cents(49)
        assert scene.prices[1] < cents(51)
        await until(lambda: scene.is_two_sided and scene.order(Side.SELL).side is Side.SELL, "a SELL of YES held")
        assert await daemon.stop() == STOPPED


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def is_alive(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_sim_mode_needs_no_key(tmp_path: Path) -> None:
    """With mode = "sim" it quotes on an exchange of its own, stops with exit 0, and takes the exchange with it."""
    settings = Settings(mode="sim", wallet={}, sim={"markets": 1})
    async with running_daemon(settings.write(tmp_path), None) as daemon:
        await daemon.logged("order_sent", secs=10, count=2)
        [exchange] = children(daemon.pid)
        assert await daemon.stop() == STOPPED
    await until(lambda: not is_alive(exchange), "the exchange is gone")


async def test_sim_mode_killed(tmp_path: Path) -> None:
    """Killed without a word, the daemon leaves no exchange behind."""
    settings = Settings(mode="sim", wallet={}, sim={"markets": 1})
    async with running_daemon(settings.write(tmp_path), None) as daemon:
        await until(lambda: children(daemon.pid), "the exchange", secs=10)
        await daemon.logged("started", secs=10)
        [exchange] = children(daemon.pid)
        await daemon.stop(signal.SIGKILL)
    await until(lambda: not is_alive(exchange), "the exchange is gone")


async def test_sim_mode_stopped_while_its_exchange_starts(tmp_path: Path) -> None:
    """A signal before there is an exchange to trade on ends the process at once, with exit 0 and nothing left."""
    settings = Settings(mode="sim", wallet={}, sim={"markets": 1})
    async with running_daemon(settings.write(tmp_path), None) as daemon:
        await until(lambda: children(daemon.pid), "the exchange", secs=10)
        [exchange] = children(daemon.pid)
        assert await daemon.stop() == STOPPED
    await until(lambda: not is_alive(exchange), "the exchange is gone")
