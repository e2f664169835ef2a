"""What is written: one statement with its values, for each kind of thing the ledger holds.

States are written whole (insert or replace), so that a later row heals whatever became of an earlier one; only flows,
events and markouts are added.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from mm_daemon.core.events import Fill
from mm_daemon.core.market import Market
from mm_daemon.core.orders import Order
from mm_daemon.core.pnl import HORIZONS_SECS, Account, DayResult
from mm_daemon.core.units import Cash, ConditionId, OrderId, Price, Side

Value: TypeAlias = str | int | None
Row: TypeAlias = tuple[str, tuple[Value, ...]]
"""A statement and its values."""

SIDES = ("BUY", "SELL")
"""How a `Side` is written, by its number."""

MAX_EVENTS = 10_000
ORDER_DAYS = 7
FILL_DAYS = 90
PRUNE_AT_ONCE = 20_000


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """A pause or a kill: in force until a person lifts it. `market` "": over all markets. Times in unix ms."""

    kind: str
    reason: str
    set_at_ms: int
    set_by: str
    market: str = ""


_ORDER = """INSERT INTO orders VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, filled = excluded.filled, matched = excluded.matched,
    final = excluded.final, changed_ms = excluded.changed_ms"""
_FILL = """INSERT INTO fills VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
    ON CONFLICT (trade_id, order_id) DO UPDATE SET state = excluded.state, ended_ms = excluded.ended_ms"""
_FILL_ENDED = "UPDATE fills SET state = ?, ended_ms = ? WHERE trade_id = ? AND order_id = ?"
_MARKOUT = "INSERT OR REPLACE INTO markouts VALUES (?,?,?,?,?,?)"
_ACCOUNT = "INSERT OR REPLACE INTO accounts VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
_DAY = "INSERT OR REPLACE INTO days VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
_TOTAL = "INSERT OR REPLACE INTO totals VALUES (?,?,?,?,?,?)"
_MARKET = "INSERT OR REPLACE INTO markets VALUES (?,?,?,?,?)"
_META = "INSERT OR REPLACE INTO meta VALUES (?,?)"
_FLOW = "INSERT INTO cash_flows (at_ms, kind, amount, market, note) VALUES (?,?,?,?,?)"
_EVENT = "INSERT INTO events (at_ms, kind, market, ours, venue) VALUES (?,?,?,?,?)"
_LATCH = "INSERT OR REPLACE INTO latches (kind, market, set_at_ms, reason, set_by) VALUES (?,?,?,?,?)"
_UNLATCH = """UPDATE latches SET cleared_at_ms = ?, cleared_by = ?
    WHERE kind = ? AND market = ? AND cleared_at_ms IS NULL"""


def market_row(market: Market) -> Row:
    """A market's names."""
    return _MARKET, (market.condition_id, market.slug, market.question, market.yes, market.no)


def order_row(order: Order, now_ms: int) -> Row:
    """An order as it is now; the time of its first row stays its time of creation."""
    return _ORDER, (
        order.id,
        order.market,
        order.token,
        SIDES[order.side],
        order.price,
        order.size,
        SIDES[order.direction],
        order.yes_price,
        order.why,
        order.state._name_,
        order.filled,
        order.matched,
        int(order.final),
        now_ms,
        now_ms,
    )


def fill_row(
    fill: Fill, side: Side, direction: Side, yes_price: Price, twice_mid: int | None, *, is_settled: bool, now_ms: int
) -> Row:
    """A fill as it is booked."""
    return _FILL, (
        fill.trade_id,
        fill.order_id,
        fill.market,
        fill.token,
        SIDES[side],
        fill.price,
        fill.size,
        int(fill.is_maker),
        fill.time_ms,
        SIDES[direction],
        yes_price,
        twice_mid,
        "settled" if is_settled else "booked",
        now_ms,
        now_ms if is_settled else None,
    )


