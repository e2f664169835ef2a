"""The venue of the end-to-end benchmark: a process of its own on loopback that sends frames and stamps what comes back.

    python -m benchmarks.venue --samples N --warm-up N [--floor] [--tls FILE]

It prints {"url": ...}, waits until a bot has subscribed, plays every scenario, prints the times as one JSON line and
serves on until its standard input is closed. Answers are canned and nothing is verified; order ids are computed by our
own signing code, outside the measured time. Both stamps are CLOCK_MONOTONIC, which is one clock for all processes.

A sample: the time just before a frame is written; the bot's requests; their first bytes' arrival. The next one begins
when exactly the quotes that the frame asked for rest, after a pause that keeps the bot below its own rate limit.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from benchmarks.given import CREDENTIALS, PRIVATE_KEY, Levels, book, market, price_change
from benchmarks.wire import Connection, NotFound, Request, text_frame
from mm_daemon.core.market import Market
from mm_daemon.core.units import DOLLAR, ConditionId, Price, Side, Size, TokenId
from mm_daemon.exchange.polymarket.keys import PrivateKey, keccak
from mm_daemon.exchange.polymarket.signing import OrderSigner

MARKET = market()
SHARES = Size(1_000_000_000)
PAUSE_SECS = (0.080, 0.100)
"""Two orders a sample at 28 orders a second, the daemon's own limit."""
PULL_PAUSE_SECS = 0.020
SETTLE_SECS = 10.0

BIDS: Levels = {Price(4800): SHARES}
ASKS: Levels = {Price(price): SHARES for price in (5200, *range(5800, 9000, 100))}
_ADD_BID_50 = [(Side.BUY, Price(5000), SHARES)]
_DROP_BID_50 = [(Side.BUY, Price(5000), Size(0))]
_UP = [(Side.SELL, Price(5200), Size(0)), (Side.BUY, Price(5400), SHARES)]
_DOWN = [(Side.BUY, Price(5400), Size(0)), (Side.SELL, Price(5200), SHARES)]
_EMPTY = [(Side.BUY, Price(4800), Size(0))]
_BACK = [(Side.BUY, Price(4800), SHARES)]

CANNED: dict[str, Any] = {
    "/auth/api-key": {
        "apiKey": CREDENTIALS.key,
        "secret": CREDENTIALS.secret,
        "passphrase": CREDENTIALS.passphrase,
    },
    "/auth/ban-status/closed-only": {"closed_only": False},
    "/data/trades": {"data": [], "next_cursor": "LTE="},
}

Move = tuple[list[tuple[Side, Price, Size]], tuple[int, int]]
"""Changed levels, and the touch after them."""
SCENARIOS: dict[str, tuple[Move, Move]] = {
    "reprice": ((_ADD_BID_50, (5000, 5200)), (_DROP_BID_50, (4800, 5200))),
    "crossing": ((_UP, (5400, 5800)), (_DOWN, (4800, 5200))),
    "fresh": ((_EMPTY, (0, 5200)), (_BACK, (4800, 5200))),
}
FLOOR: dict[str, tuple[Move, Move]] = {"floor": SCENARIOS["reprice"]}


class _SignedFields(msgspec.Struct, rename="camel"):
    salt: int
    token_id: TokenId
    maker_amount: int
    taker_amount: int
    side: str
    timestamp: int


class _Envelope(msgspec.Struct):
    order: _SignedFields


_ENVELOPES = msgspec.json.Decoder(list[_Envelope], strict=False)
_IDS = msgspec.json.Decoder(list[str])


