"""Connections kept open ahead, so that a request leaves in the same turn of the loop in which it is made.

`Connections.send` writes the whole request at once when a connection is idle; there is no task and no queue between the
caller and the socket. What may have left is never sent again: whoever asked is told Unknown, and looks it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import select
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

import aiohappyeyeballs
import msgspec
from yarl import URL

from mm_daemon.exchange.errors import Unknown, Unreachable, VenueError
from mm_daemon.exchange.polymarket.http1 import Answer, AnswerReader
from mm_daemon.exchange.tls import trusted

KEPT_OPEN = 4
"""Connections held open ahead: an order, its cancel and a heartbeat go at once."""
MOST_OPEN = 32
LONGEST_IDLE_SECS = 45.0
"""Servers close what is idle, mostly after 60 s or more; a request that meets this is lost, so we close first."""
_PROVEN_SECS = 5.0
"""A connection that lived shorter and carried nothing counts as a failure to open one."""
_FIRST_PAUSE_SECS = 0.25
_LONGEST_PAUSE_SECS = 30.0
_NEXT_ADDRESS_SECS = 0.25
_CLOSE_SECS = 1.0


class ConnectionsStatistics(msgspec.Struct):
    """Counts since start, and connections now."""

    opened: int = 0
    not_opened: int = 0
    open: int = 0
    idle: int = 0
    waited: int = 0
    """Requests that found no idle connection."""


class Exchange:
    """One request and its answer to come. Until it is `sent` nothing happened; from then on it may have.

    Args:
        request: all its bytes.
        what: names it in errors.
        deadline_secs: from now until the whole answer, waiting for a connection included.
    """

    __slots__ = ("_deadline_secs", "_timer", "answer", "connection", "request", "what")

    def __init__(self, request: bytes, what: str, deadline_secs: float) -> None:
        loop = asyncio.get_running_loop()
        self.request = request
        self.what = what
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.connection: Connection | None = None
        self._deadline_secs = deadline_secs
        self._timer = loop.call_later(deadline_secs, self._expire)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self.answer.done()

    def succeed(self, answer: Answer) -> None:
        """The answer is here."""
        self._timer.cancel()
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: VenueError) -> None:
        """There will be no answer."""
        self._timer.cancel()
        if not self.answer.done():
            self.answer.set_exception(error)

    def _expire(self) -> None:
        if self.connection is None:
            self.fail(Unreachable(f"{self.what}: no connection in {self._deadline_secs:g} s"))
        else:
            self.fail(Unknown(f"{self.what}: no answer in {self._deadline_secs:g} s"))
            self.connection.abort()


class Connection(asyncio.Protocol):
    """One connection, which carries one request at a time.

    Args:
        freed: called when it may carry the next request.
        lost: called once, when it is closed.
    """

    def __init__(self, freed: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._freed = freed
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._unread = select.poll()
        self._reader = AnswerReader()
        self._exchange: Exchange | None = None
        self._transport: asyncio.Transport | None = None
        self.opened_at = self.idle_since = self._loop.time()
        self.answers = 0
        """How many answers it has carried."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up, its TLS included."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one, but not by inheritance
        self._transport.set_write_buffer_limits(high=0)  # uvloop then writes at once, not at the end of the loop's turn
        self._unread.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)

    def send(self, exchange: Exchange) -> None:
        """Write the request; call it only while idle and open."""
        assert self._transport is not None and self._exchange is None
        self._exchange = exchange
        exchange.connection = self
        self._transport.write(exchange.request)

    def is_usable(self) -> bool:
        """Whether it is open and silent as far as the kernel knows, also of what the loop has not been told yet.

        On an idle connection there is nothing to read but its end, or bytes that must not pass for our next answer.
        """
        return self._transport is not None and not self._transport.is_closing() and not self._unread.poll(0)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, chunk: bytes) -> None:
        """Read on; bytes that nobody asked for end the connection."""
        if self._exchange is None:
            self.abort()
            return
        try:
            answer = self._reader.receive(chunk)
        except VenueError as error:
            self._end(error)
        else:
            if answer is not None:
                self._take(answer)

    def eof_received(self) -> None:
        """The server closed its side: the end of an answer without a length, or the loss of one. We close too."""
        if self._exchange is None:
            return
        try:
            answer = self._reader.receive_end()
        except VenueError as error:
            self._end(error)
        else:
            self._take(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed; a request on it may have happened."""
        self._end(Unknown(f"connection lost: {type(error).__name__}" if error else "connection lost"))
        self._transport = None
        self._lost(self)

    def _take(self, answer: Answer) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self.answers += 1
        exchange.succeed(answer)
        if self._reader.is_reusable and self._transport is not None and not self._transport.is_closing():
            self._reader = AnswerReader()
            self.idle_since = self._loop.time()
            self._freed(self)
        else:
            self.abort()

    def _end(self, error: VenueError) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail(type(error)(f"{exchange.what}: {error}"))
        self.abort()


class Connections:
    """The connections to one server.

    Args:
        url: http or https, the server's; only host, port and scheme count.
        connect_timeout_secs: for opening one connection, name look-up and TLS included.

    Raises:
        ValueError: no such URL.
    """

    def __init__(self, url: URL, *, connect_timeout_secs: float) -> None:
        if url.scheme not in ("http", "https") or not url.raw_host or not url.port:
            raise ValueError(f"{url.scheme!r} is not a server's URL")
        self._host, self._port = url.raw_host, url.port
        self._tls = trusted() if url.scheme == "https" else None
        self._connect_timeout = connect_timeout_secs
        self._open: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._opening = 0
        self._changed = asyncio.Event()
        self._too_few = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._pause = self._resume_at = 0.0
        self._is_closed = False
        self._opened = self._not_opened = self._waited = 0

    def statistics(self) -> ConnectionsStatistics:
        """How many connections there are and were."""
        return ConnectionsStatistics(self._opened, self._not_opened, len(self._open), len(self._idle), self._waited)

    def send(self, request: bytes, what: str, deadline_secs: float) -> asyncio.Future[Answer]:
        """Send a request once: now, if a connection is idle, else as soon as there is one.

        Returns:
            The answer to come. It fails with Unreachable (nothing happened), Unknown (it may have) or ProtocolError
            (the same, and the answer is too large). To cancel it does not take the request back.
        """
        exchange = Exchange(request, what, deadline_secs)
        connection = self._next_idle()
        if connection is not None:
            connection.send(exchange)
        elif self._is_closed:
            exchange.fail(Unreachable(f"{what}: closed"))
        else:
            self._waited += 1
            self._spawn(self._send_when_open(exchange))
        return exchange.answer

    def keep_open(self) -> None:
        """Open connections ahead from now on, and open them again when they are lost."""
        if self._keeper is None and not self._is_closed:
            self._keeper = asyncio.create_task(self._keep_open())

    async def close(self) -> None:
        """Close all connections; requests under way end with Unknown."""
        self._is_closed = True
        tasks = [*self._tasks, *([self._keeper] if self._keeper else [])]
        for task in tasks:
            task.cancel()
        for connection in list(self._open):
            connection.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECS):
                while self._open:
                    self._changed.clear()
                    await self._changed.wait()

    def _next_idle(self) -> Connection | None:
        """The connection that has been idle for longest, so that all of them are used and none grows old."""
        while self._idle:
            connection = self._idle.popleft()
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    async def _send_when_open(self, exchange: Exchange) -> None:
        try:
            connection = await self._wait_for_one()
        except (OSError, TimeoutError) as error:
            exchange.fail(Unreachable(f"{exchange.what}: {type(error).__name__}: {error}".rstrip(": ")))
            return
        except asyncio.CancelledError:
            exchange.fail(Unreachable(f"{exchange.what}: closed"))
            raise
        if exchange.is_over:  # too late, or nobody wants it any more; nothing was sent
            self._freed(connection)
        else:
            connection.send(exchange)

    async def _wait_for_one(self) -> Connection:
        while (connection := self._next_idle()) is None:
            if len(self._open) + self._opening < MOST_OPEN:
                return await self._open_one()
            self._changed.clear()
            await self._changed.wait()
        return connection

    async def _open_one(self) -> Connection:
        """Raises OSError (refused, no such name, certificate) or TimeoutError."""
        self._opening += 1
        try:
            async with asyncio.timeout(self._connect_timeout):
                connection = await self._connect()
        except (OSError, TimeoutError):
            self._not_opened += 1
            self._note_failure()
            raise
        finally:
            self._opening -= 1
            self._changed.set()
        self._opened += 1
        return connection

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        raw = await aiohappyeyeballs.start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_SECS, interleave=1)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: Connection(self._freed, self._lost),
                sock=raw,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        except BaseException:
            raw.close()
            raise
        self._open.add(connection)
        return connection

    def _freed(self, connection: Connection) -> None:
        if connection.answers:
            self._pause = self._resume_at = 0.0
        self._idle.append(connection)
        self._changed.set()

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        with contextlib.suppress(ValueError):  # it was busy, or has been taken out already
            self._idle.remove(connection)
        if connection.answers or asyncio.get_running_loop().time() - connection.opened_at > _PROVEN_SECS:
            self._pause = self._resume_at = 0.0
        else:
            self._note_failure()
        self._changed.set()
        self._too_few.set()

    def _note_failure(self) -> None:
        """Wait before connections are opened ahead again, longer each time; several lost at once count once."""
        now = asyncio.get_running_loop().time()
        if now >= self._resume_at:
            self._pause = min(max(self._pause * 2, _FIRST_PAUSE_SECS), _LONGEST_PAUSE_SECS)
            self._resume_at = now + random.uniform(0.5, 1.0) * self._pause

    async def _keep_open(self) -> None:
        """Hold `KEPT_OPEN` connections, with a growing pause while they cannot be had; renew those long idle."""
        while True:
            while len(self._open) + self._opening < KEPT_OPEN:
                await asyncio.sleep(max(self._resume_at - asyncio.get_running_loop().time(), 0.0))
                with contextlib.suppress(OSError, TimeoutError):  # counted, and tried again after a longer pause
                    self._freed(await self._open_one())
            self._too_few.clear()
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 that takes a loss at the end for a reason not to be cancelled.
                async with asyncio.timeout(LONGEST_IDLE_SECS / 4):
                    await self._too_few.wait()
            self._close_long_idle()

    def _close_long_idle(self) -> None:
        before = asyncio.get_running_loop().time() - LONGEST_IDLE_SECS
        while self._idle and self._idle[0].idle_since < before:
            self._idle.popleft().abort()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
