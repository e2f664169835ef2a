"""The ledger's tables, and how a file gets them: created with mode 0600, checked, migrated in one transaction.

Times (`_ms`) are unix milliseconds of this machine's clock, except `fills.time_ms`, which is the venue's. Days are UTC
dates, YYYY-MM-DD. Prices are 1/10,000 dollar, mids (`twice_mid`) 1/20,000 dollar, sizes micro-shares, money
micro-dollars, and columns ending in `_x` 1/20,000 micro-dollar.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mm_daemon.journal.errors import LedgerCorrupt, LedgerUnavailable, LedgerVersion

APPLICATION_ID = 0x6D6D6C67
"""`mmlg`: what tells our file from another program's database."""
OPEN_TIMEOUT_SECS = 5.0
"""How long opening waits for a lock that somebody else holds."""

Migration = Sequence[str]

V1: Migration = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE markets (
        market TEXT PRIMARY KEY, slug TEXT NOT NULL, question TEXT NOT NULL, yes TEXT NOT NULL, no TEXT NOT NULL)""",
    """CREATE TABLE orders (
        id TEXT PRIMARY KEY, market TEXT NOT NULL, token TEXT NOT NULL, side TEXT NOT NULL, price INTEGER NOT NULL,
        size INTEGER NOT NULL, direction TEXT NOT NULL, yes_price INTEGER NOT NULL, why TEXT NOT NULL,
        state TEXT NOT NULL, filled INTEGER NOT NULL, matched INTEGER NOT NULL, final INTEGER NOT NULL,
        created_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL)""",
    "CREATE INDEX orders_by_change ON orders (changed_ms)",
    "CREATE INDEX orders_working ON orders (market) WHERE state != 'DEAD'",
    """CREATE TABLE fills (
        trade_id TEXT NOT NULL, order_id TEXT NOT NULL, market TEXT NOT NULL, token TEXT NOT NULL, side TEXT NOT NULL,
        price INTEGER NOT NULL, size INTEGER NOT NULL, is_maker INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        direction TEXT NOT NULL, yes_price INTEGER NOT NULL, twice_mid INTEGER, state TEXT NOT NULL,
        booked_ms INTEGER NOT NULL, ended_ms INTEGER, PRIMARY KEY (trade_id, order_id))""",
    "CREATE INDEX fills_by_time ON fills (booked_ms)",
    "CREATE INDEX fills_unsettled ON fills (booked_ms) WHERE state = 'booked'",
    """CREATE TABLE markouts (
        trade_id TEXT NOT NULL, order_id TEXT NOT NULL, horizon_secs INTEGER NOT NULL, twice_mid INTEGER NOT NULL,
        value_x INTEGER NOT NULL, taken_ms INTEGER NOT NULL,
        PRIMARY KEY (trade_id, order_id, horizon_secs)) WITHOUT ROWID""",
    """CREATE TABLE accounts (
        market TEXT PRIMARY KEY, net INTEGER NOT NULL, cost_x INTEGER NOT NULL, realised_x INTEGER NOT NULL,
        yes INTEGER NOT NULL, no INTEGER NOT NULL, cash INTEGER NOT NULL, fees INTEGER NOT NULL,
        rebates INTEGER NOT NULL, rewards INTEGER NOT NULL, twice_mid INTEGER, marked_ms INTEGER NOT NULL)""",
    """CREATE TABLE days (
        day TEXT NOT NULL, market TEXT NOT NULL, opening_x INTEGER NOT NULL, unrealised_x INTEGER NOT NULL,
        realised_x INTEGER NOT NULL, spread_x INTEGER NOT NULL, markout_5_x INTEGER NOT NULL,
        markout_60_x INTEGER NOT NULL, markout_300_x INTEGER NOT NULL, fees INTEGER NOT NULL, rebates INTEGER NOT NULL,
        rewards INTEGER NOT NULL, volume INTEGER NOT NULL, fills INTEGER NOT NULL, PRIMARY KEY (day, market))""",
    """CREATE TABLE totals (
        day TEXT PRIMARY KEY, opening_equity INTEGER, equity INTEGER, pnl INTEGER NOT NULL, worst INTEGER NOT NULL,
        marked_ms INTEGER NOT NULL)""",
    """CREATE TABLE cash_flows (
        number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, amount INTEGER NOT NULL,
        market TEXT NOT NULL, note TEXT NOT NULL)""",
    """CREATE TABLE latches (
        kind TEXT NOT NULL, market TEXT NOT NULL, set_at_ms INTEGER NOT NULL, reason TEXT NOT NULL,
        set_by TEXT NOT NULL, cleared_at_ms INTEGER, cleared_by TEXT, PRIMARY KEY (kind, market, set_at_ms))""",
    """CREATE TABLE events (
        number INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, market TEXT NOT NULL,
        ours TEXT NOT NULL, venue TEXT NOT NULL)""",
)

V2: Migration = ("CREATE INDEX fills_of_market ON fills (market, booked_ms)",)

MIGRATIONS: Sequence[Migration] = (V1, V2)
"""What brings a file of version n to n + 1, for each n from 0. Only ever appended to."""


@contextmanager
def typed_errors(path: Path) -> Iterator[None]:
    """Turn what sqlite3 and the file system raise into a `LedgerError`."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise LedgerUnavailable(path, f"the ledger cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        raise LedgerCorrupt(path, f"is damaged or not a database ({error}); it was left as it is") from error
    except OSError as error:
        raise LedgerUnavailable(path, f"the ledger cannot be opened: {error.strerror or error}") from error


def open_database(path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> sqlite3.Connection:
    """Open the ledger's file for writing, making it first if there is none.

    Raises:
        LedgerCorrupt: damaged, or not a ledger.
        LedgerVersion: written by a newer version.
        LedgerUnavailable: locked, or the file system refuses.
    """
    with typed_errors(path):
        create_private(path)
        connection = connect(path)
        try:
            check(connection, path)
            # Journal mode first: it cannot change inside a transaction.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            migrate(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
    return connection


def create_private(path: Path) -> None:
    """Make the file with mode 0600 before SQLite sees it; -wal and -shm get the mode of the file they belong to."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def connect(path: Path, *, timeout_secs: float = OPEN_TIMEOUT_SECS) -> sqlite3.Connection:
    """A connection to an existing file that begins and commits only when told, usable from one thread at a time."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=timeout_secs,
        isolation_level=None,
        check_same_thread=False,
    )


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Make sure that the file is whole and ours (or empty).

    Raises:
        LedgerCorrupt: it is not.
    """
    report = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    if report != ["ok"]:
        raise LedgerCorrupt(path, f"is damaged ({'; '.join(report)}); it was left as it is")
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if application != APPLICATION_ID and (application or tables):
        raise LedgerCorrupt(path, "is another program's database; it was left as it is")


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of the file; 0 is an empty one."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Bring the file to the newest version, all steps in one transaction.

    Raises:
        LedgerVersion: it is of a newer version than we know.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(connection)
        if version > len(migrations):
            raise LedgerVersion(
                path, f"was written by a newer mm-daemon (schema {version}, this one knows up to {len(migrations)})"
            )
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
