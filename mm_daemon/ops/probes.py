"""What machines ask a daemon: /healthz, whether it lives; /readyz, whether it trades; /metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import msgspec
from aiohttp import web

from mm_daemon.core.latency import Latencies
from mm_daemon.ops.metrics import CONTENT_TYPE, Exposition
from mm_daemon.ops.observation import Observation, TaskSeen
from mm_daemon.ops.web import Gate, is_from_here


class Probes:
    """Answers probes and scrapes.

    Args:
        observe: an observation of now, or nearly.
        tasks: the periodic tasks of now.
        latencies: the live histograms.
        gate: knows whom more may be told.
    """

    def __init__(
        self,
        observe: Callable[[], Awaitable[Observation]],
        tasks: Callable[[], Iterable[TaskSeen]],
        latencies: Latencies,
        gate: Gate,
    ) -> None:
        self._observe = observe
        self._tasks = tasks
        self._latencies = latencies
        self._gate = gate
        self._exposition = Exposition()
        self._rendering = asyncio.Lock()
        self._rendered: tuple[Observation | None, list[bytes]] = (None, [])

    def routes(self) -> list[web.RouteDef]:
        """The three paths."""
        return [
            web.get("/healthz", self._health),
            web.get("/readyz", self._readiness),
            web.get("/metrics", self._metrics),
        ]

    async def _health(self, _request: web.Request) -> web.Response:
        """200 while the event loop answers, which this shows, and no task is stuck."""
        stuck = [
            f"the {task.name} task has not turned for {task.age_secs:.0f} s" for task in self._tasks() if task.is_stuck
        ]
        return _verdict("stuck" if stuck else "ok", stuck)

    async def _readiness(self, request: web.Request) -> web.Response:
        """200 while nothing keeps the daemon from trading; the reasons are for those who may see the rest as well."""
        reasons = (await self._observe()).not_ready
        may_know = self._gate.is_let_in(request) or is_from_here(request)
        return _verdict("not ready" if reasons else "ok", reasons if may_know else [])

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        parts = await self._render()
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
        response.content_length = sum(map(len, parts))
        # Whoever asked may have hung up, which is no error of ours.
        with suppress(ConnectionResetError):
            await response.prepare(request)
            for part in parts if request.method == "GET" else ():
                await response.write(part)
                await asyncio.sleep(0)
            await response.write_eof()
        return response

    async def _render(self) -> list[bytes]:
        """The text of now, in parts; scrapes at the same time get the same one."""
        async with self._rendering:
            seen = await self._observe()
            if seen is not self._rendered[0]:
                parts = []
                for part in self._exposition.parts(seen, self._latencies):
                    parts.append(part.encode())
                    await asyncio.sleep(0)
                self._rendered = (seen, parts)
            return self._rendered[1]


def _verdict(status: str, reasons: list[str]) -> web.Response:
    body = msgspec.json.encode({"status": status, "reasons": reasons})
    return web.Response(body=body + b"\n", status=200 if status == "ok" else 503, content_type="application/json")
