"""What looks at a daemon from outside: the HTTP server and what is served, wired to the one observer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from mm_daemon.ops.probes import Probes
from mm_daemon.ops.web import Gate, web_server
from mm_daemon.page import dashboard

if TYPE_CHECKING:
    from mm_daemon.app import Daemon
    from mm_daemon.http_token import HttpToken

log = structlog.get_logger()


class CannotListen(Exception):
    """The server cannot be had as the settings want it; the text says why."""


@asynccontextmanager
async def served(daemon: Daemon, token: HttpToken | None) -> AsyncIterator[str | None]:
    """Serve health, metrics and the page of a daemon while the block lasts; yields the URL, None where it is off.

    Raises:
        CannotListen: the port is taken, or the address is not of this machine.
    """
    http, observer = daemon.config.http, daemon.observer
    page = dashboard(daemon, token)

    def routes(gate: Gate) -> Iterable[web.AbstractRouteDef]:
        return [*Probes(observer.watch, observer.tasks, observer.latencies, gate).routes(), *page.routes()]

    async with AsyncExitStack() as stack:
        url = None
        if http.enabled:
            try:
                url = await stack.enter_async_context(web_server(http.host, http.port, token, routes))
            except OSError as error:
                raise CannotListen(f"the HTTP server cannot listen on {http.host}:{http.port}: {error}") from error
            showing = asyncio.create_task(daemon.guarded("dashboard", page.run()), name="dashboard")
            stack.push_async_callback(_end, showing)
            log.info("http_listening", url=url, token="needed" if token else "none")
        yield url


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it let go of everything."""
    task.cancel()
    await asyncio.wait({task})
