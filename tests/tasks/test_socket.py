"""The socket's shell over real sockets and both libraries: connect, listen, and connect again."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from mm_daemon.tasks import quick_socket, spare_socket
from mm_daemon.tasks import socket as shell
from mm_daemon.tasks.quick_socket import over_picows
from mm_daemon.tasks.socket import Listen, keep_connected, quickest
from mm_daemon.tasks.spare_socket import over_websockets
from tests.certificates import certificate, trust

from .fakes import logs, until


class Channel:
    """A channel that says hello and pings when it is told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dead = False
        self.to_send: list[str] = []
        self.odd: dict[str, str] = {}
        self.tick_error: Exception | None = None

    def connected(self, now_ns: int) -> list[str]:
        self.dead = False
        return ["hello"]

    def tick(self, now_ns: int) -> list[str]:
        if self.tick_error is not None:
            raise self.tick_error
        texts, self.to_send = self.to_send, []
        return texts

    def is_dead(self, now_ns: int) -> bool:
        return self.dead

    def malformed(self) -> dict[str, str]:
        return self.odd


class Ear:
    """Remembers what it heard, in order."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.error: Exception | None = None

    def opened(self) -> None:
        self.heard.append("opened")

    def receive(self, text: str | bytes, now_ns: int) -> None:
        if self.error is not None:
            raise self.error
        self.heard.append(text if isinstance(text, str) else text.decode())

    def lost(self) -> None:
        self.heard.append("lost")

    def texts_to_send(self, now_ns: int) -> list[str]:
        return []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers and back-offs of milliseconds."""
    monkeypatch.setattr(shell, "TICK_SECS", 0.005)
    monkeypatch.setattr(shell, "SEND_SECS", 0.1)
    monkeypatch.setattr(shell, "FIRST_BACKOFF_SECS", 0.01)
    monkeypatch.setattr(shell, "LONGEST_BACKOFF_SECS", 0.02)


@pytest.fixture(params=[over_websockets, over_picows])
def listen(request: pytest.FixtureRequest) -> Listen:
    """Either library."""
    listen: Listen = request.param
    return listen


