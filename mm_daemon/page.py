"""The dashboard of a daemon: the one place that knows where its charts, fills and commands are kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mm_daemon.books import ledger_file, unix_ms
from mm_daemon.core.pnl import HORIZONS_SECS, spread_captured_x, to_cash
from mm_daemon.core.units import Cash, ConditionId, Side
from mm_daemon.journal.errors import LedgerError
from mm_daemon.journal.reading import LedgerReader, UnendedFill
from mm_daemon.ops.dashboard.clients import FillsUnread, Sources
from mm_daemon.ops.dashboard.payload import FillShown
from mm_daemon.ops.dashboard.server import Dashboard
from mm_daemon.ops.logs import recent_events
from mm_daemon.ops.web import Token

if TYPE_CHECKING:
    from mm_daemon.app import Daemon


def dashboard(daemon: Daemon, token: Token | None) -> Dashboard:
    """The page of this daemon; it commands only what carries `token`."""
    ledger, observer = ledger_file(daemon.config.state_directory), daemon.observer

    async def fills(market: ConditionId, most: int) -> Sequence[FillShown]:
        return await asyncio.to_thread(last_fills, ledger, market, most)

    def day_pnl() -> Cash:
        return daemon.books.keeper.day_pnl if daemon.books else Cash(0)

    sources = Sources(
        desk=daemon.desk,
        observe=observer.watch,
        latencies=observer.latencies,
        day_pnl=day_pnl,
        fills=fills,
        events=recent_events,
        clock_ns=time.monotonic_ns,
        clock_ms=unix_ms,
    )
    return Dashboard(sources, daemon.commands, token)


def last_fills(ledger: Path, market: ConditionId, most: int) -> Sequence[FillShown]:
    """A market's last fills from the ledger, newest first; blocks for its reads.

    Raises:
        FillsUnread: the ledger cannot be read now.
    """
    try:
        with LedgerReader(ledger) as reader:
            return [_shown(fill) for fill in reader.last_fills(market, most)]
    except LedgerError as error:
        raise FillsUnread(str(error)) from error


def _shown(known: UnendedFill) -> FillShown:
    fill, mid = known.fill, known.twice_mid
    spread = None if mid is None else to_cash(spread_captured_x(known.direction, known.yes_price, fill.size, mid))
    taken = known.markouts_x
    return FillShown(
        time_ms=known.booked_ms,
        direction="bid" if known.direction is Side.BUY else "ask",
        outcome="YES" if known.side is known.direction else "NO",
        yes_price=known.yes_price,
        size=fill.size,
        is_maker=fill.is_maker,
        state=known.state,
        spread=spread,
        markouts=tuple(to_cash(taken[secs]) if secs in taken else None for secs in HORIZONS_SECS),
    )
