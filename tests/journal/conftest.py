"""Ledgers in temporary directories, and a clock that is set by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journal.given import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger is to be."""
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def clock() -> Clock:
    """A clock at noon of a day."""
    return Clock()
