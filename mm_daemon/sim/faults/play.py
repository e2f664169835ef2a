"""Runs a schedule of faults by the clock, and counts what each kind really hit."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Middleware

from mm_daemon.sim.faults.acts import VenueActs
from mm_daemon.sim.faults.rest import RestFaults
from mm_daemon.sim.faults.schedule import Fault, Kind
from mm_daemon.sim.faults.sockets import SocketFaults
from mm_daemon.sim.http import Handler
from mm_daemon.sim.main import Exchange

FEED_KINDS = (
    Kind.MARKET_DROPPED,
    Kind.MARKET_FROZEN,
    Kind.MARKET_DEAF,
    Kind.MARKET_HALF_FRAME,
    Kind.MARKET_GARBAGE,
    Kind.VENUE_GONE,
)
"""While and after these a client's picture of the book may be old."""
NEWS_KINDS = (
    Kind.USER_DROPPED,
    Kind.USER_FROZEN,
    Kind.USER_DEAF,
    Kind.USER_HALF_FRAME,
    Kind.EVENTS_LOST,
    Kind.EVENTS_REORDERED,
    Kind.EVENTS_LATE,
    Kind.VENUE_GONE,
)
"""While and after these a client may not have heard of what became of its trades."""


class Begun(NamedTuple):
    """A fault that has begun, and when, in milliseconds of the venue's clock."""

    fault: Fault
    at_ms: int


class FaultPlay:
    """Everything that can go wrong with one exchange, and the schedule by which it does.

    Attributes:
        hits: how many requests, events, sockets or acts each kind hit so far.
        begun: the faults that have begun, oldest first.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.hits: Counter[Kind] = Counter()
        self.begun: list[Begun] = []
        self._rest = RestFaults(seed, self._hit)
        self._spoilers: tuple[RestFaults | SocketFaults | VenueActs, ...] = (self._rest,)

    @property
    def middleware(self) -> Middleware:
        """Stands outside everything that the exchange answers."""

        @web.middleware
        async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._rest.spoil(request, handler)

        return spoil

    def attach(self, exchange: Exchange, account: str) -> None:
        """Take hold of a running exchange; acts are against `account`, an address."""
        server, seed = exchange.server, self._seed
        self._spoilers = (
            self._rest,
            SocketFaults("market", server.market_hub, seed, self._hit),
            SocketFaults("user", server.user_hub, seed, self._hit),
            VenueActs(exchange.venue, account.lower(), seed, self._hit),
        )

    def start(self, schedule: Iterable[Fault]) -> None:
        """Let a schedule begin now."""
        loop = asyncio.get_running_loop()
        for fault in schedule:
            loop.call_later(fault.at, self._begin, fault)

    def had(self, kinds: tuple[Kind, ...], since_ms: int) -> bool:
        """Whether a fault of these kinds was on at some time since then."""
        return any(fault.kind in kinds and at_ms + round(fault.secs * 1000) >= since_ms for fault, at_ms in self.begun)

    def _hit(self, kind: Kind) -> None:
        self.hits[kind] += 1

    def _begin(self, fault: Fault) -> None:
        self.begun.append(Begun(fault, time.time_ns() // 1_000_000))
        for spoiler in self._spoilers:
            spoiler.begin(fault)
        asyncio.get_running_loop().call_later(fault.secs, self._end, fault)

    def _end(self, fault: Fault) -> None:
        for spoiler in self._spoilers:
            spoiler.end(fault)
        if fault.kind is Kind.RESTARTING_425:
            self._begin(Fault(kind=Kind.POST_ONLY_503, at=0, secs=fault.secs))
