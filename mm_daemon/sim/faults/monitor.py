"""Watches one account from the exchange's side, at every order and every trade: limits, fills, cash.

**Exposure.** Only a placement can take the worst case over a limit: a fill turns an order into position, a cancel takes
it away, and a mid moves without anybody's doing. So at each placement, of an order of direction d, the worst case on
that side (position and everything that rests there, the new order included) is taken in dollars at the mid of everybody
else's orders, at the mid most in our favour of those that stood from a second before the order was signed until then;
from 20 seconds before, if a fault has hidden the books. It must be within the market's limit, and together with the
other markets' within the total.

**Doubt.** A trade that fails takes back what a client had counted on. Its size is taken off for a second, the time to
hear of it; for 35, the period of a full reading and some more, if a fault has kept news from the client.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from mm_daemon.core.market import MarketStatus
from mm_daemon.core.units import DOLLAR, USD, ConditionId, OrderId, Outcome, Side
from mm_daemon.sim.accounts import ConservationError
from mm_daemon.sim.faults.play import FEED_KINDS, NEWS_KINDS, FaultPlay
from mm_daemon.sim.listing import MarketState, UserFrame
from mm_daemon.sim.marketdata import MarketFrame
from mm_daemon.sim.model import MakerPart, SimOrder, Trade, TradeStatus
from mm_daemon.sim.venue import Venue

FRESH_MS = 1_000
BLIND_MS = 20_000
HEARD_MS = 1_000
UNHEARD_MS = 35_000
MOST_VIOLATIONS = 50


class AccountLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What the account's owner has promised, in dollars and orders."""

    max_position: float
    max_total: float
    max_open_orders: int


class Case(msgspec.Struct, frozen=True):
    """Net YES in micro-shares if only our bids fill, and if only our asks fill."""

    long: int
    short: int

    def dollars(self, twice_mid: int) -> float:
        """At risk in the worse case."""
        return max(self.side(Side.BUY, twice_mid), self.side(Side.SELL, twice_mid))

    def side(self, direction: Side, twice_mid: int) -> float:
        """At risk if only the orders of this direction fill."""
        if direction is Side.BUY:
            return max(self.long, 0) * twice_mid / (2 * DOLLAR * USD)
        return max(-self.short, 0) * (2 * DOLLAR - twice_mid) / (2 * DOLLAR * USD)


class FillSeen(msgspec.Struct, frozen=True):
    """A fill of the account, as the exchange has it; sizes and prices in base units."""

    trade: str
    order: str
    status: str
    matched_ms: int
    updated_ms: int
    market: str
    outcome: str
    side: str
    price: int
    size: int


class Snapshot(msgspec.Struct, frozen=True):
    """Tokens of the account, settled or not, by market: YES and NO in micro-shares."""

    at_ms: int
    positions: dict[str, tuple[int, int]]


