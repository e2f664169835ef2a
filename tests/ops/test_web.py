"""The HTTP server over real sockets: who is answered, what machines are told, and what no answer lacks."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from mm_daemon.core.latency import Latencies
from mm_daemon.http_token import HttpToken
from mm_daemon.ops import web as server
from mm_daemon.ops.observation import Observation, TaskSeen
from mm_daemon.ops.probes import Probes
from mm_daemon.ops.web import Gate, web_server

from .seen import a_market_seen, an_observation

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Watched:
    """What a test lets the server see."""

    def __init__(self) -> None:
        self.seen: Observation = an_observation()
        self.tasks: list[TaskSeen] = []
        self.url = ""

    async def observe(self) -> Observation:
        return self.seen

    def routes(self, gate: Gate) -> Iterable[web.AbstractRouteDef]:
        probes = Probes(self.observe, lambda: self.tasks, Latencies(), gate)
        return [*probes.routes(), web.get("/", _page), web.post("/act", _act), web.get("/ws", _socket)]


async def _page(_request: web.Request) -> web.Response:
    return web.Response(text="the page")


async def _act(request: web.Request) -> web.Response:
    return web.Response(text=f"{len(await request.read())} bytes")


async def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_str("hello")
    await socket.close()
    return socket


Serve = Callable[..., AbstractAsyncContextManager[aiohttp.ClientSession]]


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def serve(watched: Watched) -> Serve:
    """Serves, and yields a client of the server."""

    @asynccontextmanager
    async def serve(token: str = "", host: str = "127.0.0.1") -> AsyncIterator[aiohttp.ClientSession]:
        async with web_server(host, 0, HttpToken(token) if token else None, watched.routes) as url:
            watched.url = url.replace("0.0.0.0", "127.0.0.1")
            # A cookie of a plain address is kept and sent, as a browser does.
            jar = aiohttp.CookieJar(unsafe=True)
            async with aiohttp.ClientSession(watched.url, cookie_jar=jar) as client:
                yield client

    return serve


async def status(answer: Awaitable[aiohttp.ClientResponse]) -> int:
    """An answer's status; the answer is read to its end."""
    async with await answer as received:
        await received.read()
        return received.status


async def test_health_is_bad_while_a_task_is_stuck(serve: Serve, watched: Watched) -> None:
    """200 from the first moment; 503 with the task's name when one stands still."""
    async with serve() as client:
        answer = await client.get("/healthz")
        assert answer.status == 200 and await answer.json() == {"status": "ok", "reasons": []}
        watched.tasks = [TaskSeen("guard", 1.0, 15.0), TaskSeen("quoting", 31.2, 12.0)]
        answer = await client.get("/healthz")
        assert answer.status == 503
        assert await answer.json() == {
            "status": "stuck", "reasons": ["the quoting task has not turned for 31 s"],
        }  # fmt: skip


async def test_readiness_names_what_is_missing(serve: Serve, watched: Watched) -> None:
    """200 when nothing keeps it from trading, 503 with every reason otherwise."""
    async with serve() as client:
        assert await status(client.get("/readyz")) == 200
        watched.seen = an_observation(is_started=False, halts=("pause: lunch",))
        answer = await client.get("/readyz")
        assert answer.status == 503
        assert (await answer.json())["reasons"] == ["starting", "halted, pause: lunch"]


async def test_a_scrape_is_read_by_prometheus(serve: Serve, watched: Watched) -> None:
    """Text format with its content type and length, a thousand markets complete."""
    watched.seen = an_observation(*(a_market_seen(number) for number in range(1_000)))
    async with serve() as client:
        answer = await client.get("/metrics")
        text = await answer.text()
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert answer.content_length == len(text.encode())
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families["mm_daemon_market_open"].samples) == 1_000


async def test_scrapes_at_the_same_time_cost_one(serve: Serve, watched: Watched) -> None:
    """However many ask, an observation is written once."""
    watched.seen = an_observation(*(a_market_seen(number) for number in range(200)))
    async with serve() as client:

        async def scrape() -> bytes:
            async with client.get("/metrics") as answer:
                return await answer.read()

        texts = await asyncio.gather(*(scrape() for _ in range(8)))
    assert len(set(texts)) == 1, "the process's own metrics would differ if it was written twice"


