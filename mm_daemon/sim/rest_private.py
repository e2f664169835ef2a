"""Private REST calls: keys, orders, cancels, own orders and trades, balances, heartbeats."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from mm_daemon.core.units import OrderId, TokenId
from mm_daemon.sim.accounts import COLLATERAL
from mm_daemon.sim.admission import Admission
from mm_daemon.sim.http import Auth, answer, paged, read_json, require_query
from mm_daemon.sim.model import ApiKey, Refusal, SimOrder, Trade
from mm_daemon.sim.venue import Venue
from mm_daemon.sim.wire import order_answer, order_body, refused_answer, trade_body

MOST_ORDERS = 15
MOST_CANCELS = 3_000
UNLIMITED = str((1 << 256) - 1)


class KeyApi:
    """API keys."""

    def __init__(self, venue: Venue, auth: Auth) -> None:
        self._venue = venue
        self._auth = auth

    def routes(self) -> list[web.RouteDef]:
        """The routes of this part."""
        return [
            web.post("/auth/api-key", self.create),
            web.get("/auth/derive-api-key", self.derive),
            web.get("/auth/api-keys", self.list),
            web.delete("/auth/api-key", self.delete),
            web.get("/auth/ban-status/closed-only", self.closed_only),
            web.get("/v1/user/rate-limit-tier", self.tier),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """POST /auth/api-key."""
        return _triple(self._venue.keys.create(*self._auth.wallet(request)))

    async def derive(self, request: web.Request) -> web.Response:
        """GET /auth/derive-api-key."""
        return _triple(self._venue.keys.derive(*self._auth.wallet(request)))

    async def list(self, request: web.Request) -> web.Response:
        """GET /auth/api-keys."""
        key = await self._auth.key(request)
        return answer({"apiKeys": [other.key for other in self._venue.keys.of_wallet(key.eoa)]})

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /auth/api-key."""
        self._venue.keys.delete(await self._auth.key(request))
        return answer("OK")

    async def closed_only(self, request: web.Request) -> web.Response:
        """GET /auth/ban-status/closed-only."""
        await self._auth.key(request)
        return answer({"closed_only": False})

    async def tier(self, request: web.Request) -> web.Response:
        """GET /v1/user/rate-limit-tier."""
        await self._auth.key(request)
        return answer({"tier": "Standard"})


