"""Markets as the venue's two catalogues describe them, and what we make of them.

Gamma knows slugs but lags; it only turns a slug into a condition id. Prices, sizes and status are the exchange's own.
"""

from __future__ import annotations

import msgspec

from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.units import ConditionId, TokenId
from mm_daemon.exchange.errors import ProtocolError, Rejected, RejectReason
from mm_daemon.exchange.polymarket.contracts import token_number
from mm_daemon.exchange.polymarket.wire import decoded, moment_ms, price_of, size_of


class GammaMarket(msgspec.Struct, rename="camel"):
    """Gamma's record of a market, as far as it is needed to find the exchange's."""

    slug: str = ""
    condition_id: str = ""


class TokenBody(msgspec.Struct):
    """One outcome of a market."""

    token_id: str
    outcome: str = ""
    winner: bool | None = None


class ClobMarket(msgspec.Struct):
    """The exchange's own record of a market, GET /markets/{condition id}."""

    condition_id: str
    tokens: list[TokenBody]
    minimum_tick_size: msgspec.Raw
    minimum_order_size: msgspec.Raw
    neg_risk: bool | None = None
    neg_risk_market_id: str | None = None
    market_slug: str | None = None
    question: str | None = None
    closed: bool | None = None
    archived: bool | None = None
    active: bool | None = None
    accepting_orders: bool | None = None
    enable_order_book: bool | None = None
    game_start_time: str | None = None
    end_date_iso: str | None = None


_GAMMA = msgspec.json.Decoder(list[GammaMarket])
_CLOB = msgspec.json.Decoder(ClobMarket | None)


def is_condition_id(ref: str) -> bool:
    """Whether a market is named by its condition id (31 or 32 bytes in hexadecimal digits) and not by its slug."""
    digits = ref.removeprefix("0x")
    return ref != digits and len(digits) in (62, 64) and all(d in "0123456789abcdefABCDEF" for d in digits)


def condition_of_slug(body: bytes, slug: str) -> ConditionId:
    """The condition id that Gamma's answer to a slug names.

    Raises:
        Rejected: NOT_FOUND: Gamma knows no market of that slug.
        ProtocolError: the answer cannot be read.
    """
    for market in decoded(_GAMMA, body, "a list of markets"):
        if market.slug == slug and market.condition_id:
            return ConditionId(market.condition_id)
    raise Rejected(RejectReason.NOT_FOUND, f"no market has the slug {slug!r}", 404)


def read_market(body: bytes) -> Market:
    """A market from the exchange's record.

    Raises:
        Rejected: NOT_FOUND: there is none, or it is not binary or not on the book.
        ProtocolError: the record cannot be read or contradicts itself.
    """
    record = decoded(_CLOB, body, "a market") if body.strip() else None
    if record is None:
        raise Rejected(RejectReason.NOT_FOUND, "the exchange has no such market", 404)
    if len(record.tokens) != 2 or not all(token.token_id for token in record.tokens):
        raise Rejected(RejectReason.NOT_FOUND, f"market {record.condition_id} is not binary", 404)
    try:
        return _market(record)
    except ValueError as error:
        raise ProtocolError(f"market {record.condition_id}: {error}") from error


def _market(record: ClobMarket) -> Market:
    if record.neg_risk is None:
        raise ValueError("it does not say whether it is neg-risk, which decides the contract")
    yes, no = outcomes(record.tokens)
    for token in (yes, no):
        token_number(token)
    return Market(
        condition_id=ConditionId(record.condition_id),
        slug=record.market_slug or record.condition_id,
        question=record.question or "",
        yes=yes,
        no=no,
        tick=price_of(record.minimum_tick_size),
        min_size=size_of(record.minimum_order_size),
        neg_risk=record.neg_risk,
        status=status_of(record),
        event_id=(record.neg_risk_market_id or "") if record.neg_risk else "",
        end_secs=_end_secs(record),
    )


def outcomes(tokens: list[TokenBody]) -> tuple[TokenId, TokenId]:
    """(YES, NO) by the outcomes' names; in the venue's order where they are called otherwise, as in a match of two."""
    first, second = tokens
    names = (first.outcome.strip().lower(), second.outcome.strip().lower())
    if names[0] == "no" or names[1] == "yes":
        first, second = second, first
    return TokenId(first.token_id), TokenId(second.token_id)


def status_of(record: ClobMarket) -> MarketStatus:
    """Whether the market takes orders; it may say that it accepts them and be closed."""
    if record.closed or record.archived:
        is_decided = any(token.winner for token in record.tokens)
        return MarketStatus.RESOLVED if is_decided else MarketStatus.CLOSED
    if record.accepting_orders and record.enable_order_book is not False and record.active is not False:
        return MarketStatus.OPEN
    return MarketStatus.NOT_ACCEPTING


def _end_secs(record: ClobMarket) -> int:
    """When the game starts or else the market ends, in unix seconds; 0 if it names no time that can be read."""
    for text in (record.game_start_time, record.end_date_iso):
        if text:
            return moment_ms(text) // 1000
    return 0
