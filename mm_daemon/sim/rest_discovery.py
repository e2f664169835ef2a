"""Gamma (market discovery), the data API (positions, approvals), the website's region check, each under its own prefix,
and the exchange's own state.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.units import DOLLAR, SHARE, USD, Outcome
from mm_daemon.exchange.polymarket.approvals import PUSD, permissions
from mm_daemon.sim.http import answer, require_query
from mm_daemon.sim.listing import MarketState
from mm_daemon.sim.model import Refusal
from mm_daemon.sim.venue import Venue
from mm_daemon.sim.wire import OUTCOMES, order_body

MOST_MARKETS = 100


class DiscoveryApi:
    """Gamma under /gamma, positions and approvals under /data-api, /api/geoblock, and /_sim/state."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def routes(self) -> list[web.RouteDef]:
        """The routes of this part."""
        return [
            web.get("/gamma/markets", self.markets),
            web.get("/gamma/markets/keyset", self.keyset),
            web.get("/gamma/markets/slug/{slug}", self.by_slug),
            web.get("/data-api/positions", self.positions),
            web.get("/data-api/v2/positions", self.positions_v2),
            web.get("/data-api/v2/approvals", self.approvals),
            web.get("/api/geoblock", self.region),
            web.get("/_sim/state", self.state),
        ]

    async def markets(self, request: web.Request) -> web.Response:
        """GET /gamma/markets."""
        return answer([gamma_market(state) for state in self._chosen(request)])

    async def keyset(self, request: web.Request) -> web.Response:
        """GET /gamma/markets/keyset."""
        chosen = self._chosen(request)
        limit, start = request.query.get("limit") or str(MOST_MARKETS), request.query.get("after_cursor") or "0"
        if not (limit.isdecimal() and start.isdecimal()):
            raise Refusal("invalid limit or after_cursor", 422)
        return answer(_page(chosen, int(start), min(int(limit), MOST_MARKETS)))

    async def by_slug(self, request: web.Request) -> web.Response:
        """GET /gamma/markets/slug/{slug}."""
        try:
            return answer(gamma_market(self._venue.find(request.match_info["slug"])))
        except KeyError as error:
            raise Refusal("market not found", 404) from error

    async def positions(self, request: web.Request) -> web.Response:
        """GET /data-api/positions."""
        user = require_query(request, "user").lower()
        rows = [_position(user, state, outcome, size) for state, outcome, size in self._held(user)]
        return answer(rows)

    async def positions_v2(self, request: web.Request) -> web.Response:
        """GET /data-api/v2/positions."""
        user = require_query(request, "user").lower()
        wanted = request.query.get("condition_id")
        held = [row for row in self._held(user) if not wanted or row[0].market.condition_id == wanted]
        return answer({"data": [_position_v2(user, *row) for row in held], "next_cursor": None})

    async def approvals(self, request: web.Request) -> web.Response:
        """GET /data-api/v2/approvals: every contract that trading and what follows it needs."""
        user = require_query(request, "user")
        rows = [
            _approval(wanted.token, wanted.spender, self._venue.allows(user, wanted.spender))
            for wanted in permissions(*self._venue.exchange_contracts)
        ]
        return answer({"data": {"address": user, "chain_id": self._venue.rules.chain_id, "contracts": rows}})

    async def region(self, request: web.Request) -> web.Response:
        """GET /api/geoblock, as the venue's website answers it: nobody is kept out of this machine."""
        return answer({"blocked": False, "ip": request.remote, "country": "ZZ", "region": ""})

    async def state(self, request: web.Request) -> web.Response:
        """GET /_sim/state: what every wallet has resting and holds, and whether money is conserved. Not the venue's."""
        ledger, wallets = self._venue.ledger, {}
        for address in ledger.addresses():
            cash = ledger.balance(address)
            tokens = {token: held.total / SHARE for token, held in ledger.holdings(address).items() if held.total}
            wallets[address] = {
                "cash": cash.total / USD,
                "settled_cash": cash.settled / USD,
                "tokens": tokens,
                "open_orders": [order_body(order) for order in self._venue.orders_of(address)],
            }
        conserved = self._venue.conserves()
        return answer({"conserved": conserved, "fees": ledger.fees / USD, "wallets": wallets})

    def _chosen(self, request: web.Request) -> list[MarketState]:
        query = request.query
        slugs, conditions, tokens = (query.getall(name, []) for name in ("slug", "condition_ids", "clob_token_ids"))
        return [
            state
            for state in self._venue.markets.values()
            if (not slugs or state.market.slug in slugs)
            and (not conditions or state.market.condition_id in conditions)
            and (not tokens or any(token in tokens for token in state.market.tokens))
        ]

    def _held(self, user: str) -> list[tuple[MarketState, Outcome, int]]:
        holdings = self._venue.ledger.holdings(user) if self._venue.ledger.knows(user) else {}
        return [
            (state, outcome, holdings[token].settled)
            for state in self._venue.markets.values()
            for outcome, token in zip(Outcome, state.market.tokens, strict=True)
            if token in holdings and holdings[token].settled
        ]


