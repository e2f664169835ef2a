"""Reading the ledger, while the daemon writes it and afterwards, over a connection that cannot change anything."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from mm_daemon.core.events import Fill, TradeStatus
from mm_daemon.core.orders import Order, OrderState
from mm_daemon.core.pnl import HORIZONS_SECS, Account, DayResult
from mm_daemon.core.units import Cash, ConditionId, OrderId, Price, Side, Size, TokenId
from mm_daemon.journal.errors import LedgerCorrupt, LedgerMissing, LedgerVersion
from mm_daemon.journal.rows import Latch
from mm_daemon.journal.schema import APPLICATION_ID, MIGRATIONS, typed_errors, version_of

STATUS = {"booked": TradeStatus.MATCHED, "settled": TradeStatus.CONFIRMED, "failed": TradeStatus.FAILED}
"""What a fill's state in the ledger says of its trade: the furthest that changes anything."""
BUSY_SECS = 2.0


class KnownOrder(NamedTuple):
    """An order as last written. Its own `created_ns` and `since_ns` are zero: that clock ended with its process."""

    order: Order
    created_ms: int
    changed_ms: int


class UnendedFill(NamedTuple):
    """A fill with the markouts it has; while it is unended it may still fail, or not all of them are due."""

    fill: Fill
    side: Side
    direction: Side
    yes_price: Price
    twice_mid: int | None
    state: str
    booked_ms: int
    markouts_x: dict[int, int]
    """What was taken, by horizon in seconds."""


class Names(NamedTuple):
    """A market's names."""

    slug: str
    question: str
    yes: TokenId
    no: TokenId


class Total(NamedTuple):
    """A day over all markets, in micro-dollars; None where equity was never told."""

    day: str
    opening_equity: Cash | None
    equity: Cash | None
    pnl: Cash
    worst: Cash
    marked_ms: int


