"""HTTP to the venue: a deadline on everything, the bytes signed are the bytes sent.

Reads go through aiohttp and are tried again within their deadline. What changes something goes over connections that
are kept open for it, because nothing there may wait, and is sent once: after a lost answer only a look-up can tell what
happened.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from mm_daemon.exchange.errors import ProtocolError, Throttled, Unknown, Unreachable, VenueError
from mm_daemon.exchange.polymarket.auth import RequestSigner
from mm_daemon.exchange.polymarket.channel import count_kind
from mm_daemon.exchange.polymarket.connections import Connections
from mm_daemon.exchange.polymarket.errors_map import error_of
from mm_daemon.exchange.polymarket.http1 import LARGEST_ANSWER, Answer, header_lines, request_bytes
from mm_daemon.exchange.polymarket.throttle import RateLimits

_CONNECTIONS = 32
_KEEP_ALIVE_SECS = 60.0
_RETRIES = 2
_FIRST_PAUSE_SECS = 0.15
_LONGEST_PAUSE_SECS = 2.0


_CONSTANT_HEADERS = {"User-Agent": "mm-daemon", "Accept": "application/json"}


class _Read(msgspec.Struct, frozen=True):
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    base_url: str
    private: bool


class RestStatistics(msgspec.Struct):
    """Counts since start: requests by method and endpoint, failures by error type."""

    requests: dict[str, int] = {}
    errors: dict[str, int] = {}


class Rest:
    """Calls to the venue's HTTP services.

    Args:
        base_url: of the exchange, without a slash at its end.
        limits: buckets that answers of the venue may lower or close.
        read_deadline_secs: for one read with all its retries.
        write_deadline_secs: for one request that changes something.
        connect_timeout_secs: for opening one connection.
        unix_secs: the wall clock, signed into private calls.
        monotonic: a steady clock in seconds, the one that `limits` is used with.
    """

    def __init__(
        self,
        base_url: str,
        limits: RateLimits,
        *,
        read_deadline_secs: float = 6.0,
        write_deadline_secs: float = 5.0,
        connect_timeout_secs: float = 2.0,
        unix_secs: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._limits = limits
        self._read_deadline = read_deadline_secs
        self._write_deadline = write_deadline_secs
        self._connect_timeout = connect_timeout_secs
        self._unix_secs = unix_secs
        self._monotonic = monotonic
        self._session: aiohttp.ClientSession | None = None
        url = URL(self._base_url)
        self._connections = Connections(url, connect_timeout_secs=connect_timeout_secs)
        self._path_prefix = url.raw_path.rstrip("/")
        self._constant_lines = header_lines(
            {
                "Host": url.host_port_subcomponent or "",
                **_CONSTANT_HEADERS,
                "Accept-Encoding": "identity",
            }
        )
        self._statistics = RestStatistics()
        self.signer: RequestSigner | None = None
        """Signs private calls; None until there are API credentials."""

    def statistics(self) -> RestStatistics:
        """Live counts; read, do not change."""
        return self._statistics

    def keep_open(self) -> None:
        """Open connections for what changes something ahead, and keep them open."""
        self._connections.keep_open()

    async def get(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        base_url: str = "",
        headers: Mapping[str, str] | None = None,
        private: bool = False,
    ) -> bytes:
        """Read, again after a passing failure, within one deadline; the body of a 2xx answer.

        Args:
            path: begins with "/"; for a private call this is what is signed.
            query: the query's parameters; not signed.
            base_url: another service than the exchange.
            headers: extra headers.
            private: whether the call needs our API credentials.

        Raises:
            VenueError: any of its kinds; a read changes nothing, so Unknown only says that there is no answer.
        """
        read = _Read(path, query or {}, headers or {}, base_url, private)
        try:
            async with asyncio.timeout(self._read_deadline):
                return await self._get_with_retries(read)
        except TimeoutError:
            self._count_error(Unknown)
            raise Unknown(f"GET {path}: no answer in {self._read_deadline:g} s") from None

    async def _get_with_retries(self, read: _Read) -> bytes:
        attempt = 0
        while True:
            try:
                return self.checked(await self._get_once(read))
            except (Unknown, Unreachable, Throttled) as error:
                wait = error.retry_after_secs if isinstance(error, Throttled) else 0.0
                if attempt == _RETRIES or wait > _LONGEST_PAUSE_SECS:
                    raise
                await asyncio.sleep(max(wait, _FIRST_PAUSE_SECS * 2**attempt * random.uniform(0.5, 1.5)))
                attempt += 1

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        private: bool = True,
    ) -> Coroutine[Any, Any, Answer]:
        """Send a request that changes something, once; await the answer, whatever its status.

        The bytes leave in this call, before anything is awaited, when a connection is idle.

        Raises:
            Unreachable: no connection was made; nothing happened.
            Unknown: the answer was lost; it may have happened.
            ProtocolError: the answer is too large; it may have happened.
            RuntimeError: a private call without API credentials.
        """
        lines = header_lines(headers) if headers else b""
        if private:
            lines += self._signed_lines(method, path, body)
        what = f"{method} {path}"
        request = request_bytes(method, self._path_prefix + path, self._constant_lines, lines, body)
        answer = self._connections.send(request, what, self._write_deadline)
        count_kind(self._statistics.requests, f"{method} {_endpoint(path)}")
        return self._answered(method, path, answer)

    def _signed_lines(self, method: str, path: str, body: bytes) -> bytes:
        if self.signer is None:
            raise RuntimeError(f"{method} {path}: no API credentials yet")
        return self.signer.lines(int(self._unix_secs()), method, path, body)

    async def _answered(self, method: str, path: str, coming: Awaitable[Answer]) -> Answer:
        try:
            answer = await coming
        except VenueError as error:
            self._count_error(type(error))
            raise
        self._observe(method, path, answer)
        return answer

    def checked(self, answer: Answer) -> bytes:
        """The body of a 2xx answer.

        Raises:
            VenueError: what any other status stands for.
        """
        if answer.is_ok:
            return answer.body
        error = error_of(answer.status, answer.body, answer.headers, self._unix_secs())
        self._count_error(type(error))
        raise error

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _get_once(self, read: _Read) -> Answer:
        """One request, one answer, whatever its status."""
        what = f"GET {read.path}"
        count_kind(self._statistics.requests, f"GET {_endpoint(read.path)}")
        url = URL(f"{read.base_url.rstrip('/') or self._base_url}{read.path}")
        try:
            async with self._open_session().get(
                url.with_query(read.query) if read.query else url,
                headers=self._read_headers(read),
                timeout=aiohttp.ClientTimeout(total=self._read_deadline, sock_connect=self._connect_timeout),
                allow_redirects=False,
            ) as response:
                return Answer(response.status, await _bounded_body(response), response.headers)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._count_error(Unreachable)
            raise Unreachable(f"{what}: {type(error).__name__}: {error}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._count_error(Unknown)
            raise Unknown(f"{what}: {type(error).__name__}: {error}".rstrip(": ")) from error

    def _read_headers(self, read: _Read) -> dict[str, str]:
        fields = dict(read.headers)
        if read.private:
            if self.signer is None:
                raise RuntimeError(f"GET {read.path}: no API credentials yet")
            fields.update(self.signer.headers(int(self._unix_secs()), "GET", read.path))
        return fields

    def _observe(self, method: str, path: str, answer: Answer) -> None:
        """Let the venue's own count of our requests lower ours."""
        bucket = self._limits.bucket(method, path)
        if bucket is None:
            return
        now = self._monotonic()
        remaining = answer.headers.get("Poly-RateLimit-Remaining", "")
        if remaining.removeprefix("-").isdecimal() and remaining.isascii():
            bucket.cap(int(remaining[:12]), now)
        if answer.status == 429:
            error = error_of(answer.status, answer.body, answer.headers, self._unix_secs())
            bucket.close(error.retry_after_secs if isinstance(error, Throttled) else 1.0, now)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS, keepalive_timeout=_KEEP_ALIVE_SECS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_CONSTANT_HEADERS,
            )
        return self._session

    def _count_error(self, kind: type[VenueError]) -> None:
        count_kind(self._statistics.errors, kind.__name__)


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    length = 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        length += len(chunk)
        if length > LARGEST_ANSWER:
            raise ProtocolError(f"an answer of more than {LARGEST_ANSWER} bytes")
    return b"".join(chunks)


def _endpoint(path: str) -> str:
    """The path without ids, to count by."""
    return "/".join("{id}" if len(part) > 40 else part for part in path.split("/"))
