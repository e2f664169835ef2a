"""A webhook's far end: takes alerts, and answers as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from ..e2e.daemon import until

PATH = "/services/T0SECRETPART/webhook-secret-0123456789"


class Receiver:
    """Takes what is posted.

    Attributes:
        bodies: what came, also what was not taken.
        answers: for the next requests: status, headers and body; 200 when there is none left.
        is_deaf: never answers.
    """

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.answers: list[tuple[int, Mapping[str, str], bytes]] = []
        self.is_deaf = False
        self.url = ""

    def will_answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """The answer to the next request that has none yet."""
        self.answers.append((status, headers or {}, body))

    async def serve(self, request: web.Request) -> web.Response:
        """One alert."""
        self.bodies.append(msgspec.json.decode(await request.read()))
        if self.is_deaf:
            await asyncio.Event().wait()
        status, headers, body = self.answers.pop(0) if self.answers else (200, {}, b"ok")
        return web.Response(status=status, headers=dict(headers), body=body)

    async def received(self, count: int, secs: float = 10.0) -> list[dict[str, Any]]:
        """Wait for so many requests."""
        await until(lambda: len(self.bodies) >= count, f"{count} alerts at the webhook", secs)
        return self.bodies

    async def told(self, key: str, secs: float = 10.0, *, resolved: bool = False) -> dict[str, Any]:
        """Wait for an alert of the generic form with this key."""

        def found() -> list[dict[str, Any]]:
            return [body for body in self.bodies if (body["key"], body["resolved"]) == (key, resolved)]

        await until(found, f"{key} at the webhook, which has {[body['key'] for body in self.bodies]}", secs)
        return found()[0]


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port of the loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post(PATH, receiver.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}{PATH}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