class LedgerReader:
    """A read-only view of the file; a context manager.

    Raises (from any method):
        LedgerUnavailable: it is locked, or cannot be read.
        LedgerCorrupt: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            LedgerMissing: there is no such file.
            LedgerVersion: its schema is not ours.
            LedgerCorrupt, LedgerUnavailable: it cannot be read.
        """
        if not path.exists():
            raise LedgerMissing(path, "there is no ledger yet: the daemon makes it at its first start")
        self.path = path
        with typed_errors(path):
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECS, isolation_level=None
            )
            try:
                self._check()
                # One snapshot for everything that is read.
                self._connection.execute("BEGIN")
            except BaseException:
                self._connection.close()
                raise

    def _check(self) -> None:
        version, known = version_of(self._connection), len(MIGRATIONS)
        if self._connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise LedgerCorrupt(self.path, "is not a ledger of mm-daemon")
        if version != known:
            hint = "a newer mm-daemon wrote it" if version > known else "the daemon brings it up when it starts"
            raise LedgerVersion(self.path, f"has schema {version}, this mm-daemon reads {known}: {hint}")

    def __enter__(self) -> LedgerReader:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    @contextmanager
    def _rows(self, statement: str, *values: str | int) -> Iterator[sqlite3.Cursor]:
        with typed_errors(self.path):
            yield self._connection.execute(statement, values)

    def accounts(self) -> dict[ConditionId, tuple[Account, int]]:
        """Every market's account and when it was written (unix ms)."""
        with self._rows("SELECT * FROM accounts") as rows:
            return {ConditionId(row[0]): (Account(*row[1:11]), row[11]) for row in rows}

    def names(self) -> dict[ConditionId, Names]:
        """Every market's names."""
        with self._rows("SELECT * FROM markets") as rows:
            return {ConditionId(row[0]): Names(*row[1:]) for row in rows}

    def days(self, since: str) -> dict[tuple[str, ConditionId], DayResult]:
        """Results by day and market, from a date (YYYY-MM-DD) on, in their order."""
        statement = "SELECT * FROM days WHERE day >= ? ORDER BY day, market"
        with self._rows(statement, since) as rows:
            return {(row[0], ConditionId(row[1])): _day(row) for row in rows}

    def totals(self, since: str) -> list[Total]:
        """Days over all markets from a date on, in their order."""
        with self._rows("SELECT * FROM totals WHERE day >= ? ORDER BY day", since) as rows:
            return [Total(*row) for row in rows]

    def latches(self) -> list[Latch]:
        """Pauses and kills in force, oldest first."""
        statement = """SELECT kind, reason, set_at_ms, set_by, market FROM latches
            WHERE cleared_at_ms IS NULL ORDER BY set_at_ms"""
        with self._rows(statement) as rows:
            return [
                Latch(kind=kind, reason=reason, set_at_ms=at, set_by=by, market=market)
                for kind, reason, at, by, market in rows
            ]

    def meta(self, key: str) -> str | None:
        """A single value under a name."""
        with self._rows("SELECT value FROM meta WHERE key = ?", key) as rows:
            row = rows.fetchone()
            return None if row is None else str(row[0])

    def orders(self, since_ms: int, *, working_only: bool = False) -> list[KnownOrder]:
        """Orders that are not dead, and unless told otherwise those changed since a unix time, oldest change first."""
        either = "" if working_only else "changed_ms >= ? OR "
        statement = f"SELECT * FROM orders WHERE {either}state != 'DEAD' ORDER BY changed_ms, rowid"
        with self._rows(statement, *([] if working_only else [since_ms])) as rows:
            return [_order(row) for row in rows]

    def fills(self, since_ms: int) -> list[tuple[Fill, TradeStatus]]:
        """Fills booked since a unix time, and all that are not settled, oldest first."""
        statement = "SELECT * FROM fills WHERE booked_ms >= ? OR state = 'booked' ORDER BY booked_ms, rowid"
        with self._rows(statement, since_ms) as rows:
            return [(_fill(row), STATUS[row[12]]) for row in rows]

    def unended_fills(self, since_ms: int) -> list[UnendedFill]:
        """Fills that are not settled, and those booked since a unix time, with the markouts they have."""
        statement = "SELECT * FROM fills WHERE booked_ms >= ? OR state = 'booked' ORDER BY booked_ms, rowid"
        with self._rows(statement, since_ms) as rows:
            return [self._with_markouts(row) for row in rows.fetchall()]

    def last_fills(self, market: ConditionId, most: int) -> list[UnendedFill]:
        """A market's last fills, ended or not, with the markouts they have, newest first."""
        statement = "SELECT * FROM fills WHERE market = ? ORDER BY booked_ms DESC, rowid DESC LIMIT ?"
        with self._rows(statement, market, most) as rows:
            return [self._with_markouts(row) for row in rows.fetchall()]

    def _with_markouts(self, row: tuple[Any, ...]) -> UnendedFill:
        return UnendedFill(
            _fill(row[:9]), Side[row[4]], Side[row[9]], Price(row[10]), row[11], row[12], row[13], self._taken(row)
        )

    def _taken(self, fill: tuple[str, ...]) -> dict[int, int]:
        statement = "SELECT horizon_secs, value_x FROM markouts WHERE trade_id = ? AND order_id = ?"
        with self._rows(statement, fill[0], fill[1]) as rows:
            return dict(rows.fetchall())

    def last_times(self) -> dict[str, int | None]:
        """When the last order, fill, mark and reconciliation event were written, in unix ms."""
        statement = """SELECT (SELECT max(changed_ms) FROM orders), (SELECT max(booked_ms) FROM fills),
            (SELECT max(marked_ms) FROM totals), (SELECT max(at_ms) FROM events)"""
        with self._rows(statement) as rows:
            return dict(zip(("order", "fill", "mark", "event"), rows.fetchone(), strict=True))

    def events(self, limit: int = 20) -> list[tuple[int, str, str, str, str]]:
        """The last events as (unix ms, kind, market, ours, venue), oldest first."""
        statement = "SELECT at_ms, kind, market, ours, venue FROM events ORDER BY number DESC LIMIT ?"
        with self._rows(statement, limit) as rows:
            return rows.fetchall()[::-1]

    def cash_flows(self) -> list[tuple[int, str, int, str, str]]:
        """Money that came or went otherwise than by fills: (unix ms, kind, micro-dollars, market, note)."""
        with self._rows("SELECT at_ms, kind, amount, market, note FROM cash_flows ORDER BY number") as rows:
            return rows.fetchall()


def _order(row: tuple[str, str, str, str, int, int, str, int, str, str, int, int, int, int, int]) -> KnownOrder:
    id, market, token, side, price, size, direction, yes_price, why, state, filled, matched, final, created, at = row
    order = Order(
        id=OrderId(id),
        market=ConditionId(market),
        token=TokenId(token),
        side=Side[side],
        price=Price(price),
        size=Size(size),
        direction=Side[direction],
        yes_price=Price(yes_price),
        why=why,
        state=OrderState[state],
        filled=Size(filled),
        matched=Size(matched),
        final=bool(final),
    )
    return KnownOrder(order, created, at)


def _day(row: tuple[str, str, int, int, int, int, int, int, int, int, int, int, int, int]) -> DayResult:
    opening, unrealised, realised, spread, *markouts = row[2:9]
    fees, rebates, rewards, volume, fills = row[9:]
    return DayResult(
        opening,
        unrealised,
        realised,
        spread,
        list(markouts),
        Cash(fees),
        Cash(rebates),
        Cash(rewards),
        Cash(volume),
        fills,
    )


def _fill(row: tuple[str, str, str, str, str, int, int, int, int]) -> Fill:
    return Fill(
        trade_id=row[0],
        order_id=OrderId(row[1]),
        market=ConditionId(row[2]),
        token=TokenId(row[3]),
        side=Side[row[4]],
        price=Price(row[5]),
        size=Size(row[6]),
        is_maker=bool(row[7]),
        time_ms=row[8],
    )


assert HORIZONS_SECS == (5, 60, 300)  # the columns of `days` are named after them
