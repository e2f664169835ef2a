"""A venue by another hand: one market with a fixed crowd, on the venue's own wire, with nothing of the daemon in it.

Run as a program it prints {"url": ...} and serves until its standard input closes. Order signatures, order ids and
request signatures are checked with the official client. Beside the venue's own calls there are two for the test:
GET /_/state, and POST /_/fill {"direction": "BUY", "size": "20"}, which hits the order that rests on that side of YES.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import secrets
import sys
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiohttp import WSMsgType, web
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from py_clob_client_v2.config import get_contract_config  # type: ignore[import-untyped]
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import (  # type: ignore[import-untyped]
    ExchangeOrderBuilderV2,
)
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2  # type: ignore[import-untyped]
from py_clob_client_v2.signing.eip712 import MSG_TO_SIGN, get_clob_auth_domain  # type: ignore[import-untyped]
from py_clob_client_v2.signing.hmac import build_hmac_signature  # type: ignore[import-untyped]
from py_clob_client_v2.signing.model import ClobAuth  # type: ignore[import-untyped]

CHAIN = 137
SLUG = "will-another-hand-do"
CONDITION = "0x" + keccak(text=SLUG).hex()
YES = str(10**76 + int(keccak(text="yes").hex(), 16) % 10**76)
NO = str(10**76 + int(keccak(text="no").hex(), 16) % 10**76)
TICK = Decimal("0.01")
CROWD = {
    YES: {"bids": [("0.40", "900"), ("0.48", "1000")], "asks": [("0.60", "900"), ("0.52", "1000")]},
    NO: {"bids": [("0.40", "900"), ("0.48", "1000")], "asks": [("0.60", "900"), ("0.52", "1000")]},
}
MICRO = Decimal(1_000_000)
CONTRACTS = get_contract_config(CHAIN)


class No(Exception):
    """A refusal in the venue's words."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class Key:
    """An API key."""

    address: str
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    secret: str = field(default_factory=lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    passphrase: str = field(default_factory=lambda: secrets.token_hex(32))

    def triple(self) -> dict[str, str]:
        """As the venue hands it out."""
        return {"apiKey": self.key, "secret": self.secret, "passphrase": self.passphrase}


@dataclass
class Order:
    """An order that was taken."""

    id: str
    owner: str
    maker: str
    token: str
    side: str
    price: Decimal
    size: Decimal
    matched: Decimal = Decimal(0)
    status: str = "LIVE"
    trades: list[str] = field(default_factory=list)
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self) -> dict[str, Any]:
        """As GET /data/orders shows it."""
        return {
            "id": self.id,
            "status": self.status,
            "owner": self.owner,
            "maker_address": self.maker,
            "market": CONDITION,
            "asset_id": self.token,
            "side": self.side,
            "original_size": str(self.size.normalize()),
            "size_matched": str(self.matched.normalize()),
            "price": str(self.price),
            "outcome": "Yes" if self.token == YES else "No",
            "expiration": "0",
            "order_type": "GTC",
            "associate_trades": self.trades,
            "created_at": self.created,
        }


