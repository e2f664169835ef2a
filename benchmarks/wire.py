"""HTTP/1.1 and websockets from the server's side, just enough for the benchmark venue.

A connection stamps the arrival of a request's first bytes and does nothing else then: requests are read and answered
`ANSWER_SECS` later, so that the venue's work never competes with the bot's within the measured time.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

ANSWER_SECS = 0.002
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PING, _CLOSE = 9, 8


class NotFound(Exception):
    """The venue has no such path; answered with 404."""


class Request(NamedTuple):
    """A request, and the monotonic time at which its first bytes were here."""

    method: str
    path: str
    query: str
    body: bytes
    arrived_ns: int


class Connection(asyncio.Protocol):
    """One connection of a bot, a websocket after its upgrade.

    Args:
        answer: the JSON body for a request.
        subscribed: called with a websocket's path, the connection and the text, at each that subscribes to something.
    """

    def __init__(self, answer: Callable[[Request], Any], subscribed: Callable[[str, Connection, bytes], None]) -> None:
        self._answer = answer
        self._subscribed = subscribed
        self._received = bytearray()
        self._arrived_ns = 0
        self._is_reading = False
        self._path = ""
        self._transport: asyncio.Transport | None = None
        self.writable = asyncio.Event()
        """Set while what was sent does not pile up on our side."""
        self.writable.set()

    def pause_writing(self) -> None:
        """Too much waits to leave."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """It has left."""
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio sets TCP_NODELAY by itself."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, chunk: bytes) -> None:
        """Stamp the first bytes of a request; read them later."""
        if not self._received:
            self._arrived_ns = time.monotonic_ns()
        self._received += chunk
        if not self._is_reading:
            self._is_reading = True
            asyncio.get_running_loop().call_later(ANSWER_SECS, self._read)

    def send_text(self, frame: bytes) -> None:
        """Put a frame, made with `text_frame`, on the socket."""
        assert self._transport is not None
        self._transport.write(frame)

    def _read(self) -> None:
        self._is_reading = False
        while self._read_message() if self._path else self._read_request():
            pass

    def _read_request(self) -> bool:
        head, separator, rest = bytes(self._received).partition(b"\r\n\r\n")
        if not separator:
            return False
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(fields.get("content-length", 0))
        if len(rest) < length:
            return False
        self._received = bytearray(rest[length:])
        method, target, _ = lines[0].split()
        path, _, query = target.partition("?")
        if "sec-websocket-key" in fields:
            self._upgrade(path, fields["sec-websocket-key"])
        else:
            self._reply(Request(method, path, query, rest[:length], self._arrived_ns))
        return bool(self._received)

    def _reply(self, request: Request) -> None:
        assert self._transport is not None
        try:
            status, body = "200 OK", msgspec.json.encode(self._answer(request))
        except NotFound:
            status, body = "404 Not Found", b'{"error":"not found"}'
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def _upgrade(self, path: str, key: str) -> None:
        assert self._transport is not None
        accept = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()
        self._transport.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        self._path = path

    def _read_message(self) -> bool:
        """Take one masked frame off the buffer: a PING is answered, a close obeyed, anything else is a subscription."""
        received = self._received
        start = 2
        if len(received) < 6:
            return False
        length = received[1] & 0x7F
        if length == 126:
            length, start = int.from_bytes(received[2:4], "big"), 4
        end = start + 4 + length
        if len(received) < end:
            return False
        mask = received[start : start + 4]
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(received[start + 4 : end]))
        opcode = received[0] & 0x0F
        del received[:end]
        if opcode == _CLOSE:
            assert self._transport is not None
            self._transport.write(bytes([0x80 | _CLOSE, len(text)]) + text)
            self._transport.close()
        elif text == b"PING":
            self.send_text(text_frame(b"PONG"))
        elif b'"unsubscribe"' not in text:
            self._subscribed(self._path, self, text)
        return bool(received)


def text_frame(text: bytes) -> bytes:
    """A text frame of a server."""
    length = len(text)
    if length < 126:
        return bytes([0x81, length]) + text
    if length < 1 << 16:
        return bytes([0x81, 126]) + length.to_bytes(2, "big") + text
    return bytes([0x81, 127]) + length.to_bytes(8, "big") + text
