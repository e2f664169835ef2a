"""Scalars as the venue writes them: numbers as text or as JSON numbers, times in seconds, milliseconds or ISO text,
statuses with and without prefixes.

Fields that vary are decoded as `msgspec.Raw` and read here, so no number passes through a float. Whatever cannot be
read raises ValueError, which the callers count as a malformed frame or answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import msgspec

from mm_daemon.core.events import OrderStatus, TradeStatus
from mm_daemon.core.units import Price, Side, Size, parse_fixed, parse_price, parse_size
from mm_daemon.exchange.errors import ProtocolError

UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError)
"""What decoding bytes of unknown origin can raise."""

T = TypeVar("T")

_SIDES = {"BUY": Side.BUY, "SELL": Side.SELL}
_TRADE_STATUSES = {
    "MATCHED": TradeStatus.MATCHED,
    "MATCHED_NOT_BROADCASTED": TradeStatus.MATCHED,
    "MINED": TradeStatus.MINED,
    "CONFIRMED": TradeStatus.CONFIRMED,
    "RETRYING": TradeStatus.RETRYING,
    "FAILED": TradeStatus.FAILED,
}
_MILLISECONDS_FROM = 10**11
"""Unix times from here on are milliseconds: as seconds they would be after the year 5000."""
_MICROSECONDS_FROM = 10**14


def decoded(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw, what: str) -> T:
    """Decode a body.

    Raises:
        ProtocolError: it is not `what` it should be.
    """
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        raise ProtocolError(f"not {what}: {error}") from error


def text_of(raw: msgspec.Raw) -> str:
    """The characters of a JSON string or number; "" for null and for a missing key."""
    text = bytes(raw).decode()
    if text[:1] == '"':
        return msgspec.json.decode(text, type=str)
    return "" if text == "null" else text


def number_of(raw: msgspec.Raw) -> str:
    """A JSON string or number as plain decimal digits without an exponent; "" for null, "" and a missing key.

    Raises:
        ValueError: it has an exponent that no price or size has.
    """
    text = text_of(raw)
    if "e" not in text and "E" not in text:
        return text
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text[:40]!r} is not a number") from error
    if not value.is_finite() or abs(value.adjusted()) > 30:
        raise ValueError(f"{text[:40]!r} is out of range")
    return format(value, "f")


def price_of(raw: msgspec.Raw) -> Price:
    """A price in dollars.

    Raises:
        ValueError: missing, not a number, or not a price.
    """
    return parse_price(number_of(raw))


def optional_price(raw: msgspec.Raw) -> Price | None:
    """A price in dollars; None for null, "" and a missing key.

    Raises:
        ValueError: not a price.
    """
    text = number_of(raw)
    return parse_price(text) if text else None


def size_of(raw: msgspec.Raw) -> Size:
    """A number of shares.

    Raises:
        ValueError: missing, not a number, or negative.
    """
    return parse_size(number_of(raw))


def optional_size(raw: msgspec.Raw) -> Size | None:
    """A number of shares; None for null, "" and a missing key.

    Raises:
        ValueError: not a size.
    """
    text = number_of(raw)
    return parse_size(text) if text else None


def whole_of(raw: msgspec.Raw) -> int:
    """A whole number, such as an amount in base units.

    Raises:
        ValueError: missing, not a number, or with a fraction.
    """
    return parse_fixed(number_of(raw), 0)


def time_ms(raw: msgspec.Raw) -> int:
    """A moment in unix milliseconds, from seconds, milliseconds or ISO text; 0 for null, "" and a missing key.

    Raises:
        ValueError: not a time.
    """
    return moment_ms(number_of(raw) if b"-" not in bytes(raw) else text_of(raw))


def moment_ms(text: str) -> int:
    """`time_ms` for text without its JSON quotes."""
    if not text:
        return 0
    if "-" in text or ":" in text:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    number = parse_fixed(text.partition(".")[0], 0)
    if number >= _MICROSECONDS_FROM:
        raise ValueError(f"{text[:40]!r} is not a unix time")
    return number if number >= _MILLISECONDS_FROM else number * 1000


def side_of(text: str) -> Side:
    """The side of an order; BUY is the bid side.

    Raises:
        ValueError: neither BUY nor SELL.
    """
    side = _SIDES.get(text) if text in _SIDES else _SIDES.get(text.upper())
    if side is None:
        raise ValueError(f"{text[:40]!r} is not a side")
    return side


def order_status(text: str, event_type: str = "") -> OrderStatus:
    """Fold an order's status, and on the user channel its event's type, into one of three.

    A CANCELLATION is one whatever its status says: venue-made ones carry INVALID.

    Raises:
        ValueError: a status that we do not know.
    """
    status = text.upper().removeprefix("ORDER_STATUS_")
    if event_type == "CANCELLATION" or status.startswith(("CANCEL", "INVALID", "EXPIRED")):
        return OrderStatus.CANCELLED
    if status == "MATCHED":
        return OrderStatus.MATCHED
    if status in ("LIVE", "DELAYED", "UNMATCHED") or (not status and event_type):
        return OrderStatus.LIVE
    raise ValueError(f"{text[:40]!r} is not an order status")


def trade_status(text: str) -> TradeStatus:
    """A trade's status, with or without the prefix that reads put before it.

    Raises:
        ValueError: a status that we do not know.
    """
    status = _TRADE_STATUSES.get(text.upper().removeprefix("TRADE_STATUS_"))
    if status is None:
        raise ValueError(f"{text[:40]!r} is not a trade status")
    return status