class Venue:
    """All state, and the handlers over it."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {}
        self.orders: dict[str, Order] = {}
        self.trades: dict[str, dict[str, Any]] = {}
        self.balances = {"": 10_000 * MICRO, YES: Decimal(0), NO: Decimal(0)}
        self.heartbeat = ""
        self.sockets: dict[web.WebSocketResponse, str] = {}
        self.refused: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        """Everything that is served."""
        return [
            web.get("/time", self.get_time),
            web.post("/auth/api-key", self.make_key),
            web.get("/auth/derive-api-key", self.make_key),
            web.get("/auth/ban-status/closed-only", self.closed_only),
            web.get("/gamma/markets", self.gamma),
            web.get("/markets/{id}", self.market),
            web.get("/data/orders", self.open_orders),
            web.get("/data/order/{id}", self.one_order),
            web.get("/data/trades", self.own_trades),
            web.get("/balance-allowance", self.balance),
            web.post("/v1/heartbeats", self.beat),
            web.post("/orders", self.place),
            web.delete("/orders", self.cancel),
            web.delete("/cancel-all", self.cancel_all),
            web.get("/ws/market", self.market_socket),
            web.get("/ws/user", self.user_socket),
            web.get("/_/state", self.state),
            web.post("/_/fill", self.fill),
        ]

    # Who is there

    async def owner(self, request: web.Request) -> Key:
        """The key of a private call, checked by the official HMAC."""
        said = request.headers
        key = self.keys.get(said.get("POLY_ADDRESS", ""))
        if key is None or said["POLY_API_KEY"] != key.key or said["POLY_PASSPHRASE"] != key.passphrase:
            raise No("Unauthorized/Invalid api key", 401)
        body = (await request.read()).decode()
        expected = build_hmac_signature(key.secret, said["POLY_TIMESTAMP"], request.method, request.path, body)
        if not hmac.compare_digest(expected, said["POLY_SIGNATURE"]):
            raise No("Unauthorized/Invalid api key", 401)
        return key

    async def make_key(self, request: web.Request) -> web.Response:
        """POST /auth/api-key and GET /auth/derive-api-key: the wallet signs the official ClobAuth."""
        said = request.headers
        message = ClobAuth(
            address=said["POLY_ADDRESS"],
            timestamp=said["POLY_TIMESTAMP"],
            nonce=int(said["POLY_NONCE"]),
            message=MSG_TO_SIGN,
        )
        digest = keccak(message.signable_bytes(get_clob_auth_domain(CHAIN)))
        if Account._recover_hash(digest, signature=said["POLY_SIGNATURE"]) != said["POLY_ADDRESS"]:
            raise No("Invalid L1 Request headers", 401)
        key = self.keys.setdefault(said["POLY_ADDRESS"], Key(said["POLY_ADDRESS"]))
        return web.json_response(key.triple())

    async def closed_only(self, request: web.Request) -> web.Response:
        """GET /auth/ban-status/closed-only."""
        await self.owner(request)
        return web.json_response({"closed_only": False})

    # What there is

    async def get_time(self, request: web.Request) -> web.Response:
        """GET /time."""
        return web.json_response(int(time.time()))

    async def gamma(self, request: web.Request) -> web.Response:
        """Gamma: GET /markets?slug=."""
        if request.query.get("slug") != SLUG:
            return web.json_response([])
        market = {
            "id": "1",
            "slug": SLUG,
            "conditionId": CONDITION,
            "outcomes": json.dumps(["Yes", "No"]),
            "clobTokenIds": json.dumps([YES, NO]),
            "acceptingOrders": True,
            "negRisk": False,
        }
        return web.json_response([market])

    async def market(self, request: web.Request) -> web.Response:
        """GET /markets/{condition id}."""
        if request.match_info["id"] != CONDITION:
            raise No("market not found", 404)
        market = {
            "condition_id": CONDITION,
            "question": "Will another hand do?",
            "market_slug": SLUG,
            "active": True,
            "closed": False,
            "archived": False,
            "accepting_orders": True,
            "enable_order_book": True,
            "minimum_order_size": 5,
            "minimum_tick_size": 0.01,
            "neg_risk": False,
            "neg_risk_market_id": "",
            "end_date_iso": None,
            "game_start_time": None,
            "tokens": [
                {"token_id": YES, "outcome": "Yes", "price": 0.5, "winner": False},
                {"token_id": NO, "outcome": "No", "price": 0.5, "winner": False},
            ],
        }
        return web.json_response(market)

    async def balance(self, request: web.Request) -> web.Response:
        """GET /balance-allowance."""
        await self.owner(request)
        amount = self.balances[request.query.get("token_id", "")]
        spenders = (CONTRACTS.exchange_v2, CONTRACTS.neg_risk_exchange_v2)
        return web.json_response({"balance": str(int(amount)), "allowances": dict.fromkeys(spenders, str(2**256 - 1))})

    async def open_orders(self, request: web.Request) -> web.Response:
        """GET /data/orders."""
        await self.owner(request)
        return page([order.body() for order in self.orders.values() if order.status == "LIVE"])

    async def one_order(self, request: web.Request) -> web.Response:
        """GET /data/order/{id}."""
        await self.owner(request)
        order = self.orders.get(request.match_info["id"])
        return web.json_response(order.body() if order else None)

    async def own_trades(self, request: web.Request) -> web.Response:
        """GET /data/trades."""
        await self.owner(request)
        after = int(request.query.get("after", "0"))
        return page([trade for trade in self.trades.values() if int(trade["match_time"]) >= after])

    async def beat(self, request: web.Request) -> web.Response:
        """POST /v1/heartbeats."""
        await self.owner(request)
        if (await request.json())["heartbeat_id"] != self.heartbeat:
            return web.json_response({"error_msg": "Invalid Heartbeat ID", "heartbeat_id": self.heartbeat}, status=400)
        self.heartbeat = str(uuid.uuid4())
        return web.json_response({"heartbeat_id": self.heartbeat})

    # Orders

    async def place(self, request: web.Request) -> web.Response:
        """POST /orders."""
        key = await self.owner(request)
        answers = []
        for envelope in await request.json():
            answer = {"success": True, "errorMsg": "", "orderID": "", "status": "", "makingAmount": ""}
            try:
                order = self.admit(envelope, key)
                answer |= {"orderID": order.id, "status": "live"}
                await self.tell_order(order, "PLACEMENT")
            except No as error:
                self.refused.append(str(error))
                answer["errorMsg"] = str(error)
            answers.append(answer)
        return web.json_response(answers)

    def admit(self, envelope: dict[str, Any], key: Key) -> Order:
        """Check an order as the official client would make it, and rest it."""
        said = envelope["order"]
        if envelope["owner"] != key.key:
            raise No("the order owner has to be the owner of the API KEY")
        if not envelope["postOnly"] or envelope["orderType"] != "GTC" or said["signatureType"] != 0:
            raise No("Invalid order payload")
        if said["tokenId"] not in CROWD or said["maker"] != key.address or said["signer"] != key.address:
            raise No("the order signer address has to be the address of the API KEY")
        official = OrderV2(
            salt=str(said["salt"]),
            maker=said["maker"],
            signer=said["signer"],
            tokenId=said["tokenId"],
            makerAmount=said["makerAmount"],
            takerAmount=said["takerAmount"],
            side=0 if said["side"] == "BUY" else 1,
            signatureType=0,
            timestamp=said["timestamp"],
            metadata=said["metadata"],
            builder=said["builder"],
        )
        builder = ExchangeOrderBuilderV2(CONTRACTS.exchange_v2, CHAIN, None, domain_version="2")
        typed = builder.build_order_typed_data(official)
        if Account.recover_message(encode_typed_data(full_message=typed), signature=said["signature"]) != key.address:
            raise No("invalid signature")
        gives, gets = Decimal(said["makerAmount"]), Decimal(said["takerAmount"])
        cash, size = (gives, gets) if said["side"] == "BUY" else (gets, gives)
        price = cash / size
        if price % TICK or not 0 < price < 1:
            raise No("price breaks minimum tick size rule")
        book = CROWD[said["tokenId"]]
        if said["side"] == "BUY" and price >= min(Decimal(ask) for ask, _ in book["asks"]):
            raise No("invalid post-only order: order crosses book")
        if said["side"] == "SELL" and (
            price <= max(Decimal(bid) for bid, _ in book["bids"]) or self.free(said["tokenId"]) < size
        ):
            raise No("not enough balance / allowance")
        id = builder.build_order_hash(typed).lower()
        order = Order(id, key.key, key.address, said["tokenId"], said["side"], price, size / MICRO)
        self.orders[id] = order
        return order

    def free(self, token: str) -> Decimal:
        """Tokens that no resting SELL has reserved."""
        selling = sum(
            order.size - order.matched
            for order in self.orders.values()
            if order.token == token and order.side == "SELL" and order.status == "LIVE"
        )
        return self.balances[token] - selling * MICRO

    async def cancel(self, request: web.Request) -> web.Response:
        """DELETE /orders."""
        await self.owner(request)
        return await self.take_off(await request.json())

    async def cancel_all(self, request: web.Request) -> web.Response:
        """DELETE /cancel-all."""
        await self.owner(request)
        return await self.take_off([order.id for order in self.orders.values() if order.status == "LIVE"])

    async def take_off(self, ids: list[str]) -> web.Response:
        """Cancel these and say which."""
        live = [id for id in ids if id in self.orders and self.orders[id].status == "LIVE"]
        for id in live:
            self.orders[id].status = "CANCELED"
            await self.tell_order(self.orders[id], "CANCELLATION")
        others = {id: "order can't be found - already canceled or matched" for id in ids if id not in live}
        return web.json_response({"canceled": live, "not_canceled": others})

    async def fill(self, request: web.Request) -> web.Response:
        """POST /_/fill: a taker hits our order on one side of YES; the trade is confirmed at once."""
        wish = await request.json()
        size = Decimal(wish["size"])
        [order] = [
            order
            for order in self.orders.values()
            if order.status == "LIVE"
            and ((order.side == "BUY") == (order.token == YES)) == (wish["direction"] == "BUY")
        ]
        order.matched += size
        way = 1 if order.side == "BUY" else -1
        order.status = "MATCHED" if order.matched == order.size else "LIVE"
        trade = self.trade(order, size)
        order.trades.append(trade["id"])
        self.trades[trade["id"]] = trade
        await self.tell_trade(trade)
        await self.tell_order(order, "UPDATE")
        self.balances[order.token] += way * size * MICRO
        self.balances[""] -= way * size * order.price * MICRO
        for status in ("MINED", "CONFIRMED"):
            trade["status"] = status
            await self.tell_trade(trade)
        return web.json_response(order.body())

    def trade(self, order: Order, size: Decimal) -> dict[str, Any]:
        """A trade between a taker on YES and our order, by transfer or by mint."""
        is_yes = order.token == YES
        takers_side = "BUY" if (order.side == "SELL") == is_yes else "SELL"
        return {
            "id": str(uuid.uuid4()),
            "taker_order_id": "0x" + secrets.token_hex(32),
            "market": CONDITION,
            "asset_id": YES,
            "side": takers_side,
            "size": str(size),
            "price": str(order.price if is_yes else 1 - order.price),
            "status": "MATCHED",
            "match_time": str(int(time.time())),
            "last_update": str(int(time.time())),
            "owner": str(uuid.uuid4()),
            "maker_address": "0x" + "ab" * 20,
            "trader_side": "MAKER",
            "maker_orders": [
                {
                    "order_id": order.id,
                    "owner": order.owner,
                    "maker_address": order.maker,
                    "matched_amount": str(size),
                    "price": str(order.price),
                    "asset_id": order.token,
                    "outcome": "Yes" if is_yes else "No",
                    "side": order.side,
                    "fee_rate_bps": "0",
                }
            ],
        }

    async def state(self, request: web.Request) -> web.Response:
        """GET /_/state."""
        return web.json_response(
            {
                "orders": [order.body() for order in self.orders.values()],
                "refused": self.refused,
                "beats": self.heartbeat,
            }
        )

    # Sockets

    async def market_socket(self, request: web.Request) -> web.WebSocketResponse:
        """The market channel: a snapshot for each token asked for, then silence."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data == "PING":
                await socket.send_str("PONG")
                continue
            wanted = json.loads(message.data).get("assets_ids", [])
            await socket.send_str(json.dumps([snapshot(token) for token in wanted if token in CROWD]))
        return socket

    async def user_socket(self, request: web.Request) -> web.WebSocketResponse:
        """The user channel."""
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data == "PING":
                await socket.send_str("PONG")
                continue
            auth = json.loads(message.data)["auth"]
            if auth not in [key.triple() for key in self.keys.values()]:
                break
            self.sockets[socket] = auth["apiKey"]
        self.sockets.pop(socket, None)
        return socket

    async def tell_order(self, order: Order, kind: str) -> None:
        """PLACEMENT, UPDATE or CANCELLATION to the owner."""
        event = {**order.body(), "type": kind, "timestamp": now_ms(), "event_type": "order", "order_owner": order.owner}
        await self.tell(order.owner, event)

    async def tell_trade(self, trade: dict[str, Any]) -> None:
        """One step of a trade to its maker."""
        owner = trade["maker_orders"][0]["owner"]
        event = {**trade, "type": "TRADE", "timestamp": now_ms(), "event_type": "trade", "trade_owner": owner}
        await self.tell(owner, event)

    async def tell(self, owner: str, event: dict[str, Any]) -> None:
        """Send to every socket of an API key."""
        for socket, key in list(self.sockets.items()):
            if key == owner and not socket.closed:
                await socket.send_str(json.dumps(event))


def now_ms() -> str:
    """The venue's clock."""
    return str(time.time_ns() // 1_000_000)


def snapshot(token: str) -> dict[str, Any]:
    """A book frame of the crowd."""
    sides = {side: [{"price": price, "size": size} for price, size in levels] for side, levels in CROWD[token].items()}
    return {
        "event_type": "book",
        "market": CONDITION,
        "asset_id": token,
        "timestamp": now_ms(),
        "hash": "",
        **sides,
        "tick_size": "0.01",
        "last_trade_price": "0.500",
    }


def page(rows: list[Any]) -> web.Response:
    """A list that fits one page."""
    return web.json_response({"limit": 100, "count": len(rows), "next_cursor": "LTE=", "data": rows})


@web.middleware
async def refusals(request: web.Request, handler: Any) -> web.StreamResponse:
    """Refusals as the venue words them."""
    try:
        answer: web.StreamResponse = await handler(request)
        return answer
    except No as error:
        return web.json_response({"error": str(error)}, status=error.status)


async def main() -> None:
    """Serve until standard input closes."""
    app = web.Application(middlewares=[refusals])
    app.add_routes(Venue().routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
