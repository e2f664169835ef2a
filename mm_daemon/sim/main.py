"""The exchange as a program: options, and how it is started and stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp.typedefs import Middleware
from aiohttp.web import RouteDef

from mm_daemon.core.units import USD, Cash
from mm_daemon.sim.books import Books, VenueBooks
from mm_daemon.sim.flow import start_flow
from mm_daemon.sim.listing import VenueRules
from mm_daemon.sim.markets import demo_listings
from mm_daemon.sim.recording import Recording
from mm_daemon.sim.server import ExchangeServer
from mm_daemon.sim.traders import Trader
from mm_daemon.sim.venue import Venue


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOptions:
    """How an exchange is started.

    `speed` multiplies the rates of the order flow and divides the settlement delays; for a recording it is the speed
    of the replay, and 0 is as fast as possible. With a `recording` its markets are the only ones, and there is no flow.
    """

    host: str = "127.0.0.1"
    port: int = 0
    markets: int = 1
    seed: int = 1
    speed: float = 1.0
    flow: bool = True
    recording: Path | None = None
    starting_cash_usd: int = 10_000
    mined_after_ms: int = 2_000
    confirmed_after_ms: int = 5_000
    tape_delay_ms: int = 100


class Exchange:
    """A running exchange, for tests in the same process."""

    def __init__(self, url: str, venue: Venue, server: ExchangeServer, recording: Recording | None) -> None:
        self.url = url
        self.venue = venue
        self.server = server
        self.recording = recording

    @property
    def ws_url(self) -> str:
        """The base of the websocket URLs; add /market or /user."""
        return self.url.replace("http://", "ws://", 1) + "/ws"

    def trader(self, name: str) -> Trader:
        """An internal trader, who needs no key and has enough of everything."""
        return Trader(self.venue, name)


def wall_clock_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def make_venue(options: ExchangeOptions, clock: Callable[[], int] = wall_clock_ms) -> Venue:
    """The venue that `options` describe, with its markets but without its flow."""
    scale = options.speed if options.speed > 0 else 1.0
    rules = VenueRules(
        starting_cash=Cash(options.starting_cash_usd * USD),
        mined_after_ms=round(options.mined_after_ms / scale),
        confirmed_after_ms=round(options.confirmed_after_ms / scale),
        tape_delay_ms=round(options.tape_delay_ms / scale),
        seed=options.seed,
    )
    listings = [] if options.recording else demo_listings(options.markets, options.seed)
    return Venue(listings, rules, clock)


@asynccontextmanager
async def running_exchange(
    options: ExchangeOptions,
    clock: Callable[[], int] = wall_clock_ms,
    middlewares: Sequence[Middleware] = (),
    routes: Sequence[RouteDef] = (),
) -> AsyncIterator[Exchange]:
    """Run an exchange while the block lasts.

    `middlewares` stand outside of everything that it answers; `routes` are served beside its own.

    Raises:
        ConservationError: money was made or lost: a bug of the exchange.
        ValueError: the recording cannot be used.
        OSError: the port is taken, or the recording cannot be read.
    """
    venue = make_venue(options, clock)
    books: Books = VenueBooks(venue)
    recording = None
    if options.recording is not None:
        books = recording = Recording.load(options.recording, venue, options.speed)
    elif options.flow:
        start_flow(venue, options.seed, options.speed)
    server = ExchangeServer(venue, books, middlewares)
    server.app.add_routes(routes)
    if recording is not None:
        recording.on_frame(server.market_hub.publish)
    try:
        async with server.listening(options.host, options.port) as url:
            yield Exchange(url, venue, server, recording)
    finally:
        if recording is not None:
            recording.stop()


async def serve(options: ExchangeOptions, on_ready: Callable[[str], None]) -> None:
    """Run an exchange until cancelled; `on_ready` gets its base URL once it listens."""
    async with running_exchange(options) as exchange:
        on_ready(exchange.url)
        await asyncio.Event().wait()