def gamma_market(state: MarketState) -> dict[str, Any]:
    """A market as Gamma lists it: lists are JSON text inside a string, numbers come in two kinds."""
    market = state.market
    is_closed = market.status in (MarketStatus.CLOSED, MarketStatus.RESOLVED)
    prices = [f"{state.fair:.4f}", f"{1 - state.fair:.4f}"]
    return {
        "id": str(int(market.condition_id[2:10], 16)),
        "question": market.question,
        "conditionId": market.condition_id,
        "questionID": market.condition_id,
        "slug": market.slug,
        "endDate": "2030-12-31T00:00:00Z",
        "startDate": "2026-01-01T00:00:00Z",
        "description": market.question,
        "outcomes": json.dumps(OUTCOMES),
        "outcomePrices": json.dumps(prices),
        "clobTokenIds": json.dumps(market.tokens),
        "active": True,
        "closed": is_closed,
        "archived": False,
        "acceptingOrders": market.status is MarketStatus.OPEN,
        "enableOrderBook": not is_closed,
        "negRisk": market.neg_risk,
        "negRiskMarketID": market.event_id,
        **_gamma_numbers(state),
        "umaResolutionStatuses": "[]",
        "clearBookOnStart": False,
        "events": _event(market),
    }


def _gamma_numbers(state: MarketState) -> dict[str, Any]:
    """Sizes, prices, rewards and fees of a market."""
    market = state.market
    bid, ask = state.feed.best(Outcome.YES)
    return {
        "orderPriceMinTickSize": market.tick / DOLLAR,
        "orderMinSize": market.min_size // SHARE,
        "rewardsMinSize": 0,
        "rewardsMaxSpread": 0,
        "clobRewards": [],
        "holdingRewardsEnabled": False,
        "liquidity": "0",
        "liquidityNum": 0,
        "volume24hr": 0,
        "volumeNum": 0,
        "bestBid": bid / DOLLAR,
        "bestAsk": ask / DOLLAR,
        "spread": (ask - bid) / DOLLAR,
        "lastTradePrice": (state.feed.last_trade or 0) / DOLLAR,
        "feesEnabled": state.fee_rate > 0,
        "feeType": "demo_fees" if state.fee_rate else None,
        "feeSchedule": {"exponent": 1, "rate": state.fee_rate / DOLLAR, "takerOnly": True, "rebateRate": 0.25},
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
    }


def _page(chosen: list[MarketState], start: int, limit: int) -> dict[str, Any]:
    body: dict[str, Any] = {"markets": [gamma_market(state) for state in chosen[start : start + limit]]}
    if start + limit < len(chosen):
        body["next_cursor"] = str(start + limit)
    return body


def _event(market: Market) -> list[dict[str, Any]]:
    slug = f"event-of-{market.slug}" if not market.event_id else f"event-{market.event_id[2:10]}"
    return [{"id": slug, "ticker": slug, "slug": slug, "title": slug, "negRisk": market.neg_risk, "closed": False}]


def _approval(token: str, spender: str, approved: bool) -> dict[str, Any]:
    standard = {"standard": "ERC20", "amount": "max"} if token == PUSD else {"standard": "ERC1155"}
    return {"token": token, "spender": spender, "approved": approved, **standard}


def _position(user: str, state: MarketState, outcome: Outcome, size: int) -> dict[str, Any]:
    market, fair = state.market, state.fair if outcome is Outcome.YES else 1 - state.fair
    return {
        "proxyWallet": user,
        "asset": market.token(outcome),
        "conditionId": market.condition_id,
        "size": size / SHARE,
        "avgPrice": round(fair, 4),
        "currentValue": round(size / SHARE * fair, 4),
        "curPrice": round(fair, 4),
        "redeemable": market.status is MarketStatus.RESOLVED,
        "mergeable": False,
        "title": market.question,
        "slug": market.slug,
        "outcome": OUTCOMES[outcome],
        "outcomeIndex": int(outcome),
        "oppositeOutcome": OUTCOMES[outcome.other],
        "oppositeAsset": market.token(outcome.other),
        "endDate": "2030-12-31T00:00:00Z",
        "negativeRisk": market.neg_risk,
    }


def _position_v2(user: str, state: MarketState, outcome: Outcome, size: int) -> dict[str, Any]:
    market, fair = state.market, state.fair if outcome is Outcome.YES else 1 - state.fair
    return {
        "proxy_wallet": user,
        "token_id": market.token(outcome),
        "condition_id": market.condition_id,
        "current_size": size / SHARE,
        "avg_price": round(fair, 4),
        "redeemable": market.status is MarketStatus.RESOLVED,
        "mergeable": False,
        "negative_risk": market.neg_risk,
        "opposite_token_id": market.token(outcome.other),
        "status": "OPEN",
    }
