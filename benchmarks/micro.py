"""One operation at a time, in one thread, through the daemon's own objects.

Inputs come from `given` and are the same in every run. Each call is timed alone (see `timing`: garbage collector off,
nothing subtracted); what a call needs is prepared outside the clock. "decode + book update" is everything between the
socket's bytes and the listener: `PolymarketMarketChannel.receive` inside `Feed.receive`, YES subscribed, both tokens in
the frame, as live. "decision" is `Quoting.look_at`: own orders out of the touch, the strategy, routing to orders, the
slot. Log lines are written as JSON to a file, as live.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, pairwise
from typing import NamedTuple, TextIO

import msgspec
import structlog

from benchmarks.given import CREDENTIALS, PRIVATE_KEY, Tape, market
from benchmarks.timing import Operation, Timing, measure, measure_in_turns
from mm_daemon.core.book import book_hash
from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.diff import plan
from mm_daemon.core.events import BookSnapshot, LevelChanged
from mm_daemon.core.orders import OrderEvent, new_order
from mm_daemon.core.quotes import Desired, Quote
from mm_daemon.core.risk import Limits, objection
from mm_daemon.core.units import Cash, ConditionId, OrderId, Price, Side, Size
from mm_daemon.exchange.api import SignedOrder
from mm_daemon.exchange.polymarket.auth import RequestSigner
from mm_daemon.exchange.polymarket.market_channel import PolymarketMarketChannel
from mm_daemon.exchange.polymarket.signing import batch_body
from mm_daemon.exchange.polymarket.venue import PolymarketVenue
from mm_daemon.ops.logs import configure_logging
from mm_daemon.strategies.liquidity_provision import LiquidityProvision, LiquidityProvisionConfig
from mm_daemon.tasks.feed import BookListener, Feed
from mm_daemon.tasks.quoting import Quoting

ITERATIONS, QUICK_ITERATIONS = 20_000, 200
MARKET = market()  # on the grid of one cent
FUNDER = "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
SIZE = Size(50_000_000)


def run(log_file: TextIO, *, quick: bool = False) -> list[Timing]:
    """Measure every operation.

    Args:
        log_file: takes the log lines that some operations write.
        quick: a few iterations only, to see that everything works.
    """
    configure_logging("info", "json", log_file)
    times = QUICK_ITERATIONS if quick else ITERATIONS
    timings = [measure("nothing: reading the clock twice", times, _nothing, lambda number: None)]
    timings += _frames(times)
    timings += asyncio.run(_decisions(times))
    timings += _gate(times)
    timings += _signatures(times)
    return timings + _others(times)


def _nothing(argument: object) -> None:
    pass


class _Deaf:
    """A listener that does nothing."""

    def book_changed(self, state: MarketState) -> None:
        pass

    def market_changed(self, state: MarketState) -> None:
        pass

    def wake(self, market: ConditionId) -> None:
        pass

    def send_now(self) -> None:
        pass


class _Fed(NamedTuple):
    """A desk whose books are filled and followed by one feed."""

    desk: Desk
    feed: Feed
    tapes: list[Tape]

    def frames(self) -> Callable[[int], bytes]:
        """The next change of the next market, for `measure`."""
        turn = cycle(self.tapes)
        return lambda number: next(turn).change().encode()

    def receive(self, text: str | bytes) -> None:
        self.feed.receive(text, time.monotonic_ns())


def _desk(markets: int = 1, tick: int = 10) -> Desk:
    desk = Desk(Limits(Cash(250_000_000), Cash(1_000_000_000), 1_000))
    desk.cash = Cash(10_000_000_000)
    for number in range(markets):
        desk.add_market(market(number, tick))
    return desk


def _fed(desk: Desk, levels: int, listener: BookListener | None = None) -> _Fed:
    tokens = [state.market.yes for state in desk.markets.values()]
    feed = Feed(desk, PolymarketMarketChannel("ws://nowhere", tokens), tokens, listener or _Deaf())
    tapes = [Tape(state.market, levels, seed) for seed, state in enumerate(desk.markets.values())]
    fed = _Fed(desk, feed, tapes)
    for tape in tapes:
        fed.receive(tape.snapshot())
    return fed


class _Entry(msgspec.Struct, gc=False):
    asset_id: str
    price: str
    size: str
    side: str
    hash: str
    best_bid: str
    best_ask: str


class _Change(msgspec.Struct, tag_field="event_type", tag="price_change", gc=False):
    market: str
    price_changes: list[_Entry]
    timestamp: str


def _frames(times: int) -> list[Timing]:
    """From bytes to books, what is compared in turns; the frames are made beforehand, as many as are taken."""
    many = 1_000 if times == ITERATIONS else 20
    operations: list[Operation] = []
    for markets, levels in ((1, 20), (1, 400), (many, 20)):
        fed = _fed(_desk(markets), levels)
        made = list(map(fed.frames(), range(times)))
        if not operations:
            channel = PolymarketMarketChannel("ws://nowhere", [fed.tapes[0].market.yes])
            operations = [
                Operation("price_change: msgspec alone", msgspec.json.Decoder(_Change).decode, made),
                Operation("price_change: decode", partial(channel.receive, now_ns=0), made),
            ]
        name = f"price_change: decode + book update, {markets:,} x {levels} levels a side"
        operations.append(Operation(name, fed.receive, made))
    fed = _fed(_desk(), 200)
    tape = fed.tapes[0]
    return [
        *measure_in_turns(operations),
        measure("book: decode + book update, 200 levels a side", times // 20, fed.receive, lambda n: tape.snapshot()),
    ]


async def _decisions(times: int) -> list[Timing]:
    """From a changed book to the slot, with two orders of ours resting."""
    desk = _desk(tick=100)
    quoting, fed = await _quoted(desk, 40)
    state = desk.markets[MARKET.condition_id]

    def look(state: MarketState) -> None:
        quoting.look_at(state.market.condition_id, 0)

    timings = [
        measure("own touch: the touch without our orders", times, desk.touch, lambda number: state),
        measure("look that decides nothing", times, look, lambda number: state),
        measure("frame behind what was read: decode + book update", times, fed.receive, fed.frames()),
    ]
    decided: list[Desired | None] = []
    moved = measure("decision: a moved mid to desired orders", times, look, _moves(state, decided))
    assert all(before is not after for before, after in pairwise(decided)), "a move was not decided"
    return [*timings, moved]


async def _quoted(desk: Desk, levels: int) -> tuple[Quoting, _Fed]:
    """Start the strategy over a desk of filled books, and let what it wants rest."""
    strategy = LiquidityProvision(LiquidityProvisionConfig(markets=("bench-0",)))
    quoting = Quoting(desk, strategy, _Deaf(), time.monotonic_ns)
    fed = _fed(desk, levels, quoting)
    asyncio.get_running_loop().create_task(quoting.run(asyncio.sleep(0))).add_done_callback(lambda task: None)
    await asyncio.sleep(0.01)
    for state in desk.markets.values():
        _rest(desk, state)
    return quoting, fed


def _rest(desk: Desk, state: MarketState) -> None:
    """Let a market's desired orders rest."""
    assert state.desired is not None
    assert len(state.desired.quotes) == 2, state.why
    for number, quote in enumerate(state.desired.quotes):
        id = OrderId(f"0x{number:064x}")
        desk.register(
            new_order(state.market, id, quote.token, quote.side, quote.price, quote.size, why="bench", now_ns=1)
        )
        desk.apply(id, OrderEvent.ACCEPTED, 1)


