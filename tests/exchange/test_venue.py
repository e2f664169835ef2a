"""Writes of the client against a scripted venue on a real socket: every way an answer can fail, and its meaning."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from aiohttp import web

from mm_daemon.core.units import OrderId, Price, Side, Size, TokenId
from mm_daemon.exchange.api import (
    Accepted,
    AnswerLost,
    CancelOutcome,
    Refused,
    Unavailable,
    Venue,
)
from mm_daemon.exchange.errors import (
    AuthError,
    Mode,
    ProtocolError,
    Rejected,
    RejectReason,
    Restricted,
    Throttled,
    Unknown,
    Unreachable,
)
from mm_daemon.exchange.polymarket.auth import RequestSigner
from mm_daemon.exchange.polymarket.venue import PolymarketVenue

from .conftest import ACCOUNT, CREDENTIALS, KEY, ScriptedVenue
from .scripts import MARKET, YES, A, B, drop, orders, slow_answer


async def test_it_is_a_venue(venue: PolymarketVenue) -> None:
    """The client fits the daemon's protocol and shows no secret."""
    fits: Venue = venue
    assert ACCOUNT in repr(fits)
    assert KEY not in repr(fits)


async def test_place_sends_the_signed_bytes(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """What is posted is the array of the built bodies, with an L2 signature over exactly these bytes."""
    batch = orders(venue)
    answer = [{"success": True, "errorMsg": "", "orderID": o.id, "status": "live"} for o in batch]
    scripted.answer("POST /orders", 200, answer)
    assert await venue.place(batch) == [Accepted(o.id) for o in batch]
    [(_, _, body, headers)] = scripted.requests
    assert body == b"[" + b",".join(o.body for o in batch) + b"]"
    expected = RequestSigner(ACCOUNT, CREDENTIALS).signature(int(headers["POLY_TIMESTAMP"]), "POST", "/orders", body)
    assert headers["POLY_SIGNATURE"] == expected
    assert headers["POLY_ADDRESS"] == ACCOUNT


@pytest.mark.parametrize("failure", [500, 502, 503, 524, "drop", "slow", "garbage", "html"])
async def test_lost_answers_to_placements(scripted: ScriptedVenue, venue: PolymarketVenue, failure: int | str) -> None:
    """After a server error, a reset, a timeout or garbage every order may rest, and nothing was sent twice."""
    if failure == "drop":
        scripted.respond("POST /orders", drop)
    elif failure == "slow":
        scripted.respond("POST /orders", slow_answer)
    elif isinstance(failure, int):
        scripted.answer("POST /orders", failure, {"error": "Internal server error"})
    else:
        scripted.answer("POST /orders", 200, b"{" if failure == "garbage" else b"<html>")
    batch = orders(venue)
    placements = await venue.place(batch)
    assert [type(p) for p in placements] == [AnswerLost, AnswerLost]
    assert [p.id for p in placements] == [o.id for o in batch]
    assert scripted.count("POST /orders") == 1
    assert venue.statistics().answers_lost == 2


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (425, {"error": "restarting"}, Restricted),
        (429, {"error": "too many"}, Throttled),
        (401, {"error": "Unauthorized/Invalid api key"}, AuthError),
        (403, {"error": "Trading restricted in your region"}, Restricted),
        (503, {"error": "post-only mode", "code": "post_only_mode", "retry_after_seconds": 79}, Restricted),
        (503, {"error": "Trading is currently disabled"}, Restricted),
    ],
)
async def test_whole_call_failures_raise(
    scripted: ScriptedVenue, venue: PolymarketVenue, status: int, body: object, error: type[Exception]
) -> None:
    """When nothing happened the call raises, for placements and cancels alike, and shows no credentials."""
    for call in ("POST /orders", "DELETE /orders", "DELETE /cancel-all"):
        scripted.answer(call, status, body)
    for request in (venue.place(orders(venue)), venue.cancel([A]), venue.cancel_all()):
        with pytest.raises(error) as caught:
            await request
        assert CREDENTIALS.secret not in repr(caught.value)
        assert CREDENTIALS.passphrase not in str(caught.value)


