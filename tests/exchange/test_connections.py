"""Connections against plain sockets, on both loops: each way to lose a request, and what is then known of it."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from mm_daemon.exchange.errors import Unknown, Unreachable
from mm_daemon.exchange.polymarket import connections as module
from mm_daemon.exchange.polymarket.connections import KEPT_OPEN, MOST_OPEN, Connections
from mm_daemon.exchange.polymarket.http1 import Answer, request_bytes
from tests.certificates import certificate, trust
from tests.tasks.fakes import until

from .raw_venue import RawVenue, Reaction, answer, half, hang_up, raw_venue, reset, silence, stuck


def post(connections: Connections, body: bytes = b"[]", deadline_secs: float = 2.0) -> asyncio.Future[Answer]:
    """Send a request with this body."""
    request = request_bytes("POST", "/orders", b"Host: venue\r\n", b"", body)
    return connections.send(request, "POST /orders", deadline_secs)


@asynccontextmanager
async def to(port: int, scheme: str = "http", host: str = "127.0.0.1") -> AsyncIterator[Connections]:
    """Connections to a port of the loopback."""
    connections = Connections(URL(f"{scheme}://{host}:{port}"), connect_timeout_secs=1.0)
    try:
        yield connections
    finally:
        await connections.close()


@pytest.fixture
async def venue() -> AsyncIterator[RawVenue]:
    async with raw_venue() as venue:
        yield venue


@pytest.fixture
async def connections(venue: RawVenue) -> AsyncIterator[Connections]:
    async with to(venue.port) as connections:
        yield connections


async def warm(connections: Connections) -> None:
    """Have connections open ahead."""
    connections.keep_open()
    await until(lambda: connections.statistics().idle == KEPT_OPEN, "idle connections")


async def test_the_bytes_are_out_when_send_returns() -> None:
    """On an idle connection the request reaches the kernel in the call itself, without a turn of the loop."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with to(server.getsockname()[1]) as connections:
            await warm(connections)
            accepted = [server.accept()[0] for _ in range(KEPT_OPEN)]
            coming = post(connections, b"[1]")
            readable, _, _ = select.select(accepted, [], [], 0)
            assert [peer.recv(1000)[-3:] for peer in readable] == [b"[1]"]
            readable[0].sendall(answer())
            assert (await coming).body == b"[]"
            for peer in accepted:
                peer.close()


async def test_each_request_gets_its_own_answer(venue: RawVenue, connections: Connections) -> None:
    """Many at once, with no connection open before, share a bounded number of connections."""
    bodies = [str(number).encode() for number in range(3 * MOST_OPEN)]
    answers = await asyncio.gather(*(post(connections, body) for body in bodies))
    assert [each.body for each in answers] == bodies
    assert venue.opened <= MOST_OPEN


async def test_connections_are_used_in_turn(venue: RawVenue, connections: Connections) -> None:
    """A few requests a minute are enough to let no connection grow old."""
    await warm(connections)
    for _ in range(3 * KEPT_OPEN):
        await post(connections)
    assert venue.opened == KEPT_OPEN


@pytest.mark.parametrize("react", [hang_up, reset, half, stuck, silence])
async def test_what_may_have_happened_is_unknown(venue: RawVenue, connections: Connections, react: Reaction) -> None:
    """A close, a reset, half an answer or none: the request came once, is not sent again, and the next one works."""
    venue.react = react
    await warm(connections)
    with pytest.raises(Unknown, match="POST /orders"):
        await post(connections, b"[1]", deadline_secs=0.1)
    venue.react = RawVenue().react
    assert (await post(connections, b"[2]")).body == b"[2]"
    assert venue.requests == [b"[1]", b"[2]"]


@pytest.mark.parametrize("last_words", [b"", answer(b"stray")])
async def test_a_connection_closed_while_idle_carries_nothing(last_words: bytes) -> None:
    """What the server has said or closed before is noticed even if the loop has not: the request takes a new one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        async with to(server.getsockname()[1]) as connections:
            await warm(connections)
            accepted = [server.accept()[0] for _ in range(KEPT_OPEN)]
            for peer in accepted:
                peer.sendall(last_words)
                if not last_words:
                    peer.close()
            coming = post(connections, b"[1]")
            assert connections.statistics().waited == 1
            fresh, _ = await asyncio.to_thread(server.accept)
            assert (await asyncio.to_thread(fresh.recv, 1000))[-3:] == b"[1]"
            fresh.sendall(answer(b"true"))
            assert (await coming).body == b"true"
            for peer in (fresh, *accepted):
                peer.close()


async def test_nobody_listens() -> None:
    """A refused connection: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with to(port) as connections:
        with pytest.raises(Unreachable, match="POST /orders"):
            await post(connections)
        assert connections.statistics().not_opened == 1


async def test_no_connection_within_the_deadline(venue: RawVenue, connections: Connections) -> None:
    """When all connections wait for answers, a request that got none is Unreachable, and never comes."""
    venue.react = silence
    under_way = [post(connections, b"[0]", 0.5) for _ in range(MOST_OPEN)]
    await until(lambda: len(venue.requests) == MOST_OPEN, "the requests")
    with pytest.raises(Unreachable, match="no connection in"):
        await post(connections, b"[1]", 0.05)
    results = await asyncio.gather(*under_way, return_exceptions=True)
    assert {type(result) for result in results} == {Unknown}
    venue.react = RawVenue().react
    assert (await post(connections, b"[2]")).body == b"[2]"
    assert b"[1]" not in venue.requests