class Venue:
    """Canned answers, the orders that rest, and the arrivals of the sample at hand."""

    def __init__(self, markets: Sequence[Market] = (MARKET,)) -> None:
        self.markets = {market.condition_id: market for market in markets}
        self.of_token = {token: market for market in markets for token in market.tokens}
        self.resting: dict[str, dict[str, str]] = {}
        self.posts_ns: list[int] = []
        self.cancels_ns: list[int] = []
        self.changed = asyncio.Event()
        self.market_socket: Connection | None = None
        self._user_socket: Connection | None = None
        self._time_ms = int(time.time() * 1000)
        self._hashes = OrderSigner(PrivateKey(PRIVATE_KEY), "", 0, 137)
        self._beats = 0
        self._bids, self._asks = dict(BIDS), dict(ASKS)

    def connection(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self._answer, self._subscribed)

    def frame(self, move: Move) -> bytes:
        """A `price_change` frame as bytes for the socket."""
        self._time_ms += 1
        changes, touch = move
        for side, price, size in changes:
            levels = self._bids if side is Side.BUY else self._asks
            levels[price] = size
        return text_frame(price_change(MARKET, changes, touch, self._time_ms).encode())

    def _subscribed(self, path: str, socket: Connection, _text: bytes) -> None:
        if path == "/ws/user":
            self._user_socket = socket
            return
        self.market_socket = socket
        socket.send_text(text_frame(self._book()))
        self.changed.set()

    def _book(self) -> bytes:
        """A book frame of the YES token."""
        bids = {price: size for price, size in self._bids.items() if size}
        asks = {price: size for price, size in self._asks.items() if size}
        return book(MARKET, bids, asks, self._time_ms).encode()

    def _answer(self, request: Request) -> Any:
        answer: Any
        if request.path == "/orders":
            answer = self._post(request) if request.method == "POST" else self._cancel(request)
        elif request.path == "/cancel-all":
            answer = self._cancelled(list(self.resting))
        elif request.path == "/data/orders":
            answer = {"data": list(self.resting.values()), "next_cursor": "LTE="}
        elif request.path.startswith("/data/order/"):
            answer = self.resting.get(request.path.rpartition("/")[2])
        elif request.path == "/balance-allowance":
            answer = {"balance": "1000000000000" if "COLLATERAL" in request.query else "0"}
        elif request.path == "/book" and MARKET.yes in request.query:
            answer = msgspec.json.decode(self._book())[0]
        elif request.path == "/v1/heartbeats":
            self._beats += 1
            answer = {"heartbeat_id": str(self._beats)}
        else:
            answer = self._canned(request.path)
        return answer

    def _canned(self, path: str) -> Any:
        """Everything that never changes."""
        market = self.markets.get(ConditionId(path.removeprefix("/markets/")))
        if market is not None:
            return _listing(market)
        if path == "/time":
            return int(time.time())
        if path not in CANNED:
            raise NotFound
        return CANNED[path]

    def _post(self, request: Request) -> list[dict[str, object]]:
        self.posts_ns.append(request.arrived_ns)
        verdicts: list[dict[str, object]] = []
        for envelope in _ENVELOPES.decode(request.body):
            order = _order(
                self._id(envelope.order), self.of_token[envelope.order.token_id], envelope.order, self._time_ms
            )
            self.resting[order["id"]] = order
            self._tell({**order, "type": "PLACEMENT", "status": "LIVE"})
            verdicts.append({"success": True, "errorMsg": "", "orderID": order["id"], "status": "live"})
        self.changed.set()
        return verdicts

    def _cancel(self, request: Request) -> dict[str, object]:
        self.cancels_ns.append(request.arrived_ns)
        return self._cancelled(_IDS.decode(request.body))

    def _cancelled(self, ids: list[str]) -> dict[str, object]:
        found = [order for id in ids if (order := self.resting.pop(id, None))]
        for order in found:
            self._tell({**order, "type": "CANCELLATION", "status": "CANCELED"})
        self.changed.set()
        return {"canceled": [order["id"] for order in found], "not_canceled": {}}

    def _tell(self, event: dict[str, str]) -> None:
        """Put an event on the user channel after the answer that is being made."""
        if self._user_socket is not None:
            frame = text_frame(msgspec.json.encode({"event_type": "order", **event}))
            asyncio.get_running_loop().call_soon(self._user_socket.send_text, frame)

    def _id(self, order: _SignedFields) -> str:
        side = Side[order.side]
        struct_hash = self._hashes.struct_hash(
            order.token_id, side, order.maker_amount, order.taker_amount, order.salt, order.timestamp
        )
        is_neg_risk = self.of_token[order.token_id].neg_risk
        separator = self._hashes.contracts.for_token(order.token_id, is_neg_risk).separator
        return "0x" + keccak(b"\x19\x01" + separator + struct_hash).hex()


