"""The stage, set and cleared."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .fakes import Stage


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """One market at 48/52 with the order manager running."""
    stage = Stage()
    stage.start()
    yield stage
    await stage.stop()
