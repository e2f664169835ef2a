"""HTTP to the venue: one pooled session, a deadline on everything, the bytes signed are the bytes sent.

Reads are tried again within their deadline. A request that changes something is sent once: after a lost answer only a
look-up can tell what happened. (One exception is below us and harmless: aiohttp repeats a DELETE whose kept-alive
connection turned out to be closed, and a cancel by id twice is a cancel.)
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping

import aiohttp
import msgspec
from yarl import URL

from mm_daemon.exchange.errors import ProtocolError, Throttled, Unknown, Unreachable, VenueError
from mm_daemon.exchange.polymarket.auth import RequestSigner
from mm_daemon.exchange.polymarket.channel import count_kind
from mm_daemon.exchange.polymarket.errors_map import error_of
from mm_daemon.exchange.polymarket.throttle import RateLimits

_LARGEST_ANSWER = 32 * 1024 * 1024
_CONNECTIONS = 32
_KEEP_ALIVE_SECS = 60.0
_RETRIES = 2
_FIRST_PAUSE_SECS = 0.15
_LONGEST_PAUSE_SECS = 2.0


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def is_ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class _Request(msgspec.Struct, frozen=True):
    method: str
    path: str
    body: bytes
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
        self._statistics = RestStatistics()
        self.signer: RequestSigner | None = None
        """Signs private calls; None until there are API credentials."""

    def statistics(self) -> RestStatistics:
        """Live counts; read, do not change."""
        return self._statistics

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
        request = _Request("GET", path, b"", query or {}, headers or {}, base_url, private)
        try:
            async with asyncio.timeout(self._read_deadline):
                return await self._get_with_retries(request)
        except TimeoutError:
            self._count_error(Unknown)
            raise Unknown(f"GET {path}: no answer in {self._read_deadline:g} s") from None

    async def _get_with_retries(self, request: _Request) -> bytes:
        attempt = 0
        while True:
            try:
                return self.checked(await self._exchange(request, self._read_deadline))
            except (Unknown, Unreachable, Throttled) as error:
                wait = error.retry_after_secs if isinstance(error, Throttled) else 0.0
                if attempt == _RETRIES or wait > _LONGEST_PAUSE_SECS:
                    raise
                await asyncio.sleep(max(wait, _FIRST_PAUSE_SECS * 2**attempt * random.uniform(0.5, 1.5)))
                attempt += 1

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        private: bool = True,
    ) -> Answer:
        """Send a request that changes something, once; the answer, whatever its status.

        Raises:
            Unreachable: no connection was made; nothing happened.
            Unknown: the answer was lost; it may have happened.
            ProtocolError: the answer is too large; it may have happened.
        """
        request = _Request(method, path, body, {}, headers or {}, "", private)
        return await self._exchange(request, self._write_deadline)

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
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, request: _Request, deadline_secs: float) -> Answer:
        """One request, one answer; raises as `send` does."""
        what = f"{request.method} {request.path}"
        count_kind(self._statistics.requests, f"{request.method} {_endpoint(request.path)}")
        url = URL(f"{request.base_url.rstrip('/') or self._base_url}{request.path}")
        try:
            async with self._open_session().request(
                request.method,
                url.with_query(request.query) if request.query else url,
                data=request.body or None,
                headers=self._headers(request),
                timeout=aiohttp.ClientTimeout(total=deadline_secs, sock_connect=self._connect_timeout),
                allow_redirects=False,
            ) as response:
                answer = Answer(response.status, await _bounded_body(response), response.headers)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._count_error(Unreachable)
            raise Unreachable(f"{what}: {type(error).__name__}: {error}") from error
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self._count_error(Unknown)
            raise Unknown(f"{what}: {type(error).__name__}: {error}".rstrip(": ")) from error
        self._observe(request, answer)
        return answer

    def _headers(self, request: _Request) -> dict[str, str]:
        fields = dict(request.headers)
        if request.body:
            fields["Content-Type"] = "application/json"
        if request.private:
            if self.signer is None:
                raise RuntimeError(f"{request.method} {request.path}: no API credentials yet")
            at = int(self._unix_secs())
            fields.update(self.signer.headers(at, request.method, request.path, request.body))
        return fields

    def _observe(self, request: _Request, answer: Answer) -> None:
        """Let the venue's own count of our requests lower ours."""
        bucket = self._limits.bucket(request.method, request.path)
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
                headers={"User-Agent": "mm-daemon", "Accept": "application/json"},
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
        if length > _LARGEST_ANSWER:
            raise ProtocolError(f"an answer of more than {_LARGEST_ANSWER} bytes")
    return b"".join(chunks)


def _endpoint(path: str) -> str:
    """The path without ids, to count by."""
    return "/".join("{id}" if len(part) > 40 else part for part in path.split("/"))