async def test_head_has_no_body(serve: Serve) -> None:
    """A HEAD of the metrics is answered as HTTP wants it, and the connection goes on."""
    async with serve() as client:
        for _ in range(2):
            async with client.head("/metrics") as answer:
                assert answer.status == 200 and await answer.read() == b""


async def test_without_the_token_only_probes_are_answered(serve: Serve) -> None:
    """Everything else is 401, also what does not exist, and the probes tell this machine why."""
    async with serve(TOKEN) as client:
        for path in ("/metrics", "/", "/ws", "/nothing"):
            answer = await client.get(path)
            assert answer.status == 401 and answer.headers["WWW-Authenticate"] == "Bearer"
        assert await status(client.post("/act")) == 401
        assert await status(client.get("/healthz")) == 200
        for path in ("/metrics", "/"):
            assert await status(client.get(path, headers=BEARER)) == 200


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer é", TOKEN]
)
async def test_a_wrong_token_opens_nothing(serve: Serve, value: str) -> None:
    """Part of it, more than it, another scheme: 401."""
    async with serve(TOKEN) as client:
        assert await status(client.get("/metrics", headers={"Authorization": value})) == 401


async def test_readiness_tells_strangers_nothing(serve: Serve, watched: Watched) -> None:
    """The status is for every probe, the reasons for who has the token or sits on the machine itself."""
    watched.seen = an_observation(halts=("kill: daily loss of $101.00",))
    async with serve(TOKEN, host="0.0.0.0") as client:
        by_proxy = {"X-Forwarded-For": "203.0.113.7"}
        answer = await client.get("/readyz", headers=by_proxy)
        assert answer.status == 503 and (await answer.json())["reasons"] == []
        for headers in ({}, by_proxy | BEARER):
            assert (await (await client.get("/readyz", headers=headers)).json())["reasons"] != []


async def test_a_browser_logs_in_once(serve: Serve, watched: Watched) -> None:
    """The page leads to the login; the token buys a cookie that is not the token, and the way out ends it."""
    async with serve(TOKEN) as client:
        answer = await client.get("/", headers={"Accept": "text/html"})
        assert str(answer.url.path) == "/login" and 'type="password"' in await answer.text()
        refused = await client.post("/login", data={"token": "wrong-horse-battery"})
        assert refused.status == 403 and "not the token" in await refused.text()
        assert await status(client.get("/")) == 401
        entered = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
        cookie = entered.headers["Set-Cookie"]
        assert entered.status == 303 and TOKEN not in cookie
        assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and "Path=/" in cookie
        assert await status(client.get("/")) == 200
        assert await status(client.post("/logout", allow_redirects=False)) == 303
        ended = {"Cookie": cookie.partition(";")[0]}
        assert await status(client.get("/", headers=ended)) == 401, "a session that was ended does not come back"


