"""The daemon's books: the ledger on disk and its keeper, opened and closed with the daemon, as the guard needs them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

from mm_daemon.core.desk import Desk
from mm_daemon.core.inventory import worth
from mm_daemon.core.units import Cash, ConditionId
from mm_daemon.journal.keeper import Bookkeeper
from mm_daemon.journal.ledger import Ledger
from mm_daemon.tasks.balances import Difference

LATCHES = ("pause", "kill")
FLUSH_SECS = 2.0


def unix_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def ledger_file(state_directory: Path) -> Path:
    """Where the ledger lies."""
    return state_directory / "ledger.sqlite"


class Books:
    """The keeper of a desk's accounts.

    Attributes:
        keeper: the accounts, and today.
        ledger: where they are written.
    """

    def __init__(self, desk: Desk, state_directory: Path, wallet: str) -> None:
        """Open the ledger and take over what an earlier run left.

        Raises:
            LedgerError: the ledger cannot be used.
        """
        self._desk = desk
        self.ledger = Ledger.open(ledger_file(state_directory), account=wallet)
        self.keeper = Bookkeeper(self.ledger, unix_ms)
        self.keeper.load()
        self._flushing: asyncio.Future[bool] | None = None
        desk.witness = self.keeper

    @property
    def day_loss(self) -> Cash:
        """What this UTC day has lost so far, in micro-dollars."""
        return self.keeper.day_loss

    @property
    def problem(self) -> str | None:
        """Why the ledger cannot be written, None while it can."""
        return self.ledger.problem

    def mark(self, mids: Mapping[ConditionId, int]) -> None:
        """Value everything at these mids now."""
        equity: int = self._desk.cash
        for id, twice_mid in mids.items():
            position = self._desk.markets[id].position
            equity += worth(position.yes.held, position.no.held, twice_mid)
        self.keeper.mark(unix_ms(), mids, Cash(equity))

    def latches(self) -> dict[str, str]:
        """The halts that an earlier run left in force, as kind -> reason."""
        return {latch.kind: latch.reason for latch in self.keeper.latches.in_force}

    def set_latch(self, kind: str, reason: str, by: str) -> None:
        """Remember a pause or kill on disk, safe from a loss of power too."""
        self.keeper.latches.set(kind, reason, by)
        self._flushing = asyncio.ensure_future(self.ledger.flush(FLUSH_SECS))

    def clear_latches(self, by: str) -> None:
        """Forget every pause and kill."""
        for kind in LATCHES:
            self.keeper.latches.lift(kind, by)

    def note_difference(self, difference: Difference) -> None:
        """Keep what the venue knew differently, and bring the accounts to it."""
        self.keeper.event(
            f"{difference.kind.lower()}_differs", str(difference.ours), str(difference.venues), difference.market
        )
        if difference.kind == "cash":
            self.keeper.cash_flow("correction", Cash(difference.venues - difference.ours), "the venue's balance")
            return
        for state in self._desk.markets.values():
            if state.market.slug == difference.market:
                position = state.position
                self.keeper.opening(state.market, position.yes.held, position.no.held, state.twice_mid)

    async def close(self) -> bool:
        """Write what waits; False if not all of it could be written."""
        return await self.keeper.close()
