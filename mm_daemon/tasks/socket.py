"""A websocket that is opened again whenever it is lost: the shell around a channel's protocol.

The channel says what to send and when the other end is dead; here are only the socket, the timer and the back-off. The
library `websockets` carries the frames, or what `quickest` finds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from mm_daemon.exchange.api import Channel

FIRST_BACKOFF_SECS = 0.25
LONGEST_BACKOFF_SECS = 30.0
TICK_SECS = 0.5
CONNECT_SECS = 10.0
SEND_SECS = 5.0
"""A socket that takes longer to take a text is given up."""
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


Listen: TypeAlias = Callable[[Channel, Listener], Coroutine[Any, Any, str]]
"""Connect once and hand frames on until the connection is lost; returns why. What it raises is an error of ours."""


def quickest() -> Listen:
    """Listen by picows, which hands a frame on in the call that brought its bytes; by websockets if it is missing."""
    try:
        from mm_daemon.tasks.quick_socket import over_picows
    except ImportError as error:
        log.warning("picows_missing", why=str(error))
        return over_websockets
    return over_picows


async def over_websockets(channel: Channel, listener: Listener) -> str:
    """Listen by the library websockets."""
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
        return f"closed: {socket.close_code} {socket.close_reason or ''}".strip()
    except (OSError, TimeoutError, WebSocketException) as error:
        return f"{type(error).__name__}: {error}"


async def keep_connected(name: str, channel: Channel, listener: Listener, listen: Listen = over_websockets) -> None:
    """Hold a connection for ever: connect, listen, and connect again with full-jitter back-off.

    Returns only by cancellation. An error of the listener is our own and is raised.
    """
    backoff = FIRST_BACKOFF_SECS
    while True:
        started = time.monotonic()
        try:
            reason = await listen(channel, listener)
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

    def abort_unless_cancelled(keeper: asyncio.Task[None]) -> None:
        if not keeper.cancelled():
            socket.transport.abort()  # without keep-alive it is worth nothing

    keeper = asyncio.create_task(_keep_alive(socket, channel, listener))
    keeper.add_done_callback(abort_unless_cancelled)
    try:
        async for text in socket:
            listener.receive(text, time.monotonic_ns())
    finally:
        keeper.cancel()
        [failure] = await asyncio.gather(keeper, return_exceptions=True)
        if isinstance(failure, Exception):
            raise failure


async def _keep_alive(socket: ClientConnection, channel: Channel, listener: Listener) -> None:
    """Send what is due at each turn of the timer; close the socket when the channel is dead."""
    reported: set[str] = set()
    while True:
        await asyncio.sleep(TICK_SECS)
        texts = texts_due(channel, listener, reported)
        if texts is None:
            await socket.close(1000, "no answer to keep-alive")
            return
        try:
            async with asyncio.timeout(SEND_SECS):
                for text in texts:
                    await socket.send(text)
        except (TimeoutError, ConnectionClosed):
            return  # it takes nothing, or is closed; who listens is told


def texts_due(channel: Channel, listener: Listener, reported: set[str]) -> list[str] | None:
    """The channel's keep-alive and the listener's wishes; None when the channel is dead.

    Args:
        reported: kinds of malformed frames that the log has already; new ones are logged and added.
    """
    for kind in channel.malformed().keys() - reported:
        reported.add(kind)
        log.warning("frame_malformed", kind=kind, url=channel.url, sample=channel.malformed()[kind])
    now_ns = time.monotonic_ns()
    if channel.is_dead(now_ns):
        return None
    return [*channel.tick(now_ns), *listener.texts_to_send(now_ns)]