async def test_a_refused_batch_is_refused_order_by_order(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """A 400 refuses every order of the batch, but "duplicated" may mean that one rests."""
    scripted.answer("POST /orders", 400, {"error": "order_version_mismatch"})
    placements = await venue.place(orders(venue))
    assert all(isinstance(p, Refused) and p.reason is RejectReason.VERSION_MISMATCH for p in placements)
    scripted.answer("POST /orders", 400, {"error": "order 0x is invalid. Duplicated."})
    assert all(isinstance(p, AnswerLost) for p in await venue.place(orders(venue)))


async def test_nobody_listens(unused_tcp_port: int) -> None:
    """A refused connection is Unreachable: nothing was sent, for writes as for reads."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    client = PolymarketVenue(url, url, private_key=KEY, credentials=CREDENTIALS)
    with pytest.raises(Unreachable):
        await client.place(orders(client))
    with pytest.raises(Unreachable):
        await client.cancel([A])
    assert isinstance(await client.open_orders(), Unavailable)
    await client.close()


@pytest.fixture
def unused_tcp_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def test_own_rate_limit_comes_before_the_venues(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """Placements beyond our bucket are not sent; the error says how long to wait."""
    scripted.answer("POST /orders", 400, {"error": "not enough balance / allowance"})
    for _ in range(2):
        await venue.place(orders(venue, 15))
    assert venue.order_allowance() in range(11, 16)
    await venue.place(orders(venue, 11))
    with pytest.raises(Throttled) as caught:
        await venue.place(orders(venue, 15))
    assert 0 < caught.value.retry_after_secs < 1
    assert scripted.count("POST /orders") == 3


async def test_retry_after_closes_the_bucket(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """After a 429 nothing more is sent before its time, except an emergency's cancel-all."""
    scripted.answer("POST /orders", 429, {}, {"Retry-After": "30"})
    scripted.answer("DELETE /orders", 429, {}, {"Retry-After": "20"})
    scripted.answer("DELETE /cancel-all", 200, {"canceled": [A], "not_canceled": {}})
    for _ in range(2):
        with pytest.raises(Throttled):
            await venue.place(orders(venue))
        with pytest.raises(Throttled):
            await venue.cancel([A])
    assert venue.order_allowance() == 0
    assert venue.cancel_allowance(urgent=True) == 0
    assert scripted.count("POST /orders") == scripted.count("DELETE /orders") == 1
    assert await venue.cancel_all() == {A: CancelOutcome.CANCELLED}


async def test_the_venues_count_lowers_ours(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """The remaining tokens that an answer names cap our own bucket."""
    scripted.answer("POST /orders", 400, {"error": "x"}, {"Poly-RateLimit-Remaining": "3"})
    await venue.place(orders(venue))
    assert venue.order_allowance() in (3, 4, 5)


async def test_cancel_reads_both_maps(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """Each id has its own outcome; an id that the answer leaves out is not known to be cancelled."""
    unnamed = OrderId("0x" + "cc" * 32)
    scripted.answer("DELETE /orders", 200, {"canceled": [A], "not_canceled": {B: "already canceled or matched"}})
    assert await venue.cancel([A, B, unnamed]) == {
        A: CancelOutcome.CANCELLED,
        B: CancelOutcome.NOT_CANCELLED,
        unnamed: CancelOutcome.ANSWER_LOST,
    }
    [(_, _, body, _)] = scripted.requests
    assert json.loads(body) == [A, B, unnamed]


@pytest.mark.parametrize("status", [500, 200])
async def test_lost_cancels(scripted: ScriptedVenue, venue: PolymarketVenue, status: int) -> None:
    """A cancel without a readable answer may have happened; cancel-all then raises Unknown."""
    scripted.answer("DELETE /orders", status, b"oops")
    scripted.answer("DELETE /cancel-all", status, b"oops")
    assert await venue.cancel([A]) == {A: CancelOutcome.ANSWER_LOST}
    with pytest.raises(Unknown):
        await venue.cancel_all()


async def test_batches_have_limits(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """More than 15 orders or 100 cancels in one call are a mistake of ours; none are no call."""
    with pytest.raises(ValueError, match="at most 15"):
        await venue.place(orders(venue, 16))
    with pytest.raises(ValueError, match="at most 100"):
        await venue.cancel([A] * 101)
    assert await venue.place([]) == []
    assert await venue.cancel([]) == {}
    assert scripted.requests == []


async def test_sign_checks_the_market(venue: PolymarketVenue) -> None:
    """Off the grid, off the step or of another market: nothing is signed."""
    for token, price, size in (
        (YES, 4950, 10_000_000),
        (YES, 4900, 5_000),
        (YES, 4900, 0),
        (TokenId("5"), 4900, 10_000),
    ):
        with pytest.raises(ValueError):
            venue.sign(MARKET, token, Side.BUY, Price(price), Size(size))


async def test_heartbeat_keeps_the_chain(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """Each beat carries the id of the last answer; the id that the venue expects is taken over once."""
    state = {"next": 0}
    sent: list[str] = []

    def beat(request: web.Request, body: bytes) -> web.StreamResponse:
        id = json.loads(body)["heartbeat_id"]
        sent.append(id)
        expected = str(state["next"]) if state["next"] else ""
        if id != expected:
            return web.json_response({"error_msg": "Invalid Heartbeat ID", "heartbeat_id": expected}, status=400)
        state["next"] += 1
        return web.json_response({"heartbeat_id": str(state["next"])})

    scripted.respond("POST /v1/heartbeats", beat)
    await venue.heartbeat()
    await venue.heartbeat()
    state["next"] = 0
    await venue.heartbeat()
    await asyncio.gather(*(venue.heartbeat() for _ in range(3)))
    assert sent == ["", "1", "2", "", "1", "2", "3"]
    assert venue.statistics().heartbeats == 6


async def test_heartbeats_that_fail(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """A lost or unreadable answer raises, and the venue's id is tried once only."""
    scripted.answer("POST /v1/heartbeats", 400, {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": "x"})
    with pytest.raises(Rejected):
        await venue.heartbeat()
    assert scripted.count("POST /v1/heartbeats") == 2
    scripted.answer("POST /v1/heartbeats", 200, {"status": "ok"})
    with pytest.raises(ProtocolError):
        await venue.heartbeat()
    scripted.answer("POST /v1/heartbeats", 500)
    with pytest.raises(Unknown):
        await venue.heartbeat()


@pytest.mark.parametrize("made", [True, False])
async def test_connect_makes_or_derives_credentials(scripted: ScriptedVenue, made: bool) -> None:
    """A key is made, or derived where one exists; both calls carry the wallet's signature."""
    triple = {"apiKey": CREDENTIALS.key, "secret": CREDENTIALS.secret, "passphrase": CREDENTIALS.passphrase}
    scripted.answer(
        "POST /auth/api-key", 200 if made else 400, triple if made else {"error": "Could not create api key"}
    )
    scripted.answer("GET /auth/derive-api-key", 200, triple)
    client = PolymarketVenue(scripted.url, scripted.url, private_key=KEY)
    with pytest.raises(RuntimeError, match="connect"):
        _ = client.credentials
    assert await client.connect() == CREDENTIALS
    assert await client.connect() == CREDENTIALS
    assert len(scripted.requests) == (1 if made else 2)
    assert all(headers["POLY_ADDRESS"] == ACCOUNT for _, _, _, headers in scripted.requests)
    assert client.user_channel("ws://venue").url == "ws://venue"
    await client.close()


async def test_a_key_that_was_not_made_can_be_asked_for_again(scripted: ScriptedVenue) -> None:
    """A lost request for a first key, with none to derive, is a passing failure and no refusal for good."""
    scripted.respond("POST /auth/api-key", drop)
    scripted.answer("GET /auth/derive-api-key", 400, {"error": "Could not derive api key!"})
    client = PolymarketVenue(scripted.url, scripted.url, private_key=KEY)
    with pytest.raises(Unknown, match="Could not derive"):
        await client.connect()
    await client.close()


async def test_connect_fails_with_a_reason(scripted: ScriptedVenue) -> None:
    """Without credentials the daemon learns why, and what the venue sent is not quoted."""
    scripted.answer("POST /auth/api-key", 401, {"error": "Invalid L1 Request headers"})
    client = PolymarketVenue(scripted.url, scripted.url, private_key=KEY)
    with pytest.raises(AuthError, match="Invalid L1"):
        await client.connect()
    scripted.answer("POST /auth/api-key", 200, {"apiKey": "k", "secret": "s3cret"})
    with pytest.raises(ProtocolError) as caught:
        await client.connect()
    assert "s3cret" not in str(caught.value)
    await client.close()


async def test_a_restart_of_the_venue(scripted: ScriptedVenue, venue: PolymarketVenue) -> None:
    """425 names the mode and the wait, and the read beside it is not retried blindly."""
    scripted.answer("POST /orders", 425, {"error": "restarting"}, {"Retry-After": "4"})
    scripted.answer("GET /data/orders", 425)
    with pytest.raises(Restricted) as caught:
        await venue.place(orders(venue))
    assert (caught.value.mode, caught.value.retry_after_secs) == (Mode.RESTARTING, 4)
    assert isinstance(await venue.open_orders(), Unavailable)
    assert scripted.count("GET /data/orders") == 1
