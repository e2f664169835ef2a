"""What all REST handlers share: JSON in and out, refusals as the venue words them, L1 and L2 checks, cursors."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from aiohttp import web

from mm_daemon.sim.keys import WrongHeartbeat
from mm_daemon.sim.model import ApiKey, Refusal
from mm_daemon.sim.venue import Venue
from mm_daemon.sim.verify import check_l1, check_l2

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FIRST_CURSOR = "MA=="
END_CURSOR = "LTE="
PAGE = 100
CLOCK_WINDOW_SECS = 60
"""How far a request's timestamp may be from ours."""


def answer(body: Any, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


@web.middleware
async def refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a refusal into the venue's error body."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return answer({"error": refusal.text}, refusal.status)
    except WrongHeartbeat as wrong:
        return answer({"error_msg": "Invalid Heartbeat ID", "heartbeat_id": wrong.expected}, 400)


async def read_json(request: web.Request) -> Any:
    """The request's body as JSON.

    Raises:
        Refusal: it is not JSON.
    """
    try:
        return msgspec.json.decode(await request.read())
    except msgspec.DecodeError as error:
        raise Refusal("Invalid order payload") from error


def require_query(request: web.Request, name: str) -> str:
    """A query parameter that has to be there.

    Raises:
        Refusal: it is not.
    """
    value = request.query.get(name)
    if not value:
        raise Refusal(f"Invalid {name}")
    return value


def paged(request: web.Request, rows: Sequence[Any], limit: int = PAGE) -> dict[str, Any]:
    """One page of `rows` at the request's cursor, with the cursor of the next one.

    Raises:
        Refusal: the cursor is not one of ours.
    """
    start = _offset(request.query.get("next_cursor") or FIRST_CURSOR)
    chosen = rows[start : start + limit] if start >= 0 else []
    end = start + len(chosen)
    more = 0 <= end < len(rows)
    cursor = base64.b64encode(str(end).encode()).decode() if more else END_CURSOR
    return {"limit": limit, "count": len(chosen), "next_cursor": cursor, "data": chosen}


def _offset(cursor: str) -> int:
    try:
        return int(base64.b64decode(cursor, validate=True))
    except (ValueError, binascii.Error) as error:
        raise Refusal("Invalid next_cursor") from error


class Auth:
    """The checks in front of private calls."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def wallet(self, request: web.Request) -> tuple[str, int]:
        """The EOA and nonce of an L1 request.

        Raises:
            Refusal: 401.
        """
        headers = request.headers
        address, nonce = headers.get("POLY_ADDRESS", ""), headers.get("POLY_NONCE", "0")
        self._check_time(headers.get("POLY_TIMESTAMP", ""), "Invalid L1 Request headers")
        check_l1(
            address,
            headers.get("POLY_SIGNATURE", ""),
            headers["POLY_TIMESTAMP"],
            nonce,
            self._venue.rules.chain_id,
        )
        return address, int(nonce)

    async def key(self, request: web.Request) -> ApiKey:
        """The API key of an L2 request, whose signature covers the exact body.

        Raises:
            Refusal: 401.
        """
        headers = request.headers
        key = self._venue.keys.find(headers.get("POLY_API_KEY", ""))
        self._check_time(headers.get("POLY_TIMESTAMP", ""), "Unauthorized/Invalid api key")
        is_owner = headers.get("POLY_ADDRESS", "").lower() == key.eoa
        if not is_owner or headers.get("POLY_PASSPHRASE") != key.passphrase:
            raise Refusal("Unauthorized/Invalid api key", 401)
        body = (await request.read()).decode(errors="replace")
        signature, timestamp = headers.get("POLY_SIGNATURE", ""), headers["POLY_TIMESTAMP"]
        check_l2(key.secret, signature, timestamp, request.method, request.rel_url.raw_path, body)
        return key

    def _check_time(self, timestamp: str, text: str) -> None:
        if not timestamp.isdecimal() or abs(int(timestamp) - self._venue.clock() // 1000) > CLOCK_WINDOW_SECS:
            raise Refusal(text, 401)