async def test_bytes_that_nobody_asked_for(venue: RawVenue, connections: Connections) -> None:
    """An answer without a request ends the connection, and another one is opened."""
    await warm(connections)
    for writer in venue.writers:
        writer.write(answer(b"stray"))
    await until(lambda: venue.opened == 2 * KEPT_OPEN, "new connections", 5.0)
    for number in range(KEPT_OPEN):
        assert (await post(connections, b"[%d]" % number)).body == b"[%d]" % number


async def test_an_answer_after_the_deadline_is_for_nobody(venue: RawVenue, connections: Connections) -> None:
    """The connection of a request that was given up is closed, so its answer cannot meet another request."""
    go = asyncio.Event()

    async def late(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
        if body == b"[1]":
            await go.wait()
        writer.write(answer(body))

    venue.react = late
    with pytest.raises(Unknown, match="no answer in"):
        await post(connections, b"[1]", 0.05)
    go.set()
    for number in range(2, 6):
        assert (await post(connections, b"[%d]" % number)).body == b"[%d]" % number


async def test_a_caller_that_goes_away(venue: RawVenue, connections: Connections) -> None:
    """A request whose task is cancelled is not taken back, and its answer goes to nobody else."""
    first = post(connections, b"[1]")
    await until(lambda: venue.requests or connections.statistics().open, "a connection")
    first.cancel()
    for number in range(2, 6):
        assert (await post(connections, b"[%d]" % number)).body == b"[%d]" % number


async def test_a_server_that_wants_no_more(venue: RawVenue, connections: Connections) -> None:
    """After `Connection: close` the answer stands and the next request takes another connection."""

    async def last(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(body, "Connection: close"))

    venue.react = last
    for number in range(3):
        assert (await post(connections, b"[%d]" % number)).body == b"[%d]" % number
    assert venue.opened == 3


async def test_an_answer_that_ends_with_the_connection(venue: RawVenue, connections: Connections) -> None:
    """Neither length nor chunks: the close is its end."""

    async def until_close(venue: RawVenue, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\noops")
        writer.close()

    venue.react = until_close
    came = await post(connections)
    assert (came.status, came.body) == (502, b"oops")


async def test_lost_connections_are_opened_again(venue: RawVenue, connections: Connections) -> None:
    """The server restarts: as many connections as before stand ready again, without a request."""
    await warm(connections)
    venue.hang_up()
    await until(lambda: venue.opened >= 2 * KEPT_OPEN, "new connections", 5.0)
    await until(lambda: connections.statistics().idle == KEPT_OPEN, "idle connections")


async def test_a_server_that_hangs_up_at_once_is_not_pestered(venue: RawVenue, connections: Connections) -> None:
    """Connections that carry nothing are opened again after a pause that grows."""
    venue.closes_at_once = True
    connections.keep_open()
    await until(lambda: venue.opened >= KEPT_OPEN, "connections", 5.0)
    await asyncio.sleep(1.0)
    assert venue.opened <= 4 * KEPT_OPEN


async def test_connections_long_idle_are_renewed(
    venue: RawVenue, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We close before the server does, so that no request meets its close."""
    monkeypatch.setattr(module, "LONGEST_IDLE_SECS", 0.1)
    monkeypatch.setattr(module, "_PROVEN_SECS", 0.01)
    connections.keep_open()
    await until(lambda: venue.opened >= 3 * KEPT_OPEN, "new connections", 5.0)
    assert (await post(connections, b"[1]")).body == b"[1]"


async def test_close_ends_everything(venue: RawVenue) -> None:
    """What is under way is Unknown, what had no connection yet is Unreachable, and nothing stays open."""
    venue.react = silence
    async with to(venue.port) as connections:
        under_way = [post(connections) for _ in range(MOST_OPEN)]
        await until(lambda: len(venue.requests) == MOST_OPEN, "the requests")
        waiting = post(connections, b"[1]")
        await asyncio.sleep(0)
    results = await asyncio.gather(*under_way, waiting, post(connections), return_exceptions=True)
    assert [type(result) for result in results] == [Unknown] * MOST_OPEN + [Unreachable] * 2
    await until(lambda: not venue.writers, "closed connections")
    assert b"[1]" not in venue.requests


@pytest.mark.parametrize(("name", "is_trusted"), [("localhost", True), ("other.example", True), ("localhost", False)])
async def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_trusted: bool) -> None:
    """Only a certificate for the server's name from an authority that we trust is talked to."""
    file = certificate(tmp_path, name)
    if is_trusted:
        trust(file, monkeypatch)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    async with raw_venue(tls) as venue, to(venue.port, "https", "localhost") as connections:
        if name == "localhost" and is_trusted:
            await warm(connections)
            for number in range(2 * KEPT_OPEN):
                assert (await post(connections, b"[%d]" % number)).body == b"[%d]" % number
            assert venue.opened == KEPT_OPEN
        else:
            with pytest.raises(Unreachable, match="certificate"):
                await post(connections)
            assert not venue.requests


@pytest.mark.parametrize("url", ["ftp://venue", "venue", "", "http://"])
def test_urls_that_are_none(url: str) -> None:
    """A URL without host, or of another scheme, is refused at once."""
    with pytest.raises(ValueError):
        Connections(URL(url), connect_timeout_secs=1.0)


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_lost_at_the_very_end_does_not_keep_it_open(venue: RawVenue, turns: int) -> None:
    """Whatever turn of the loop the close comes in after a loss, it ends, and nothing is opened again behind it."""
    venue.react = silence
    async with to(venue.port) as connections:
        await warm(connections)
        with pytest.raises(Unknown):
            await post(connections, deadline_secs=0.01)
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(3):
            await connections.close()
    assert connections.statistics().open == 0