def fill_ended_row(key: tuple[str, OrderId], state: str, now_ms: int) -> Row:
    """A booked fill is `settled` or `failed`."""
    return _FILL_ENDED, (state, now_ms, *key)


def markout_row(key: tuple[str, OrderId], horizon: int, twice_mid: int, value_x: int, now_ms: int) -> Row:
    """The mid at one horizon (its index) after a fill."""
    return _MARKOUT, (*key, HORIZONS_SECS[horizon], twice_mid, value_x, now_ms)


def account_row(market: ConditionId, a: Account, now_ms: int) -> Row:
    """A market's account."""
    return _ACCOUNT, (
        market,
        a.net,
        a.cost_x,
        a.realised_x,
        a.yes,
        a.no,
        a.cash,
        a.fees,
        a.rebates,
        a.rewards,
        a.twice_mid,
        now_ms,
    )


def day_row(day: str, market: ConditionId, d: DayResult) -> Row:
    """A market's day."""
    return _DAY, (
        day,
        market,
        d.opening_x,
        d.unrealised_x,
        d.realised_x,
        d.spread_x,
        *d.markouts_x,
        d.fees,
        d.rebates,
        d.rewards,
        d.volume,
        d.fills,
    )


def total_row(day: str, opening_equity: Cash | None, equity: Cash | None, pnl: int, worst: int, now_ms: int) -> Row:
    """A day over all markets."""
    return _TOTAL, (day, opening_equity, equity, pnl, worst, now_ms)


def meta_row(key: str, value: str) -> Row:
    """A single value under a name."""
    return _META, (key, value)


def flow_row(kind: str, amount: Cash, market: str, note: str, now_ms: int) -> Row:
    """Money that came (positive) or went otherwise than by a fill."""
    return _FLOW, (now_ms, kind, amount, market, note)


def event_row(kind: str, market: str, ours: str, venue: str, now_ms: int) -> Row:
    """A difference between us and the venue, both values as text."""
    return _EVENT, (now_ms, kind, market, ours, venue)


def latch_row(latch: Latch) -> Row:
    """A pause or kill is set."""
    return _LATCH, (latch.kind, latch.market, latch.set_at_ms, latch.reason, latch.set_by)


def unlatch_row(kind: str, market: str, by: str, now_ms: int) -> Row:
    """A pause or kill is lifted."""
    return _UNLATCH, (now_ms, by, kind, market)


def prune_rows(now_ms: int) -> list[Row]:
    """What keeps the file bounded: dead orders, old fills with their markouts, and old events go, a part at a time."""
    day_ms = 86_400_000
    old_fills = now_ms - FILL_DAYS * day_ms
    return [
        (
            "DELETE FROM orders WHERE rowid IN "
            "(SELECT rowid FROM orders WHERE changed_ms < ? AND state = 'DEAD' ORDER BY changed_ms LIMIT ?)",
            (now_ms - ORDER_DAYS * day_ms, PRUNE_AT_ONCE),
        ),
        (
            "DELETE FROM markouts WHERE (trade_id, order_id) IN (SELECT trade_id, order_id FROM fills "
            "WHERE booked_ms < ? AND state != 'booked' ORDER BY booked_ms LIMIT ?)",
            (old_fills, PRUNE_AT_ONCE),
        ),
        (
            "DELETE FROM fills WHERE rowid IN (SELECT rowid FROM fills "
            "WHERE booked_ms < ? AND state != 'booked' ORDER BY booked_ms LIMIT ?)",
            (old_fills, PRUNE_AT_ONCE),
        ),
        ("DELETE FROM events WHERE number <= (SELECT max(number) FROM events) - ?", (MAX_EVENTS,)),
        (
            "DELETE FROM latches WHERE cleared_at_ms IS NOT NULL AND rowid <= (SELECT max(rowid) FROM latches) - ?",
            (MAX_EVENTS,),
        ),
    ]
