"""The venue's dead-man switch: a chain of ids, one accepted send each few seconds, or all our orders are cancelled."""

from __future__ import annotations

import asyncio

import msgspec

from mm_daemon.exchange.errors import ProtocolError
from mm_daemon.exchange.polymarket.http1 import Answer
from mm_daemon.exchange.polymarket.rest import Rest
from mm_daemon.exchange.polymarket.wire import UNREADABLE


class _HeartbeatBody(msgspec.Struct):
    heartbeat_id: str | None = None
    error_msg: str | None = None
    error: str | None = None


class Heartbeat:
    """Sends heartbeats one at a time and keeps the id that the next one has to carry.

    After a lost answer the chain may be one ahead of us; the venue then names the id that it expects, and the beat is
    sent once more with it.
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._id = ""
        self._one_at_a_time = asyncio.Lock()
        self.accepted = 0
        """Heartbeats that the venue accepted."""

    async def send(self) -> None:
        """Send one heartbeat.

        Raises:
            VenueError: it was not accepted, or the answer was lost; the deadline of the switch still runs.
        """
        async with self._one_at_a_time:
            answer = await self._post()
            expected = _expected_id(answer)
            if expected is not None:
                self._id = expected
                answer = await self._post()
            self._id = _next_id(self._rest.checked(answer))
            self.accepted += 1

    async def _post(self) -> Answer:
        return await self._rest.send("POST", "/v1/heartbeats", msgspec.json.encode({"heartbeat_id": self._id}))


def _read(body: bytes) -> _HeartbeatBody | None:
    try:
        return msgspec.json.decode(body, type=_HeartbeatBody)
    except UNREADABLE:
        return None


def _expected_id(answer: Answer) -> str | None:
    """The id that the venue wants instead of ours, "" being one; None if that is not what it says."""
    body = _read(answer.body) if answer.status == 400 else None
    if body is None or "invalid heartbeat" not in (body.error_msg or body.error or "").lower():
        return None
    return body.heartbeat_id or ""


def _next_id(body: bytes) -> str:
    answer = _read(body)
    if answer is None or answer.heartbeat_id is None:
        raise ProtocolError("an answer to a heartbeat without heartbeat_id")
    return answer.heartbeat_id
