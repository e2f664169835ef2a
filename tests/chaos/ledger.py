"""The daemon's ledger as a run left it on disk, read by plain SQL and not by the daemon's own code."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple


class LedgerSeen(NamedTuple):
    """Fills by (trade, order) with their state, and tokens held by market slug: YES and NO in micro-shares."""

    fills: dict[tuple[str, str], str]
    tokens: dict[str, tuple[int, int]]


def ledger_files(folder: Path) -> list[Path]:
    """The database and what SQLite keeps beside it."""
    return sorted(folder.glob("state/**/ledger.sqlite*"))


def read_ledger(folder: Path) -> LedgerSeen | None:
    """Read it; None if there is none."""
    file = next((file for file in ledger_files(folder) if file.suffix == ".sqlite"), None)
    if file is None:
        return None
    with closing(sqlite3.connect(file)) as connection:
        fills = connection.execute("SELECT trade_id, order_id, state FROM fills").fetchall()
        held = connection.execute(
            "SELECT slug, accounts.yes, accounts.no FROM accounts JOIN markets USING (market)"
        ).fetchall()
    return LedgerSeen(
        {(trade, order): state for trade, order, state in fills},
        {slug: (yes, no) for slug, yes, no in held if yes or no},
    )


def lose_ledger(folder: Path) -> None:
    """Let the database be gone, as a disk does."""
    for file in ledger_files(folder):
        file.unlink()
