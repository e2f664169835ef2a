"""The process of a daemon: signals, event loop, and what runs beside it from its first moment to its last."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
import uvloop

from mm_daemon.alerting import alerting
from mm_daemon.app import Daemon, ExitCode
from mm_daemon.config import Config
from mm_daemon.connection import polymarket
from mm_daemon.credentials import PrivateKey
from mm_daemon.http_token import HttpToken
from mm_daemon.ops.notify import Systemd
from mm_daemon.ops.webhooks import Webhook
from mm_daemon.plugins import load_strategy_settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


async def live(
    config: Config,
    private_key: PrivateKey,
    watch: Callable[[Daemon], Awaitable[None]] | None = None,
    as_read: Config | None = None,
    http_token: HttpToken | None = None,
    webhook: Webhook | None = None,
) -> int:
    """Run a daemon until SIGTERM or SIGINT; SIGHUP reads its settings again.

    Args:
        config: where to trade and within which limits.
        private_key: of the account.
        watch: runs beside the daemon, to show it; cancelled at the end.
        as_read: the settings as they stand in the file, where `config` is not the same: a reload compares with them.
        http_token: opens the HTTP server, where there is one.
        webhook: is told what a person should know.

    Returns:
        The exit code.
    """
    plugin, settings = load_strategy_settings(config)
    daemon = Daemon(
        config,
        plugin(settings),
        lambda desk: polymarket(config, private_key, desk),
        as_read,
        http_token,
        Systemd.from_environ(),
    )
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, daemon.request_stop, number.name)
    loop.add_signal_handler(signal.SIGHUP, daemon.reload)
    watching = asyncio.ensure_future(watch(daemon)) if watch else None
    try:
        async with alerting(daemon, webhook):
            return await daemon.run()
    finally:
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})


async def _to_the_end(life: Coroutine[Any, Any, int], ended_early: ExitCode) -> int:
    """Await a daemon's life. Signals before it takes them over end it at once with `ended_early`, for nothing was sent;
    signals after its last word change nothing any more, least of all the exit code."""
    loop = asyncio.get_running_loop()
    living = asyncio.ensure_future(life)
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, living.cancel)
    try:
        return await living
    except asyncio.CancelledError:
        log.info("stopped", exit_code=int(ended_early), meaning=ended_early.name.lower(), why="before the start")
        return ended_early
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def run_daemon(
    config: Config,
    *,
    private_key: PrivateKey | None,
    http_token: HttpToken | None = None,
    webhook: Webhook | None = None,
) -> int:
    """Run until a signal; without a key, against the built-in exchange. Returns the exit code."""
    if private_key is not None:
        # An earlier run's orders may rest: without a look at them nothing is verified.
        life = live(config, private_key, http_token=http_token, webhook=webhook)
        return uvloop.run(_to_the_end(life, ExitCode.UNVERIFIED))

    from mm_daemon.simulated import simulated

    return uvloop.run(_to_the_end(simulated(config, http_token=http_token, webhook=webhook), ExitCode.STOPPED))
