"""Who looks at the page, and the one loop that tells them: everything is made once a second, for all of them at once.

While nobody looks only the charts are sampled. What is sent to a client is handed to its socket and never queued: while
a socket is still busy with the last second, its client misses this one and then gets everything anew; one that takes
nothing for five seconds is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog
from aiohttp import WSMsgType, web

from mm_daemon.core.desk import Desk
from mm_daemon.core.latency import Latencies
from mm_daemon.core.units import Cash, ConditionId
from mm_daemon.ops.dashboard import payload
from mm_daemon.ops.dashboard.history import SAMPLE_SECS, History
from mm_daemon.ops.dashboard.payload import FillShown, Message, Row
from mm_daemon.ops.observation import MarketSeen, Observation

MAX_CLIENTS = 16
TICK_SECS = 1.0
SHORTEST_TICK_SECS = 0.1
"""How soon a new client, or one that turned to another market, is told something."""
SEND_SECS = 5.0
FILLS = 100
FILLS_SECS = 2.0
"""How often the ledger is read again for the fills of a market that somebody looks at."""
SAMPLES_A_TURN = 25
"""How many markets are sampled before the loop turns."""
HEARD_SECS = 20.0
"""How often a client's end is asked whether it lives."""
MAX_QUESTION = 256

log = structlog.get_logger()
_encode = msgspec.json.Encoder(enc_hook=str).encode


class FillsUnread(Exception):
    """A market's fills cannot be read now; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the page's values come from; nothing here can change the daemon.

    Attributes:
        desk: markets, books and orders.
        observe: one look at the whole.
        latencies: histograms.
        day_pnl: today's profit, in micro-dollars.
        fills: the last fills of a market, newest first, at most so many. Raises `FillsUnread`.
        events: the last log events, redacted, oldest first.
        clock_ns: monotonic nanoseconds, as orders are stamped.
        clock_ms: unix milliseconds.
    """

    desk: Desk
    observe: Callable[[], Awaitable[Observation]]
    latencies: Latencies
    day_pnl: Callable[[], Cash]
    fills: Callable[[ConditionId, int], Awaitable[Sequence[FillShown]]]
    events: Callable[[], Sequence[Mapping[str, object]]]
    clock_ns: Callable[[], int]
    clock_ms: Callable[[], int]


class _Question(msgspec.Struct, forbid_unknown_fields=True):
    """What a page may ask: to be told of one market, or of none."""

    watch: str | None


@dataclass(eq=False)
class _Client:
    """One open page.

    Attributes:
        watched: the market it looks at.
        is_new: it needs everything, not what changed; also after it missed a second.
        lines_of: the market whose lines it has.
        fills: the text of the fills it has.
        sending: its socket's present work.
    """

    socket: web.WebSocketResponse
    transport: asyncio.BaseTransport | None
    watched: ConditionId | None = None
    is_new: bool = True
    lines_of: ConditionId | None = None
    fills: bytes = b""
    events: bytes = b""
    sending: asyncio.Task[None] | None = None

    def send(self, texts: list[bytes]) -> None:
        self.sending = asyncio.create_task(self._send(texts))

    async def _send(self, texts: list[bytes]) -> None:
        try:
            async with asyncio.timeout(SEND_SECS):
                for text in texts:
                    await self.socket.send_frame(text, WSMsgType.TEXT)
        except (TimeoutError, ConnectionError):
            self.drop()

    def drop(self) -> None:
        """Cut it off, without waiting for a goodbye that may never come."""
        if self.transport is not None:
            self.transport.abort()  # type: ignore[attr-defined]  # every transport of a socket has it


@dataclass
class _Fills:
    """A market's fills as they were last read, and the reading under way."""

    text: bytes = b""
    read_at: float = float("-inf")
    reading: asyncio.Task[None] | None = None


@dataclass(eq=False)
class _Round:
    """What one second has to tell, each text made when the first client needs it.

    Attributes:
        seen: the look that all of it is made from.
        changed: the overview with the rows that changed.
        events: the last events.
    """

    seen: Observation
    changed: bytes
    events: bytes
    texts: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def text(self, kind: str, make: Callable[[], Message], of: str = "") -> bytes:
        """The text of this kind (and market), made once."""
        text = self.texts.get((kind, of))
        if text is None:
            text = self.texts[kind, of] = _encode(make())
        return text


