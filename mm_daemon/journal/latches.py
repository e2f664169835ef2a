"""Pauses and kills: in force from when they are set until a person lifts them, restarts included."""

from __future__ import annotations

from collections.abc import Callable

from mm_daemon.journal import rows
from mm_daemon.journal.ledger import Ledger
from mm_daemon.journal.reading import LedgerReader
from mm_daemon.journal.rows import Latch


class Latches:
    """The latches in force. To be sure that one survives a loss of power, flush the ledger after setting it."""

    def __init__(self, ledger: Ledger, clock_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._clock_ms = clock_ms
        self._latches: dict[tuple[str, str], Latch] = {}

    def load(self, reader: LedgerReader) -> None:
        """Take over those that an earlier run left in force."""
        self._latches = {(latch.kind, latch.market): latch for latch in reader.latches()}

    @property
    def in_force(self) -> list[Latch]:
        """All of them, oldest first."""
        return list(self._latches.values())

    def get(self, kind: str, market: str = "") -> Latch | None:
        """The latch of this kind on this market ("": on all of them), if it is in force."""
        return self._latches.get((kind, market))

    def set(self, kind: str, reason: str, set_by: str, market: str = "") -> Latch:
        """Set a latch; one that is in force already stays as it was set."""
        found = self._latches.get((kind, market))
        if found is None:
            found = Latch(kind=kind, reason=reason, set_at_ms=self._clock_ms(), set_by=set_by, market=market)
            self._latches[kind, market] = found
            self._ledger.note(rows.latch_row(found))
        return found

    def lift(self, kind: str, by: str, market: str = "") -> bool:
        """Lift a latch; False if there was none."""
        found = self._latches.pop((kind, market), None)
        if found is not None:
            self._ledger.note(rows.unlatch_row(kind, market, by, self._clock_ms()))
        return found is not None
