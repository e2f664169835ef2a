"""Faults of the websockets: cut, frozen, spoilt, and private events that are lost, doubled, reordered or late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Protocol

from mm_daemon.sim.faults.schedule import Fault, Kind
from mm_daemon.sim.ws import Client, Line

GARBAGE = (
    "",
    "]",
    "not json",
    "null",
    "[]",
    "{}",
    "[[[[",
    '"PONG"',
    "[null, 7]",
    '{"event_type": "book"}',
    '{"event_type": "book", "asset_id": "1", "market": "0x", "timestamp": "x", "bids": 4, "asks": [[]]}',
    '{"event_type": "price_change", "price_changes": [{"asset_id": "1", "price": "1e9", "size": "-1", "side": "?"}]}',
    '{"event_type": "order", "id": "0x00", "type": "UPDATE", "status": 3}',
    '{"event_type": "trade", "id": "t", "status": "NEVER_HEARD_OF", "maker_orders": "none"}',
    '{"event_type": "something new", "payload": {"deep": [1, 2, {"deeper": null}]}}',
    "x" * 100_000,
)
HALF_FRAME = b"\x81\x7e\x01\x00" + b'[{"event_type":"book","market":"0x'
"""The head of a text frame of 256 bytes, and the first of them."""

DROPS = (Kind.MARKET_DROPPED, Kind.USER_DROPPED, Kind.VENUE_GONE)
FREEZES = (Kind.MARKET_FROZEN, Kind.MARKET_DEAF, Kind.USER_FROZEN, Kind.USER_DEAF)
DEAF = (Kind.MARKET_DEAF, Kind.USER_DEAF)
HALVES = (Kind.MARKET_HALF_FRAME, Kind.USER_HALF_FRAME)
RUBBISH = (Kind.MARKET_GARBAGE, Kind.USER_GARBAGE)
ABOUT_EVENTS = (Kind.EVENTS_LOST, Kind.EVENTS_DOUBLED, Kind.EVENTS_REORDERED, Kind.EVENTS_LATE)


class Hub(Protocol):
    """A channel of the exchange."""

    line: Line

    def clients(self) -> list[Client]:
        """Everybody who is connected."""
        ...


class SocketFaults:
    """Spoils one channel. `name` is "market" or "user" and picks the kinds that concern it."""

    def __init__(self, name: str, hub: Hub, seed: int, hit: Callable[[Kind], None]) -> None:
        self._name = name
        self._hub = hub
        self._hit = hit
        self._rng = Random(f"sockets:{name}:{seed}")
        self._frozen: dict[Fault, set[Client]] = {}
        self._events: dict[Fault, list[tuple[Client, str]]] = {}
        hub.line.tamper = self._carry
        hub.line.answers_ping = self._answers_ping

    def begin(self, fault: Fault) -> None:
        """Let a fault begin if it is one of this channel's."""
        kind = fault.kind
        clients = self._hub.clients()
        if kind in ABOUT_EVENTS:
            if self._name == "user":
                self._events[fault] = []
            return
        if not kind.startswith(self._name) and kind is not Kind.VENUE_GONE:
            return
        if clients and kind is not Kind.VENUE_GONE:
            self._hit(kind)
        if kind in FREEZES:
            self._frozen[fault] = set(clients)
        for client in clients:
            if kind in DROPS:
                client.drop()
            elif kind in HALVES:
                client.send_bytes(HALF_FRAME)
                client.hang_up()
            elif kind in RUBBISH:
                for text in self._rng.sample(GARBAGE, 8):
                    client.queue(text)

    def end(self, fault: Fault) -> None:
        """End it. What a freeze swallowed is gone; what was held back to be reordered comes now."""
        self._frozen.pop(fault, None)
        held = self._events.pop(fault, [])
        self._send_shuffled(held)

    def _answers_ping(self, client: Client) -> bool:
        return not any(client in clients for fault, clients in self._frozen.items() if fault.kind in DEAF)

    def _carry(self, client: Client, text: str) -> None:
        """Bring a frame to a client, by way of every fault that is on."""
        if any(client in clients for clients in self._frozen.values()):
            return
        for fault, held in self._events.items():
            if self._rng.random() >= fault.share:
                continue
            self._hit(fault.kind)
            if fault.kind is Kind.EVENTS_LOST:
                return
            if fault.kind is Kind.EVENTS_DOUBLED:
                client.queue(text)
            elif fault.kind is Kind.EVENTS_LATE:
                self._later(fault.amount * self._rng.random(), client.queue, text)
                return
            elif fault.kind is Kind.EVENTS_REORDERED:
                if not held:
                    self._later(fault.amount, self._release, fault)
                held.append((client, text))
                return
        client.queue(text)

    def _release(self, fault: Fault) -> None:
        held = self._events.get(fault)
        if held:
            waiting, self._events[fault] = held, []
            self._send_shuffled(waiting)

    def _send_shuffled(self, held: list[tuple[Client, str]]) -> None:
        self._rng.shuffle(held)
        for client, text in held:
            client.queue(text)

    def _later(self, secs: float, call: Callable[..., None], *arguments: object) -> None:
        asyncio.get_running_loop().call_later(secs, call, *arguments)
