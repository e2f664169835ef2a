"""The exchange's wire: one aiohttp server on loopback for the REST API, both websockets, Gamma and the data API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Middleware

from mm_daemon.sim.books import Books
from mm_daemon.sim.http import Auth, refusals
from mm_daemon.sim.rest_discovery import DiscoveryApi
from mm_daemon.sim.rest_private import AccountApi, KeyApi, OrderApi
from mm_daemon.sim.rest_public import PublicApi
from mm_daemon.sim.venue import Venue
from mm_daemon.sim.ws import MarketHub, UserHub

MOST_BYTES = 4 * 1024 * 1024


class ExchangeServer:
    """Serves one venue. Middlewares given here run outside the refusals, so they can spoil any answer."""

    def __init__(self, venue: Venue, books: Books, middlewares: Sequence[Middleware] = ()) -> None:
        self.venue = venue
        self.market_hub = MarketHub(books)
        self.user_hub = UserHub(venue)
        venue.market_listeners.append(self.market_hub.publish)
        venue.user_listeners.append(self.user_hub.publish)
        auth = Auth(venue)
        self.app = web.Application(middlewares=[*middlewares, refusals], client_max_size=MOST_BYTES)
        for part in (
            PublicApi(venue, books),
            KeyApi(venue, auth),
            OrderApi(venue, auth),
            AccountApi(venue, auth),
            DiscoveryApi(venue),
        ):
            self.app.add_routes(part.routes())
        self.app.add_routes([web.get("/ws/market", self.market_hub.serve), web.get("/ws/user", self.user_hub.serve)])

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve until the block ends; yields the base URL, whose port is a free one if `port` is 0.

        Raises:
            OSError: the port is taken.
            ConservationError: money was made or lost; the block is cancelled at once.
        """
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            async with _clockwork(self.venue):
                site = web.TCPSite(runner, host, port)
                await site.start()
                bound_host, bound_port = runner.addresses[0][:2]
                yield f"http://{bound_host}:{bound_port}"
        finally:
            await self.market_hub.close()
            await self.user_hub.close()
            await runner.cleanup()


@asynccontextmanager
async def _clockwork(venue: Venue) -> AsyncIterator[None]:
    """Run the venue's timers beside the block. If they break, the block is cancelled and their error raised instead."""
    block = asyncio.current_task()
    timers = asyncio.create_task(run_timers(venue))

    def stop_block(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and block is not None:
            block.cancel()

    timers.add_done_callback(stop_block)
    try:
        yield
    except asyncio.CancelledError:
        if not timers.done() or timers.cancelled() or block is None:
            raise
        block.uncancel()
    finally:
        timers.cancel()
        [ending] = await asyncio.gather(timers, return_exceptions=True)
        if isinstance(ending, Exception):
            raise ending


async def run_timers(venue: Venue) -> None:
    """Run the venue's timers when they are due, for ever."""
    earlier = asyncio.Event()
    venue.wake = earlier.set
    while True:
        earlier.clear()
        venue.advance(venue.clock())
        due = venue.timers.next_due
        wait = None if due is None else max(0, due - venue.clock()) / 1000
        try:
            async with asyncio.timeout(wait):
                await earlier.wait()
        except TimeoutError:
            continue
