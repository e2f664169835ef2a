"""What `mm-daemon status` and `mm-daemon pnl` show: the ledger, read while the daemon runs and afterwards.

On a terminal as tables, elsewhere as plain columns, or as JSON in which every amount is an exact decimal string:
dollars for money and prices, shares for sizes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from mm_daemon.core.pnl import HORIZONS_SECS, SCALE, Account, DayResult, together
from mm_daemon.core.units import Cash, ConditionId, format_fixed, format_price, format_size, format_usd
from mm_daemon.journal.reading import KnownOrder, LedgerReader, Names, Total
from mm_daemon.journal.rows import Latch

EXACT_DECIMALS = 11
"""1/20,000 micro-dollar is 0.00000000005 dollar."""


class Table(NamedTuple):
    """Columns and rows of text; the first `labels` columns are names, the others numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int = 1
    empty: str = "none"


def exact(amount_x: int) -> str:
    """Exact money in dollars as a decimal string."""
    return format_fixed(amount_x * (10**EXACT_DECIMALS // (SCALE * 10**6)), EXACT_DECIMALS)


def dollars(amount_x: int) -> str:
    """Exact money in dollars and cents, with a sign, for people."""
    cash = Cash((abs(amount_x) + SCALE // 2) // SCALE * (-1 if amount_x < 0 else 1))
    text = format_usd(cash)
    return f"+{text}" if cash > 0 and text.strip("0.") else text


def moment(time_ms: int | None) -> str:
    """A unix time in UTC to the second."""
    return "never" if time_ms is None else f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def name_of(names: dict[ConditionId, Names], market: str) -> str:
    """A market's slug, or its id while it has none."""
    found = names.get(ConditionId(market))
    return found.slug if found else market


class Snapshot(NamedTuple):
    """What the status is made of, read at one moment."""

    path: Path
    day: str
    names: dict[ConditionId, Names]
    accounts: dict[ConditionId, Account]
    orders: list[KnownOrder]
    days: dict[tuple[str, ConditionId], DayResult]
    total: Total | None
    latches: list[Latch]
    times: dict[str, int | None]
    cursor: str | None
    events: list[tuple[int, str, str, str, str]]


def take_snapshot(path: Path) -> Snapshot:
    """Read the ledger.

    Raises:
        LedgerError: it cannot be read.
    """
    today = datetime.fromtimestamp(time.time(), UTC).date().isoformat()
    with LedgerReader(path) as reader:
        totals = reader.totals(today)
        return Snapshot(
            path=path,
            day=today,
            names=reader.names(),
            accounts={market: account for market, (account, _) in reader.accounts().items()},
            orders=[known for known in reader.orders(0, working_only=True) if known.order.may_rest],
            days=reader.days(today),
            total=totals[-1] if totals else None,
            latches=reader.latches(),
            times=reader.last_times(),
            cursor=reader.meta("cursor"),
            events=reader.events(5),
        )


def show_status(path: Path, *, as_json: bool) -> str:
    """The text of `mm-daemon status`.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    now = take_snapshot(path)
    if as_json:
        return _json(_status_json(now))
    text = _text(
        [
            _positions_table(now.names, now.accounts),
            _orders_table(now.names, now.orders),
            _days_table(f"today, {now.day} (UTC), dollars", now.names, now.days),
            _latches_table(now),
            _events_table(now),
        ]
    )
    last = ", ".join(f"{what} {moment(at)}" for what, at in now.times.items())
    worst = f"; worst of today {format_usd(now.total.worst)}" if now.total else ""
    return f"{text}\n\nlast written: {last}{worst}"


def _status_json(now: Snapshot) -> dict[str, Any]:
    names = now.names
    return {
        "ledger": str(now.path),
        "day": now.day,
        "positions": [_position_json(names, market, account) for market, account in now.accounts.items()],
        "open_orders": [_order_json(names, known) for known in now.orders],
        "today": [{"market": name_of(names, market), **_day_json(day)} for (_, market), day in now.days.items()],
        "today_total": _total_json(now.total) if now.total else None,
        "latches": [
            {
                "kind": latch.kind,
                "market": latch.market and name_of(names, latch.market),
                "reason": latch.reason,
                "set_at": moment(latch.set_at_ms),
                "set_by": latch.set_by,
            }
            for latch in now.latches
        ],
        "last": {what: None if at is None else moment(at) for what, at in now.times.items()},
        "trades_read_until": None if now.cursor is None else moment(int(now.cursor) * 1000),
    }


def show_pnl(path: Path, *, days: int, as_json: bool) -> str:
    """The text of `mm-daemon pnl`: the last `days` UTC days, today included.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    since = (datetime.fromtimestamp(time.time(), UTC).date() - timedelta(days=days - 1)).isoformat()
    with LedgerReader(path) as reader:
        names, results, totals = reader.names(), reader.days(since), reader.totals(since)
    if as_json:
        return _json(
            {
                "ledger": str(path),
                "since": since,
                "days": [
                    {"day": day, "market": name_of(names, market), "condition_id": market, **_day_json(result)}
                    for (day, market), result in results.items()
                ],
                "totals": [_total_json(total) for total in totals],
            }
        )
    return _text([_days_table(f"profit and loss since {since} (UTC days), dollars", names, results)])


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


def _position_json(names: dict[ConditionId, Names], market: ConditionId, account: Account) -> dict[str, Any]:
    return {
        "market": name_of(names, market),
        "condition_id": market,
        "yes": format_fixed(account.yes, 6),
        "no": format_fixed(account.no, 6),
        "net": format_fixed(account.net, 6),
        "cost": exact(account.cost_x),
        "mid": None if account.twice_mid is None else format_fixed(account.twice_mid * 5, 5),
        "unrealised": exact(account.unrealised_x),
        "realised": exact(account.realised_x),
        "cash": format_fixed(account.cash, 6),
        "fees": format_fixed(account.fees, 6),
        "rebates": format_fixed(account.rebates, 6),
        "rewards": format_fixed(account.rewards, 6),
    }


def _order_json(names: dict[ConditionId, Names], known: KnownOrder) -> dict[str, Any]:
    order = known.order
    return {
        "id": order.id,
        "market": name_of(names, order.market),
        "token": order.token,
        "side": order.side.name,
        "price": format_price(order.price),
        "yes_price": format_price(order.yes_price),
        "size": format_size(order.size),
        "filled": format_size(order.filled),
        "state": order.state.name,
        "why": order.why,
        "created": moment(known.created_ms),
        "changed": moment(known.changed_ms),
    }


def _day_json(day: DayResult) -> dict[str, Any]:
    return {
        "spread_captured": exact(day.spread_x),
        **{f"markout_{secs}s": exact(value) for secs, value in zip(HORIZONS_SECS, day.markouts_x, strict=True)},
        "fees": format_fixed(day.fees, 6),
        "rebates": format_fixed(day.rebates, 6),
        "rewards": format_fixed(day.rewards, 6),
        "realised": exact(day.realised_x),
        "unrealised": exact(day.unrealised_x),
        "unrealised_at_opening": exact(day.opening_x),
        "total": exact(day.pnl_x),
        "volume": format_fixed(day.volume, 6),
        "fills": day.fills,
    }


def _total_json(total: Total) -> dict[str, Any]:
    return {
        "day": total.day,
        "pnl": format_fixed(total.pnl, 6),
        "worst": format_fixed(total.worst, 6),
        "opening_equity": None if total.opening_equity is None else format_fixed(total.opening_equity, 6),
        "equity": None if total.equity is None else format_fixed(total.equity, 6),
        "marked": moment(total.marked_ms),
    }


def _positions_table(names: dict[ConditionId, Names], accounts: dict[ConditionId, Account]) -> Table:
    held = {market: account for market, account in accounts.items() if account.yes or account.no or account.net}
    return Table(
        "positions",
        ("market", "YES", "NO", "net", "entry", "mid", "cost", "unrealised", "realised"),
        [
            (
                name_of(names, market),
                format_fixed(account.yes, 6),
                format_fixed(account.no, 6),
                format_fixed(account.net, 6),
                "-" if account.entry is None else f"{account.entry:.4f}",
                "-" if account.twice_mid is None else format_fixed(account.twice_mid * 5, 5),
                dollars(account.cost_x),
                dollars(account.unrealised_x),
                dollars(account.realised_x),
            )
            for market, account in held.items()
        ],
    )


def _orders_table(names: dict[ConditionId, Names], orders: Sequence[KnownOrder]) -> Table:
    return Table(
        "open orders as last known",
        ("market", "id", "state", "why", "quote", "YES price", "size", "filled", "since"),
        [
            (
                name_of(names, order.market),
                f"{order.id[:10]}…",
                order.state.name.lower(),
                order.why,
                "ask" if order.direction else "bid",
                format_price(order.yes_price),
                format_size(order.size),
                format_size(order.filled),
                moment(created_ms),
            )
            for order, created_ms, _ in orders
        ],
        labels=5,
    )


def _latches_table(now: Snapshot) -> Table:
    rows = [
        (
            latch.kind,
            name_of(now.names, latch.market) if latch.market else "all",
            latch.reason,
            latch.set_by,
            moment(latch.set_at_ms),
        )
        for latch in now.latches
    ]
    return Table("pauses and kills in force", ("kind", "market", "reason", "set by", "at"), rows, labels=5)


def _events_table(now: Snapshot) -> Table:
    rows = [(moment(at), kind, name_of(now.names, id), ours, venue) for at, kind, id, ours, venue in now.events]
    return Table("last differences from the venue", ("at", "kind", "market", "ours", "venue"), rows, labels=5)


def _days_table(
    title: str, names: dict[ConditionId, Names], results: dict[tuple[str, ConditionId], DayResult]
) -> Table:
    money = ("fees", "rebates", "rewards", "realised", "unrealised change", "total", "volume", "fills")
    columns = ("day", "market", "spread", *(f"after {secs} s" for secs in HORIZONS_SECS), *money)
    rows = [(day, name_of(names, market), *_day_cells(result)) for (day, market), result in results.items()]
    if len(rows) > 1:
        rows.append(("all", "", *_day_cells(together(results.values()))))
    return Table(title, columns, rows, labels=2)


def _day_cells(day: DayResult) -> tuple[str, ...]:
    return (
        dollars(day.spread_x),
        *(dollars(value) for value in day.markouts_x),
        dollars(-day.fees * SCALE),
        dollars(day.rebates * SCALE),
        dollars(day.rewards * SCALE),
        dollars(day.realised_x),
        dollars(day.unrealised_x - day.opening_x),
        dollars(day.pnl_x),
        format_usd(day.volume),
        str(day.fills),
    )


def _text(tables: Sequence[Table]) -> str:
    return "\n\n".join((_drawn if sys.stdout.isatty() else _plain)(table) for table in tables)


def _plain(table: Table) -> str:
    """Aligned columns, nothing that a pipe could stumble over."""
    if not table.rows:
        return f"{table.title}: {table.empty}"
    lines = [table.columns, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]
    return "\n".join(
        [
            f"{table.title}:",
            *(
                "  ".join(
                    cell.ljust(width) if column < table.labels else cell.rjust(width)
                    for column, (cell, width) in enumerate(zip(line, widths, strict=True))
                ).rstrip()
                for line in lines
            ),
        ]
    )


def _drawn(table: Table) -> str:
    """The same by rich, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable

    if not table.rows:
        return f"{table.title}: {table.empty}"
    drawn = RichTable(title=table.title, title_justify="left")
    for column, name in enumerate(table.columns):
        drawn.add_column(name, justify="left" if column < table.labels else "right")
    for row in table.rows:
        drawn.add_row(*row)
    console = Console()
    with console.capture() as captured:
        console.print(drawn)
    return captured.get().rstrip("\n")
