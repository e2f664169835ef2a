"""The way to the venue: names, connections, TLS and how long each takes; both websockets; the region we call from."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from mm_daemon.config import VenueSettings
from mm_daemon.doctor.checks import Seen, fail, ok, warn
from mm_daemon.exchange.api import MarketChannel, UserChannel
from mm_daemon.exchange.errors import VenueError
from mm_daemon.exchange.polymarket import account_reads
from mm_daemon.exchange.polymarket.rest import Rest
from mm_daemon.ops.logs import redact_text
from mm_daemon.tasks.startup import CLOCK_TOLERANCE_SECS, clock_error_secs

SLOW_CONNECT_SECS = 0.15
CERTIFICATE_SECS = 14 * 86_400
SOCKET_SECS = 8.0
WEBSITE_ONLY = frozenset({"IE", "JP", "NL"})
"""Countries whose addresses the website refuses and the exchange takes, by the venue's own documentation."""


class Host(NamedTuple):
    """One end of the way: what it is for, and where it is."""

    services: str
    name: str
    port: int
    is_tls: bool

    @property
    def title(self) -> str:
        """Name and port."""
        return f"{self.name}:{self.port}"


def website_of(clob_url: str) -> str:
    """The website of a venue: the domain that the exchange's host is in; an address or a bare name is its own."""
    parts = urlsplit(clob_url)
    host = parts.hostname or ""
    labels = host.split(".")
    if ":" in host or labels[-1].isdecimal() or len(labels) < 3:
        return f"{parts.scheme}://{parts.netloc}"
    return f"{parts.scheme}://{'.'.join(labels[-2:])}"


def hosts_of(venue: VenueSettings) -> list[Host]:
    """Every host that the settings name, once."""
    urls = {
        "exchange": venue.clob_url,
        "catalogue": venue.gamma_url,
        "data": venue.data_url,
        "market channel": venue.market_ws_url,
        "user channel": venue.user_ws_url,
        "website": website_of(venue.clob_url),
    }
    services: dict[tuple[str, int, bool], list[str]] = {}
    for service, url in urls.items():
        services.setdefault(_place_of(url), []).append(service)
    return [Host(", ".join(names), *place) for place, names in services.items()]


def host_of(hosts: Sequence[Host], url: str) -> Host:
    """The host that a URL is on."""
    place = _place_of(url)
    return next(host for host in hosts if (host.name, host.port, host.is_tls) == place)


def _place_of(url: str) -> tuple[str, int, bool]:
    parts = urlsplit(url)
    is_tls = parts.scheme in ("https", "wss")
    return parts.hostname or "", parts.port or (443 if is_tls else 80), is_tls


async def look_at_host(host: Host) -> Seen:
    """Resolve, connect, greet; with the time of each step."""
    loop = asyncio.get_running_loop()
    started = time.monotonic()
    try:
        found = await loop.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return fail(f"{host.services}: the name is not found: {error.strerror}", "check the host's DNS and the URL")
    resolved = time.monotonic()
    try:
        writer = await _first_connection(found)
    except OSError as error:
        return fail(
            f"{host.services}: no connection: {error.strerror or error}",
            "check the firewall and the URL; the venue may be down",
        )
    connected = time.monotonic()
    steps = f"name {_ms(resolved - started)}, connection {_ms(connected - resolved)}"
    try:
        if not host.is_tls:
            return _judge_latency(host, connected - resolved, f"{host.services}: {steps}, no TLS")
        await writer.start_tls(ssl.create_default_context(), server_hostname=host.name)
        steps = f"{steps}, TLS {_ms(time.monotonic() - connected)}"
        return _judge_certificate(host, writer, connected - resolved, steps)
    except ssl.SSLError as error:
        return fail(
            f"{host.services}: no trust: {error.reason or error}",
            "check this machine's clock and its certificates (ca-certificates); something may sit in between",
        )
    except OSError as error:
        return fail(f"{host.services}: the connection was lost in the TLS greeting: {error}", "check the firewall")
    finally:
        writer.transport.abort()


async def _first_connection(
    found: Sequence[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]],
) -> asyncio.StreamWriter:
    """A connection to the first of the addresses that takes one.

    Raises:
        OSError: none does.
    """
    problem = OSError("the name has no address")
    for _, _, _, _, address in found[:4]:
        try:
            _, writer = await asyncio.open_connection(str(address[0]), int(address[1]))
        except OSError as error:
            problem = error
            continue
        return writer
    raise problem


