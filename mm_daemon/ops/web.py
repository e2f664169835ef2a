"""The HTTP server: who may ask, and how every answer is sent. What is asked for stands in the routes that it is given.

It answers one operator and one Prometheus, so it is closed to everybody else: to other sites in the operator's browser
(the Host header on loopback, the Origin of whatever acts, no CORS), to whoever has no token where one is set, and to
more connections than they need. A browser shows the token once, at /login, and keeps a session's random name instead.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

import structlog
from aiohttp import web

MOST_BYTES = 64 * 1024
"""Of a request's body."""
MOST_CONNECTIONS = 64
MOST_SESSIONS = 32
SESSION_SECS = 12 * 3600
CLOSE_SECS = 1.0
BACKLOG = 16

COOKIE = "mm_daemon_session"
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login", "/static/login.css", "/static/icon.svg"})
"""Answered without a token; what /readyz then tells is little, and the last two are how /login looks."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
LOGIN_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>mm-daemon</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/login.css">
<main>
<h1>mm-daemon</h1>
<form method="post" action="/login">
<p><label>Token <input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Log in</button>
</form>
{note}
</main>
"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger()


class Token(Protocol):
    """The secret that opens the server."""

    def matches(self, text: str) -> bool:
        """Whether `text` is it, compared in constant time."""
        ...


def has_token(request: web.Request, token: Token) -> bool:
    """Whether the request itself carries the token, as a command has to."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and token.matches(text.strip())


def is_from_here(request: web.Request) -> bool:
    """Whether the request comes from this machine, and not by a proxy on it."""
    forwarded = any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP"))
    try:
        return not forwarded and ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


class Gate:
    """Decides who may ask.

    Args:
        host: the address that the server is bound to.
        token: opens everything but `OPEN_PATHS`; None: nothing is asked for.
        clock: monotonic seconds.
    """

    def __init__(self, host: str, token: Token | None, clock: Callable[[], float]) -> None:
        self._token = token
        self._clock = clock
        self._names = LOOPBACK_NAMES | {host} if is_loopback(host) else None
        self._sessions: OrderedDict[str, float] = OrderedDict()

    def is_let_in(self, request: web.Request) -> bool:
        """Whether the request may see what the token protects."""
        if self._token is None or has_token(request, self._token):
            return True
        until = self._sessions.get(request.cookies.get(COOKIE, ""))
        return until is not None and self._clock() < until

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what may not be asked."""
        if self._names is not None and _host_name(request.headers.get("Host", "")) not in self._names:
            # A foreign name that points to this machine is how a site in a browser reaches past its walls.
            raise web.HTTPMisdirectedRequest(text="ask by localhost or 127.0.0.1\n")
        if _acts(request) and not _is_same_origin(request):
            raise web.HTTPForbidden(text="from another site\n")
        if request.path not in OPEN_PATHS and not self.is_let_in(request):
            if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
                raise web.HTTPSeeOther("/login")
            raise web.HTTPUnauthorized(text="a token is needed\n", headers={"WWW-Authenticate": "Bearer"})
        return await handler(request)

    def routes(self) -> list[web.RouteDef]:
        """The login, where there is a token."""
        if self._token is None:
            return []
        return [
            web.get("/login", self._show_login),
            web.post("/login", self._log_in),
            web.post("/logout", self._log_out),
        ]

    async def _show_login(self, _request: web.Request) -> web.Response:
        return web.Response(text=LOGIN_PAGE.format(note=""), content_type="text/html")

    async def _log_in(self, request: web.Request) -> web.Response:
        text = (await request.post()).get("token", "")
        if self._token is None or not isinstance(text, str) or not self._token.matches(text.strip()):
            log.warning("login_refused", remote=request.remote)
            page = LOGIN_PAGE.format(note="<p role=alert>This is not the token.")
            return web.Response(text=page, content_type="text/html", status=403)
        response = web.Response(status=303, headers={"Location": "/"})
        is_secure = request.headers.get("X-Forwarded-Proto") == "https"
        response.set_cookie(
            COOKIE, self._new_session(), max_age=SESSION_SECS, httponly=True, samesite="Strict", secure=is_secure
        )
        return response

    async def _log_out(self, request: web.Request) -> web.Response:
        self._sessions.pop(request.cookies.get(COOKIE, ""), None)
        response = web.Response(status=303, headers={"Location": "/login"})
        response.del_cookie(COOKIE)
        return response

    def _new_session(self) -> str:
        """Remember a session; the oldest is forgotten where there are too many."""
        while len(self._sessions) >= MOST_SESSIONS:
            self._sessions.popitem(last=False)
        name = secrets.token_urlsafe(32)
        self._sessions[name] = self._clock() + SESSION_SECS
        return name


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_name(header: str) -> str:
    """The name in a Host header, without its port; empty where it cannot be read."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _acts(request: web.Request) -> bool:
    return request.method not in ("GET", "HEAD") or "Upgrade" in request.headers


def _is_same_origin(request: web.Request) -> bool:
    """Whether what acts comes from our own page, or from no page at all."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    # A proxy's word for the name that the browser used; a page cannot make a browser send it to us.
    names = (request.headers.get("Host"), request.headers.get("X-Forwarded-Host"))
    return origin is None or urlsplit(origin).netloc in names


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.popall("Server", None)


class _TooMany(asyncio.Protocol):
    """A connection over the limit: closed before it says anything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


@asynccontextmanager
async def web_server(
    host: str, port: int, token: Token | None, routes: Callable[[Gate], Iterable[web.AbstractRouteDef]]
) -> AsyncIterator[str]:
    """Serve while the block lasts; yields the base URL, whose port is a free one if `port` is 0.

    Args:
        host: an address of this machine.
        port: to listen at.
        token: opens everything but `OPEN_PATHS`; None: whoever reaches the port may read.
        routes: makes what is served; given the gate, for what tells more to those who are let in.

    Raises:
        OSError: the port is taken, or the address is not of this machine.
    """
    loop = asyncio.get_running_loop()
    gate = Gate(host, token, loop.time)
    app = web.Application(middlewares=[gate.check], client_max_size=MOST_BYTES)
    app.on_response_prepare.append(_add_headers)
    app.add_routes([*gate.routes(), *routes(gate)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECS)
    await runner.setup()
    try:
        handlers = runner.server
        assert handlers is not None

        def connect() -> asyncio.Protocol:
            return _TooMany() if len(handlers.connections) >= MOST_CONNECTIONS else handlers()

        server = await loop.create_server(connect, host, port, backlog=BACKLOG)
        try:
            yield _url(server.sockets[0].getsockname())
        finally:
            server.close()
    finally:
        await runner.cleanup()


def _url(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
