"""Faults of the REST side: a middleware outside everything, which delays, refuses, cuts and spoils."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import msgspec
from aiohttp import web

from mm_daemon.sim.faults.schedule import ORDER_PATHS, Fault, Kind
from mm_daemon.sim.http import Handler, answer

OWN_PATHS = "/faults"
"""Where the schedule itself is steered; never spoilt."""
PIECES = 20

_DISABLED = "Trading is currently disabled. Check polymarket.com for updates"
_CANCEL_ONLY = "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."
_POST_ONLY = "post-only mode: only post-only orders and cancels are allowed"


def _orders(request: web.Request) -> bool:
    return request.path.startswith(ORDER_PATHS) and request.method in ("POST", "DELETE")


def _everything(request: web.Request) -> bool:
    return not request.path.startswith("/ws")


CONCERNED: dict[Kind, Callable[[web.Request], bool]] = {
    Kind.REST_DELAYED: _everything,
    Kind.RESTARTING_425: _orders,
    Kind.THROTTLED_429: _everything,
    Kind.DISABLED_503: _orders,
    Kind.CANCEL_ONLY_503: lambda request: _orders(request) and request.method == "POST",
    Kind.POST_ONLY_503: lambda request: _orders(request) and request.method == "POST",
    Kind.ERROR_500: _everything,
    Kind.RESET_BEFORE: _everything,
    Kind.RESET_AFTER: _everything,
    Kind.SLOW_BODY: _everything,
    Kind.TRUNCATED_JSON: _everything,
    Kind.CANCEL_ALL_FAILS: lambda request: request.path == "/cancel-all",
    Kind.HEARTBEAT_LOST: lambda request: request.path == "/v1/heartbeats",
    Kind.CLOCK_SKEWED: lambda request: request.path == "/time",
    Kind.VENUE_GONE: lambda request: True,
}
"""Which requests a kind can hit; kinds that are not here do not concern REST."""


class RestFaults:
    """The middleware. `begin` and `end` say which faults are on; `hit` is told of each request that one hits."""

    def __init__(self, seed: int, hit: Callable[[Kind], None]) -> None:
        self._rng = Random(f"rest:{seed}")
        self._hit = hit
        self._left: dict[Fault, int] = {}
        self._spoilers: dict[Kind, Callable[[Fault, web.Request, Handler], Awaitable[web.StreamResponse]]] = {
            Kind.REST_DELAYED: self._delay,
            Kind.RESTARTING_425: self._restart,
            Kind.THROTTLED_429: self._throttle,
            Kind.DISABLED_503: self._disable,
            Kind.CANCEL_ONLY_503: self._only_cancels,
            Kind.POST_ONLY_503: self._only_posts,
            Kind.ERROR_500: self._fail,
            Kind.RESET_BEFORE: self._cut_before,
            Kind.RESET_AFTER: self._cut_after,
            Kind.SLOW_BODY: self._drip,
            Kind.TRUNCATED_JSON: self._truncate,
            Kind.CANCEL_ALL_FAILS: self._fail_plainly,
            Kind.HEARTBEAT_LOST: self._fail_plainly,
            Kind.CLOCK_SKEWED: self._skew,
            Kind.VENUE_GONE: self._cut_before,
        }

    def begin(self, fault: Fault) -> None:
        """Switch a fault on."""
        if fault.kind in CONCERNED:
            self._left[fault] = fault.count or -1

    def end(self, fault: Fault) -> None:
        """Switch it off."""
        self._left.pop(fault, None)

    async def spoil(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the first fault that concerns the request have it."""
        if not request.path.startswith(OWN_PATHS):
            for fault in self._left:
                if self._concerns(fault, request):
                    self._left[fault] -= 1
                    self._hit(fault.kind)
                    return await self._spoilers[fault.kind](fault, request, handler)
        return await handler(request)

    def _concerns(self, fault: Fault, request: web.Request) -> bool:
        if self._left[fault] == 0 or not request.path.startswith(fault.on):
            return False
        return CONCERNED[fault.kind](request) and self._rng.random() < fault.share

    async def _delay(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._rng.random() < 0.5:
            await asyncio.sleep(fault.amount)
            return await handler(request)
        response = await handler(request)
        await asyncio.sleep(fault.amount)
        return response

    async def _restart(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        return answer({"error": "Too Early"}, 425)

    async def _throttle(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        response = answer({"error": "rate limit exceeded"}, 429)
        response.headers["Retry-After"] = f"{fault.amount:g}"
        return response

    async def _disable(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        return answer({"error": _DISABLED}, 503)

    async def _only_cancels(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        return answer({"error": _CANCEL_ONLY, "retry_after_seconds": 1}, 503)

    async def _only_posts(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        if await _is_post_only(request):
            return await handler(request)
        response = answer({"error": _POST_ONLY, "code": "post_only_mode", "retry_after_seconds": 1}, 503)
        response.headers["Retry-After"] = "1"
        return response

    async def _fail(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._rng.random() < 0.5:
            await handler(request)
        return await self._fail_plainly(fault, request, handler)

    async def _fail_plainly(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        return answer({"error": "could not insert order" if _orders(request) else "Internal server error"}, 500)

    async def _cut_before(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        return _cut(request)

    async def _cut_after(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        await handler(request)
        return _cut(request)

    async def _drip(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        body, whole = await _answered(request, handler)
        slow = web.StreamResponse(status=whole.status, headers={"Content-Type": "application/json"})
        slow.content_length = len(body)
        await slow.prepare(request)
        step = max(1, len(body) // PIECES)
        for start in range(0, len(body), step):
            await asyncio.sleep(fault.amount * step / max(len(body), step))
            await slow.write(body[start : start + step])
        return slow

    async def _truncate(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        body, whole = await _answered(request, handler)
        return web.Response(body=body[: len(body) // 2], status=whole.status, content_type="application/json")

    async def _skew(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        body, _ = await _answered(request, handler)
        return answer(int(body) + round(fault.amount))


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _answered(request: web.Request, handler: Handler) -> tuple[bytes, web.StreamResponse]:
    """What the request would have been answered."""
    response = await handler(request)
    assert isinstance(response, web.Response) and isinstance(response.body, bytes)  # all of REST answers with JSON
    return response.body, response


async def _is_post_only(request: web.Request) -> bool:
    """Whether every order in the body is post-only."""
    try:
        body = msgspec.json.decode(await request.read())
    except msgspec.DecodeError:
        return False
    envelopes = body if isinstance(body, list) else [body]
    return all(isinstance(envelope, dict) and envelope.get("postOnly") is True for envelope in envelopes)
