"""Listening by the library websockets, for machines without picows. It queues frames, and a task takes them out."""

from __future__ import annotations

import asyncio
import time

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from mm_daemon.exchange.api import Channel
from mm_daemon.exchange.tls import trusted
from mm_daemon.tasks import socket as shell
from mm_daemon.tasks.socket import CONNECT_SECS, MAX_FRAME_BYTES, Listener, texts_due


async def over_websockets(channel: Channel, listener: Listener) -> str:
    """Listen by the library websockets."""
    try:
        async with connect(
            channel.url,
            ssl=trusted() if channel.url.startswith("wss:") else None,
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
        await asyncio.sleep(shell.TICK_SECS)
        texts = texts_due(channel, listener, reported)
        if texts is None:
            await socket.close(1000, "no answer to keep-alive")
            return
        try:
            async with asyncio.timeout(shell.SEND_SECS):
                for text in texts:
                    await socket.send(text)
        except (TimeoutError, ConnectionClosed):
            return  # it takes nothing, or is closed; who listens is told