def _moves(state: MarketState, decided: list[Desired | None]) -> Callable[[int], MarketState]:
    """Move the mid from 0.50 to 0.505 and back by one level at the touch; keeps what was decided before."""
    inside = Price(5000)

    def move(number: int) -> MarketState:
        decided.append(state.desired)
        size = Size(0) if number % 2 else SIZE
        state.book.receive_change(
            LevelChanged(state.market.yes, Side.BUY, inside, size), state.book.time_ms, time.monotonic_ns()
        )
        return state

    return move


def _gate(times: int) -> list[Timing]:
    """From desired orders to those that may be sent."""
    desk = _desk(tick=100)
    state = desk.markets[MARKET.condition_id]
    desk.set_mid(state, 10_000)

    def desired(bid: int, ask: int) -> Desired:
        quotes = (
            Quote(Side.BUY, MARKET.yes, Side.BUY, Price(bid), SIZE),
            Quote(Side.SELL, MARKET.no, Side.BUY, Price(10_000 - ask), SIZE),
        )
        return Desired(market=MARKET.condition_id, quotes=quotes, why="bench", made_ns=2)

    state.desired = desired(4900, 5100)
    _rest(desk, state)
    wish = desired(5000, 5200)
    working = desk.orders.working

    def gate(number: int) -> list[str | None]:
        planned = plan(wish, list(working(MARKET.condition_id)))
        return [objection(quote, desk.situation(state)) for quote in planned.posts]

    assert gate(0) == [None, None]
    return [measure("plan + gate: two desired orders against two resting", times, gate, int)]


