"""The ledger: what must not be forgotten, written by one thread behind a bounded queue.

`note` is a plain append; the writer gathers what was noted for some milliseconds and commits it as one transaction.
Whatever is noted together is committed together, and everything in the order in which it was noted. So a crash loses
the last moments only: orders and trades, which the venue tells again, and up to some seconds of marks.

Nothing is raised for a disk that is full, a lock that stays, or a file that is gone. `problem` then says so, and the
daemon does not quote while it does; the entries wait, and are tried again until they are written.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import structlog

from mm_daemon.journal.errors import LedgerCorrupt, LedgerError, LedgerUnavailable, WrongAccount
from mm_daemon.journal.rows import Row, event_row, meta_row
from mm_daemon.journal.schema import MIGRATIONS, Migration, connect, create_private, open_database, typed_errors

CAPACITY = 10_000
"""Notes that may wait before the ledger is a problem; ten times as many before notes are lost."""
BATCH = 500
"""Most notes in one transaction."""
GATHER_SECS = 0.02
"""How often the writer looks for notes. It is not woken by them: that would cost the event loop more than the note."""
LOOK_SECS = 1.0
"""How often an idle writer looks whether its file is still there."""
LOCK_SECS = 1.0
"""How long a transaction waits for somebody else's lock."""
RETRY_SECS = 0.25

Note = tuple[Row, ...]
log = structlog.get_logger()


class Statistics(msgspec.Struct, frozen=True):
    """What the ledger did. Counts are of notes; seconds are of the last and the slowest transaction."""

    noted: int
    written: int
    waiting: int
    lost: int
    transactions: int
    failures: int
    restored: int
    last_secs: float
    slowest_secs: float
    problem: str | None