@asynccontextmanager
async def connected(
    listen: Listen, speak: Callable[[ServerConnection], Awaitable[None]]
) -> AsyncIterator[tuple[Channel, Ear, asyncio.Task[None]]]:
    """The shell against a server that speaks so."""
    async with serve(speak, "127.0.0.1", 0) as server:
        channel = Channel(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        ear = Ear()
        task = asyncio.create_task(keep_connected("test", channel, ear, listen))
        try:
            yield channel, ear, task
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_every_loss_is_followed_by_a_connection(listen: Listen) -> None:
    """The listener hears opened, the frames in order, lost, and all over again."""

    async def speak(socket: ServerConnection) -> None:
        assert await socket.recv() == "hello"
        await socket.send("one")
        await socket.send("two")

    async with connected(listen, speak) as (_, ear, _task):
        await until(lambda: ear.heard.count("lost") >= 3, "three losses")
    assert ear.heard[:8] == ["opened", "one", "two", "lost"] * 2


async def test_a_server_that_is_not_there_yet(listen: Listen) -> None:
    """Refused connections are tried again until one is taken."""
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
    ear = Ear()
    task = asyncio.create_task(keep_connected("test", Channel(f"ws://127.0.0.1:{port}"), ear, listen))
    await until(lambda: ear.heard.count("lost") >= 2, "two refusals")
    assert "opened" not in ear.heard
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", port):
        await until(lambda: "opened" in ear.heard, "a connection")
        task.cancel()
        await asyncio.wait({task})


async def test_a_dead_socket_is_given_up(listen: Listen) -> None:
    """When the channel says that the other end is dead, the socket is closed and opened anew."""
    async with connected(listen, lambda socket: socket.wait_closed()) as (channel, ear, _):
        await until(lambda: "opened" in ear.heard, "a connection")
        channel.dead = True
        await until(lambda: ear.heard == ["opened", "lost", "opened"], "a new connection")


async def test_what_the_channel_wants_to_say_is_sent(listen: Listen) -> None:
    """The keep-alive goes out at the next turn of the timer."""
    said: list[str] = []

    async def speak(socket: ServerConnection) -> None:
        nonlocal said
        async for text in socket:
            said += [str(text)]

    async with connected(listen, speak) as (channel, _, _task):
        await until(lambda: said == ["hello"], "hello")
        channel.to_send = ["PING"]
        await until(lambda: said == ["hello", "PING"], "PING")


async def test_an_error_of_ours_is_raised(listen: Listen) -> None:
    """A listener that fails is our own fault: no reconnect hides it."""

    async def speak(socket: ServerConnection) -> None:
        await socket.recv()
        await asyncio.sleep(0.05)
        await socket.send("one")
        await socket.wait_closed()

    async with connected(listen, speak) as (_, ear, task):
        ear.error = RuntimeError("ours")
        with pytest.raises(RuntimeError, match="ours"):
            await asyncio.wait_for(asyncio.shield(task), 2)
        assert ear.heard == ["opened", "lost"]


async def test_each_kind_of_malformed_frame_is_logged_once(listen: Listen) -> None:
    """A second look at the same kind says nothing."""
    with logs() as lines:
        async with connected(listen, lambda socket: socket.wait_closed()) as (channel, ear, _):
            await until(lambda: "opened" in ear.heard, "a connection")
            channel.odd["book"] = "{..."
            channel.to_send = ["PING"]
            await until(lambda: not channel.to_send, "a turn of the timer")
            channel.odd["json"] = "..."
            channel.to_send = ["PING"]
            await until(lambda: not channel.to_send, "another turn")
    assert [line["kind"] for line in lines.named("frame_malformed")] == ["book", "json"]


async def test_a_timer_that_fails_ends_it(listen: Listen) -> None:
    """What the channel or the listener raises at the timer's turn is ours: no socket lives on without keep-alive."""
    async with connected(listen, lambda socket: socket.wait_closed()) as (channel, ear, task):
        await until(lambda: "opened" in ear.heard, "a connection")
        channel.tick_error = RuntimeError("ours")
        with pytest.raises(RuntimeError, match="ours"):
            await asyncio.wait_for(asyncio.shield(task), 2)
        assert ear.heard == ["opened", "lost"]


async def test_picows_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without picows trades by websockets, and the log says so."""
    assert quickest() is over_picows
    monkeypatch.setitem(sys.modules, "mm_daemon.tasks.quick_socket", None)
    with logs() as lines:
        assert quickest() is over_websockets
    assert len(lines.named("picows_missing")) == 1


# Frames byte by byte


def frame(payload: bytes, head: int = 0x81) -> bytes:
    """A server's frame; `head` is its first byte: FIN, reserved bits, opcode."""
    length = len(payload)
    return bytes((head, length)) + payload if length < 126 else bytes((head, 126)) + length.to_bytes(2, "big") + payload


def accepted(request: bytes) -> bytes:
    """The answer that takes an upgrade."""
    key = request.partition(b"Sec-WebSocket-Key: ")[2].split(b"\r\n")[0]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


@asynccontextmanager
async def raw(
    listen: Listen, *chunks: bytes, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Ear]:
    """The shell against a server that accepts, writes these chunks one by one, and reads until a close frame."""

    talks: set[asyncio.Task[None] | None] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            writer.write(accepted(request) + (chunks[0] if chunks else b""))  # the first frame comes with the answer
            for chunk in chunks[1:]:
                await asyncio.sleep(0.002)
                if not writer.transport.is_closing():
                    writer.write(chunk)
            await reader.readexactly(2 + 4 + len("hello"))
            await reader.read(1)  # a pong, or the close frame that this answers
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    scheme = "wss" if tls else "ws"
    channel = Channel(f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}/ws/market")
    ear = Ear()
    task = asyncio.create_task(keep_connected("test", channel, ear, listen))
    try:
        yield ear
    finally:
        task.cancel()
        await asyncio.wait({task})
        server.close()
        await asyncio.gather(*filter(None, talks))
        await server.wait_closed()


@pytest.mark.parametrize(
    "chunks",
    [
        (frame(b"one") + frame(b"two"),),
        tuple(bytes((byte,)) for byte in frame(b"one") + frame(b"two")),
        (frame(b"on", 0x01), frame(b"", 0x89) + frame(b"e", 0x80), frame(b"pong", 0x8A), frame(b"two", 0x82)),
        (frame(b"o", 0x02), frame(b"n", 0x00) + frame(b"e", 0x80) + frame(b"two")),
    ],
)
async def test_messages_however_they_are_cut(listen: Listen, chunks: tuple[bytes, ...]) -> None:
    """Bytes by ones, fragments with a ping between them, text or binary: the same two messages in order."""
    async with raw(listen, *chunks) as ear:
        await until(lambda: len(ear.heard) >= 3, "two messages")
        assert ear.heard[:3] == ["opened", "one", "two"]


@pytest.mark.parametrize(
    "wrong",
    [
        frame(b"x", 0xC1),  # a reserved bit
        frame(b"x", 0x83),  # an opcode that does not exist
        frame(b"x", 0x80),  # a fragment of nothing
        frame(b"x", 0x01) + frame(b"y", 0x81),  # a message within another
        b"\x81\x81\x00\x00\x00\x00x",  # masked, by a server
        b"\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00",  # a message of 4 GiB
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10,
    ],
)
async def test_frames_that_must_not_be(listen: Listen, wrong: bytes) -> None:
    """A breach of the protocol loses the connection; nothing of it, nor of what comes after it, is handed on."""
    async with raw(listen, frame(b"one") + wrong + frame(b"two")) as ear:
        await until(lambda: "lost" in ear.heard, "a loss", 5.0)
        assert "two" not in ear.heard
        assert "x" not in ear.heard


async def test_a_message_of_too_many_fragments(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds for the whole message, not for each fragment."""
    for module in (quick_socket, spare_socket):
        monkeypatch.setattr(module, "MAX_FRAME_BYTES", 1000)
    chunks = [frame(b"x" * 400, 0x01), *[frame(b"x" * 400, 0x00)] * 3, frame(b"x", 0x80)]
    async with raw(listen, *chunks) as ear:
        await until(lambda: "lost" in ear.heard, "a loss", 5.0)
        assert ear.heard[:2] == ["opened", "lost"]


async def test_why_the_server_closed_is_logged(listen: Listen) -> None:
    """Code and reason of its close frame stand in the log."""
    with logs() as lines:
        async with raw(listen, frame((1012).to_bytes(2, "big") + b"restart", 0x88)) as ear:
            await until(lambda: "lost" in ear.heard, "a loss", 5.0)
    reason = str(lines.named("socket_lost")[0]["reason"])
    assert "1012" in reason
    assert "restart" in reason


async def test_a_server_that_hears_nothing_is_dropped(listen: Listen) -> None:
    """A dead channel ends its connection even if the other end never reads nor closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        channel, ear = Channel(f"ws://127.0.0.1:{server.getsockname()[1]}"), Ear()
        task = asyncio.create_task(keep_connected("test", channel, ear, listen))
        for number in range(2):
            peer, _ = await asyncio.to_thread(server.accept)
            peer.sendall(accepted(await asyncio.to_thread(peer.recv, 4096)))
            await until(lambda number=number: ear.heard.count("opened") == number + 1, "a connection")  # type: ignore[misc]
            channel.to_send = ["x" * 10_000_000]
            await until(lambda: not channel.to_send, "a turn of the timer")
            channel.dead = True
            await until(lambda number=number: ear.heard.count("lost") == number + 1, "a loss", 5.0)  # type: ignore[misc]
            peer.close()
        task.cancel()
        await asyncio.wait({task})


async def test_given_up_before_it_was_open(listen: Listen) -> None:
    """A connection whose upgrade is not answered in time is closed, and an answer that comes too late opens nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        ear = Ear()
        task = asyncio.create_task(listen(Channel(f"ws://127.0.0.1:{server.getsockname()[1]}"), ear))
        peer, _ = await asyncio.to_thread(server.accept)
        peer.settimeout(5)
        request = await asyncio.to_thread(peer.recv, 4096)
        task.cancel()
        await asyncio.wait({task})
        with contextlib.suppress(OSError):
            peer.sendall(accepted(request) + frame(b"one"))
            assert await asyncio.to_thread(peer.recv, 4096) == b""
        peer.close()
        assert ear.heard == []


async def test_no_connection_reads_the_authorities_again(
    listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes tens of milliseconds, in which the loop would stand still."""
    file = certificate(tmp_path, "localhost")
    trust(file, monkeypatch)
    monkeypatch.delattr(ssl, "create_default_context")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    async with raw(listen, frame(b"one"), tls=tls, host="localhost") as ear:
        await until(lambda: "one" in ear.heard, "a frame")


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_certificates(listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool) -> None:
    """wss is spoken only with who can show a certificate that we trust."""
    file = certificate(tmp_path, "localhost")
    if is_trusted:
        trust(file, monkeypatch)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    with logs() as lines:
        async with raw(listen, frame(b"one"), tls=tls, host="localhost") as ear:
            await until(lambda: len(ear.heard) >= 2, "something")
            assert ear.heard[:2] == (["opened", "one"] if is_trusted else ["lost", "lost"])
    assert is_trusted or "certificate" in str(lines.named("socket_lost")[0]["reason"])
