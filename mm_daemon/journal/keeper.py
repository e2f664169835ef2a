"""The bookkeeper: turns what happens to our orders and fills into accounts, a day's result, and rows of the ledger.

It is the desk's witness and never changes the desk. Its calls are plain and quick (no I/O): they may stand on the
event loop. Money is booked on the UTC day on which it became known; a closed day does not change any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import msgspec
import structlog

from mm_daemon.core.desk import FillEffect, MarketState
from mm_daemon.core.events import Fill, TradeStatus
from mm_daemon.core.fills import Step
from mm_daemon.core.market import Market
from mm_daemon.core.orders import Order
from mm_daemon.core.pnl import DAY_MS, HORIZONS_SECS, Account, DayResult, spread_captured_x, to_cash, utc_day
from mm_daemon.core.units import Cash, ConditionId, OrderId, Outcome, mirror, notional
from mm_daemon.journal import rows
from mm_daemon.journal.latches import Latches
from mm_daemon.journal.ledger import Ledger
from mm_daemon.journal.markouts import REACH_MS, Markouts, Tracked
from mm_daemon.journal.reading import KnownOrder, LedgerReader, Names, UnendedFill
from mm_daemon.journal.rows import Row

FRESH_MS = 5_000
"""A fill told later than this after it happened has no mid of its own: the book has moved on."""
SAVE_MS = 5_000
"""How often marks are written; a crash loses as much of them."""
PRUNE_MS = 3_600_000

log = structlog.get_logger()


def day_text(day: int) -> str:
    """A UTC day as YYYY-MM-DD."""
    return datetime.fromtimestamp(day * DAY_MS // 1000, UTC).date().isoformat()


class Statistics(msgspec.Struct, frozen=True):
    """What the bookkeeper holds in memory."""

    markets: int
    unended_fills: int
    markouts_waiting: int
    markouts_missed: int
    unpriced: int


class Bookkeeper:
    """The accounts of all markets, and today.

    Attributes:
        accounts: by market.
        days: today's results by market.
        latches: pauses and kills in force.
        cursor: unix seconds up to which trades were read completely; None: never.
        worst: the lowest P&L of today, in micro-dollars, never above zero.
    """

    def __init__(self, ledger: Ledger, clock_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._clock_ms = clock_ms
        self._day = utc_day(clock_ms())
        self._day_text = day_text(self._day)
        self._day_pnl_x = 0
        self._opening_equity: Cash | None = None
        self._equity: Cash | None = None
        self._names: dict[ConditionId, Names] = {}
        self._unended: dict[tuple[str, OrderId], Tracked] = {}
        self._markouts = Markouts()
        self._unpriced: dict[ConditionId, tuple[int, int]] = {}
        self._dirty: set[ConditionId] = set()
        self._saved_ms = self._pruned_ms = 0
        self.accounts: dict[ConditionId, Account] = {}
        self.days: dict[ConditionId, DayResult] = {}
        self.latches = Latches(ledger, clock_ms)
        self.cursor: int | None = None
        self.worst = Cash(0)

    # What an earlier run left

    def load(self) -> None:
        """Take over what the ledger holds; the first call, before anything is noted. Blocks for its reads.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        now_ms = self._clock_ms()
        with LedgerReader(self._ledger.path) as reader:
            self.accounts = {market: account for market, (account, _) in reader.accounts().items()}
            self.latches.load(reader)
            self._names = reader.names()
            cursor = reader.meta("cursor")
            self.cursor = None if cursor is None else int(cursor)
            self._day = utc_day(now_ms)
            self._day_text = day_text(self._day)
            self._begin_day()
            self.days |= {market: day for (_, market), day in reader.days(self._day_text).items()}
            for total in reader.totals(self._day_text):
                self.worst, self._opening_equity, self._equity = total.worst, total.opening_equity, total.equity
            for fill in reader.unended_fills(now_ms - REACH_MS):
                self._take_over(fill, now_ms)
        self._day_pnl_x = sum(day.pnl_x for day in self.days.values())
        self._save([market for market, account in self.accounts.items() if account.net], now_ms)

    def _take_over(self, known: UnendedFill, now_ms: int) -> None:
        if known.state == "failed":
            return
        fill, mid = known.fill, known.twice_mid
        spread = 0 if mid is None else spread_captured_x(known.direction, known.yes_price, fill.size, mid)
        tracked = Tracked(fill.key, fill.market, known.direction, fill.size, mid, spread, known.booked_ms)
        for horizon, secs in enumerate(HORIZONS_SECS):
            if secs in known.markouts_x:
                tracked.markouts_x[horizon] = known.markouts_x[secs]
            elif mid is not None and known.booked_ms + REACH_MS >= now_ms:
                self._markouts.resume(tracked, horizon)
        if known.state == "booked":
            self._unended[fill.key] = tracked

    def known_fills(self, since_ms: int) -> list[tuple[Fill, TradeStatus]]:
        """Fills booked since a unix time and all unsettled ones, oldest first, to prime a `FillBook` with."""
        with LedgerReader(self._ledger.path) as reader:
            return reader.fills(since_ms)

    def known_orders(self, since_ms: int) -> list[KnownOrder]:
        """Orders changed since a unix time and all that were not dead, oldest change first."""
        with LedgerReader(self._ledger.path) as reader:
            return reader.orders(since_ms)

    # The witness

    def order_changed(self, order: Order) -> None:
        """Note the order as it is now."""
        self._ledger.note(rows.order_row(order, self._clock_ms()))

    def fill_changed(self, effect: FillEffect, state: MarketState) -> None:
        """Book a fill, settle it, or book it the other way round."""
        now_ms = self._clock_ms()
        self._roll(now_ms)
        match effect.step:
            case Step.BOOK | Step.BOOK_SETTLED:
                self._book(effect, state, now_ms)
            case Step.SETTLE:
                self._unended.pop(effect.fill.key, None)
                self._ledger.note(rows.fill_ended_row(effect.fill.key, "settled", now_ms))
            case Step.REVERSE:
                self._reverse(effect, state, now_ms)
            case Step.NOTHING | Step.VOID:
                pass

    def _book(self, effect: FillEffect, state: MarketState, now_ms: int) -> None:
        fill, market = effect.fill, state.market
        id = market.condition_id
        account, day = self._books(id)
        self._mark_account(id, account, state.twice_mid)
        before = day.pnl_x
        outcome = market.outcome(fill.token)
        yes_price = mirror(fill.price) if outcome is Outcome.NO else fill.price
        mid = state.twice_mid if not fill.time_ms or abs(now_ms - fill.time_ms) <= FRESH_MS else None
        spread = 0 if mid is None else spread_captured_x(effect.direction, yes_price, fill.size, mid)
        day.realised_x += account.receive_fill(outcome, effect.side, fill.price, fill.size)
        day.unrealised_x = account.unrealised_x
        day.spread_x += spread
        day.volume = Cash(day.volume + notional(fill.price, fill.size))
        day.fills += 1
        self._day_pnl_x += day.pnl_x - before
        tracked = Tracked(fill.key, id, effect.direction, fill.size, mid, spread, now_ms)
        is_settled = effect.step is Step.BOOK_SETTLED
        if not is_settled:
            self._unended[fill.key] = tracked
        if mid is not None:
            self._markouts.add(tracked)
        self._ledger.note(
            rows.fill_row(fill, effect.side, effect.direction, yes_price, mid, is_settled=is_settled, now_ms=now_ms),
            rows.account_row(id, account, now_ms),
            rows.day_row(self._day_text, id, day),
        )

    def _reverse(self, effect: FillEffect, state: MarketState, now_ms: int) -> None:
        """The compensating entry: the same fill the other way round at its own price, its split taken back today."""
        fill, market = effect.fill, state.market
        id = market.condition_id
        account, day = self._books(id)
        before = day.pnl_x
        day.realised_x += account.receive_fill(market.outcome(fill.token), effect.side, fill.price, fill.size, way=-1)
        day.unrealised_x = account.unrealised_x
        day.volume = Cash(day.volume - notional(fill.price, fill.size))
        day.fills -= 1
        tracked = self._unended.pop(fill.key, None)
        if tracked is not None:
            tracked.has_failed = True
            day.spread_x -= tracked.spread_x
            for horizon, value in enumerate(tracked.markouts_x):
                day.markouts_x[horizon] -= value
        self._day_pnl_x += day.pnl_x - before
        self._ledger.note(
            rows.fill_ended_row(fill.key, "failed", now_ms),
            rows.account_row(id, account, now_ms),
            rows.day_row(self._day_text, id, day),
        )

    def know(self, effects: Iterable[FillEffect]) -> None:
        """Settled fills from before these books began: remembered, so that no later start books them, and not booked;
        what they brought is part of the opening position."""
        now_ms = self._clock_ms()
        for effect in effects:
            yes_price = effect.fill.price if effect.direction is effect.side else mirror(effect.fill.price)
            row = rows.fill_row(
                effect.fill, effect.side, effect.direction, yes_price, None, is_settled=True, now_ms=now_ms
            )
            self._ledger.note(row)

    # Positions from elsewhere, and time

    def opening(self, market: Market, yes: int, no: int, twice_mid: int | None) -> bool:
        """Tell what we hold in truth, fills on their way to the chain included: at the start of each market, and
        whenever a reading shows another position than our fills explain (also after a merge or a redemption).

        What the account does not explain is taken in at the mid, without profit or loss, and noted as an event. Without
        a mid it waits for the first one.

        Args:
            yes, no: micro-shares held.
            twice_mid: in 1/20,000 dollar; for a redemption, twice what YES paid.

        Returns:
            Whether there was a difference.
        """
        now_ms = self._clock_ms()
        self._roll(now_ms)
        names = Names(market.slug, market.question, market.yes, market.no)
        if self._names.get(market.condition_id) != names:
            self._names[market.condition_id] = names
            self._ledger.note(rows.market_row(market))
        id = market.condition_id
        account, _ = self._books(id)
        self._unpriced.pop(id, None)
        difference = (yes - account.yes, no - account.no)
        self._mark_account(id, account, twice_mid)
        if difference == (0, 0):
            return False
        self.event("position_taken_in", f"{account.yes} YES, {account.no} NO", f"{yes} YES, {no} NO", id)
        self._unpriced[id] = difference
        if difference[0] == difference[1] or twice_mid is not None:
            self._take_in(id, account, twice_mid or 0)
        self._save([id], now_ms)
        return True

    def _take_in(self, id: ConditionId, account: Account, twice_mid: int) -> None:
        """Take in what waits for a mid."""
        yes, no = self._unpriced.pop(id)
        realised = account.take_in(account.yes + yes, account.no + no, twice_mid)
        _, day = self._books(id)
        before = day.pnl_x
        day.realised_x += realised
        day.unrealised_x = account.unrealised_x
        self._day_pnl_x += day.pnl_x - before
        self._dirty.add(id)

    def _mark_account(self, id: ConditionId, account: Account, twice_mid: int | None) -> None:
        """Mark one market; None changes nothing."""
        if twice_mid is None:
            return
        if account.twice_mid != twice_mid:
            account.twice_mid = twice_mid
            if account.net:
                day = self.days[id]
                unrealised = account.unrealised_x
                self._day_pnl_x += unrealised - day.unrealised_x
                day.unrealised_x = unrealised
            self._dirty.add(id)
        if id in self._unpriced:
            self._take_in(id, account, twice_mid)

    def mark(self, now_ms: int, mids: Mapping[ConditionId, int | None], equity: Cash | None = None) -> None:
        """Mark every market, take due markouts, begin a new day when it is time; about once a second.

        Args:
            now_ms: unix time.
            mids: in 1/20,000 dollar; None where the book is not known now.
            equity: cash and holdings at mids in micro-dollars, to be shown; None: not known now.
        """
        self._roll(now_ms)
        for id, twice_mid in mids.items():
            if twice_mid is not None:
                self._mark_account(id, self._books(id)[0], twice_mid)
        more: list[Row] = []
        for fill, horizon, twice_mid, value in self._markouts.take(now_ms, mids):
            self.days[fill.market].markouts_x[horizon] += value
            self._dirty.add(fill.market)
            more.append(rows.markout_row(fill.key, horizon, twice_mid, value, now_ms))
        self.worst = min(self.worst, self.day_pnl)
        if equity is not None:
            self._equity = equity
            if self._opening_equity is None:
                self._opening_equity = Cash(equity - self.day_pnl)
        is_due = now_ms - self._saved_ms >= SAVE_MS
        if more or (is_due and self._ledger.problem is None):
            self._save(list(self._dirty), now_ms, more)
        if now_ms - self._pruned_ms >= PRUNE_MS and self._ledger.problem is None:
            self._pruned_ms = now_ms
            self._ledger.note(*rows.prune_rows(now_ms))

    def _save(self, markets: list[ConditionId], now_ms: int, more: list[Row] | None = None) -> None:
        """Note these markets and the day as they are, together with more rows."""
        noted = more or []
        for id in markets:
            noted.append(rows.account_row(id, self.accounts[id], now_ms))
            noted.append(rows.day_row(self._day_text, id, self.days[id]))
        noted.append(
            rows.total_row(self._day_text, self._opening_equity, self._equity, self.day_pnl, self.worst, now_ms)
        )
        self._dirty.difference_update(markets)
        self._saved_ms = now_ms
        self._ledger.note(*noted)

    async def close(self, timeout_secs: float = 2.0) -> bool:
        """Note the last marks, and close the ledger; False if not all of it could be written in time."""
        self._save(list(self._dirty), self._clock_ms())
        return await self._ledger.close(timeout_secs)

    def _books(self, id: ConditionId) -> tuple[Account, DayResult]:
        account = self.accounts.get(id)
        if account is None:
            account = self.accounts[id] = Account()
        day = self.days.get(id)
        if day is None:
            day = self.days[id] = DayResult(opening_x=account.unrealised_x, unrealised_x=account.unrealised_x)
        return account, day

    def _roll(self, now_ms: int) -> None:
        """Begin a new UTC day if it is one; a clock that goes back does not bring the old one back."""
        day = utc_day(now_ms)
        if day <= self._day:
            return
        # The old day's last word, then the new day's first, so that neither lacks what happened since the last save.
        self._save(list(self._dirty), now_ms)
        log.info("day_closed", day=self._day_text, pnl=self.day_pnl, worst=self.worst)
        self._day, self._day_text = day, day_text(day)
        self._begin_day()
        self._opening_equity = self._equity
        self._save([id for id, account in self.accounts.items() if account.net], now_ms)

    def _begin_day(self) -> None:
        self.days = {}
        for id in self.accounts:
            self._books(id)
        self._day_pnl_x, self.worst = 0, Cash(0)

    # Money and words that come otherwise

    def fee(self, market: ConditionId, amount: Cash) -> None:
        """A fee we paid, positive."""
        self._earn(market, "fee", amount)

    def rebate(self, market: ConditionId, amount: Cash) -> None:
        """A maker rebate we got."""
        self._earn(market, "rebate", amount)

    def reward(self, market: ConditionId, amount: Cash) -> None:
        """A liquidity reward we got."""
        self._earn(market, "reward", amount)

    def _earn(self, market: ConditionId, kind: str, amount: Cash) -> None:
        now_ms = self._clock_ms()
        self._roll(now_ms)
        account, day = self._books(market)
        before = day.pnl_x
        match kind:
            case "fee":
                account.fees, day.fees = Cash(account.fees + amount), Cash(day.fees + amount)
            case "rebate":
                account.rebates, day.rebates = Cash(account.rebates + amount), Cash(day.rebates + amount)
            case _:
                account.rewards, day.rewards = Cash(account.rewards + amount), Cash(day.rewards + amount)
        self._day_pnl_x += day.pnl_x - before
        flow = rows.flow_row(kind, Cash(-amount) if kind == "fee" else amount, market, "", now_ms)
        self._save([market], now_ms, [flow])

    def cash_flow(self, kind: str, amount: Cash, note: str = "", market: str = "") -> None:
        """Cash that came (positive) or went and is no profit: deposit, withdrawal, merge, redemption, correction."""
        self._ledger.note(rows.flow_row(kind, amount, market, note, self._clock_ms()))

    def event(self, kind: str, ours: str, venue: str, market: str = "") -> None:
        """A difference between us and the venue, with both values."""
        self._ledger.note(rows.event_row(kind, market, ours, venue, self._clock_ms()))

    def set_cursor(self, secs: int) -> None:
        """Trades are read completely up to this unix time; written after every fill noted before."""
        if secs != self.cursor:
            self.cursor = secs
            self._ledger.note(rows.meta_row("cursor", str(secs)))

    # Today

    @property
    def day(self) -> str:
        """Today's UTC day as YYYY-MM-DD."""
        return self._day_text

    @property
    def equity(self) -> Cash | None:
        """Cash and holdings at mids when all was last marked, in micro-dollars; None: never."""
        return self._equity

    @property
    def day_pnl(self) -> Cash:
        """What all markets earned today, realised and not, in micro-dollars, rounded down."""
        return to_cash(self._day_pnl_x)

    @property
    def day_loss(self) -> Cash:
        """What today lost so far, in micro-dollars; zero while it is a gain."""
        return Cash(max(-self.day_pnl, 0))

    def statistics(self) -> Statistics:
        """What is held in memory."""
        return Statistics(
            markets=len(self.accounts),
            unended_fills=len(self._unended),
            markouts_waiting=len(self._markouts),
            markouts_missed=self._markouts.missed,
            unpriced=len(self._unpriced),
        )
