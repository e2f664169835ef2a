"""Starting and stopping the exchange."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from mm_daemon.core.units import USD, Outcome, Price
from mm_daemon.sim.accounts import ConservationError
from mm_daemon.sim.main import Exchange, ExchangeOptions, running_exchange, serve
from tests.sim.conftest import shares

QUIET = ExchangeOptions(flow=False)


async def test_serving_ends_when_cancelled() -> None:
    """The address is told once it listens; after the cancellation nobody answers there."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(ExchangeOptions(markets=2), ready.set_result))
    url = await ready
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/ok") as response:
            assert response.status == 200
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{url}/ok")


async def test_a_taken_port_is_an_error() -> None:
    """Two exchanges cannot share a port."""
    async with running_exchange(QUIET) as running:
        port = int(running.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="address already in use"):
            async with running_exchange(ExchangeOptions(flow=False, port=port)):
                pytest.fail("it started")


async def test_a_leak_stops_the_exchange() -> None:
    """Money that appears from nowhere is found at the next match, and the exchange ends with that error."""

    def trade(exchange: Exchange, _due: int) -> None:
        exchange.trader("buyer").buy("demo-1", Outcome.YES, Price(5000), shares(10))

    with pytest.raises(ConservationError):
        async with running_exchange(QUIET) as running:
            seller = running.trader("seller")
            seller.sell("demo-1", Outcome.YES, Price(5000), shares(10))
            running.venue.ledger.balance(seller.address).settled += USD
            running.venue.call_at(running.venue.clock(), lambda due: trade(running, due))
            await asyncio.Event().wait()


async def test_the_body_keeps_its_own_errors() -> None:
    """What goes wrong inside the block comes out as it was."""
    with pytest.raises(KeyError, match="mine"):
        async with running_exchange(QUIET):
            raise KeyError("mine")
