"""Reads that need no credentials: the clock, markets and books. Each returns what was asked for or raises."""

from __future__ import annotations

import msgspec

from mm_daemon.core.events import BookSnapshot
from mm_daemon.core.market import Market
from mm_daemon.core.units import ConditionId, TokenId
from mm_daemon.exchange.errors import ProtocolError
from mm_daemon.exchange.polymarket.discovery import condition_of_slug, read_market
from mm_daemon.exchange.polymarket.market_frames import BookBody, book_snapshot
from mm_daemon.exchange.polymarket.rest import Rest
from mm_daemon.exchange.polymarket.wire import decoded

_TIME = msgspec.json.Decoder(int)
_BOOK = msgspec.json.Decoder(BookBody)


async def server_secs(rest: Rest) -> int:
    """The venue's clock in unix seconds.

    Raises:
        VenueError: it could not be read.
    """
    return decoded(_TIME, await rest.get("/time"), "a time")


async def market(rest: Rest, condition_id: ConditionId) -> Market:
    """A market with the exchange's own rules and status.

    Raises:
        Rejected: NOT_FOUND: there is none, or it is not binary.
        VenueError: it could not be read.
    """
    found = read_market(await rest.get(f"/markets/{condition_id}"))
    if found.condition_id.lower() != condition_id.lower():
        raise ProtocolError(f"asked for market {condition_id}, got {found.condition_id}")
    return found


async def market_by_slug(rest: Rest, gamma_url: str, slug: str) -> Market:
    """As `market`, for a slug of the catalogue.

    Raises:
        Rejected: NOT_FOUND: the catalogue or the exchange has none, or it is not binary.
        VenueError: it could not be read.
    """
    condition_id = condition_of_slug(await rest.get("/markets", {"slug": slug}, base_url=gamma_url), slug)
    return msgspec.structs.replace(await market(rest, condition_id), slug=slug)


async def book(rest: Rest, token: TokenId) -> BookSnapshot:
    """A token's whole book.

    Raises:
        VenueError: it could not be read, or there is none.
    """
    body = decoded(_BOOK, await rest.get("/book", {"token_id": token}), "a book")
    if body.asset_id != token:
        raise ProtocolError(f"asked for the book of {token}, got {body.asset_id[:80]}")
    try:
        return book_snapshot(body)
    except ValueError as error:
        raise ProtocolError(f"book of {token}: {error}") from error
