"""The quoting loop: what happens becomes an event for the strategy, and its signals become desired quotes.

Books that changed are looked at as soon as the frames at hand are read. From there it is one plain call through the
strategy and the market's slot to the order's bytes. However often a book changed meanwhile, it is looked at once. The
slot holds the newest wish only, so slowness never builds a queue of stale quotes.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

import structlog
from msgspec import structs

from mm_daemon.core.book import Touch
from mm_daemon.core.desk import Desk, FillEffect, MarketState
from mm_daemon.core.fills import Step
from mm_daemon.core.inventory import Holdings
from mm_daemon.core.market import Market
from mm_daemon.core.orders import Order
from mm_daemon.core.quotes import Desired, TwoSidedQuote, quotes_for
from mm_daemon.core.units import Cash, ConditionId, Outcome, Price, Side, floor_size, mirror
from mm_daemon.strategies.api import (
    BookChanged,
    CancelQuotes,
    Event,
    Filled,
    MarketChanged,
    QuoteMarket,
    Signal,
    Strategy,
    TimerFired,
)

LOOK_NS = 2_000_000
"""How long looking may take before frames, answers and timers get their turn."""

log = structlog.get_logger()


class Placer(Protocol):
    """Who makes desired quotes rest."""

    def wake(self, market: ConditionId) -> None:
        """The wish or the orders of a market changed."""
        ...

    def send_now(self) -> None:
        """Send what the markets woken so far call for, rather than at its own next turn."""
        ...


class DeskMarketView:
    """One market of the desk, to read; what it hands out are copies."""

    def __init__(self, desk: Desk, state: MarketState) -> None:
        self._desk = desk
        self._state = state

    @property
    def market(self) -> Market:
        """Its rules."""
        return self._state.market

    @property
    def book_is_known(self) -> bool:
        """Whether the book is current."""
        return self._state.book.is_known

    @property
    def touch(self) -> Touch:
        """Best bid and ask of everybody else."""
        return self._desk.touch(self._state)

    def others_depth(self, lowest_bid: Price, highest_ask: Price, enough: Cash | None = None) -> Cash:
        """Dollars of others' orders between these prices, or at least `enough` of them."""
        bids, asks = self._desk.own_levels(self._state)
        book = self._state.book
        depth = book.bids.depth_to(lowest_bid, bids, enough)
        if enough is not None:
            if depth >= enough:
                return depth
            enough = Cash(enough - depth)
        return Cash(depth + book.asks.depth_to(highest_ask, asks, enough))

    @property
    def holdings(self) -> Holdings:
        """What we hold, provisional fills included."""
        return self._state.position.holdings

    @property
    def open_orders(self) -> Sequence[Order]:
        """Our orders that may rest."""
        working = self._desk.orders.working(self._state.market.condition_id)
        return [copy.copy(order) for order in working if order.may_rest]


class DeskView:
    """The whole desk, to read."""

    def __init__(self, desk: Desk, clock_ns: Callable[[], int]) -> None:
        self._markets = {id: DeskMarketView(desk, state) for id, state in desk.markets.items()}
        self._clock_ns = clock_ns

    @property
    def now_ns(self) -> int:
        """Monotonic time."""
        return self._clock_ns()

    @property
    def markets(self) -> Mapping[ConditionId, DeskMarketView]:
        """Every market."""
        return self._markets


