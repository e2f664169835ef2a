"""A venue with a clock that tests set, a running exchange without order flow, and wallets that sign officially."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from py_clob_client_v2.clob_types import ApiCreds, RequestArgs  # type: ignore[import-untyped]
from py_clob_client_v2.config import get_contract_config  # type: ignore[import-untyped]
from py_clob_client_v2.headers.headers import (  # type: ignore[import-untyped]
    create_level_1_headers,
    create_level_2_headers,
)
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import (  # type: ignore[import-untyped]
    ExchangeOrderBuilderV2,
)
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2  # type: ignore[import-untyped]
from py_clob_client_v2.signer import Signer  # type: ignore[import-untyped]

from mm_daemon.core.market import Market
from mm_daemon.core.units import DOLLAR, SHARE, OrderId, Outcome, Price, Side, Size
from mm_daemon.sim.listing import UserFrame, VenueRules
from mm_daemon.sim.main import Exchange, ExchangeOptions, running_exchange
from mm_daemon.sim.marketdata import MarketFrame
from mm_daemon.sim.markets import demo_listings
from mm_daemon.sim.model import SimOrder, Tif
from mm_daemon.sim.traders import Trader
from mm_daemon.sim.venue import Venue

RECORDINGS = Path(__file__).parents[2] / "../shared/recordings"
START_MS = 1_790_000_000_000
PRIVATE_KEY = "0x" + "11" * 32
DEPOSIT_WALLET = "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
ZERO = "0x" + "00" * 32


def recording(name: str) -> Any:
    """A recorded file as JSON; skips the test where the recordings are not there."""
    path = RECORDINGS / name
    if not path.exists():
        pytest.skip(f"the recordings are not at {RECORDINGS}")
    return json.loads(path.read_bytes())


def shares(count: float) -> Size:
    """A number of shares as micro-shares."""
    return Size(round(count * SHARE))


@dataclass
class HandClock:
    """Time in milliseconds, moved by hand."""

    now: int = START_MS

    def __call__(self) -> int:
        return self.now


@dataclass
class Watched:
    """A venue with a hand clock, and every frame that it sends."""

    venue: Venue
    clock: HandClock
    market_frames: list[MarketFrame] = field(default_factory=list)
    user_frames: list[UserFrame] = field(default_factory=list)
    placed: int = 0

    @property
    def market(self) -> Market:
        """The first demo market: tick 0.01."""
        return self.venue.find("demo-1").market

    def trader(self, name: str) -> Trader:
        """An internal trader."""
        return Trader(self.venue, name)

    def after(self, ms: int) -> None:
        """Let time pass, running what becomes due at its own time."""
        end = self.clock.now + ms
        while (due := self.venue.timers.next_due) is not None and due <= end:
            self.clock.now = max(self.clock.now, due)
            self.venue.advance(self.clock.now)
        self.clock.now = end

    def outside_order(
        self, side: Side, price: int, size: Size, outcome: Outcome = Outcome.YES, **more: Any
    ) -> SimOrder:
        """Submit an order of a wallet outside, past the checks of signature and payload."""
        market = self.market
        self.placed += 1
        order = SimOrder(
            id=OrderId(f"0x{self.placed:064x}"),
            maker=more.pop("maker", "0xoutside"),
            owner=more.pop("owner", "key"),
            market=market.condition_id,
            token=market.token(outcome),
            outcome=outcome,
            side=side,
            price=Price(price),
            size=size,
            **more,
        )
        self.venue.submit(order)
        return order


@pytest.fixture
def watched() -> Watched:
    """Four demo markets, no flow, a clock set by hand."""
    clock = HandClock()
    seen = Watched(Venue(demo_listings(4, 1), VenueRules(), clock), clock)
    seen.venue.market_listeners.append(seen.market_frames.append)
    seen.venue.user_listeners.append(seen.user_frames.append)
    return seen


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """An exchange on a free port with four markets, no flow and quick settlement."""
    options = ExchangeOptions(markets=4, flow=False, mined_after_ms=20, confirmed_after_ms=20, tape_delay_ms=10)
    async with running_exchange(options) as running:
        yield running


@pytest.fixture
async def wallet(exchange: Exchange) -> AsyncIterator[Wallet]:
    """A wallet with an API key on `exchange`, signing with the official client's code."""
    async with aiohttp.ClientSession(exchange.url) as session:
        wallet = Wallet(session)
        await wallet.log_in()
        yield wallet


