"""The two websocket channels. Every client has a bounded queue; one that falls behind is disconnected."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from mm_daemon.sim.books import Books
from mm_daemon.sim.listing import UserFrame
from mm_daemon.sim.marketdata import MarketFrame
from mm_daemon.sim.model import Refusal
from mm_daemon.sim.venue import Venue

QUEUED_FRAMES = 4_096
INVALID = "INVALID OPERATION"


@dataclass
class Line:
    """The way from a channel to its clients. Faults tamper with it.

    Attributes:
        tamper: does with each frame what it likes instead of sending it; None: frames are sent.
        answers_ping: whether a client's PING is answered.
    """

    tamper: Callable[[Client, str], None] | None = None
    answers_ping: Callable[[Client], bool] = lambda client: True


class Client:
    """One socket and the texts that wait to be sent on it."""

    def __init__(self, request: web.Request, line: Line) -> None:
        self.socket = web.WebSocketResponse(compress=False)
        self._line = line
        self._request = request
        self._waiting: asyncio.Queue[str] = asyncio.Queue(QUEUED_FRAMES)

    def send(self, text: str) -> None:
        """Send a frame by the channel's line."""
        if self._line.tamper is None:
            self.queue(text)
        else:
            self._line.tamper(self, text)

    def send_bytes(self, raw: bytes) -> None:
        """Put bytes on the connection as they are, past the websocket protocol."""
        if self._request.transport is not None:
            self._request.transport.write(raw)

    def hang_up(self) -> None:
        """End the connection without a goodbye, once everything written has left."""
        if self._request.transport is not None:
            self._request.transport.close()

    def queue(self, text: str) -> None:
        """Queue a text; a client whose queue is full is dropped without a goodbye, as the venue does."""
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.drop()

    def drop(self) -> None:
        """Cut the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def texts(self) -> AsyncGenerator[str, None]:
        """Open the socket and yield what the client says, answering PING; ends when the socket closes."""
        await self.socket.prepare(self._request)
        writer = asyncio.create_task(self._write())
        try:
            async for message in self.socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                if message.data == "PING":
                    if self._line.answers_ping(self):
                        self.queue("PONG")
                else:
                    yield message.data
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            await self.socket.send_str(await self._waiting.get())


class MarketHub:
    """The market channel: who subscribed to which token."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.line = Line()
        self._clients: set[_MarketClient] = set()
        self._by_token: dict[str, set[_MarketClient]] = {}

    def publish(self, frame: MarketFrame) -> None:
        """Send a frame to its subscribers, once each."""
        clients: set[_MarketClient] = set()
        for token in frame.tokens:
            clients |= self._by_token.get(token, set())
        if not frame.tokens:
            clients = self._clients
        if frame.custom_only:
            clients = {client for client in clients if client.has_custom}
        _send_to(clients, frame.payload)

    def clients(self) -> list[Client]:
        """Everybody who is connected."""
        return list(self._clients)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """GET /ws/market."""
        client = _MarketClient(request, self.line)
        self._clients.add(client)
        try:
            async with aclosing(client.texts()) as texts:
                async for text in texts:
                    if not self._receive(client, _read_object(text)):
                        client.send(INVALID)
        finally:
            self._clients.discard(client)
            self._unsubscribe(client, list(client.tokens))
        return client.socket

    async def close(self) -> None:
        """Close every socket."""
        await asyncio.gather(*(client.socket.close() for client in self._clients), return_exceptions=True)

    def _receive(self, client: _MarketClient, said: dict[str, Any]) -> bool:
        tokens = said.get("assets_ids")
        operation = "subscribe" if said.get("type") == "market" else said.get("operation")
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            return False
        if operation == "unsubscribe":
            self._unsubscribe(client, tokens)
            return True
        if operation != "subscribe":
            return False
        if "custom_feature_enabled" in said:
            client.has_custom = said["custom_feature_enabled"] is True
        new = [token for token in dict.fromkeys(tokens) if token not in client.tokens]
        if said.get("initial_dump", True) and new:
            client.send(msgspec.json.encode(self._books.snapshots(new)).decode())
        for token in new:
            client.tokens.add(token)
            self._by_token.setdefault(token, set()).add(client)
        self._books.subscribed(new)
        return True

    def _unsubscribe(self, client: _MarketClient, tokens: Iterable[str]) -> None:
        for token in tokens:
            client.tokens.discard(token)
            clients = self._by_token.get(token, set())
            clients.discard(client)
            if not clients:
                self._by_token.pop(token, None)


class _MarketClient(Client):
    def __init__(self, request: web.Request, line: Line) -> None:
        super().__init__(request, line)
        self.tokens: set[str] = set()
        self.has_custom = False


def _send_to(clients: Collection[Client], payload: object) -> None:
    """Write a frame once and send it to all of them."""
    if clients:
        text = msgspec.json.encode(payload).decode()
        for client in clients:
            client.send(text)


class UserHub:
    """The user channel: who proved to own which API key."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self.line = Line()
        self._clients: set[_UserClient] = set()

    def publish(self, frame: UserFrame) -> None:
        """Send a private event to the sockets of its owner."""
        clients = [client for client in self._clients if client.wants(frame)]
        _send_to(clients, frame.payload)

    def clients(self) -> list[Client]:
        """Everybody who is connected."""
        return list(self._clients)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """GET /ws/user: the first text has to prove a key, else the socket is closed."""
        client = _UserClient(request, self.line)
        self._clients.add(client)
        try:
            async with aclosing(client.texts()) as texts:
                async for text in texts:
                    if not self._receive(client, _read_object(text)):
                        break
        finally:
            self._clients.discard(client)
            await client.socket.close()
        return client.socket

    async def close(self) -> None:
        """Close every socket."""
        await asyncio.gather(*(client.socket.close() for client in self._clients), return_exceptions=True)

    def _receive(self, client: _UserClient, said: dict[str, Any]) -> bool:
        markets = said.get("markets")
        if markets is not None and not isinstance(markets, list):
            return False
        if said.get("type") == "user":
            client.owner = self._proven_key(said.get("auth"))
            client.markets = None if markets is None else set(markets)
            return client.owner != ""
        if not client.owner:
            return False
        if said.get("operation") == "subscribe":
            client.markets = (client.markets or set()) | set(markets or [])
        elif said.get("operation") == "unsubscribe" and client.markets is not None:
            client.markets -= set(markets or [])
        return True

    def _proven_key(self, auth: object) -> str:
        if not isinstance(auth, dict):
            return ""
        try:
            key = self._venue.keys.find(str(auth.get("apiKey")))
        except Refusal:
            return ""
        given = f"{auth.get('secret')}:{auth.get('passphrase')}"
        return key.key if hmac.compare_digest(given.encode(), f"{key.secret}:{key.passphrase}".encode()) else ""


class _UserClient(Client):
    def __init__(self, request: web.Request, line: Line) -> None:
        super().__init__(request, line)
        self.owner = ""
        self.markets: set[str] | None = None
        """None: every market."""

    def wants(self, frame: UserFrame) -> bool:
        """Whether the event is this client's."""
        return self.owner == frame.owner and (self.markets is None or frame.market in self.markets)


def _read_object(text: str) -> dict[str, Any]:
    """A JSON object; anything else reads as an empty one, which no channel accepts."""
    try:
        said = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    return said if isinstance(said, dict) else {}
