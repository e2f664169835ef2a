"""The stage, set and cleared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from .fakes import Stage


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests of sockets run on the daemon's loop too, whose transports differ in more than speed."""
    if item.path.name == "test_socket.py":
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """One market at 48/52 with the order manager running."""
    stage = Stage()
    stage.start()
    yield stage
    await stage.stop()
