"""A venue of plain sockets, for what no good server does: closing early, resetting, answering half or unasked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Reaction = Callable[["RawVenue", bytes, asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = b"[]", *lines: str) -> bytes:
    """A whole answer of status 200."""
    fields = "".join(f"{line}\r\n" for line in lines)
    return f"HTTP/1.1 200 OK\r\n{fields}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def echo(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
    """Answer with the request's own body."""
    writer.write(answer(body))


async def silence(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
    """Never answer."""


async def hang_up(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
    """Close without an answer."""
    writer.close()


async def reset(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def half(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
    """Send half an answer and close."""
    writer.write(answer(b"x" * 100)[:-50])
    writer.close()


async def stuck(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
    """Send half an answer and no more."""
    writer.write(answer(b"x" * 100)[:-50])


class RawVenue:
    """Reads requests and reacts to each as it is told.

    Attributes:
        react: what to do after a request.
        requests: the bodies that came, in order.
        opened: how many connections there have been.
        writers: those that are open.
        closes_at_once: connections are closed as soon as they are made.
    """

    def __init__(self) -> None:
        self.react: Reaction = echo
        self.requests: list[bytes] = []
        self.opened = 0
        self.writers: list[asyncio.StreamWriter] = []
        self.closes_at_once = False
        self.port = 0

    def hang_up(self) -> None:
        """Close every connection."""
        for writer in self.writers:
            writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.opened += 1
        self.writers.append(writer)
        try:
            while not self.closes_at_once:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = await reader.readexactly(length)
                self.requests.append(body)
                await self.react(self, body, writer)
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            self.writers.remove(writer)
            writer.close()


@asynccontextmanager
async def raw_venue(tls: ssl.SSLContext | None = None) -> AsyncIterator[RawVenue]:
    """A raw venue on a free port of the loopback."""
    venue = RawVenue()
    server = await asyncio.start_server(venue.talk, "127.0.0.1", 0, ssl=tls)
    venue.port = server.sockets[0].getsockname()[1]
    try:
        yield venue
    finally:
        server.close()
        for writer in list(venue.writers):
            with contextlib.suppress(OSError):
                writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)
