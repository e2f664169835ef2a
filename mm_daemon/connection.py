"""How the daemon reaches a venue: the client for its calls, and the makers of its channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from mm_daemon.config import Config
from mm_daemon.core.desk import Desk
from mm_daemon.core.units import TokenId
from mm_daemon.credentials import PrivateKey
from mm_daemon.exchange.api import MarketChannel, UserChannel, Venue
from mm_daemon.ops.logs import register_secret

if TYPE_CHECKING:
    from mm_daemon.exchange.polymarket.venue import VenueStatistics


class Connection(msgspec.Struct):
    """A venue and how to open its channels."""

    venue: Venue
    statistics: Callable[[], VenueStatistics]
    account: str
    wallet: str
    market_channel: Callable[[list[TokenId]], MarketChannel]
    user_channel: Callable[[], UserChannel]


def polymarket(config: Config, private_key: PrivateKey, desk: Desk) -> Connection:
    """The connection to Polymarket, or to anything that speaks its wire at the configured URLs."""
    from mm_daemon.exchange.polymarket.market_channel import PolymarketMarketChannel
    from mm_daemon.exchange.polymarket.venue import PolymarketVenue

    venue = PolymarketVenue(
        config.venue.clob_url,
        config.venue.gamma_url,
        private_key=private_key.reveal_hex(),
        funder=config.wallet.funder,
        signature_type=config.wallet.signature_type,
        chain_id=config.venue.chain_id,
        is_ours=desk.orders.__contains__,
    )

    def user_channel() -> UserChannel:
        register_secret(venue.credentials.secret)
        register_secret(venue.credentials.passphrase)
        return venue.user_channel(config.venue.user_ws_url)

    return Connection(
        venue,
        venue.statistics,
        venue.account,
        venue.wallet,
        lambda tokens: PolymarketMarketChannel(config.venue.market_ws_url, tokens),
        user_channel,
    )
