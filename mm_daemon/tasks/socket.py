"""A websocket that is opened again whenever it is lost: the shell around a channel's protocol.

The channel says what to send and when the other end is dead; here are only the socket, the timer and the back-off.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Protocol

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from mm_daemon.exchange.api import Channel

FIRST_BACKOFF_SECS = 0.25
LONGEST_BACKOFF_SECS = 30.0
TICK_SECS = 0.5
CONNECT_SECS = 10.0
MAX_FRAME_BYTES = 32 * 1024 * 1024

log = structlog.get_logger()


class Listener(Protocol):
    """Who hears of the socket."""

    def opened(self) -> None:
        """A new connection is up and its first texts are sent; nothing of before it holds."""
        ...

    def receive(self, text: str | bytes, now_ns: int) -> None:
        """One frame."""
        ...

    def lost(self) -> None:
        """The connection is gone."""
        ...

    def texts_to_send(self, now_ns: int) -> list[str]:
        """Called twice a second: what else to send."""
        ...


async def keep_connected(name: str, channel: Channel, listener: Listener) -> None:
    """Hold a connection for ever: connect, listen, and connect again with full-jitter back-off.

    Returns only by cancellation. An error of the listener is our own and is raised.
    """
    backoff = FIRST_BACKOFF_SECS
    while True:
        started = time.monotonic()
        try:
            async with connect(
                channel.url,
                ping_interval=None,  # the venue's keep-alive is a text PING, which the channel sends
                compression=None,
                open_timeout=CONNECT_SECS,
                close_timeout=1,
                max_size=MAX_FRAME_BYTES,
                max_queue=1024,
            ) as socket:
                await _listen(socket, channel, listener)
            reason = f"closed: {socket.close_code} {socket.close_reason or ''}".strip()
        except (OSError, TimeoutError, WebSocketException) as error:
            reason = f"{type(error).__name__}: {error}"
        finally:
            listener.lost()
        if time.monotonic() - started > LONGEST_BACKOFF_SECS:
            backoff = FIRST_BACKOFF_SECS
        delay = random.uniform(0, backoff)
        log.warning("socket_lost", socket=name, reason=reason, retry_secs=round(delay, 2))
        await asyncio.sleep(delay)
        backoff = min(backoff * 2, LONGEST_BACKOFF_SECS)


async def _listen(socket: ClientConnection, channel: Channel, listener: Listener) -> None:
    """Hand frames on until the socket closes or the channel says that it is dead."""
    for greeting in channel.connected(time.monotonic_ns()):
        await socket.send(greeting)
    listener.opened()
    keeper = asyncio.create_task(_keep_alive(socket, channel, listener.texts_to_send))
    try:
        async for text in socket:
            listener.receive(text, time.monotonic_ns())
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def _keep_alive(socket: ClientConnection, channel: Channel, texts_to_send: Callable[[int], list[str]]) -> None:
    """Send the channel's keep-alive and the listener's wishes; close the socket when the channel is dead."""
    reported: set[str] = set()
    while True:
        await asyncio.sleep(TICK_SECS)
        for kind in channel.malformed().keys() - reported:
            reported.add(kind)
            log.warning("frame_malformed", kind=kind, url=channel.url, sample=channel.malformed()[kind])
        now_ns = time.monotonic_ns()
        if channel.is_dead(now_ns):
            await socket.close(1000, "no answer to keep-alive")
            return
        for text in [*channel.tick(now_ns), *texts_to_send(now_ns)]:
            await socket.send(text)
