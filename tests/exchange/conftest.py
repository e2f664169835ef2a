"""Fixtures of the exchange tests: the recordings, and a scripted venue on a real socket."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from mm_daemon.exchange.polymarket.auth import ApiCredentials
from mm_daemon.exchange.polymarket.venue import PolymarketVenue

_limit = sys.getrecursionlimit()
import_module("py_clob_client_v2")  # here, so that no test measures the import or warns of the limit that it raises
sys.setrecursionlimit(_limit)

RECORDINGS = Path(__file__).resolve().parents[2].parent / "shared" / "recordings"
KEY = "11" * 32
ACCOUNT = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
CREDENTIALS = ApiCredentials(
    "00000000-0000-0000-0000-00000000000a", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "pass"
)

Responder = Callable[[web.Request, bytes], web.StreamResponse]


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests of sockets run on the daemon's loop too, whose transports differ in more than speed."""
    if item.path.name == "test_connections.py":
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def recording() -> Callable[[str], Any]:
    """Reads one recorded JSON file; skips where the recordings are not beside the project."""

    def read(name: str) -> Any:
        path = RECORDINGS / name
        if not path.exists():
            pytest.skip(f"no recordings at {RECORDINGS}")
        return json.loads(path.read_text())

    return read


class ScriptedVenue:
    """An HTTP server whose answers a test writes down; keeps every request it got."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.answers: dict[str, Responder] = {}

    def answer(self, call: str, status: int, body: object = None, headers: dict[str, str] | None = None) -> None:
        """Always answer `call` ("POST /orders") so; a body that is bytes is sent as it is."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[call] = lambda request, sent: web.Response(status=status, body=content, headers=headers)

    def respond(self, call: str, responder: Responder) -> None:
        """Answer `call` by a function of the request and its body."""
        self.answers[call] = responder

    def count(self, call: str) -> int:
        """How often `call` came."""
        return sum(f"{method} {path.partition('?')[0]}" == call for method, path, _, _ in self.requests)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path_qs, body, dict(request.headers)))
        responder = self.answers.get(f"{request.method} {request.path}")
        return responder(request, body) if responder else web.json_response({"error": "not scripted"}, status=404)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedVenue]:
    """A scripted venue on a free port of the loopback."""
    venue = ScriptedVenue()
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", venue.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    venue.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield venue
    await runner.cleanup()


@pytest.fixture
async def venue(scripted: ScriptedVenue) -> AsyncIterator[PolymarketVenue]:
    """Our client, talking to the scripted venue, with credentials and short deadlines."""
    client = PolymarketVenue(
        scripted.url,
        scripted.url,
        private_key=KEY,
        credentials=CREDENTIALS,
        read_deadline_secs=2.0,
        write_deadline_secs=0.5,
    )
    yield client
    await client.close()
