"""Seeded order flow: a fair value that moves, makers who keep depth around it, takers who know it and takers who don't.

Everything runs as timers of the venue, through the same book and ledger as every order. All chance comes from one
`random.Random` a market, and all times from the timers, so a seed and a clock give one history.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from mm_daemon.core.market import MarketStatus
from mm_daemon.core.units import DOLLAR, SHARE, SIZE_STEP, Cash, OrderId, Outcome, Price, Side, Size, notional
from mm_daemon.sim.listing import MarketState
from mm_daemon.sim.model import Refusal, SimOrder, Tif
from mm_daemon.sim.traders import Trader
from mm_daemon.sim.venue import Venue

LEVELS = 8
STEP_MS = 250
TOP_UP_MS = 1_500
LAG_MS = 5_000
"""After a pause of the whole process the flow goes on from now, not from where it stopped."""


@dataclass(frozen=True, slots=True)
class FlowPace:
    """How lively a market is. Times are means in milliseconds at speed 1; moves are in log-odds."""

    noise_ms: float = 3_000
    informed_ms: float = 900
    jump_ms: float = 90_000
    move: float = 0.003
    jump: float = 0.06
    pull: float = 0.002
    reach: float = 0.3


class FairValue:
    """A hidden price that wanders in log-odds, is pulled back to where it began, and sometimes jumps."""

    def __init__(self, start: float, pace: FlowPace, rng: Random) -> None:
        self._home = self._now = math.log(start / (1 - start))
        self._pace = pace
        self._rng = rng

    def step(self) -> None:
        """Move by one small step, or jump."""
        pace, rng = self._pace, self._rng
        self._now += rng.gauss(0, pace.move) + pace.pull * (self._home - self._now)
        if rng.random() < STEP_MS / pace.jump_ms:
            self._now += rng.choice((-1, 1)) * pace.jump * rng.uniform(0.5, 1.5)
        self._now = min(max(self._now, self._home - pace.reach), self._home + pace.reach)

    @property
    def units(self) -> float:
        """The fair price of YES in 1/10,000 dollar."""
        return DOLLAR / (1 + math.exp(-self._now))


class MarketFlow:
    """The crowd of one market."""

    def __init__(self, venue: Venue, state: MarketState, seed: int, speed: float, pace: FlowPace) -> None:
        self._venue = venue
        self._state = state
        self._speed = speed
        self._pace = pace
        self._rng = Random(f"flow:{seed}:{state.market.slug}")
        start = (state.feed.last_trade or 5_000) / DOLLAR
        self.fair = FairValue(start, pace, self._rng)
        self._centre = self._on_grid(self.fair.units)
        self._mood = 0.0
        self._requote_waits = False
        slug = state.market.slug
        self._makers = [Trader(venue, f"depth-{number}-{slug}") for number in (1, 2)]
        self._noise = Trader(venue, f"noise-{slug}")
        self._informed = Trader(venue, f"informed-{slug}")

    def start(self, now_ms: int) -> None:
        """Fill the book and set everything going."""
        self._quote()
        self._every(now_ms, lambda: STEP_MS, self._move)
        self._every(now_ms, lambda: TOP_UP_MS * self._rng.uniform(0.7, 1.3), self._quote)
        self._every(now_ms, lambda: self._rng.expovariate(1 / self._pace.noise_ms), self._take_at_random)
        self._every(now_ms, lambda: self._rng.expovariate(1 / self._pace.informed_ms), self._take_the_stale)

    def _every(self, now_ms: int, delay: Callable[[], float], act: Callable[[], None]) -> None:
        """Run `act` again and again, `delay` (at speed 1) apart, while the market is open."""
        due = now_ms + max(1, round(delay() / self._speed))

        def run(due_ms: int) -> None:
            if self._state.market.status is MarketStatus.RESOLVED:
                return
            if self._state.market.status is MarketStatus.OPEN:
                act()
            self._every(max(due_ms, self._venue.clock() - LAG_MS), delay, act)

        self._venue.call_at(due, run)

    def _move(self) -> None:
        """Let the fair value step; the depth makers follow once it is far enough from their centre, after a while."""
        self.fair.step()
        self._mood = 0.995 * self._mood + self._rng.gauss(0, 0.03)
        enough = max(0.7 * self._state.market.tick, 0.25 * self._half())
        if self._requote_waits or abs(self.fair.units - self._centre) < enough:
            return
        self._requote_waits = True
        delay = self._rng.uniform(150, 600) / self._speed
        self._venue.call_at(self._venue.clock() + max(1, round(delay)), self._recentre)

    def _recentre(self, _due: int) -> None:
        self._requote_waits = False
        self._centre = self._on_grid(self.fair.units)
        if self._state.market.status is MarketStatus.OPEN:
            self._quote()

    def _quote(self) -> None:
        """Make the depth what it should be: cancel what is out of place, then add what is missing."""
        wanted = {Side.BUY: self._prices(Side.BUY), Side.SELL: self._prices(Side.SELL)}
        for maker in self._makers:
            resting = self._venue.live_orders(maker.owner)
            stale = [order.id for order in resting if self._is_stale(order, wanted[order.direction])]
            maker.cancel(*stale)
            self._add_missing(maker, wanted, {order.id for order in resting} - set(stale))

    def _is_stale(self, order: SimOrder, prices: list[Price]) -> bool:
        return order.yes_price not in prices or order.matched * 2 > order.size

    def _add_missing(self, maker: Trader, wanted: dict[Side, list[Price]], kept: set[OrderId]) -> None:
        present = {(order.direction, order.yes_price) for id in kept if (order := self._venue.orders.get(id))}
        for direction, prices in wanted.items():
            for rank, yes_price in enumerate(prices):
                if (direction, yes_price) not in present:
                    self._rest(maker, direction, yes_price, rank)

    def _rest(self, maker: Trader, direction: Side, yes_price: Price, rank: int) -> None:
        """One depth order, on either token; it stays away where it would cross somebody's stale quote."""
        outcome = self._rng.choice((Outcome.YES, Outcome.NO))
        side = direction if outcome is Outcome.YES else direction.opposite
        dollars = self._rng.uniform(150, 240) * (1 + 0.15 * rank)
        size = self._round(dollars / max(min(yes_price, DOLLAR - yes_price), 2_500) * DOLLAR)
        price = SimOrder.price_on(outcome, yes_price)
        try:
            maker.place(self._state.market.slug, outcome, side, price, size, post_only=True)
        except Refusal as refusal:
            if "crosses" not in refusal.text:
                raise

    def _take_at_random(self) -> None:
        """Somebody trades for reasons of his own, at any price within reach of the depth."""
        direction = Side.BUY if self._rng.random() < 0.5 + max(-0.3, min(0.3, self._mood)) else Side.SELL
        shares = min(200.0, 12 + self._rng.expovariate(1 / 45))
        slack = 2 * self._half() + self._state.market.tick
        self._take(self._noise, direction, self._centre + (slack if direction is Side.BUY else -slack), shares)

    def _take_the_stale(self) -> None:
        """Somebody who knows the fair value takes quotes that it has left behind."""
        bid, ask = self._state.feed.best(Outcome.YES)
        fair, edge = self.fair.units, 0.15 * self._half()
        shares = self._rng.uniform(20, 120)
        if 0 < ask < fair - edge:
            self._take(self._informed, Side.BUY, fair - edge, shares)
        elif DOLLAR > bid > fair + edge:
            self._take(self._informed, Side.SELL, fair + edge, shares)

    def _take(self, taker: Trader, direction: Side, limit: float, shares: float) -> None:
        """A FAK order on either token, in dollars now and then; one that finds nothing is simply gone."""
        rng, market = self._rng, self._state.market
        grid = self._floor(limit) if direction is Side.BUY else self._ceil(limit)
        yes_price = Price(min(max(grid, market.lowest), market.highest))
        outcome = rng.choice((Outcome.YES, Outcome.NO))
        side = direction if outcome is Outcome.YES else direction.opposite
        price, size = SimOrder.price_on(outcome, yes_price), self._round(shares)
        in_dollars = side is Side.BUY and rng.random() < 0.5
        budget = Cash(notional(price, size) // 10_000 * 10_000) if in_dollars else Cash(0)
        try:
            taker.place(market.slug, outcome, side, price, size, Tif.FAK, budget=budget)
        except Refusal as refusal:
            if "FAK" not in refusal.text and "min size" not in refusal.text:
                raise

    def _prices(self, side: Side) -> list[Price]:
        """Where depth belongs on one side of the YES axis, best first."""
        market, sign = self._state.market, -1 if side is Side.BUY else 1
        step = max(market.tick, self._floor(self._centre * 0.004))
        prices = (Price(round(self._centre + sign * (self._half() + rank * step))) for rank in range(LEVELS))
        return [price for price in prices if market.is_on_grid(price)]

    def _half(self) -> int:
        """Half the spread of the depth: two ticks of a cent, or about 1.6 % of the price on a fine grid."""
        tick = self._state.market.tick
        return max(2 * tick, self._floor(self._centre * 0.016)) if tick < 100 else 2 * tick

    def _on_grid(self, price: float) -> Price:
        tick = self._state.market.tick
        return Price(round(price / tick) * tick)

    def _floor(self, price: float) -> Price:
        tick = self._state.market.tick
        return Price(math.floor(price / tick) * tick)

    def _ceil(self, price: float) -> Price:
        tick = self._state.market.tick
        return Price(math.ceil(price / tick) * tick)

    @staticmethod
    def _round(shares: float) -> Size:
        return Size(round(shares * SHARE) // SIZE_STEP * SIZE_STEP)


def start_flow(venue: Venue, seed: int, speed: float, pace: FlowPace | None = None) -> list[MarketFlow]:
    """Set the order flow of every market going.

    Args:
        venue: where to trade; its timers drive the flow.
        seed: the same seed, clock and orders of others give the same flow.
        speed: multiplies every rate; above zero.
        pace: how lively the markets are.

    Raises:
        ValueError: `speed` is not above zero.
    """
    if speed <= 0:
        raise ValueError("the speed of the order flow has to be above zero")
    flows = [MarketFlow(venue, state, seed, speed, pace or FlowPace()) for state in venue.markets.values()]
    for flow in flows:
        flow.start(venue.clock())
    return flows
