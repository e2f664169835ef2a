"""What can be wrong with a ledger when it is opened.

    LedgerError
    ├── LedgerMissing      there is no such file (only a reader minds)
    ├── LedgerCorrupt      the file is damaged, or is not a ledger; it is left as it is
    ├── LedgerVersion      its schema is newer than ours, or too old to be read before the daemon migrates it
    ├── WrongAccount       it belongs to another wallet
    └── LedgerUnavailable  it cannot be opened now: locked, no permission, disk

While the daemon runs nothing is raised: `Ledger.problem` says what is wrong until it is right again.
"""

from __future__ import annotations

from pathlib import Path


class LedgerError(Exception):
    """A ledger cannot be used; the text is one line for the operator and names the file."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.path = path


class LedgerMissing(LedgerError):
    """There is no such file."""


class LedgerCorrupt(LedgerError):
    """The file is damaged or not a ledger. It is never replaced: a person decides, from a copy or by moving it away."""


class LedgerVersion(LedgerError):
    """The file's schema is not one that this version can read."""


class WrongAccount(LedgerError):
    """The ledger was kept for another wallet."""


class LedgerUnavailable(LedgerError):
    """It cannot be opened now."""
