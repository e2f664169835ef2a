"""Every documented answer of the venue becomes the error that the daemon acts on."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.exchange.errors import (
    AuthError,
    Mode,
    ProtocolError,
    Rejected,
    RejectReason,
    Restricted,
    Throttled,
    Unknown,
    VenueError,
)
from mm_daemon.exchange.polymarket.errors_map import error_of, is_ambiguous, reject_reason


def error(status: int, text: str = "", headers: dict[str, str] | None = None, **fields: object) -> VenueError:
    return error_of(status, json.dumps({"error": text, **fields}).encode(), headers or {}, 1000.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Invalid order payload", RejectReason.BAD_PAYLOAD),
        ("order_version_mismatch", RejectReason.VERSION_MISMATCH),
        ("the order owner has to be the owner of the API KEY", RejectReason.WRONG_OWNER),
        ("the order signer address has to be the address of the API KEY", RejectReason.WRONG_SIGNER),
        ("'0x12' address banned", RejectReason.BANNED),
        ("'0x12' address in closed only mode", RejectReason.CLOSED_ONLY),
        ("maker address not allowed, please use the deposit wallet flow", RejectReason.WRONG_WALLET_TYPE),
        ("Invalid Signature", RejectReason.BAD_SIGNATURE),
        ("invalid post-only order: order crosses book", RejectReason.POST_ONLY_CROSSED),
        ("order 0x12 crosses the book", RejectReason.POST_ONLY_CROSSED),
        ("order 0x is invalid. Price (0.515) breaks minimum tick size rule: 0.01", RejectReason.OFF_TICK),
        ("order 0x is invalid. Size (1) lower than the minimum: 5", RejectReason.TOO_SMALL),
        ("invalid amount for a marketable BUY order ($0.5), min size: $1", RejectReason.TOO_SMALL),
        ("order 0x is invalid. Duplicated.", RejectReason.DUPLICATE),
        ("not enough balance / allowance: the balance is not enough -> balance: 0", RejectReason.NOT_ENOUGH_BALANCE),
        ("invalid amounts, maker and taker amount must be higher than 0", RejectReason.BAD_PAYLOAD),
        ("order match delayed due to market conditions", RejectReason.DELAYED),
        ("the market is not yet ready to process new orders", RejectReason.MARKET_NOT_READY),
        ("the orderbook does not exist", RejectReason.NO_BOOK),
        ("No orderbook exists for the requested token id", RejectReason.NO_BOOK),
        ("Too many orders in payload: 16, max allowed: 15", RejectReason.BAD_PAYLOAD),
        ("something new", RejectReason.OTHER),
    ],
)
def test_every_documented_refusal(text: str, reason: RejectReason) -> None:
    """Each wording has its reason, in any case of letters."""
    found = error(400, text)
    assert isinstance(found, Rejected)
    assert found.reason is reason is reject_reason(text.upper())
    assert found.text == text


@pytest.mark.parametrize(
    "text", ["could not insert order", "there are no matching orders", "the trade contains rounding issues"]
)
def test_failures_inside_the_venue_are_ambiguous(text: str) -> None:
    """Whatever their status, these texts leave it open whether the order exists."""
    assert is_ambiguous(text)
    assert isinstance(error(500, text), Unknown)
    assert isinstance(error(400, text), Unknown)


@pytest.mark.parametrize("status", [408, 500, 502, 504, 520, 524])
def test_server_errors_are_unknown(status: int) -> None:
    """A server error may come after the fact."""
    assert isinstance(error(status, "Internal server error"), Unknown)


@pytest.mark.parametrize(
    ("body", "mode", "wait"),
    [
        ({"error": "Trading is currently disabled. Check polymarket.com for updates"}, Mode.DISABLED, 5),
        ({"error": "trading is disabled"}, Mode.DISABLED, 5),
        (
            {"error": "Trading is currently cancel-only. New orders are not accepted, but cancels are allowed."},
            Mode.CANCEL_ONLY,
            5,
        ),
        (
            {
                "error": "post-only mode: only post-only orders and cancels are allowed",
                "code": "post_only_mode",
                "retry_after_seconds": 79,
            },
            Mode.POST_ONLY,
            79,
        ),
        ({"error": "odd", "code": "post_only_mode"}, Mode.POST_ONLY, 5),
    ],
)
def test_the_three_modes_of_503(body: dict[str, object], mode: Mode, wait: float) -> None:
    """The text or the code tells the mode, and the body may tell how long."""
    found = error_of(503, json.dumps(body).encode(), {}, 0)
    assert isinstance(found, Restricted)
    assert (found.mode, found.retry_after_secs) == (mode, wait)


def test_a_plain_503_is_unknown() -> None:
    """A 503 of a proxy, without any of the venue's words, says nothing."""
    assert isinstance(error_of(503, b"<html>Service Unavailable</html>", {}, 0), Unknown)


def test_the_other_statuses() -> None:
    """401, 403, 404, 425 and 429 have their own errors; a redirect is none of the protocol's answers."""
    assert isinstance(error(401, "Unauthorized/Invalid api key"), AuthError)
    region, restarting, throttled = error(403, "Trading restricted in your region"), error(425), error(429)
    assert isinstance(region, Restricted)
    assert region.mode is Mode.REGION
    assert isinstance(restarting, Restricted)
    assert restarting.mode is Mode.RESTARTING
    assert isinstance(throttled, Throttled)
    missing = error(404, "nothing here")
    assert isinstance(missing, Rejected)
    assert missing.reason is RejectReason.NOT_FOUND
    gone = error(404, "No orderbook exists for the requested token id")
    assert isinstance(gone, Rejected)
    assert gone.reason is RejectReason.NO_BOOK
    assert isinstance(error(302), ProtocolError)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        (formatdate(1030, usegmt=True), 30.0),
        ("-5", 0.0),
        ("1e9", 600.0),
        ("soon", 1.0),
        ("nan", 1.0),
    ],
)
def test_retry_after(header: str, expected: float) -> None:
    """Seconds, dates and nonsense: a wait that is never negative and never endless."""
    found = error(429, headers={"Retry-After": header})
    assert isinstance(found, Throttled)
    assert found.retry_after_secs == expected


@given(st.integers(300, 599), st.binary(max_size=60), st.text(max_size=12))
def test_any_answer_has_an_error(status: int, body: bytes, header: str) -> None:
    """No status, body or header makes the mapping itself fail."""
    assert isinstance(error_of(status, body, {"Retry-After": header}, 0), VenueError)


def test_long_texts_are_cut() -> None:
    """A page of HTML does not end up in a log line."""
    found = error_of(400, b"<html>" + b"x" * 5000, {}, 0)
    assert len(str(found)) < 400
