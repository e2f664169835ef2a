"""Public REST calls: time, books and prices, market lists and market parameters."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from mm_daemon.core.units import Price, format_fixed, format_price, parse_fixed
from mm_daemon.sim.books import Books
from mm_daemon.sim.http import answer, paged, read_json, require_query
from mm_daemon.sim.listing import MarketState
from mm_daemon.sim.marketdata import Frame
from mm_daemon.sim.model import Refusal
from mm_daemon.sim.venue import Venue
from mm_daemon.sim.wire import clob_market_body, market_body, simplified_body

MARKETS_PAGE = 1_000
MOST_BOOKS = 500


class PublicApi:
    """Everything that needs no key."""

    def __init__(self, venue: Venue, books: Books) -> None:
        self._venue = venue
        self._books = books

    def routes(self) -> list[web.RouteDef]:
        """The routes of this part."""
        get, post = web.get, web.post
        return [
            get("/ok", self.ok),
            get("/time", self.time),
            get("/version", self.version),
            get("/book", self.book),
            post("/books", self.books),
            get("/midpoint", self.midpoint),
            post("/midpoints", self.midpoints),
            get("/price", self.price),
            post("/prices", self.prices),
            get("/spread", self.spread),
            post("/spreads", self.spreads),
            get("/last-trade-price", self.last_trade_price),
            post("/last-trades-prices", self.last_trade_prices),
            get("/tick-size", self.tick_size),
            get("/neg-risk", self.neg_risk),
            get("/fee-rate", self.fee_rate),
            get("/markets", self.markets),
            get("/markets/{condition}", self.market),
            get("/sampling-markets", self.markets),
            get("/simplified-markets", self.simplified_markets),
            get("/sampling-simplified-markets", self.simplified_markets),
            get("/clob-markets/{condition}", self.clob_market),
            get("/markets-by-token/{token}", self.market_by_token),
        ]

    async def ok(self, request: web.Request) -> web.Response:
        """GET /ok."""
        return answer("OK")

    async def time(self, request: web.Request) -> web.Response:
        """GET /time: a bare number of seconds."""
        return answer(self._venue.clock() // 1000)

    async def version(self, request: web.Request) -> web.Response:
        """GET /version."""
        return answer({"version": 2})

    async def book(self, request: web.Request) -> web.Response:
        """GET /book."""
        return answer(self._books.rest_book(require_query(request, "token_id")))

    async def books(self, request: web.Request) -> web.Response:
        """POST /books: the books of those tokens that have one."""
        found = []
        for wanted in await _token_list(request):
            try:
                found.append(self._books.rest_book(wanted["token_id"]))
            except Refusal:
                continue
        return answer(found)

    async def midpoint(self, request: web.Request) -> web.Response:
        """GET /midpoint."""
        return answer({"mid": self._midpoint(require_query(request, "token_id"))})

    async def midpoints(self, request: web.Request) -> web.Response:
        """POST /midpoints."""
        return answer({row["token_id"]: self._midpoint(row["token_id"]) for row in await _token_list(request)})

    async def price(self, request: web.Request) -> web.Response:
        """GET /price: side BUY is the best bid, side SELL the best ask."""
        token, side = require_query(request, "token_id"), require_query(request, "side")
        return answer({"price": self._price(token, side)})

    async def prices(self, request: web.Request) -> web.Response:
        """POST /prices."""
        found: dict[str, dict[str, str]] = {}
        for row in await _token_list(request):
            side = str(row.get("side", "BUY"))
            found.setdefault(row["token_id"], {})[side] = self._price(row["token_id"], side)
        return answer(found)

    async def spread(self, request: web.Request) -> web.Response:
        """GET /spread."""
        return answer({"spread": self._spread(require_query(request, "token_id"))})

    async def spreads(self, request: web.Request) -> web.Response:
        """POST /spreads."""
        return answer({row["token_id"]: self._spread(row["token_id"]) for row in await _token_list(request)})

    async def last_trade_price(self, request: web.Request) -> web.Response:
        """GET /last-trade-price."""
        return answer(self._last_trade(require_query(request, "token_id")))

    async def last_trade_prices(self, request: web.Request) -> web.Response:
        """POST /last-trades-prices."""
        rows = await _token_list(request)
        return answer([{"token_id": row["token_id"], **self._last_trade(row["token_id"])} for row in rows])

    async def tick_size(self, request: web.Request) -> web.Response:
        """GET /tick-size."""
        market = self._venue.by_token(require_query(request, "token_id")).market
        return answer({"minimum_tick_size": market.tick / 10_000})

    async def neg_risk(self, request: web.Request) -> web.Response:
        """GET /neg-risk."""
        return answer({"neg_risk": self._venue.by_token(require_query(request, "token_id")).market.neg_risk})

    async def fee_rate(self, request: web.Request) -> web.Response:
        """GET /fee-rate: the legacy number, which is not the fee."""
        self._venue.by_token(require_query(request, "token_id"))
        return answer({"base_fee": 1000})

    async def markets(self, request: web.Request) -> web.Response:
        """GET /markets and /sampling-markets."""
        return answer(paged(request, [self._market(state) for state in self._states()], MARKETS_PAGE))

    async def simplified_markets(self, request: web.Request) -> web.Response:
        """GET /simplified-markets."""
        rows = [simplified_body(state.market, state.fair, state.winner) for state in self._states()]
        return answer(paged(request, rows, MARKETS_PAGE))

    async def market(self, request: web.Request) -> web.Response:
        """GET /markets/{condition}."""
        return answer(self._market(self._by_condition(request)))

    async def clob_market(self, request: web.Request) -> web.Response:
        """GET /clob-markets/{condition}."""
        state = self._by_condition(request)
        return answer(clob_market_body(state.market, state.fee_rate))

    async def market_by_token(self, request: web.Request) -> web.Response:
        """GET /markets-by-token/{token}."""
        market = self._venue.by_token(request.match_info["token"]).market
        body = {"condition_id": market.condition_id}
        return answer({**body, "primary_token_id": market.yes, "secondary_token_id": market.no})

    def _states(self) -> list[MarketState]:
        return list(self._venue.markets.values())

    def _by_condition(self, request: web.Request) -> MarketState:
        condition = request.match_info["condition"]
        for key, state in self._venue.markets.items():
            if key == condition:
                return state
        raise Refusal("market not found", 404)

    def _market(self, state: MarketState) -> dict[str, Any]:
        return market_body(state.market, state.fair, state.winner)

    def _touch(self, token: str) -> tuple[int, int]:
        """Best bid and ask of a token, which has to have both.

        Raises:
            Refusal: 404, no book or a side is empty.
        """
        book = self._books.rest_book(token)
        bid, ask = _best(book, "bids"), _best(book, "asks")
        if bid is None or ask is None:
            raise Refusal("No orderbook exists for the requested token id", 404)
        return bid, ask

    def _last_trade(self, token: str) -> dict[str, str]:
        feed = self._venue.by_token(token).feed
        price = format_price(feed.last_trade) if feed.last_trade is not None else "0.5"
        return {"price": price, "side": feed.last_side}

    def _midpoint(self, token: str) -> str:
        bid, ask = self._touch(token)
        return format_fixed((bid + ask) * 5, 5)

    def _spread(self, token: str) -> str:
        bid, ask = self._touch(token)
        return format_price(Price(ask - bid))

    def _price(self, token: str, side: str) -> str:
        if side not in ("BUY", "SELL"):
            raise Refusal("Invalid side")
        best = _best(self._books.rest_book(token), "bids" if side == "BUY" else "asks")
        return format_price(Price(best or 0))


def _best(book: Frame, side: str) -> int | None:
    levels = book[side]
    return parse_fixed(levels[-1]["price"], 4) if levels else None


async def _token_list(request: web.Request) -> list[dict[str, Any]]:
    rows = await read_json(request)
    if not isinstance(rows, list) or len(rows) > MOST_BOOKS:
        raise Refusal("Invalid payload")
    if not all(isinstance(row, dict) and isinstance(row.get("token_id"), str) for row in rows):
        raise Refusal("Invalid payload")
    return rows
