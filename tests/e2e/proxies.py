"""What stands between the daemon and its venue: lines that a test cuts or freezes, a REST service that it makes slow,
deaf or false.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
from aiohttp import web
from yarl import URL


class RestProxy:
    """A REST service that hands everything on, except for what a test tells it.

    Attributes:
        delay_secs: how long every request waits before it is handed on.
        delays: the same for single calls ("POST /orders").
        answers: calls that are answered here, with status and body.
        losses: calls that are handed on, and whose answer is lost on the way back.
        is_deaf: takes requests and never answers.
        calls: how often each call came.
        waiting: calls that wait now.
        signatures: every value of the POLY_SIGNATURE header that came.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.url = ""
        self.delay_secs = 0.0
        self.delays: dict[str, float] = {}
        self.answers: dict[str, tuple[int, object]] = {}
        self.losses: set[str] = set()
        self.is_deaf = False
        self.calls: Counter[str] = Counter()
        self.waiting: Counter[str] = Counter()
        self.signatures: set[str] = set()

    async def open(self) -> None:
        """Listen on a free port of the loopback."""
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        """Be gone: connections end, new ones are refused."""
        if self._runner is not None and self._session is not None:
            await self._runner.cleanup()
            await self._session.close()
            self._runner = None

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        call = f"{request.method} {request.path}"
        self.calls[call] += 1
        self.waiting[call] += 1
        self.signatures.update(request.headers.getall("POLY_SIGNATURE", []))
        try:
            if self.is_deaf:
                await asyncio.Event().wait()
            body = await request.read()
            await asyncio.sleep(self.delays.get(call, self.delay_secs))
        finally:
            self.waiting[call] -= 1
        if call in self.answers:
            status, told = self.answers[call]
            return web.json_response(told, status=status)
        answer = await self._hand_on(request, body)
        if call in self.losses and request.transport is not None:
            request.transport.abort()
        return answer

    async def _hand_on(self, request: web.Request, body: bytes) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection")}
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, data=body or None, headers=headers) as answer:
            return web.Response(
                body=await answer.read(), status=answer.status, content_type=answer.content_type or "text/plain"
            )


class Line:
    """A TCP line to one port of the loopback, whatever is spoken on it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._is_frozen = False
        self.port = 0
        self.connections = 0

    async def open(self) -> None:
        """Take connections, on the same port as before if there was one."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def freeze(self) -> None:
        """From now on nothing comes through, and nobody is told."""
        self._is_frozen = True

    async def cut(self) -> None:
        """End every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        if self._pumps:
            await asyncio.wait(self._pumps)
        self._writers.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(far_writer)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            pump = asyncio.create_task(self._pump(source, target))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(65_536):
                if not self._is_frozen:
                    target.write(chunk)
                    await target.drain()
        if not self._is_frozen:
            target.transport.abort()


@asynccontextmanager
async def rest_proxy(target: str) -> AsyncIterator[RestProxy]:
    """A REST proxy before `target` while the block lasts."""
    proxy = RestProxy(target)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()


@asynccontextmanager
async def line_to(port: int) -> AsyncIterator[Line]:
    """A line to `port` while the block lasts."""
    line = Line(port)
    await line.open()
    try:
        yield line
    finally:
        await line.cut()