class Wallet:
    """A client of the exchange made of the official client's signers and plain HTTP."""

    def __init__(self, session: aiohttp.ClientSession, private_key: str = PRIVATE_KEY) -> None:
        self.session = session
        self.signer = Signer(private_key, 137)
        self.address: str = self.signer.address()
        self.creds = ApiCreds("", "", "")

    async def log_in(self) -> None:
        """Create an API key."""
        headers = create_level_1_headers(self.signer)
        async with self.session.post("/auth/api-key", headers=headers) as response:
            body = await response.json()
        self.creds = ApiCreds(body["apiKey"], body["secret"], body["passphrase"])

    def headers(self, method: str, path: str, text: str = "", timestamp: int | None = None) -> dict[str, str]:
        """L2 headers of a request."""
        args = RequestArgs(method=method, request_path=path, serialized_body=text or None)
        made: dict[str, str] = create_level_2_headers(self.signer, self.creds, args, timestamp)
        return made

    async def call(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        """A private request: its status and its JSON."""
        text = "" if body is None else json.dumps(body, separators=(",", ":"))
        headers = self.headers(method, path, text)
        async with self.session.request(method, path, data=text, headers=headers, params=query) as response:
            return response.status, await response.json()

    def envelope(
        self, market: Market, side: Side, price: float, size: float, outcome: Outcome = Outcome.YES, **more: Any
    ) -> dict[str, Any]:
        """A signed order; `more` overrides fields of the order or of the envelope, before it is signed."""
        units, amount = round(price * DOLLAR), shares(size)
        cash = units * amount // DOLLAR
        gives, gets = (cash, amount) if side is Side.BUY else (amount, cash)
        fields: dict[str, Any] = {
            "salt": more.pop("salt", 1),
            "maker": more.pop("maker", self.address),
            "signer": more.pop("signer", self.address),
            "tokenId": more.pop("token", market.token(outcome)),
            "makerAmount": str(more.pop("makerAmount", gives)),
            "takerAmount": str(more.pop("takerAmount", gets)),
            "signatureType": more.pop("signature_type", 0),
            "timestamp": "1790000000000",
            "metadata": ZERO,
            "builder": ZERO,
        }
        neg_risk = more.pop("sign_neg_risk", market.neg_risk)
        signature = self._sign(OrderV2(**{**fields, "salt": str(fields["salt"]), "side": int(side)}), neg_risk)
        expiration = str(more.pop("expiration", 0))
        order = {**fields, "side": side.name, "expiration": expiration, "signature": signature}
        return {
            "order": order,
            "owner": more.pop("owner", self.creds.api_key),
            "orderType": more.pop("tif", Tif.GTC.value),
            "deferExec": False,
            "postOnly": more.pop("post_only", False),
        }

    async def place(self, market: Market, side: Side, price: float, size: float, **more: Any) -> tuple[int, Any]:
        """Sign and POST one order."""
        return await self.call("POST", "/order", self.envelope(market, side, price, size, **more))

    def _sign(self, order: OrderV2, neg_risk: bool) -> str:
        config = get_contract_config(137)
        contract = config.neg_risk_exchange_v2 if neg_risk else config.exchange_v2
        builder = ExchangeOrderBuilderV2(contract, 137, self.signer)
        return str(builder.build_order_signature(builder.build_order_typed_data(order)))
