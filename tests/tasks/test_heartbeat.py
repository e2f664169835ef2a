"""The dead-man switch: beats while the engine is healthy, holds when beats fail, resumes after a reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mm_daemon.exchange.errors import AuthError, Unknown
from mm_daemon.tasks import heartbeat
from mm_daemon.tasks.heartbeat import HOLD, Heartbeat

from .fakes import Holder, ScriptedVenue, until


class Heart:
    """A heartbeat with its health and readings."""

    def __init__(self) -> None:
        self.venue = ScriptedVenue()
        self.holder = Holder()
        self.is_healthy = True
        self.readings = 0
        self.order: list[str] = []
        self.beat = Heartbeat(self.venue, self.holder, lambda: self.is_healthy, self._synchronise)
        self.run = asyncio.create_task(self.beat.run())

    async def _synchronise(self) -> None:
        assert HOLD in self.holder.holds, "a reading comes before the release"
        self.readings += 1

    @property
    def beats(self) -> int:
        """Beats sent."""
        return len(self.venue.called("heartbeat"))


@pytest.fixture
async def heart(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heart]:
    """A heart that beats every 5 ms before a venue that waits 50."""
    monkeypatch.setattr(heartbeat, "INTERVAL_SECS", 0.005)
    monkeypatch.setattr(heartbeat, "RETRY_SECS", 0.005)
    monkeypatch.setattr(heartbeat, "PATIENCE_SECS", 0.05)
    heart = Heart()
    yield heart
    heart.run.cancel()
    await asyncio.gather(heart.run, return_exceptions=True)


async def test_it_beats(heart: Heart) -> None:
    """Beats go out one after the other and nothing is held."""
    await until(lambda: heart.beats >= 5, "five beats")
    assert heart.holder.history == []


async def test_it_is_withheld_when_the_engine_stands_still(heart: Heart) -> None:
    """An unhealthy engine sends no beat, and after the venue's patience its quotes are held."""
    await until(lambda: heart.beats >= 1, "a beat")
    heart.is_healthy = False
    await until(lambda: HOLD in heart.holder.holds, "the hold")
    beats = heart.beats
    await asyncio.sleep(0.02)  # four intervals: a beat would show
    assert heart.beats == beats
    heart.is_healthy = True
    await until(lambda: HOLD not in heart.holder.holds, "the release")
    assert heart.readings == 1


async def test_one_lost_beat_holds_nothing(heart: Heart) -> None:
    """A single failure is retried soon and is no reason to pull quotes."""
    heart.venue.answers["heartbeat"] = [Unknown("timeout")]
    await until(lambda: heart.beats >= 4, "beats after the lost one")
    assert heart.holder.history == []


async def test_beats_that_fail_for_long_hold_until_all_is_read(heart: Heart) -> None:
    """When the venue may have cancelled everything: hold once, and release once after a beat and a reading."""
    heart.venue.answers["heartbeat"] = Unknown("timeout")
    await until(lambda: HOLD in heart.holder.holds, "the hold")
    heart.venue.answers.clear()
    await until(lambda: HOLD not in heart.holder.holds, "the release")
    assert heart.holder.history == [("hold", HOLD), ("release", HOLD)]
    assert heart.readings == 1


async def test_a_refused_key_ends_the_task(heart: Heart) -> None:
    """A venue that no longer knows our key is the daemon's end."""
    heart.venue.answers["heartbeat"] = AuthError("no")
    with pytest.raises(AuthError):
        await asyncio.wait_for(asyncio.shield(heart.run), 1)
