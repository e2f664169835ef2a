"""The socket's shell over real sockets: connect, listen, and connect again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from mm_daemon.tasks import socket as shell
from mm_daemon.tasks.socket import keep_connected

from .fakes import logs, until


class Channel:
    """A channel that says hello and pings when it is told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dead = False
        self.to_send: list[str] = []
        self.odd: dict[str, str] = {}

    def connected(self, now_ns: int) -> list[str]:
        self.dead = False
        return ["hello"]

    def tick(self, now_ns: int) -> list[str]:
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
        self.heard.append(str(text))

    def lost(self) -> None:
        self.heard.append("lost")

    def texts_to_send(self, now_ns: int) -> list[str]:
        return []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timers and back-offs of milliseconds."""
    monkeypatch.setattr(shell, "TICK_SECS", 0.005)
    monkeypatch.setattr(shell, "FIRST_BACKOFF_SECS", 0.01)
    monkeypatch.setattr(shell, "LONGEST_BACKOFF_SECS", 0.02)


@asynccontextmanager
async def connected(
    speak: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[tuple[Channel, Ear, asyncio.Task[None]]]:
    """The shell against a server that speaks so."""
    async with serve(speak, "127.0.0.1", 0) as server:
        channel = Channel(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        ear = Ear()
        task = asyncio.create_task(keep_connected("test", channel, ear))
        try:
            yield channel, ear, task
        finally:
            task.cancel()
            await asyncio.wait({task})


async def test_every_loss_is_followed_by_a_connection() -> None:
    """The listener hears opened, the frames in order, lost, and all over again."""

    async def speak(socket: ServerConnection) -> None:
        assert await socket.recv() == "hello"
        await socket.send("one")
        await socket.send("two")

    async with connected(speak) as (_, ear, _task):
        await until(lambda: ear.heard.count("lost") >= 3, "three losses")
    assert ear.heard[:8] == ["opened", "one", "two", "lost"] * 2


async def test_a_server_that_is_not_there_yet() -> None:
    """Refused connections are tried again until one is taken."""
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
    ear = Ear()
    task = asyncio.create_task(keep_connected("test", Channel(f"ws://127.0.0.1:{port}"), ear))
    await until(lambda: ear.heard.count("lost") >= 2, "two refusals")
    assert "opened" not in ear.heard
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", port):
        await until(lambda: "opened" in ear.heard, "a connection")
        task.cancel()
        await asyncio.wait({task})


async def test_a_dead_socket_is_given_up() -> None:
    """When the channel says that the other end is dead, the socket is closed and opened anew."""
    async with connected(lambda socket: socket.wait_closed()) as (channel, ear, _):
        await until(lambda: "opened" in ear.heard, "a connection")
        channel.dead = True
        await until(lambda: ear.heard == ["opened", "lost", "opened"], "a new connection")


async def test_what_the_channel_wants_to_say_is_sent() -> None:
    """The keep-alive goes out at the next turn of the timer."""
    said: list[str] = []

    async def speak(socket: ServerConnection) -> None:
        nonlocal said
        async for text in socket:
            said += [str(text)]

    async with connected(speak) as (channel, _, _task):
        await until(lambda: said == ["hello"], "hello")
        channel.to_send = ["PING"]
        await until(lambda: said == ["hello", "PING"], "PING")


async def test_an_error_of_ours_is_raised() -> None:
    """A listener that fails is our own fault: no reconnect hides it."""

    async def speak(socket: ServerConnection) -> None:
        await socket.recv()
        await asyncio.sleep(0.05)
        await socket.send("one")
        await socket.wait_closed()

    async with connected(speak) as (_, ear, task):
        ear.error = RuntimeError("ours")
        with pytest.raises(RuntimeError, match="ours"):
            await asyncio.wait_for(asyncio.shield(task), 2)
        assert ear.heard == ["opened", "lost"]


async def test_each_kind_of_malformed_frame_is_logged_once() -> None:
    """A second look at the same kind says nothing."""
    with logs() as lines:
        async with connected(lambda socket: socket.wait_closed()) as (channel, ear, _):
            await until(lambda: "opened" in ear.heard, "a connection")
            channel.odd["book"] = "{..."
            channel.to_send = ["PING"]
            await until(lambda: not channel.to_send, "a turn of the timer")
            channel.odd["json"] = "..."
            channel.to_send = ["PING"]
            await until(lambda: not channel.to_send, "another turn")
    assert [line["kind"] for line in lines.named("frame_malformed")] == ["book", "json"]
