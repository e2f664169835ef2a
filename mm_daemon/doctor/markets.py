"""Market by market: can it be quoted, and if not, why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from mm_daemon.core.events import BookSnapshot, Level
from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.risk import Limits
from mm_daemon.core.units import (
    ConditionId,
    Price,
    format_price,
    format_size,
    format_usd,
    mirror,
    notional,
)
from mm_daemon.doctor.checks import Seen, fail, ok, warn
from mm_daemon.exchange.errors import Rejected, RejectReason, VenueError
from mm_daemon.exchange.polymarket import public_reads
from mm_daemon.exchange.polymarket.discovery import is_condition_id
from mm_daemon.exchange.polymarket.rest import Rest

AT_ONCE = 8
MARKET_SECS = 10.0


class MarketChecks:
    """Reads the configured markets and judges them.

    Attributes:
        markets: those that were read.
    """

    def __init__(self, rest: Rest, gamma_url: str, limits: Limits, stop_before_end_secs: int) -> None:
        self._rest = rest
        self._gamma_url = gamma_url
        self._limits = limits
        self._stop_before_end_secs = stop_before_end_secs
        self.markets: dict[ConditionId, Market] = {}

    @staticmethod
    def deadline_secs(count: int) -> float:
        """How long `look` at so many markets may take at most."""
        return MARKET_SECS * (1 + count // AT_ONCE)

    async def look(self, refs: Sequence[str]) -> list[Seen]:
        """One line for each market, in the order of the settings."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def look_in_turn(ref: str) -> tuple[Market | None, Seen]:
            async with turn:
                try:
                    async with asyncio.timeout(MARKET_SECS):
                        return await self._look_at(ref)
                except TimeoutError:
                    return None, fail(f"no answer within {MARKET_SECS:g} s", "try again; the venue may be slow")

        lines: list[Seen] = []
        for ref, (market, seen) in zip(refs, await asyncio.gather(*map(look_in_turn, refs)), strict=True):
            if market is not None and self.markets.setdefault(market.condition_id, market) is not market:
                seen = fail("is the same market as another entry", "take one of the two out of strategy.markets")
            lines.append(seen._replace(subject=ref))
        return lines

    async def _look_at(self, ref: str) -> tuple[Market | None, Seen]:
        market: Market | None = None
        try:
            market = await self._load(ref)
            book = await public_reads.book(self._rest, market.yes) if market.status is MarketStatus.OPEN else None
        except Rejected as error:
            if error.reason is RejectReason.NO_BOOK or market is not None:
                return market, warn("has no order book yet", "nothing: it is quoted when it has one")
            if error.reason is RejectReason.NOT_FOUND:
                return None, fail(f"no such market: {error.text}", "correct strategy.markets: slug or condition id")
            return None, fail(str(error), "see what the venue says")
        except VenueError as error:
            return market, fail(f"could not be read: {error}", "try again; the venue may be down")
        return market, judge_market(market, book, self._limits, self._stop_before_end_secs, time.time())

    async def _load(self, ref: str) -> Market:
        if is_condition_id(ref):
            return await public_reads.market(self._rest, ConditionId(ref))
        return await public_reads.market_by_slug(self._rest, self._gamma_url, ref)


def judge_market(
    market: Market, book: BookSnapshot | None, limits: Limits, stop_before_end_secs: int, now_secs: float
) -> Seen:
    """Whether a market can be quoted.

    Args:
        market, book: as the venue has them now; the book of YES, of an open market.
        limits: that quotes have to fit into.
        stop_before_end_secs: how long before its end a market is held.
        now_secs: unix time.
    """
    if market.status in (MarketStatus.CLOSED, MarketStatus.RESOLVED):
        return fail(f"is {market.status.value}", "take it out of strategy.markets")
    if market.status is not MarketStatus.OPEN or book is None:
        return warn("does not accept orders now", "nothing: it is quoted when the venue opens it")
    if market.end_secs and now_secs > market.end_secs - stop_before_end_secs:
        when = time.strftime("%Y-%m-%d %H:%MZ", time.gmtime(market.end_secs))
        return warn(
            f"ends at {when}: its quotes are held", "take it out, or lower [risk].stop_before_end_secs if that is wrong"
        )
    bid, ask = best(book.bids, max), best(book.asks, min)
    if bid is None or ask is None:
        return warn("its book has one side or none", "nothing: it is quoted while others bid and ask")
    if bid >= ask:
        return warn(f"its book is crossed, {format_price(bid)} / {format_price(ask)}", "nothing: look again")
    return _judge_size(market, bid, ask, limits)


def _judge_size(market: Market, bid: Price, ask: Price, limits: Limits) -> Seen:
    cost = notional(max(bid, mirror(ask)), market.min_size)  # a bid on YES, or the ask as a bid on NO
    text = (
        f"open, {format_price(bid)} / {format_price(ask)}, tick {format_price(market.tick)}, "
        f"at least {format_size(market.min_size)} shares{', neg-risk' if market.neg_risk else ''}"
    )
    caps: Mapping[str, int | None] = {
        "max_order_usd": limits.max_order,
        "max_position_usd": limits.max_position,
        "max_total_position_usd": limits.max_total_position,
        "max_event_position_usd": limits.max_event_position if market.event_id else None,
    }
    tight = [name for name, cap in caps.items() if cap is not None and cap < cost]
    if tight:
        return fail(
            f"{text}; the smallest order costs {format_usd(cost)} dollars, more than {' and '.join(tight)}",
            "raise the limit, or take the market out",
        )
    return ok(text)


def best(levels: Sequence[Level], choose: Callable[[list[Price]], Price]) -> Price | None:
    """The price at the top of one side of a book; None where it is empty."""
    prices = [price for price, size in levels if size]
    return choose(prices) if prices else None