class Ledger:
    """The file and its writer. Called from one thread only; the writer is its own.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, capacity: int) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._inode = _inode(path)
        self._capacity = capacity
        self._queue: deque[Note] = deque()
        self._batch: list[Note] = []
        self._fault: str | None = None
        self._is_full = False
        self._is_closing = False
        self._noted = self._written = self._durable = self._flush_to = 0
        self._lost = self._transactions = self._failures = self._restored = 0
        self._last_secs = self._slowest_secs = 0.0
        self._hurry = threading.Event()
        self._progress = threading.Condition()
        self._writer = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._writer.start()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        account: str | None = None,
        capacity: int = CAPACITY,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> Ledger:
        """Open the ledger, making or migrating the file where needed, and start its writer. Blocks for its checks.

        Args:
            path: the file; its directory is made with mode 0700 if there is none.
            account: the wallet it is kept for; a file of another one is refused. None: not compared.

        Raises:
            LedgerCorrupt: damaged, or not a ledger; the file stays as it is.
            LedgerVersion: written by a newer version.
            WrongAccount: kept for another wallet.
            LedgerUnavailable: locked, no permission, no space.
        """
        connection = open_database(path, migrations)
        try:
            with typed_errors(path):
                _claim(connection, path, account)
                connection.execute(f"PRAGMA busy_timeout = {int(LOCK_SECS * 1000)}")
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, capacity)

    def note(self, *rows: Row) -> None:
        """Have rows written, all or none of them. Never blocks and never raises; see `problem`."""
        waiting = len(self._queue)
        if waiting >= self._capacity:
            if not self._is_full:
                self._is_full = True
                log.error("ledger_queue_full", waiting=waiting)
            if waiting >= 10 * self._capacity:
                self._lost += 1
                return
        self._queue.append(rows)
        self._noted += 1

    @property
    def problem(self) -> str | None:
        """Why what was noted may not be on disk, in one line; None: all is well. Nothing may be quoted while set."""
        if self._lost:
            return f"{self._lost} notes were lost because the ledger could not be written; restart to set it right"
        if self._fault:
            return self._fault
        return f"ledger is behind by {len(self._queue)} notes" if self._is_full else None

    @property
    def waiting(self) -> int:
        """Notes that are not written yet."""
        return self._noted - self._written

    async def flush(self, timeout_secs: float) -> bool:
        """Wait until everything noted so far is on disk, safe from a loss of power too; False if time ran out."""
        target = self._flush_to = self._noted
        self._hurry.set()

        def wait() -> bool:
            with self._progress:
                return self._progress.wait_for(lambda: self._durable >= target, timeout_secs)

        return await asyncio.to_thread(wait)

    async def close(self, timeout_secs: float = 2.0) -> bool:
        """Write what waits and close the file; False if not all of it could be written in time. No call after it."""
        deadline = time.monotonic() + timeout_secs
        is_flushed = await self.flush(timeout_secs)
        self._is_closing = True
        self._hurry.set()
        await asyncio.to_thread(self._writer.join, max(deadline - time.monotonic(), 0.0) + LOCK_SECS)
        if not is_flushed:
            log.error("ledger_not_saved", notes=self.waiting, why=self.problem)
        return is_flushed

    def statistics(self) -> Statistics:
        """What the ledger did so far."""
        return Statistics(
            noted=self._noted,
            written=self._written,
            waiting=self.waiting,
            lost=self._lost,
            transactions=self._transactions,
            failures=self._failures,
            restored=self._restored,
            last_secs=self._last_secs,
            slowest_secs=self._slowest_secs,
            problem=self.problem,
        )

    # The writer's side

    def _run(self) -> None:
        looked = time.monotonic()
        while not (self._is_closing and (not self.waiting or self._fault)):
            self._hurry.wait(GATHER_SECS)
            is_asked = self._hurry.is_set()
            self._hurry.clear()
            if self._queue or is_asked or time.monotonic() - looked >= LOOK_SECS:
                while not self._write_some() and not self._is_closing:
                    time.sleep(RETRY_SECS)
                looked = time.monotonic()
        if self._connection is not None:
            self._connection.close()

    def _write_some(self) -> bool:
        """Write what waits; False if something is in the way."""
        try:
            self._check_file()
            while self._batch or self._queue:
                while self._queue and len(self._batch) < BATCH:
                    self._batch.append(self._queue.popleft())
                self._commit(self._batch)
                self._written += len(self._batch)
                self._batch.clear()
            if self._flush_to > self._durable:
                _sync(Path(f"{self.path}-wal"))
        except (OSError, sqlite3.Error, LedgerError, OverflowError) as error:
            self._failures += 1
            self._set_fault(str(error) if isinstance(error, LedgerError) else f"ledger {self.path}: {error}")
            return False
        self._set_fault(None)
        self._is_full = False
        with self._progress:
            self._durable = max(self._durable, min(self._flush_to, self._written))
            self._progress.notify_all()
        return True

    def _commit(self, notes: Sequence[Note]) -> None:
        began = time.monotonic()
        connection = self._connection
        if connection is None:
            raise LedgerUnavailable(self.path, "is not open")
        connection.execute("BEGIN IMMEDIATE")
        try:
            for note in notes:
                for statement, values in note:
                    connection.execute(statement, values)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        self._transactions += 1
        self._last_secs = time.monotonic() - began
        self._slowest_secs = max(self._slowest_secs, self._last_secs)

    def _set_fault(self, fault: str | None) -> None:
        if fault is not None and fault != self._fault:
            log.error("ledger_unwritable", why=fault, waiting=self.waiting)
        elif fault is None and self._fault is not None:
            log.warning("ledger_written_again", written=self._written)
        self._fault = fault

    def _check_file(self) -> None:
        """Make sure that the name still leads to our file; if it leads nowhere, put our data back under it.

        Raises:
            LedgerCorrupt: the name leads to another file, which is not touched.
            OSError, sqlite3.Error: the data could not be put back.
        """
        try:
            inode = _inode(self.path)
        except FileNotFoundError:
            self._set_fault(f"ledger {self.path} is gone: it was deleted while in use")
            self._restore()
            return
        if inode != self._inode:
            raise LedgerCorrupt(self.path, "is another file than the one we opened: it was replaced while in use")
        if self._connection is None:
            self._connect()
        elif self._transactions and not all(Path(f"{self.path}{ending}").exists() for ending in ("-wal", "-shm")):
            # Only a part is gone: what our open log has goes into the file itself, and a new log is begun.
            is_busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                raise LedgerUnavailable(self.path, "its log was deleted, and somebody reads it: it will be tried again")
            self._begin_anew()

    def _restore(self) -> None:
        """Write the data, which our open file still has, into a new file of the same name, and go on with that."""
        if self._connection is None:
            raise LedgerUnavailable(self.path, "was deleted twice, and is not open any more")
        aside = Path(f"{self.path}.restoring")
        aside.unlink(missing_ok=True)
        create_private(aside)
        copy = connect(aside)
        try:
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode = WAL")
        finally:
            copy.close()
        # A write-ahead log that is left of the old file must never be taken for the new one's.
        for ending in ("-wal", "-shm"):
            Path(f"{self.path}{ending}").unlink(missing_ok=True)
        aside.rename(self.path)
        self._inode = _inode(self.path)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Open the file again; the next transaction says that it was so."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._restored += 1
        log.error("ledger_restored", path=str(self.path), why="it was deleted while in use")
        self._batch.insert(0, (event_row("ledger_restored", "", "open file", "deleted", time.time_ns() // 1_000_000),))
        self._written -= 1  # the event was not noted, but is written with the rest
        self._connect()

    def _connect(self) -> None:
        self._connection = connect(self.path, timeout_secs=LOCK_SECS)
        self._connection.execute("PRAGMA synchronous = NORMAL")


def _claim(connection: sqlite3.Connection, path: Path, account: str | None) -> None:
    """Write whose ledger it is, or compare.

    Raises:
        WrongAccount: somebody else's.
    """
    if account is None:
        return
    found = connection.execute("SELECT value FROM meta WHERE key = 'account'").fetchone()
    if found is None:
        connection.execute(*meta_row("account", account))
    elif found[0].lower() != account.lower():
        raise WrongAccount(path, f"is the ledger of {found[0]}, not of {account}: name another [state].directory")


def _inode(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _sync(path: Path) -> None:
    """Have the write-ahead log on the disk itself. Closing it drops no lock: SQLite's locks are on the other files."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
