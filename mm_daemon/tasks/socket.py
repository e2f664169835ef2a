"""A websocket that is opened again whenever it is lost: the shell around a channel's protocol.

The channel says what to send and when the other end is dead; here are only the connecting again and its back-off. A
library carries the frames: the one that `quickest` finds.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias

import structlog

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
        from mm_daemon.tasks.spare_socket import over_websockets

        log.warning("picows_missing", why=str(error))
        return over_websockets
    return over_picows


async def keep_connected(name: str, channel: Channel, listener: Listener, listen: Listen) -> None:
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