class Quoting:
    """Runs one strategy over the desk.

    Attributes:
        decided_ns: monotonic time of the last turn of the timer; the heartbeat stops when it stands still.
        decisions: how many events the strategy has answered.
        is_flattening: only what reduces positions is wanted.
    """

    def __init__(self, desk: Desk, strategy: Strategy, placer: Placer, clock_ns: Callable[[], int]) -> None:
        self._desk = desk
        self._strategy = strategy
        self._placer = placer
        self._clock_ns = clock_ns
        self._view = DeskView(desk, clock_ns)
        self._replace_before: dict[tuple[ConditionId, Side], int] = {}
        self._is_deciding = False
        self._changed: dict[ConditionId, int] = {}
        self._look_is_due = False
        self._error: Exception | None = None
        self._failed = asyncio.Event()
        self.is_flattening = False
        self.decided_ns = clock_ns()
        self.decisions = 0

    async def run(self, ready: Awaitable[object]) -> None:
        """Give every market its timer, spread evenly over the refresh interval, until cancelled; then decide no more.

        Args:
            ready: waited for before the strategy sees anything, so that its first look is not at unknown books.
        """
        await ready
        self._is_deciding = True
        try:
            self._follow(self._strategy.initialize(self._view))
            self._set_timer(asyncio.get_running_loop().time(), iter(()))
            await self._failed.wait()
            assert self._error is not None
            raise self._error
        finally:
            self._is_deciding = False

    def _set_timer(self, before: float, markets: Iterator[ConditionId]) -> None:
        """Have the next market looked at without any other reason, one part of the refresh interval after `before`.

        Args:
            before: when the turn before was due, by the loop's clock; what was missed is not made up for.
            markets: those whose turn comes before the next round.
        """
        loop = asyncio.get_running_loop()
        due = max(before + self._strategy.refresh_interval_secs / len(self._desk.markets), loop.time())
        loop.call_at(due, self._turn_timer, due, markets)

    def _turn_timer(self, due: float, markets: Iterator[ConditionId]) -> None:
        if not self._is_deciding:
            return
        market = next(markets, None)
        if market is None:
            markets = iter(list(self._desk.markets))
            market = next(markets)
        self.decided_ns = self._clock_ns()
        try:
            self._decide(TimerFired(market))
            self._placer.send_now()
            self._set_timer(due, markets)
        except Exception as error:  # noqa: BLE001 - see _fail
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End `run` with this error: a callback of the event loop has nobody else to raise it to."""
        self._error = self._error or error
        self._failed.set()

    def book_changed(self, state: MarketState) -> None:
        """Have the market looked at, once all frames at hand are read; after those that wait already."""
        self._changed.setdefault(state.market.condition_id, state.book.received_ns)
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._look_is_due:
            self._look_is_due = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Look at books that changed, the longest waiting first, and have what comes of it sent."""
        self._look_is_due = False
        until_ns = self._clock_ns() + LOOK_NS
        try:
            while self._changed:
                market = next(iter(self._changed))
                self.look_at(market, self._changed.pop(market))
                if self._clock_ns() > until_ns:
                    break
            self._placer.send_now()
        except Exception as error:  # noqa: BLE001 - see _fail
            self._fail(error)
        if self._changed:
            self._look_soon()

    def look_at(self, market: ConditionId, arrived_ns: int) -> None:
        """Mark the market at its new mid and let the strategy look."""
        state = self._desk.markets[market]
        state.book.begin_look()
        self._mark(state)
        self._decide(BookChanged(market), arrived_ns)

    def market_changed(self, state: MarketState) -> None:
        """The tick or the status changed."""
        self._decide(MarketChanged(state.market.condition_id))

    def filled(self, effects: Iterable[FillEffect]) -> None:
        """Fills of ours were booked, settled or reversed."""
        for effect in effects:
            state = self._desk.markets[effect.fill.market]
            self._placer.wake(state.market.condition_id)
            if effect.step in (Step.BOOK, Step.BOOK_SETTLED):
                is_no = state.market.outcome(effect.fill.token) is Outcome.NO
                price = mirror(effect.fill.price) if is_no else effect.fill.price
                self._decide(Filled(state.market.condition_id, effect.direction, price, effect.fill.size))
            else:
                self._decide(TimerFired(state.market.condition_id))

    def requote(self, market: ConditionId) -> None:
        """Decide anew: an order was refused or did not fit, and what stands in the slot is out of date."""
        self._decide(TimerFired(market))

    def flatten(self, wanted: bool) -> None:
        """From now on only reduce positions, one tick inside the touch; or quote by the strategy again."""
        self.is_flattening = wanted
        for market in list(self._desk.markets):
            self.requote(market)

    def _mark(self, state: MarketState) -> None:
        if state.book.is_known:
            touch = self._desk.touch(state)
            if touch.is_two_sided and not touch.is_crossed:
                self._desk.set_mid(state, touch.twice_mid)

    def _decide(self, event: Event, arrived_ns: int = 0) -> None:
        if not self._is_deciding:
            return
        self.decisions += 1
        signals = self._strategy.on_event(event, self._view)
        if self.is_flattening:
            state = self._desk.markets[event.market]
            self._want(state, flattening(self._desk, state, self._clock_ns()))
        else:
            self._follow(signals, arrived_ns)

    def _follow(self, signals: Iterable[Signal], arrived_ns: int = 0) -> None:
        """Put what the strategy wants into the slots."""
        for signal in signals:
            state = self._desk.markets[signal.market]
            if isinstance(signal, CancelQuotes):
                self._want(state, nothing(signal.market, signal.why, self._clock_ns()))
                # Not now: the cancels have to leave first.
                tell = partial(log.info, "quotes_pulled", market=state.market.slug, why=signal.why)
                asyncio.get_running_loop().call_soon(tell)
            else:
                self._want(state, self._desired(state, signal, arrived_ns))

    def _want(self, state: MarketState, desired: Desired) -> None:
        state.desired = desired
        state.why = desired.why
        self._placer.wake(desired.market)

    def _desired(self, state: MarketState, signal: QuoteMarket, arrived_ns: int) -> Desired:
        """Route a quote to orders, cut to what limits and holdings leave room for."""
        now_ns = self._clock_ns()
        for side in signal.replace:
            self._replace_before[signal.market, side] = now_ns
        quotes, missing = quotes_for(state.market, signal.quote, self._desk.room(state))
        stale = now_ns - signal.stale_after_ns
        why = signal.why
        if missing:
            why += "; " + ", ".join(f"no {'bid' if side is Side.BUY else 'ask'}: {r}" for side, r in missing.items())
        return Desired(
            market=signal.market,
            quotes=quotes,
            why=why,
            made_ns=now_ns,
            arrived_ns=arrived_ns,
            quote=signal.quote,
            replace_bids_before_ns=max(stale, self._replace_before.get((signal.market, Side.BUY), 0)),
            replace_asks_before_ns=max(stale, self._replace_before.get((signal.market, Side.SELL), 0)),
        )