def _order(id: str, market: Market, fields: _SignedFields, time_ms: int) -> dict[str, str]:
    size, cash = fields.taker_amount, fields.maker_amount
    if fields.side == "SELL":
        size, cash = cash, size
    return {
        "id": id,
        "market": market.condition_id,
        "asset_id": fields.token_id,
        "side": fields.side,
        "price": str(cash * DOLLAR // size / DOLLAR),
        "original_size": f"{size // 1_000_000}.{size % 1_000_000:06d}",
        "size_matched": "0",
        "status": "LIVE",
        "timestamp": str(time_ms),
    }


def _listing(market: Market) -> dict[str, object]:
    """A market as the exchange lists it."""
    return {
        "condition_id": market.condition_id,
        "tokens": [{"token_id": market.yes, "outcome": "Yes"}, {"token_id": market.no, "outcome": "No"}],
        "minimum_tick_size": 0.01,
        "minimum_order_size": 5,
        "neg_risk": market.neg_risk,
        "market_slug": market.slug,
        "active": True,
        "accepting_orders": True,
        "enable_order_book": True,
    }


async def play(venue: Venue, scenario: tuple[Move, Move], samples: int, *, quotes: bool) -> dict[str, list[int]]:
    """Send a scenario's two moves in turn.

    Args:
        venue: with a bot that has quoted, or a floor bot that has subscribed.
        scenario: its moves.
        samples: how many are wanted; moves that make the bot pull its quotes are none.
        quotes: whether the bot quotes, so that the venue can tell when it is done; else it posts once for each frame.

    Returns:
        Nanoseconds from frame to the first and to the last POST, and to the first cancel where there was one.
    """
    times: dict[str, list[int]] = {"first_order": [], "last_order": [], "cancel": []}
    pauses = random.Random(1)
    turn = 0
    while len(times["first_order"]) < samples:
        move = scenario[turn % 2]
        turn += 1
        is_pull = quotes and not move[1][0]
        sent_ns = await _sample(venue, move, quotes=quotes, is_pull=is_pull)
        if not is_pull:
            times["first_order"].append(min(venue.posts_ns) - sent_ns)
            times["last_order"].append(max(venue.posts_ns) - sent_ns)
            times["cancel"] += [min(venue.cancels_ns) - sent_ns] if venue.cancels_ns else []
        await asyncio.sleep(PULL_PAUSE_SECS if is_pull else pauses.uniform(*PAUSE_SECS))
    if turn % 2:  # leave the book as it was found
        await _sample(venue, scenario[1], quotes=quotes, is_pull=False)
        await asyncio.sleep(PAUSE_SECS[1])
    return times


async def _sample(venue: Venue, move: Move, *, quotes: bool, is_pull: bool) -> int:
    """Send one frame and wait until the bot is done with it; returns when it was sent."""
    before = set(venue.resting)
    frame = venue.frame(move)
    venue.posts_ns.clear()
    venue.cancels_ns.clear()
    assert venue.market_socket is not None
    sent_ns = time.monotonic_ns()
    venue.market_socket.send_text(frame)
    await _settled(venue, lambda: _is_done(venue, before, is_pull) if quotes else bool(venue.posts_ns))
    return sent_ns


def _is_done(venue: Venue, before: set[str], is_pull: bool) -> bool:
    """Whether the bot's quotes are those that the frame should lead to."""
    return not venue.resting if is_pull else len(venue.resting) == 2 and not before & venue.resting.keys()


async def _settled(venue: Venue, is_done: Callable[[], bool]) -> None:
    async with asyncio.timeout(SETTLE_SECS):
        while not is_done():
            venue.changed.clear()
            await venue.changed.wait()


async def serve(samples: int, warm_up: int, *, quotes: bool, tls: ssl.SSLContext | None = None) -> None:
    """Play every scenario for the bot that comes, print the times, and serve until standard input is closed."""
    venue = Venue()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(venue.connection, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    _tell_parent({"url": f"{'https' if tls else 'http'}://127.0.0.1:{port}"})
    async with asyncio.timeout(60):
        await venue.changed.wait()
    if quotes:
        await _settled(venue, lambda: len(venue.resting) == 2)
    await asyncio.sleep(1)
    times = {}
    for name, scenario in (SCENARIOS if quotes else FLOOR).items():
        await play(venue, scenario, warm_up, quotes=quotes)
        times[name] = await play(venue, scenario, samples, quotes=quotes)
    _tell_parent(times)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


def _tell_parent(message: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--floor", action="store_true", help="the bot posts once for each frame and never cancels")
    parser.add_argument("--tls", metavar="FILE", help="a certificate and its key: TLS, as the real venue speaks it")
    options = parser.parse_args()
    tls = None
    if options.tls is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.tls)
    asyncio.run(serve(options.samples, options.warm_up, quotes=not options.floor, tls=tls))


if __name__ == "__main__":
    main()
