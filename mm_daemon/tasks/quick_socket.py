"""Listening by picows: frames are handed on in the call in which their bytes arrive, without queue or task between.

That is worth some 60 us from the socket to us, and a tenth of the work for each frame. What picows leaves to its user
is done here: joining fragments, refusing reserved bits, answering a close, and giving up a socket that will not go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time

import aiohappyeyeballs
import picows
from picows import WSCloseCode, WSFrame, WSMsgType, WSTransport

from mm_daemon.exchange.api import Channel
from mm_daemon.exchange.tls import trusted
from mm_daemon.tasks import socket as shell
from mm_daemon.tasks.socket import CONNECT_SECS, MAX_FRAME_BYTES, Listener, texts_due

_NEXT_ADDRESS_SECS = 0.25
_UNHEARD = logging.getLogger("picows.unheard")  # what it has to say is raised too, and logged by who reconnects
_UNHEARD.setLevel(logging.CRITICAL)


class _Frames(picows.WSListener):
    """Between a connection of picows and our listener; what is raised here ends it and leaves `wait_disconnected`."""

    def __init__(self, channel: Channel, listener: Listener) -> None:
        self._channel = channel
        self._listener = listener
        self._parts: list[bytes] = []
        self._length = 0
        self.is_abandoned = False
        """Whether we gave up before it was connected; picows goes on then, and its listener must not hear of it."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        if self.is_abandoned:
            raise picows.WSProtocolError(WSCloseCode.GOING_AWAY, "too late")
        for greeting in self._channel.connected(time.monotonic_ns()):
            transport.send(WSMsgType.TEXT, greeting.encode())
        self._listener.opened()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if transport.is_close_frame_sent:  # we are done with it, or something before in the same bytes was wrong
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            raise picows.WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "reserved bits without an extension")
        kind = frame.msg_type
        if kind == WSMsgType.TEXT or kind == WSMsgType.BINARY:
            if self._parts:
                raise picows.WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "a message within another")
            if frame.fin:
                self._listener.receive(frame.get_payload_as_bytes(), time.monotonic_ns())
            else:
                self._add(frame)
        elif kind == WSMsgType.CONTINUATION:
            if not self._parts:
                raise picows.WSProtocolError(WSCloseCode.PROTOCOL_ERROR, "a fragment of nothing")
            self._add(frame)
        elif kind == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _add(self, fragment: WSFrame) -> None:
        self._parts.append(fragment.get_payload_as_bytes())
        self._length += fragment.payload_size
        if self._length > MAX_FRAME_BYTES:
            raise picows.WSProtocolError(WSCloseCode.MESSAGE_TOO_BIG, f"a message of more than {MAX_FRAME_BYTES} bytes")
        if fragment.fin:
            message, self._parts, self._length = b"".join(self._parts), [], 0
            self._listener.receive(message, time.monotonic_ns())


async def over_picows(channel: Channel, listener: Listener) -> str:
    """Connect once and hand frames on, as bytes, until the connection is lost; returns why."""
    try:
        async with asyncio.timeout(CONNECT_SECS):
            transport = await _connect(channel, listener)
    except (OSError, TimeoutError, picows.WSError) as error:
        return f"{type(error).__name__}: {error}"
    keeper = asyncio.create_task(_keep_alive(transport, channel, listener))
    ended = asyncio.create_task(transport.wait_disconnected())
    try:
        await asyncio.wait({keeper, ended}, return_when=asyncio.FIRST_COMPLETED)
        if keeper.done():
            transport.disconnect(graceful=False)
            keeper.result()
        await ended
    except picows.WSProtocolError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        transport.send_close(WSCloseCode.OK)
        transport.disconnect()
        keeper.cancel()
        ended.cancel()
        await asyncio.gather(keeper, ended, return_exceptions=True)
    return _reason(transport)


async def _connect(channel: Channel, listener: Listener) -> WSTransport:
    """A connection whose frames go to the listener. Given up halfway, it is shut, which picows does not do."""
    frames = _Frames(channel, listener)
    opened: list[socket.socket] = []

    async def open_socket(url: picows.WSParsedURL) -> socket.socket:
        addresses = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        opened.append(await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECS))
        return opened[0]

    try:
        transport, _ = await picows.ws_connect(
            lambda: frames,
            channel.url,
            ssl_context=trusted() if channel.url.startswith("wss:") else None,
            socket_factory=open_socket,
            websocket_handshake_timeout=None,  # the caller has one over all of it
            max_redirects=0,
            max_frame_size=MAX_FRAME_BYTES,
            logger_name=_UNHEARD,
            use_aiofastnet=False,
        )
    except BaseException:
        frames.is_abandoned = True
        with contextlib.suppress(OSError):  # closed already
            for each in opened:
                each.shutdown(socket.SHUT_RDWR)
        raise
    return transport


async def _keep_alive(transport: WSTransport, channel: Channel, listener: Listener) -> None:
    """Send what is due at each turn of the timer; returns when the socket is to be dropped: dead, or slow to close."""
    reported: set[str] = set()
    while True:
        await asyncio.sleep(shell.TICK_SECS)
        texts = texts_due(channel, listener, reported)
        if texts is None or transport.is_close_frame_sent:
            return
        for text in texts:
            transport.send(WSMsgType.TEXT, text.encode())


def _reason(transport: WSTransport) -> str:
    handshake = transport.close_handshake
    if handshake is None or handshake.recv is None:
        return "closed: 1006"
    return f"closed: {int(handshake.recv.code.value)} {handshake.recv.reason}".strip()