async def test_sessions_are_few(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest one goes when there are too many."""
    monkeypatch.setattr(server, "MOST_SESSIONS", 2)
    async with serve(TOKEN) as client:
        cookies = []
        for _ in range(3):
            entered = await client.post("/login", data={"token": TOKEN}, allow_redirects=False)
            cookies.append(entered.headers["Set-Cookie"].partition(";")[0])
        client.cookie_jar.clear()
        assert [await status(client.get("/", headers={"Cookie": cookie})) for cookie in cookies] == [401, 200, 200]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "localhost."]
)
async def test_a_foreign_name_for_this_machine_is_refused(serve: Serve, host: str) -> None:
    """A site whose name was made to point at 127.0.0.1 reads nothing, not even the probes."""
    async with serve() as client:
        for path in ("/", "/metrics", "/healthz"):
            assert await status(client.get(path, headers={"Host": host})) in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:9464", "127.0.0.1:1", "[::1]:9464", "LOCALHOST"])
async def test_our_own_names_are_answered(serve: Serve, host: str) -> None:
    """Whatever the port, which a tunnel may change."""
    async with serve() as client:
        assert await status(client.get("/", headers={"Host": host})) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example", "X-Forwarded-Host": "desk.example"},
    ],
)
async def test_another_site_cannot_act(serve: Serve, headers: dict[str, str]) -> None:
    """Neither a POST nor a websocket that another origin's page opens gets through, with the token or without."""
    async with serve(TOKEN) as client:
        assert await status(client.post("/act", headers=headers | BEARER)) == 403
        assert await status(client.post("/login", headers=headers, data={"token": TOKEN})) == 403
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await client.ws_connect("/ws", headers=headers | BEARER)


async def test_our_own_page_and_no_page_may_act(serve: Serve, watched: Watched) -> None:
    """The same origin by its own or by a proxy's name, and clients that are no browser."""
    async with serve(TOKEN) as client:
        for headers in (
            {},
            {"Origin": watched.url, "Sec-Fetch-Site": "same-origin"},
            {"Origin": "https://desk.example", "X-Forwarded-Host": "desk.example"},
        ):
            assert await status(client.post("/act", headers=headers | BEARER)) == 200
            async with client.ws_connect("/ws", headers=headers | BEARER) as socket:
                assert await socket.receive_str() == "hello"


async def test_every_answer_has_the_security_headers(serve: Serve) -> None:
    """Pages, streams, refusals and misses alike: nothing is framed, sniffed, cached or loaded from elsewhere."""
    async with serve(TOKEN) as client:
        for path, headers in (("/", BEARER), ("/metrics", BEARER), ("/", {}), ("/nothing", BEARER), ("/login", {})):
            async with client.get(path, headers=headers) as answer:
                await answer.read()
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Server" not in answer.headers and "Access-Control-Allow-Origin" not in answer.headers


async def test_a_scraper_that_hangs_up_is_no_error(
    serve: Serve, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """Prometheus ends a scrape that takes it too long: nothing is logged, and the next one is answered."""
    watched.seen = an_observation(*(a_market_seen(number) for number in range(1_000)))
    async with serve() as client:
        for _ in range(3):
            answer = await client.get("/metrics")
            answer.close()
        assert await status(client.get("/metrics")) == 200
    assert caplog.records == []


async def test_a_long_body_is_refused(serve: Serve) -> None:
    """413, and nothing is kept of it."""
    async with serve() as client:
        assert await status(client.post("/act", data=b"x" * server.MOST_BYTES)) == 200
        assert await status(client.post("/act", data=b"x" * (server.MOST_BYTES + 1))) == 413


async def test_connections_are_few(serve: Serve, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over the limit is closed at once, and does not keep those out who come when there is room again."""
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 2)
    async with serve() as client:
        port = int(watched.url.rpartition(":")[2])
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        with pytest.raises(aiohttp.ClientError):
            await client.get("/healthz")
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(5):
            while True:
                try:
                    assert await status(client.get("/healthz")) == 200
                    break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.01)


async def test_a_taken_port_is_an_error(serve: Serve, watched: Watched) -> None:
    """Never a server that nobody reaches."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with web_server("127.0.0.1", taken.getsockname()[1], None, watched.routes):
            pass


async def test_the_port_is_free_again_afterwards(watched: Watched) -> None:
    """The next daemon may take it at once, also while a client still holds a connection."""
    async with aiohttp.ClientSession() as client:
        async with web_server("127.0.0.1", 0, None, watched.routes) as url:
            assert await status(client.get(f"{url}/healthz")) == 200
        port = int(url.rpartition(":")[2])
        async with web_server("127.0.0.1", port, None, watched.routes):
            assert await status(client.get(f"{url}/healthz")) == 200


async def test_ipv6_has_its_brackets(watched: Watched) -> None:
    """The URL can be opened as it is."""
    try:
        async with web_server("::1", 0, None, watched.routes) as url, aiohttp.ClientSession() as client:
            assert url.startswith("http://[::1]:") and await status(client.get(f"{url}/healthz")) == 200
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