def _signatures(times: int) -> list[Timing]:
    """From a quote to bytes."""
    timings = []
    for kind, funder in ((0, ""), (3, FUNDER)):
        venue = PolymarketVenue(
            "http://nowhere", "", private_key=PRIVATE_KEY, funder=funder, signature_type=kind, credentials=CREDENTIALS
        )

        def sign(price: Price, venue: PolymarketVenue = venue) -> SignedOrder:
            return venue.sign(MARKET, MARKET.yes, Side.BUY, price, SIZE)

        timings.append(measure(f"build + sign one order, signature type {kind}", times, sign, _price))
    headers = RequestSigner(venue.account, CREDENTIALS)
    two = [sign(Price(4900)), sign(Price(5100))]
    body = batch_body(two)
    unix_secs = 1_790_000_000

    def request(price: Price) -> tuple[bytes, dict[str, str]]:
        text = batch_body([sign(price)])
        return text, headers.headers(unix_secs, "POST", "/orders", text)

    return [
        *timings,
        measure("body of two orders", times, batch_body, lambda number: two),
        measure(
            "L2 headers over that body", times, lambda secs: headers.headers(secs, "POST", "/orders", body), _unix_secs
        ),
        measure("build + sign + body + L2 headers, one order, type 3", times, request, _price),
    ]


def _price(number: int) -> Price:
    return Price(100 * (1 + number % 99))


def _unix_secs(number: int) -> int:
    return 1_790_000_000 + number


def _others(times: int) -> list[Timing]:
    """What else is on the path or beside it."""
    tape = Tape(MARKET, 200, 7)
    snapshot = BookSnapshot(MARKET.condition_id, MARKET.yes, 1, list(tape.bids.items()), list(tape.asks.items()))
    log = structlog.get_logger()

    def hash_of(number: int) -> str:
        return book_hash(
            market=MARKET.condition_id,
            token=MARKET.yes,
            time_ms=number,
            bids=snapshot.bids,
            asks=snapshot.asks,
            min_size=MARKET.min_size,
            tick=MARKET.tick,
            neg_risk=False,
            last_trade=Price(5000),
        )

    def log_line(number: int) -> None:
        log.info(
            "order_sent",
            order=MARKET.condition_id,
            market="bench-0",
            side="BUY YES",
            price="0.49",
            size="50",
            why="mid_moved",
        )

    return [
        measure("log line of an order, JSON to a file", times, log_line, int),
        measure("book hash, 200 levels a side", times // 20, hash_of, int),
    ]