class Clients:
    """Every open page, told once a second what the daemon does."""

    def __init__(self, sources: Sources, *, can_command: bool) -> None:
        self._from = sources
        self._can_command = can_command
        self._clients: set[_Client] = set()
        self._hurry = asyncio.Event()
        self._history = History()
        self._rows: dict[str, Row] = {}
        self._fills: dict[ConditionId, _Fills] = {}
        self._events = b""

    def __len__(self) -> int:
        return len(self._clients)

    async def run(self) -> None:
        """Sample and tell until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._sample_for_ever(), name="dashboard_samples")
                group.create_task(self._tell_for_ever(), name="dashboard")
        finally:
            self._let_go()

    def _drop_all(self) -> None:
        for client in self._clients:
            client.drop()

    def _let_go(self) -> None:
        """Drop every client and end what is under way for them."""
        self._drop_all()
        for fills in self._fills.values():
            if fills.reading is not None:
                fills.reading.cancel()

    # One page

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """A page's websocket, for as long as it is open."""
        if len(self._clients) >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_CLIENTS} pages are open, which is the most")
        socket = web.WebSocketResponse(heartbeat=HEARD_SECS, max_msg_size=MAX_QUESTION, compress=False)
        client = _Client(socket, request.transport)
        self._clients.add(client)  # before the first await, so that the bound holds
        try:
            await socket.prepare(request)
            self._hurry.set()
            async for message in socket:
                if message.type is not WSMsgType.TEXT or not self._is_understood(client, message.data):
                    break
        finally:
            self._clients.discard(client)
            if client.sending is not None:
                client.sending.cancel()
        await socket.close()
        return socket

    def _is_understood(self, client: _Client, text: str) -> bool:
        """Take a page's question; False if it is none."""
        try:
            watched = msgspec.json.decode(text, type=_Question).watch
        except msgspec.MsgspecError:
            return False
        client.watched = None if watched is None else ConditionId(watched)
        client.lines_of, client.fills = None, b""
        self._hurry.set()
        return True

    # The loops

    async def _sample_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            try:
                await self._sample()
            except Exception:  # what watches must not stop what trades
                log.exception("dashboard_failed", clients=len(self._clients))
            due = max(due + SAMPLE_SECS, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _sample(self) -> None:
        """Take one sample of everything; the loop turns in between."""
        source = self._from
        for number, state in enumerate(list(source.desk.markets.values()), 1):
            self._history.sample(source.desk, state)
            if number % SAMPLES_A_TURN == 0:
                await asyncio.sleep(0)
        self._history.end(source.clock_ms(), source.day_pnl(), source.desk.exposure)

    async def _tell_for_ever(self) -> None:
        while True:
            if self._clients:
                try:
                    await self._tell()
                except Exception:  # what watches must not stop what trades
                    log.exception("dashboard_failed", clients=len(self._clients))
                    self._drop_all()
                await asyncio.sleep(SHORTEST_TICK_SECS)
            try:
                async with asyncio.timeout(TICK_SECS - SHORTEST_TICK_SECS if self._clients else None):
                    await self._hurry.wait()
            except TimeoutError:
                continue  # the ordinary case: a second is over
            self._hurry.clear()

    async def _tell(self) -> None:
        """One second's work, for everybody whose socket is free."""
        seen = await self._from.observe()
        rows = {market.id: payload.row(index, market) for index, market in enumerate(seen.markets)}
        are_the_same = list(rows) == list(self._rows)
        changed = [row for id, row in rows.items() if self._rows.get(id) != row]
        self._rows = rows
        round = _Round(seen, _encode(self._overview(seen, changed, is_full=False)), self._events_text())
        markets = {market.id: market for market in seen.markets}
        for client in self._clients:
            if not are_the_same:
                client.is_new = True  # the daemon has just found its markets
            if not client.socket.prepared:
                continue
            if client.sending is not None and not client.sending.done():
                client.is_new = True
                continue
            client.send(self._texts_for(client, round, markets))
        for id in set(self._fills) - {client.watched for client in self._clients}:
            self._forget_fills(id)

    def _overview(self, seen: Observation, rows: Sequence[Row], *, is_full: bool) -> Message:
        return payload.overview(seen, self._from.latencies, self._history, rows, is_full=is_full)

    def _texts_for(self, client: _Client, round: _Round, markets: Mapping[str, MarketSeen]) -> list[bytes]:
        """What one client is told now."""
        seen = round.seen
        texts = []
        if client.is_new:
            client.lines_of, client.fills, client.events = None, b"", b""
            texts += [
                round.text("hello", lambda: payload.hello(seen, self._can_command)),
                round.text("names", lambda: payload.names(seen.markets)),
                round.text("totals", lambda: payload.totals(self._history)),
                round.text("full", lambda: self._overview(seen, list(self._rows.values()), is_full=True)),
            ]
        else:
            texts.append(round.changed)
        if client.events is not round.events:
            client.events = round.events
            texts.append(round.events)
        client.is_new = False
        if client.watched is not None and client.watched in markets:
            texts += self._market_texts(client, client.watched, round, markets[client.watched])
        return texts

    def _market_texts(self, client: _Client, id: ConditionId, round: _Round, seen: MarketSeen) -> list[bytes]:
        source, history = self._from, self._history
        state = source.desk.markets[id]
        texts = []
        if client.lines_of != id:
            client.lines_of = id
            texts.append(round.text("lines", lambda: payload.lines(state, history), id))
        texts.append(
            round.text("market", lambda: payload.market(seen, state, source.desk, history, source.clock_ns()), id)
        )
        fills = self._fills_of(id)
        if fills and fills != client.fills:
            client.fills = fills
            texts.append(fills)
        return texts

    # Events and fills

    def _events_text(self) -> bytes:
        """The last events; the same object as the last time while there is no new one."""
        text = _encode(payload.events(self._from.events()))
        if text != self._events:
            self._events = text
        return self._events

    def _fills_of(self, id: ConditionId) -> bytes:
        """A market's fills as they were read last; reads them again beside the loop when that is a while ago."""
        known = self._fills.setdefault(id, _Fills())
        now = asyncio.get_running_loop().time()
        if now - known.read_at >= FILLS_SECS and (known.reading is None or known.reading.done()):
            known.read_at = now
            known.reading = asyncio.create_task(self._read_fills(id, known))
        return known.text

    async def _read_fills(self, id: ConditionId, known: _Fills) -> None:
        answer: dict[str, Any] = {"type": "fills", "id": id}
        try:
            answer["fills"] = await self._from.fills(id, FILLS)
        except FillsUnread as unread:
            answer["unread"] = str(unread)
        if not known.text:
            self._hurry.set()
        known.text = _encode(answer)

    def _forget_fills(self, id: ConditionId) -> None:
        reading = self._fills.pop(id).reading
        if reading is not None:
            reading.cancel()
