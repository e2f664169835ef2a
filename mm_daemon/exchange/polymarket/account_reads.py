"""What the venue's other services say of us: where it thinks we are, our rate limit, what our wallet approved.

Nothing that trades depends on these; they answer the question whether it could.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mm_daemon.exchange.errors import ProtocolError
from mm_daemon.exchange.polymarket.approvals import read_approvals
from mm_daemon.exchange.polymarket.rest import Rest
from mm_daemon.exchange.polymarket.wire import decoded


class Region(msgspec.Struct, frozen=True):
    """Where the venue's website places this machine, and whether it is closed to it."""

    blocked: bool
    country: str | None = None


class _TierBody(msgspec.Struct):
    tier: str


_REGION = msgspec.json.Decoder(Region)
_TIER = msgspec.json.Decoder(_TierBody)


async def region(rest: Rest, site_url: str) -> Region:
    """What the website's own check says of the address that we call from.

    Raises:
        VenueError: it could not be read.
    """
    return decoded(_REGION, await rest.get("/api/geoblock", base_url=site_url), "a region")


async def rate_limit_tier(rest: Rest) -> str:
    """The name of the tier that our orders and cancels are limited by.

    Raises:
        VenueError: it could not be read.
    """
    tier = decoded(_TIER, await rest.get("/v1/user/rate-limit-tier", private=True), "a rate limit tier").tier
    if not tier.isprintable() or len(tier) > 40:
        raise ProtocolError("not a rate limit tier")
    return tier


async def approvals(rest: Rest, data_url: str, wallet: str, chain_id: int) -> Mapping[tuple[str, str], int]:
    """What a wallet lets contracts move, from the data API, which lags behind the chain by seconds to minutes.

    Raises:
        VenueError: it could not be read.
    """
    return read_approvals(await rest.get("/v2/approvals", {"user": wallet}, base_url=data_url), wallet, chain_id)
