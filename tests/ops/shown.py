"""The dashboard for tests: a daemon as it knows it, served on loopback, and a page that listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from mm_daemon.core.desk import MarketState
from mm_daemon.core.latency import Latencies
from mm_daemon.core.orders import new_order
from mm_daemon.core.units import ConditionId, Price, Side, TokenId
from mm_daemon.http_token import HttpToken
from mm_daemon.ops.control import Handler
from mm_daemon.ops.dashboard.clients import FillsUnread, Sources
from mm_daemon.ops.dashboard.payload import FillShown
from mm_daemon.ops.dashboard.server import Dashboard
from mm_daemon.ops.observation import Observation
from mm_daemon.ops.web import Gate, web_server

from ..given import YES, a_desk, a_market, book_at, order_id, shares, usd
from .seen import an_observation

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE_SECS = 20.0


class Shown:
    """A daemon as the dashboard knows it."""

    def __init__(self) -> None:
        self.market = a_market()
        self.desk = a_desk(self.market)
        self.state: MarketState = book_at(self.desk, self.market, 48, 52)
        self.seen: Observation = an_observation()
        self.looks = 0
        self.failures: list[Exception] = []
        self.fills: list[FillShown] = []
        self.unread = ""
        self.events: list[dict[str, object]] = []
        self.told: list[tuple[str, str]] = []
        self.commands: dict[str, Handler] = {}

    async def observe(self) -> Observation:
        self.looks += 1
        if self.failures:
            raise self.failures.pop()
        return self.seen

    async def read_fills(self, _market: ConditionId, most: int) -> Sequence[FillShown]:
        if self.unread:
            raise FillsUnread(self.unread)
        return self.fills[:most]

    def recent(self) -> Sequence[Mapping[str, object]]:
        return self.events

    def takes(self, name: str) -> None:
        """Let the daemon take this command."""

        async def carry_out(reason: str) -> str:
            self.told.append((name, reason))
            return f"{name} done"

        self.commands[name] = carry_out

    def rest(self, side: Side, price: Price, size: float) -> None:
        """An order of ours on the book."""
        order = new_order(
            self.market, order_id(int(price)), TokenId(YES), side, price, shares(size), why="test", now_ns=1
        )
        self.desk.register(order)

    def dashboard(self, token: HttpToken | None) -> Dashboard:
        sources = Sources(
            desk=self.desk,
            observe=self.observe,
            latencies=Latencies(),
            day_pnl=lambda: usd(1.5),
            fills=self.read_fills,
            events=self.recent,
            clock_ns=lambda: 5_000_000_001,
            clock_ms=lambda: 1_700_000_000_000,
        )
        return Dashboard(sources, self.commands, token)


class Page:
    """An open page: what it is told, kind by kind."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self._ws = ws

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message of a kind; others are passed over."""
        async with asyncio.timeout(PATIENCE_SECS):
            while True:
                message: dict[str, Any] = await self._ws.receive_json()
                if message["type"] == kind:
                    return message

    async def watch(self, id: str | None) -> None:
        await self._ws.send_json({"watch": id})

    async def is_closed(self) -> bool:
        """Wait for the end of the socket."""
        async with asyncio.timeout(PATIENCE_SECS):
            while not self._ws.closed:
                await self._ws.receive()
        return True


class Site:
    """The server of a dashboard, and how to ask it."""

    def __init__(self, client: aiohttp.ClientSession, dashboard: Dashboard, url: str) -> None:
        self.client = client
        self.dashboard = dashboard
        self.url = url

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        async with self.client.ws_connect("/api/live") as ws:
            yield Page(ws)

    async def command(self, command: str, headers: Mapping[str, str] = BEARER, reason: str = "") -> tuple[int, str]:
        body = {"command": command, "reason": reason}
        async with self.client.post("/api/command", json=body, headers=headers) as answer:
            reply = await answer.json()
            assert reply["ok"] is (answer.status == 200)
            return answer.status, reply["text"]


@asynccontextmanager
async def served(shown: Shown, token: str = "") -> AsyncIterator[Site]:
    """Serve the dashboard of this daemon while the block lasts; every request carries the token, if there is one."""
    secret = HttpToken(token) if token else None
    dashboard = shown.dashboard(secret)

    def routes(_gate: Gate) -> Iterable[web.AbstractRouteDef]:
        return dashboard.routes()

    running = asyncio.create_task(dashboard.run())
    try:
        async with (
            web_server("127.0.0.1", 0, secret, routes) as url,
            aiohttp.ClientSession(url, headers=BEARER if token else None) as client,
        ):
            yield Site(client, dashboard, url)
            running.cancel()
    finally:
        running.cancel()
        await asyncio.wait({running})