def nothing(market: ConditionId, why: str, now_ns: int) -> Desired:
    """The wish that no quote rests."""
    return Desired(market=market, quotes=(), why=why, made_ns=now_ns)


def flattening(desk: Desk, state: MarketState, now_ns: int) -> Desired:
    """The wish that reduces a position: its whole size on one side, as near to the other side as post-only allows."""
    market, net, touch = state.market, state.position.net, desk.touch(state)
    if abs(net) < market.min_size:
        return nothing(market.condition_id, "flat", now_ns)
    if not state.book.is_known or not touch.is_two_sided or touch.is_crossed:
        return nothing(market.condition_id, "flatten: no touch", now_ns)
    bid = ask = None
    if net > 0:
        ask = Price(min(max(touch.ask - market.tick, touch.bid + market.tick), market.highest))
    else:
        bid = Price(max(min(touch.bid + market.tick, touch.ask - market.tick), market.lowest))
    room, size = desk.room(state), floor_size(abs(net))
    room = structs.replace(room, buy=min(room.buy, size), sell=min(room.sell, size))
    most = desk.limits.max_order or desk.limits.max_position
    quotes, _ = quotes_for(market, TwoSidedQuote(bid=bid, ask=ask, notional=most), room)
    return Desired(market=market.condition_id, quotes=quotes, why="flatten", made_ns=now_ns)
