"""The exchange's state and its rules after a request has been read: placing, matching, cancelling, settling.

Everything is synchronous and takes its time from `clock`; what happens later (settlement, expiry, the dead-man switch,
order flow) waits in `timers` until `advance` runs it. Frames go out through listeners, called in the venue's order.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from mm_daemon.core.market import MarketStatus
from mm_daemon.core.units import USD, Cash, ConditionId, OrderId, Outcome, Price, Side, Size
from mm_daemon.sim.accounts import Ledger
from mm_daemon.sim.keys import HEARTBEAT_MS, Heartbeat, Heartbeats, KeyRing
from mm_daemon.sim.listing import MarketState, UserFrame, VenueRules
from mm_daemon.sim.marketdata import LevelChange, MarketFeed, MarketFrame
from mm_daemon.sim.markets import Listing
from mm_daemon.sim.matching import OrderBook
from mm_daemon.sim.model import DUST, Refusal, SimOrder, Tif, Trade
from mm_daemon.sim.settlement import Path, Settlement, make_trades, taker_fee, transaction_of
from mm_daemon.sim.timers import Timers
from mm_daemon.sim.verify import exchange_contracts
from mm_daemon.sim.wire import new_market_frame, order_event, trade_event

GTD_MARGIN_SECS = 60
"""An order dies this long before the expiration it states."""
KEPT_ORDERS = 50_000
"""Finished orders that can still be looked up."""
ALREADY_GONE = "order can't be found - already canceled or matched"


class Venue:
    """The exchange. See the module docstring."""

    def __init__(self, listings: Sequence[Listing], rules: VenueRules, clock: Callable[[], int]) -> None:
        self.rules = rules
        self.clock = clock
        self.ledger = Ledger()
        self.timers = Timers()
        self.keys = KeyRing(rules.seed)
        self.heartbeats = Heartbeats()
        self.orders: OrderedDict[OrderId, SimOrder] = OrderedDict()
        self.settlement = Settlement(self.ledger, rules.mined_after_ms, rules.confirmed_after_ms)
        self.market_listeners: list[Callable[[MarketFrame], None]] = []
        self.user_listeners: list[Callable[[UserFrame], None]] = []
        self.wake: Callable[[], None] = lambda: None
        self.markets: dict[ConditionId, MarketState] = {}
        self._by_ref: dict[str, MarketState] = {}
        self._live: dict[str, dict[OrderId, SimOrder]] = {}
        self._revoked: set[tuple[str, str]] = set()
        self._internal_orders = 0
        for listing in listings:
            self.list_market(listing)

    # markets

    def list_market(self, listing: Listing) -> MarketState:
        """Open a market."""
        feed = MarketFeed(listing.market, self.clock(), listing.fair)
        state = MarketState(listing.market, listing.fee_rate, OrderBook(), feed)
        self.markets[listing.market.condition_id] = state
        market = listing.market
        self._by_ref.update(dict.fromkeys((market.condition_id, market.slug, *market.tokens), state))
        self._publish(MarketFrame((), new_market_frame(listing.market, self.clock()), custom_only=True))
        return state

    def find(self, ref: str) -> MarketState:
        """A market by condition id, slug or token.

        Raises:
            KeyError: there is none.
        """
        return self._by_ref[ref]

    def by_token(self, token: str) -> MarketState:
        """The market of a token.

        Raises:
            Refusal: 404, no book for this token.
        """
        state = self._by_ref.get(token)
        if state is None or token not in state.market.tokens or state.market.status is MarketStatus.RESOLVED:
            raise Refusal("No orderbook exists for the requested token id", 404)
        return state

    def set_tick(self, ref: str, tick: Price) -> None:
        """Put a new price grid in force; orders off the new grid are cancelled."""
        state = self.find(ref)
        state.market = msgspec.structs.replace(state.market, tick=tick)
        off_grid = [order for order in state.book.orders() if not state.market.is_on_grid(order.price)]
        self._take_off(off_grid, "CANCELED")
        for frame in state.feed.change_tick(state.market, self.clock()):
            self._publish(frame)

    def set_status(self, ref: str, status: MarketStatus) -> None:
        """Change whether a market takes orders; resting ones stay."""
        state = self.find(ref)
        state.market = state.feed.market = msgspec.structs.replace(state.market, status=status)

    def resolve(self, ref: str, winner: Outcome) -> None:
        """Decide a market: its orders are cancelled and its book is gone. Tokens keep their collateral behind them."""
        state = self.find(ref)
        self._take_off(state.book.orders(), "CANCELED_MARKET_RESOLVED")
        state.winner = winner
        self.set_status(ref, MarketStatus.RESOLVED)
        market = state.market
        payload = {
            "event_type": "market_resolved",
            "id": market.slug,
            "market": market.condition_id,
            "assets_ids": list(market.tokens),
            "winning_asset_id": market.token(winner),
            "winning_outcome": winner.name.capitalize(),
            "timestamp": str(self.clock()),
            "tags": [],
        }
        self._publish(MarketFrame(market.tokens, payload, custom_only=True))

    @property
    def exchange_contracts(self) -> tuple[str, ...]:
        """The contracts that need an allowance."""
        return exchange_contracts(self.rules.chain_id)

    # wallets

    def fund_new(self, address: str) -> None:
        """Give a wallet its starting cash if it is seen for the first time."""
        if not self.ledger.knows(address):
            self.ledger.deposit(address, self.rules.starting_cash)

    def revoke(self, address: str, spender: str) -> None:
        """Take away what a wallet allowed an exchange contract to move."""
        self._revoked.add((address.lower(), spender.lower()))

    def allows(self, address: str, spender: str) -> bool:
        """Whether a wallet lets a contract move its pUSD and tokens; a new wallet lets all of them."""
        return (address.lower(), spender.lower()) not in self._revoked

    def deposit(self, address: str, usd: int) -> None:
        """Add whole dollars to a wallet."""
        self.ledger.deposit(address.lower(), Cash(usd * USD))

    def withdraw(self, address: str, usd: int) -> None:
        """Take whole dollars out of a wallet, at most what it has; orders that it cannot pay any more are cancelled."""
        wallet = address.lower()
        held = self.ledger.balance(wallet)
        self.ledger.withdraw(wallet, Cash(max(0, min(usd * USD, held.settled - held.outgoing))))
        for order in reversed(self.orders_of(wallet)):
            if held.spendable < 0 and order.side is Side.BUY:
                self._take_off([order], "CANCELED_NOT_ENOUGH_BALANCE")

    def lose_heartbeat(self, key: str) -> None:
        """Act as if a key's heartbeats had not come for too long."""
        if self.heartbeats.forget(key):
            self._take_off(self.live_orders(key), "CANCELED")

    def conserves(self) -> bool:
        """Whether money and tokens add up in every market.

        Raises:
            ConservationError: they do not.
        """
        for state in self.markets.values():
            self.ledger.check(state.market)
        return True

    # orders

    def next_internal_id(self) -> OrderId:
        """An id for an order of the exchange's own traders."""
        self._internal_orders += 1
        return OrderId("0x" + hashlib.sha256(f"{self.rules.seed}:{self._internal_orders}".encode()).hexdigest())

    def submit(self, order: SimOrder) -> list[Trade]:
        """Take an order: check it against book and balance, match it, and rest what remains if it may.

        Returns:
            The trades it made at once.

        Raises:
            Refusal: not taken; nothing changed.
        """
        state = self.by_token(order.token)
        crosses = state.book.crosses(order)
        self._check(state, order, crosses)
        order.created_ms = self.clock()
        self.orders[order.id] = order
        matches = state.book.match(order) if crosses else []
        touched = dict.fromkeys((match.maker.direction, match.price) for match in matches)
        if order.tif.rests and order.remaining >= DUST:
            state.book.rest(order)
            touched[order.direction, order.yes_price] = None
        else:
            order.status = "MATCHED" if order.matched else "CANCELED"
        trades = make_trades(order, matches, state.fee_rate, order.created_ms)
        self._book(state, order, trades)
        traded = trades[-1].price if trades else None
        state.feed.last_side = order.side.name if trades else state.feed.last_side
        self._emit_levels(state, touched, traded)
        for trade in trades:
            self._after(self.rules.tape_delay_ms, partial(self._print_trade, state, trade))
        self._announce(order, trades)
        return trades

    def cancel(self, ids: Iterable[str], owner: str) -> dict[str, Any]:
        """Cancel orders of one API key; the answer says which are off the book and why the others are not."""
        found: list[SimOrder] = []
        refused: dict[str, str] = {}
        for id in dict.fromkeys(ids):
            order = self.orders.get(OrderId(id.lower()))
            if order is None or order.owner != owner or not order.is_live:
                refused[id] = ALREADY_GONE
            else:
                found.append(order)
        self._take_off(found, "CANCELED")
        return {"canceled": [order.id for order in found], "not_canceled": refused}

    def live_orders(self, owner: str) -> list[SimOrder]:
        """Every resting order of an API key, oldest first."""
        return list(self._live.get(owner, {}).values())

    def orders_of(self, address: str) -> list[SimOrder]:
        """Every resting order of a wallet."""
        wallet = address.lower()
        return [order for orders in self._live.values() for order in orders.values() if order.maker == wallet]

    # time

    def advance(self, now_ms: int) -> None:
        """Run everything that is due at `now_ms`."""
        while self.timers.run_one(now_ms):
            continue

    def call_at(self, due_ms: int, callback: Callable[[int], None]) -> None:
        """Run `callback` at a time; it gets the time it was due."""
        soonest = self.timers.next_due
        self.timers.call_at(due_ms, callback)
        if soonest is None or due_ms < soonest:
            self.wake()

    def beat(self, key: str, id: str | None) -> Heartbeat:
        """Accept a heartbeat of a key; `id` None is the old kind without ids.

        Raises:
            WrongHeartbeat: not the expected id.
        """
        now = self.clock()
        beat = self.heartbeats.touch(key, now) if id is None else self.heartbeats.send(key, id, now)
        self._after(HEARTBEAT_MS, partial(self._check_heartbeat, key))
        return beat

    def _check_heartbeat(self, key: str, now_ms: int) -> None:
        if self.heartbeats.expire(key, now_ms):
            self._take_off(self.live_orders(key), "CANCELED")

    # inside

    def _check(self, state: MarketState, order: SimOrder, crosses: bool) -> None:
        """The rules that depend on the book and the balance."""
        if state.market.status is not MarketStatus.OPEN:
            raise Refusal("the market is not yet ready to process new orders")
        if order.id in self.orders:
            raise Refusal(f"order {order.id} is invalid. Duplicated.")
        self.fund_new(order.maker)
        pays_fee = crosses and not order.post_only and order.side is Side.BUY
        self.ledger.require(order, taker_fee(order.price, order.size, state.fee_rate) if pays_fee else 0)
        if crosses and order.post_only:
            raise Refusal("invalid post-only order: order crosses book")
        value = order.budget or order.price * order.size // 10_000
        if (crosses or not order.tif.rests) and value < USD:
            amount = f"${value / USD:g}"
            raise Refusal(f"invalid amount for a marketable {order.side.name} order ({amount}), min size: $1")
        if order.tif is Tif.FOK and not state.book.fills_whole(order):
            raise Refusal("order couldn't be fully filled. FOK orders are fully filled or killed.")
        if order.tif is Tif.FAK and not crosses:
            raise Refusal(
                "no orders found to match with FAK order. "
                "FAK orders are partially filled or killed if no match is found."
            )

    def _book(self, state: MarketState, order: SimOrder, trades: list[Trade]) -> None:
        """Move money for an order's trades, and check that none was made or lost."""
        self._note(order)
        for trade in trades:
            for party in trade.orders:
                party.trades.append(trade.id)
                self._note(party)
            self.settlement.open(trade)
            self._settle_later(trade, self.settlement.path_of(trade))
        if trades:
            self.ledger.check(state.market)
            self.ledger.check_solvent(party for trade in trades for party in trade.orders)

    def _note(self, order: SimOrder) -> None:
        """Make the reservation and the list of live orders what the order's state asks for."""
        self.ledger.reserve(order)
        if order.is_live:
            self._live.setdefault(order.owner, {})[order.id] = order
        else:
            self._live.get(order.owner, {}).pop(order.id, None)

    def _announce(self, order: SimOrder, trades: list[Trade]) -> None:
        """Tell the owners: the placement, then each trade, then how the orders stand."""
        self._send_order(order, "PLACEMENT")
        touched: dict[OrderId, SimOrder] = {}
        for trade in trades:
            self._send_trade(trade)
            touched.update((party.id, party) for party in trade.orders)
        for party in touched.values():
            self._send_order(party, "UPDATE")
            self._forget_finished(party)
        self._forget_finished(order)
        if order.is_live and order.tif is Tif.GTD:
            due = (order.expiration - GTD_MARGIN_SECS) * 1000
            self.call_at(due, partial(self._expire, order))

    def _expire(self, order: SimOrder, _due: int) -> None:
        if order.is_live:
            self._take_off([order], "CANCELED_EXPIRED_ORDER")

    def _take_off(self, orders: list[SimOrder], status: str) -> None:
        """Take resting orders off their books, one batch of frames for each market."""
        touched: dict[ConditionId, dict[tuple[Side, Price], None]] = {}
        for order in orders:
            self.markets[order.market].book.cancel(order.id)
            order.status = status
            self._note(order)
            touched.setdefault(order.market, {})[order.direction, order.yes_price] = None
        for condition, levels in touched.items():
            self._emit_levels(self.markets[condition], levels, None)
        for order in orders:
            self._send_order(order, "CANCELLATION")
            self._forget_finished(order)

    def _settle_later(self, trade: Trade, path: Path) -> None:
        if path:
            self._after(self.settlement.delay_before(path[0]), partial(self._settle, trade, path))

    def _settle(self, trade: Trade, path: Path, _due: int) -> None:
        """Take the first step of a trade's path, and wait for the others."""
        self.settlement.advance(trade, path[0], self.clock())
        self.ledger.check(self.markets[trade.taker.market].market)
        self._send_trade(trade)
        self._settle_later(trade, path[1:])

    def _print_trade(self, state: MarketState, trade: Trade, due_ms: int) -> None:
        self._publish(state.feed.tape(trade, due_ms, transaction_of(trade)))

    def _after(self, delay_ms: int, callback: Callable[[int], None]) -> None:
        self.call_at(self.clock() + delay_ms, callback)

    def _emit_levels(self, state: MarketState, touched: Iterable[tuple[Side, Price]], traded: Price | None) -> None:
        changes = [LevelChange(side, price, Size(state.book.level_size(side, price))) for side, price in touched]
        for frame in state.feed.update(changes, self.clock(), traded):
            self._publish(frame)

    def _publish(self, frame: MarketFrame) -> None:
        for listener in self.market_listeners:
            listener(frame)

    def _send_order(self, order: SimOrder, kind: str) -> None:
        if order.internal:
            return
        frame = UserFrame(order.owner, order.market, order_event(order, kind, self.clock()))
        for listener in self.user_listeners:
            listener(frame)

    def _send_trade(self, trade: Trade) -> None:
        for owner in dict.fromkeys(party.owner for party in trade.orders if not party.internal):
            frame = UserFrame(owner, trade.taker.market, trade_event(trade, owner, self.clock()))
            for listener in self.user_listeners:
                listener(frame)

    def _forget_finished(self, order: SimOrder) -> None:
        """Drop a finished order of our own traders at once, and the oldest finished ones of others when too many."""
        if order.is_live:
            return
        if order.internal:
            self.orders.pop(order.id, None)
            return
        self.orders.move_to_end(order.id)
        while len(self.orders) > KEPT_ORDERS:
            oldest = next(iter(self.orders.values()))
            if oldest.is_live:
                self.orders.move_to_end(oldest.id)
            else:
                del self.orders[oldest.id]