def _judge_certificate(host: Host, writer: asyncio.StreamWriter, connect_secs: float, steps: str) -> Seen:
    certificate = writer.get_extra_info("peercert") or {}
    text = f"{host.services}: {steps}"
    if "notAfter" in certificate:
        left = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
        if left < CERTIFICATE_SECS:
            return warn(
                f"{text}; its certificate ends in {left / 86_400:.1f} days",
                "nothing to do but to know: the venue has to renew it",
            )
    return _judge_latency(host, connect_secs, text)


def _judge_latency(host: Host, connect_secs: float, text: str) -> Seen:
    if connect_secs > SLOW_CONNECT_SECS:
        return warn(text, "a connection takes long from here: quotes come late; the venue's engine is in London")
    return ok(text)


def _ms(secs: float) -> str:
    return f"{secs * 1000:.0f} ms"


async def look_at_clock(server_secs: Callable[[], Awaitable[int]]) -> Seen:
    """How far this machine's clock is off the venue's."""
    remedy = "set the clock by NTP (chrony or systemd-timesyncd): signatures carry the time"
    try:
        off = await clock_error_secs(server_secs)
    except VenueError as error:
        return fail(f"the venue's clock could not be read: {error}", remedy)
    if off > CLOCK_TOLERANCE_SECS:
        return fail(f"{off:.1f} s off the venue's, at most {CLOCK_TOLERANCE_SECS} s", remedy)
    if off > CLOCK_TOLERANCE_SECS / 2:
        return warn(f"{off:.1f} s off the venue's", remedy)
    return ok("within a second of the venue's" if off <= 0 else f"{off:.1f} s off the venue's")


async def look_at_region(rest: Rest, site_url: str) -> Seen:
    """Whether the venue takes orders from where we stand, as far as its website tells."""
    try:
        region = await account_reads.region(rest, site_url)
    except VenueError as error:
        return warn(f"could not be read: {error}", "open the website in a browser there; the first order tells as well")
    where = region.country or "an unknown country"
    if not region.blocked:
        return ok(f"{where}: not blocked")
    if region.country in WEBSITE_ONLY:
        return warn(
            f"{where}: the website is closed to this address, the exchange should not be",
            "`mm-daemon smoke` tells; make sure that you may trade from there",
        )
    return fail(
        f"{where}: blocked: the venue refuses orders from this address",
        "run the daemon from a place where you may trade; do not go around the block",
    )


async def look_at_market_channel(channel: MarketChannel) -> Seen:
    """Whether the market channel lets us in and sends a book."""
    started = time.monotonic()

    async def first_event(socket: ClientConnection) -> Seen:
        async for text in socket:
            if channel.receive(text, time.monotonic_ns()):
                return ok(f"first book after {_ms(time.monotonic() - started)}")
        raise ConnectionError(f"closed: {socket.close_code} {socket.close_reason or ''}".rstrip())

    return await _talk(channel, first_event, "a book")


async def look_at_user_channel(channel: UserChannel) -> Seen:
    """Whether the user channel lets us in and answers. It greets nobody: a silent refusal shows with an order."""
    started = time.monotonic()

    async def pong(socket: ClientConnection) -> Seen:
        await socket.send("PING")
        async for text in socket:
            if text.strip() in ("PONG", b"PONG"):
                return ok(f"open, answers after {_ms(time.monotonic() - started)}")
        raise ConnectionError(f"closed: {socket.close_code} {socket.close_reason or ''}".rstrip())

    return await _talk(channel, pong, "a PONG")


async def _talk(
    channel: MarketChannel | UserChannel, listen: Callable[[ClientConnection], Awaitable[Seen]], wanted: str
) -> Seen:
    remedy = "check that websockets get through (proxies, firewalls) and the URL; the venue may be down"
    try:
        async with (
            asyncio.timeout(SOCKET_SECS),
            connect(channel.url, ping_interval=None, compression=None, close_timeout=1, max_size=2**26) as socket,
        ):
            with suppress(ConnectionClosed):
                for text in channel.connected(time.monotonic_ns()):
                    await socket.send(text)
            return await listen(socket)
    except TimeoutError:
        return fail(f"no {wanted.removeprefix('a ')} within {SOCKET_SECS:g} s", remedy)
    except (OSError, WebSocketException) as error:
        return fail(redact_text(f"{type(error).__name__}: {error}"), remedy)