class OrderApi:
    """Placing and cancelling."""

    def __init__(self, venue: Venue, auth: Auth) -> None:
        self._venue = venue
        self._auth = auth
        self._admission = Admission(venue)

    def routes(self) -> list[web.RouteDef]:
        """The routes of this part."""
        return [
            web.post("/order", self.place),
            web.post("/orders", self.place_many),
            web.delete("/order", self.cancel),
            web.delete("/orders", self.cancel_many),
            web.delete("/cancel-all", self.cancel_all),
            web.delete("/cancel-market-orders", self.cancel_market),
            web.post("/v1/heartbeats", self.heartbeat),
            web.post("/heartbeats", self.old_heartbeat),
        ]

    async def place(self, request: web.Request) -> web.Response:
        """POST /order."""
        key = await self._auth.key(request)
        return answer(order_answer(*self._admission.admit(await read_json(request), key)))

    async def place_many(self, request: web.Request) -> web.Response:
        """POST /orders: each element stands alone; HTTP 200 says nothing about any of them."""
        key = await self._auth.key(request)
        envelopes = await read_json(request)
        if not isinstance(envelopes, list) or not envelopes:
            raise Refusal("Invalid order payload")
        if len(envelopes) > MOST_ORDERS:
            raise Refusal(f"Too many orders in payload: {len(envelopes)}, max allowed: {MOST_ORDERS}")
        return answer([self._place_one(envelope, key) for envelope in envelopes])

    def _place_one(self, envelope: object, key: ApiKey) -> dict[str, Any]:
        try:
            return order_answer(*self._admission.admit(envelope, key))
        except Refusal as refusal:
            return refused_answer(refusal.text)

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /order."""
        key = await self._auth.key(request)
        body = await read_json(request)
        if not isinstance(body, dict) or not isinstance(id := body.get("orderID"), str):
            raise Refusal("Invalid orderID")
        return answer(self._venue.cancel([id], key.key))

    async def cancel_many(self, request: web.Request) -> web.Response:
        """DELETE /orders."""
        key = await self._auth.key(request)
        ids = await read_json(request)
        if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids) or len(ids) > MOST_CANCELS:
            raise Refusal("Invalid order payload")
        return answer(self._venue.cancel(ids, key.key))

    async def cancel_all(self, request: web.Request) -> web.Response:
        """DELETE /cancel-all."""
        key = await self._auth.key(request)
        return answer(self._venue.cancel([order.id for order in self._venue.live_orders(key.key)], key.key))

    async def cancel_market(self, request: web.Request) -> web.Response:
        """DELETE /cancel-market-orders."""
        key = await self._auth.key(request)
        body = await read_json(request)
        if not isinstance(body, dict) or not (body.get("market") or body.get("asset_id")):
            raise Refusal("Invalid order payload")
        orders = _chosen(self._venue.live_orders(key.key), body.get("market"), body.get("asset_id"))
        return answer(self._venue.cancel([order.id for order in orders], key.key))

    async def heartbeat(self, request: web.Request) -> web.Response:
        """POST /v1/heartbeats."""
        key = await self._auth.key(request)
        body = await read_json(request)
        if not isinstance(body, dict) or not isinstance(id := body.get("heartbeat_id"), str):
            raise Refusal("Invalid heartbeat payload")
        return answer({"heartbeat_id": self._venue.beat(key.key, id).id})

    async def old_heartbeat(self, request: web.Request) -> web.Response:
        """POST /heartbeats, the kind without ids."""
        key = await self._auth.key(request)
        self._venue.beat(key.key, None)
        return answer({"status": "ok"})


class AccountApi:
    """Reading one's own orders, trades and balances."""

    def __init__(self, venue: Venue, auth: Auth) -> None:
        self._venue = venue
        self._auth = auth

    def routes(self) -> list[web.RouteDef]:
        """The routes of this part."""
        return [
            web.get("/data/orders", self.orders),
            web.get("/data/order/{id}", self.order),
            web.get("/data/trades", self.trades),
            web.get("/balance-allowance", self.balance),
            web.get("/balance-allowance/update", self.balance),
            web.get("/order-scoring", self.scoring),
            web.post("/orders-scoring", self.scoring_many),
        ]

    async def orders(self, request: web.Request) -> web.Response:
        """GET /data/orders: what rests; with `id` also a finished order."""
        key, query = await self._auth.key(request), request.query
        if id := query.get("id"):
            found = self._own(id, key)
            return answer(paged(request, [order_body(found)] if found else []))
        orders = _chosen(self._venue.live_orders(key.key), query.get("market"), query.get("asset_id"))
        return answer(paged(request, [order_body(order) for order in orders]))

    async def order(self, request: web.Request) -> web.Response:
        """GET /data/order/{id}."""
        key = await self._auth.key(request)
        order = self._own(request.match_info["id"], key)
        if order is None:
            raise Refusal("order not found", 404)
        return answer(order_body(order))

    async def trades(self, request: web.Request) -> web.Response:
        """GET /data/trades, newest first. `market` and `asset_id` look at the taker's leg only, as the venue does."""
        key, query = await self._auth.key(request), request.query
        try:
            after, before = int(query.get("after", 0)), int(query.get("before", 1 << 60))
        except ValueError as error:
            raise Refusal("Invalid after or before") from error
        address = query.get("maker_address", "").lower()
        chosen = []
        for trade in reversed(self._venue.settlement.trades.values()):
            secs = trade.matched_ms // 1000
            if secs < after:
                break
            if secs <= before and _is_own(trade, key.key, address) and _matches(trade, query):
                chosen.append(trade)
        return answer(paged(request, [trade_body(trade, key.key) for trade in chosen]))

    async def balance(self, request: web.Request) -> web.Response:
        """GET /balance-allowance (and /update): what is settled, in base units, and the exchanges' allowances."""
        key = await self._auth.key(request)
        kind, type_text = request.query.get("asset_type", ""), require_query(request, "signature_type")
        if type_text not in ("0", "1", "2", "3") or kind not in ("COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2"):
            raise Refusal("assetAddress invalid params: signature type or asset type")
        asset = COLLATERAL if kind == "COLLATERAL" else TokenId(require_query(request, "token_id"))
        amount = self._settled(key, int(type_text), asset)
        wallet = self._venue.keys.maker_of(key.eoa, int(type_text)) or ""
        allowances = {
            spender: UNLIMITED if self._venue.allows(wallet, spender) else "0"
            for spender in self._venue.exchange_contracts
        }
        return answer({"balance": str(amount), "allowances": allowances})

    async def scoring(self, request: web.Request) -> web.Response:
        """GET /order-scoring."""
        key = await self._auth.key(request)
        return answer({"scoring": self._is_scoring(require_query(request, "order_id"), key)})

    async def scoring_many(self, request: web.Request) -> web.Response:
        """POST /orders-scoring."""
        key = await self._auth.key(request)
        ids = await read_json(request)
        if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
            raise Refusal("Invalid order payload")
        return answer({id: self._is_scoring(id, key) for id in ids})

    def _settled(self, key: ApiKey, signature_type: int, asset: TokenId) -> int:
        maker = self._venue.keys.maker_of(key.eoa, signature_type)
        if maker is None:
            return self._venue.rules.starting_cash if asset == COLLATERAL else 0
        self._venue.fund_new(maker)
        return self._venue.ledger.balance(maker, asset).settled

    def _is_scoring(self, id: str, key: ApiKey) -> bool:
        order = self._own(id, key)
        return order is not None and order.is_live

    def _own(self, id: str, key: ApiKey) -> SimOrder | None:
        order = self._venue.orders.get(OrderId(id.lower()))
        return order if order is not None and order.owner == key.key else None


def _triple(key: ApiKey) -> web.Response:
    return answer({"apiKey": key.key, "secret": key.secret, "passphrase": key.passphrase})


def _chosen(orders: list[SimOrder], market: str | None, asset: str | None) -> list[SimOrder]:
    return [order for order in orders if (not market or order.market == market) and (not asset or order.token == asset)]


def _is_own(trade: Trade, owner: str, address: str) -> bool:
    return any(order.owner == owner and (not address or order.maker == address) for order in trade.orders)


def _matches(trade: Trade, query: Any) -> bool:
    taker = trade.taker
    wanted = (("id", trade.id), ("market", taker.market), ("asset_id", taker.token))
    return all(not query.get(name) or query[name] == value for name, value in wanted)
