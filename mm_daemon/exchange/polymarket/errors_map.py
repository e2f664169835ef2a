"""From an HTTP answer to the error tree: status and text in, a typed error out.

Texts have drifted between versions of the venue, so they are matched by lower-case parts; the order of the table
matters where one text holds two of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

import msgspec

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
from mm_daemon.exchange.polymarket.wire import UNREADABLE

_REASONS: tuple[tuple[str, RejectReason], ...] = (
    ("duplicated", RejectReason.DUPLICATE),
    ("crosses", RejectReason.POST_ONLY_CROSSED),
    ("not enough balance", RejectReason.NOT_ENOUGH_BALANCE),
    ("balance is not enough", RejectReason.NOT_ENOUGH_BALANCE),
    ("insufficient balance", RejectReason.NOT_ENOUGH_BALANCE),
    ("tick size", RejectReason.OFF_TICK),
    ("lower than the minimum", RejectReason.TOO_SMALL),
    ("min size", RejectReason.TOO_SMALL),
    ("order_version_mismatch", RejectReason.VERSION_MISMATCH),
    ("order owner has to be", RejectReason.WRONG_OWNER),
    ("order signer address has to be", RejectReason.WRONG_SIGNER),
    ("maker address not allowed", RejectReason.WRONG_WALLET_TYPE),
    ("invalid signature", RejectReason.BAD_SIGNATURE),
    ("address banned", RejectReason.BANNED),
    ("closed only mode", RejectReason.CLOSED_ONLY),
    ("not yet ready", RejectReason.MARKET_NOT_READY),
    ("orderbook does not exist", RejectReason.NO_BOOK),
    ("no orderbook exists", RejectReason.NO_BOOK),
    ("match delayed", RejectReason.DELAYED),
    ("invalid order payload", RejectReason.BAD_PAYLOAD),
    ("too many orders in payload", RejectReason.BAD_PAYLOAD),
    ("maker and taker amount must be higher", RejectReason.BAD_PAYLOAD),
    ("not found", RejectReason.NOT_FOUND),
)
_AMBIGUOUS = (
    "could not insert order",
    "internal server error",
    "there are no matching orders",
    "the trade contains rounding issues",
    "discrepancy greater than allowed",
    "context canceled",
)
"""Texts of a failure inside the venue: the order may have gone through."""

_TEXT_KEPT = 300
_LONGEST_WAIT_SECS = 600.0
_WAITS = {"throttled": 1.0, "restarting": 2.0, "restricted": 5.0}


class _ErrorBody(msgspec.Struct):
    error: object = None
    error_msg: object = None
    errorMsg: object = None
    message: object = None
    code: object = None
    retry_after_seconds: object = None


_ERROR = msgspec.json.Decoder(_ErrorBody)


def reject_reason(text: str) -> RejectReason:
    """Why the venue refused, from its words."""
    lowered = text.lower()
    return next((reason for part, reason in _REASONS if part in lowered), RejectReason.OTHER)


def is_ambiguous(text: str) -> bool:
    """Whether a refusal's words tell of a failure inside the venue, after which the order may exist all the same."""
    lowered = text.lower()
    return any(part in lowered for part in _AMBIGUOUS)


def error_of(status: int, body: bytes, headers: Mapping[str, str], now_secs: float) -> VenueError:
    """The error that an answer outside 2xx stands for.

    Args:
        status: the HTTP status.
        body: the answer's body, JSON or not.
        headers: the answer's headers, to be looked up in any case.
        now_secs: unix time, for a Retry-After that is a date.
    """
    fields = _read_error(body)
    text = _words(fields, body)
    lowered = f"{text} {fields.code if isinstance(fields.code, str) else ''}".lower()
    wait = _wait_secs(headers, fields, now_secs)
    if status == 401:
        return AuthError(text or "unauthorized")
    if status == 403:
        return Restricted(Mode.REGION, _or(wait, "restricted"), text)
    if status == 425:
        return Restricted(Mode.RESTARTING, _or(wait, "restarting"), text)
    if status == 429:
        return Throttled(_or(wait, "throttled"))
    if status == 503:
        mode = _mode(lowered)
        return Restricted(mode, _or(wait, "restricted"), text) if mode else Unknown(f"HTTP 503: {text}")
    if status >= 500 or status == 408:
        return Unknown(f"HTTP {status}: {text}")
    if status >= 400:
        reason = reject_reason(text)
        if status == 404 and reason is RejectReason.OTHER:
            reason = RejectReason.NOT_FOUND
        return Unknown(f"HTTP {status}: {text}") if is_ambiguous(text) else Rejected(reason, text, status)
    return ProtocolError(f"HTTP {status}: {text}")


def _mode(lowered: str) -> Mode | None:
    if "cancel-only" in lowered or "cancel_only" in lowered:
        return Mode.CANCEL_ONLY
    if "post-only" in lowered or "post_only" in lowered:
        return Mode.POST_ONLY
    if "disabled" in lowered:
        return Mode.DISABLED
    return None


def _read_error(body: bytes) -> _ErrorBody:
    try:
        return _ERROR.decode(body)
    except UNREADABLE:
        return _ErrorBody()


def _words(fields: _ErrorBody, body: bytes) -> str:
    for field in (fields.error, fields.error_msg, fields.errorMsg, fields.message):
        if isinstance(field, str) and field:
            return field[:_TEXT_KEPT]
    return " ".join(body[:_TEXT_KEPT].decode(errors="replace").split())


def _or(wait: float | None, kind: str) -> float:
    return _WAITS[kind] if wait is None else wait


def _wait_secs(headers: Mapping[str, str], fields: _ErrorBody, now_secs: float) -> float | None:
    """The longer of Retry-After and `retry_after_seconds`, bounded; None if the answer has neither."""
    waits = [
        wait
        for wait in (_header_wait(headers.get("Retry-After", ""), now_secs), _finite(fields.retry_after_seconds))
        if wait is not None
    ]
    return min(max(*waits, 0.0), _LONGEST_WAIT_SECS) if waits else None


def _header_wait(value: str, now_secs: float) -> float | None:
    if not value:
        return None
    seconds = _finite(value)
    if seconds is not None:
        return seconds
    try:
        moment: datetime = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment.timestamp() - now_secs


def _finite(value: object) -> float | None:
    if not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