class Monitor:
    """See the module docstring.

    Attributes:
        violations: what was found, in words.
        placed: orders that came to rest.
        peak: the largest share of the market's and of the total limit that a placement came to.
        history: the positions after each change of a trade of ours, oldest first.
    """

    def __init__(self, venue: Venue, account: str, limits: AccountLimits, play: FaultPlay) -> None:
        self._venue = venue
        self._account = account.lower()
        self._limits = limits
        self._play = play
        self._mids: dict[ConditionId, deque[tuple[int, int]]] = {id: deque() for id in venue.markets}
        self._failed: deque[tuple[int, Trade]] = deque()
        self.violations: list[str] = []
        self.placed = 0
        self.peak = {"market": 0.0, "total": 0.0, "open_orders": 0.0}
        self.history: list[Snapshot] = [Snapshot(0, {})]
        venue.fund_new(self._account)  # before we look, for a look makes an account
        for state in venue.markets.values():
            self._note_mid(state)
        venue.market_listeners.append(self.receive_market)
        venue.user_listeners.append(self.receive_user)

    # What the exchange tells

    def receive_market(self, frame: MarketFrame) -> None:
        """A market changed."""
        state = self._venue.markets.get(frame.payload["market"])
        if state is not None and frame.payload["event_type"] in ("price_change", "book"):
            self._note_mid(state)

    def receive_user(self, frame: UserFrame) -> None:
        """An order or a trade of somebody changed."""
        payload = frame.payload
        if payload["event_type"] == "order":
            order = self._venue.orders.get(OrderId(payload["id"]))
            if order is not None and order.maker == self._account and payload["type"] == "PLACEMENT":
                self._check_placement(order)
            return
        trade = self._venue.settlement.trades[payload["id"]]
        if trade.taker.maker == self._account:
            self._complain(f"trade {trade.id}: we were the taker of post-only orders")
        if trade.status is TradeStatus.FAILED:
            self._failed.append((self._venue.clock(), trade))
        self.history.append(self.snapshot())

    def _note_mid(self, state: MarketState) -> None:
        bid = state.book.best_without(Side.BUY, self._account)
        ask = state.book.best_without(Side.SELL, self._account)
        mids = self._mids[state.market.condition_id]
        if bid is None or ask is None or (mids and mids[-1][1] == bid + ask):
            return
        now = self._venue.clock()
        mids.append((now, bid + ask))
        while len(mids) > 1 and mids[1][0] < now - 2 * BLIND_MS:
            mids.popleft()

    # Exposure

    def _check_placement(self, order: SimOrder) -> None:
        self.placed += 1
        state = self._venue.markets[order.market]
        since = self._seen_since(order)
        own = min(self._case(state).side(order.direction, mid) for mid in self._mids_since(state, since))
        others = sum(
            min(self._case(other).dollars(mid) for mid in self._mids_since(other, since))
            for other in self._venue.markets.values()
            if other is not state and other.market.status is not MarketStatus.RESOLVED
        )
        open_orders = len(self._venue.orders_of(self._account))
        limits = self._limits
        for name, value, most in (
            ("market", own, limits.max_position),
            ("total", own + others, limits.max_total),
            ("open_orders", open_orders, limits.max_open_orders),
        ):
            self.peak[name] = max(self.peak[name], value / most)
            if value > most and (name != "total" or own > 0):
                self._complain(
                    f"{name} limit {most:g} exceeded: {value:.4f} by {order.direction.name} order {order.id[:10]} of "
                    f"{order.remaining / 1e6:g} at {order.yes_price} in {state.market.slug}, "
                    f"case {self._case(state)}, positions {self.snapshot().positions}"
                )

    def _seen_since(self, order: SimOrder) -> int:
        now = self._venue.clock()
        if self._play.had(FEED_KINDS, now - BLIND_MS):
            return now - BLIND_MS
        return min(now, order.signed_ms) - FRESH_MS

    def _mids_since(self, state: MarketState, since_ms: int) -> list[int]:
        """The mid that stood at `since_ms` and all later ones; 2 dollars, the worst, if there never was one."""
        mids = self._mids[state.market.condition_id]
        later = [mid for at, mid in mids if at >= since_ms]
        before = [mid for at, mid in mids if at < since_ms]
        return before[-1:] + later or [2 * DOLLAR]

    def _case(self, state: MarketState) -> Case:
        """The worst cases of one market, less what is in doubt."""
        yes, no = self._held(state)
        orders = [order for order in state.book.orders() if order.maker == self._account]
        doubt = self._in_doubt(state)
        bids = sum(order.remaining for order in orders if order.direction is Side.BUY)
        asks = sum(order.remaining for order in orders if order.direction is Side.SELL)
        return Case(yes - no + bids - doubt[Side.SELL], yes - no - asks + doubt[Side.BUY])

    def _in_doubt(self, state: MarketState) -> dict[Side, int]:
        """Shares of bids and asks of ours that were filled in trades whose failure we may not have heard of."""
        now = self._venue.clock()
        span = UNHEARD_MS if self._play.had(NEWS_KINDS, now - UNHEARD_MS) else HEARD_MS
        doubt = dict.fromkeys(Side, 0)
        for at_ms, trade in self._failed:
            if at_ms >= now - span and trade.taker.market == state.market.condition_id:
                for part in self._parts(trade):
                    doubt[part.order.direction] += part.size
        return doubt

    # Accounts

    def snapshot(self) -> Snapshot:
        """What the account holds now."""
        held = {state.market.slug: self._held(state) for state in self._venue.markets.values()}
        return Snapshot(self._venue.clock(), {slug: pair for slug, pair in held.items() if any(pair)})

    def fills(self) -> list[FillSeen]:
        """Every fill of the account, oldest first."""
        return [
            self._seen(trade, part) for trade in self._venue.settlement.trades.values() for part in self._parts(trade)
        ]

    def accounts_are_wrong(self) -> str:
        """What does not add up, in words; empty if everything does."""
        try:
            self._venue.conserves()
        except ConservationError as error:
            return str(error)
        held: dict[tuple[str, str], int] = {}
        for fill in self.fills():
            if fill.status != TradeStatus.FAILED:
                key = fill.market, fill.outcome
                held[key] = held.get(key, 0) + (fill.size if fill.side == "BUY" else -fill.size)
        for state in self._venue.markets.values():
            for outcome, amount in zip(Outcome, self._held(state), strict=True):
                if held.get((state.market.slug, outcome.name), 0) != amount:
                    return f"{state.market.slug} {outcome.name}: fills make {held}, the ledger has {amount}"
        return ""

    def _held(self, state: MarketState) -> tuple[int, int]:
        ledger, market = self._venue.ledger, state.market
        return ledger.balance(self._account, market.yes).total, ledger.balance(self._account, market.no).total

    def _parts(self, trade: Trade) -> list[MakerPart]:
        return [part for part in trade.makers if part.order.maker == self._account]

    def _seen(self, trade: Trade, part: MakerPart) -> FillSeen:
        order = part.order
        return FillSeen(
            trade=trade.id,
            order=order.id,
            status=trade.status.value,
            matched_ms=trade.matched_ms,
            updated_ms=trade.updated_ms,
            market=self._venue.markets[order.market].market.slug,
            outcome=order.outcome.name,
            side=order.side.name,
            price=order.price,
            size=part.size,
        )

    def _complain(self, what: str) -> None:
        if len(self.violations) < MOST_VIOLATIONS:
            self.violations.append(what)

    def report(self) -> dict[str, Any]:
        """Everything, to be sent as JSON."""
        return {
            "now_ms": self._venue.clock(),
            "orders": [order.id for order in self._venue.orders_of(self._account)],
            "history": self.history,
            "fills": self.fills(),
            "violations": self.violations,
            "accounts": self.accounts_are_wrong(),
            "placed": self.placed,
            "peak": self.peak,
            "hits": dict(self._play.hits),
            "begun": [(begun.fault.kind, begun.at_ms, begun.fault.secs) for begun in self._play.begun],
        }
