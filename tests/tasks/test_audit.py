"""The audit: a quiet book is believed until the venue contradicts it twice."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mm_daemon.core.book import book_hash
from mm_daemon.core.desk import MarketState
from mm_daemon.core.events import BookSnapshot
from mm_daemon.exchange.api import Complete, Unavailable
from mm_daemon.tasks import audit
from mm_daemon.tasks.audit import Audit

from ..given import a_snapshot, cents, levels
from .fakes import Stage, until


class Scene:
    def __init__(self) -> None:
        self.stage = Stage()
        self.distrusted: list[tuple[MarketState, str]] = []
        self.audit = Audit(
            self.stage.desk, self.stage.venue, lambda s, why: self.distrusted.append((s, why)), self.stage.clock
        )
        self.state = self.stage.state

    def venue_shows(self, bid: float, ask: float, *, later_ms: int = 0, hash: str | None = None) -> None:
        """The venue's book: same sizes as ours, at these prices."""
        size = 1_000
        shown = a_snapshot(
            self.stage.market, levels((bid, size)), levels((ask, size)), self.state.book.time_ms + later_ms
        )
        market = self.stage.market
        true_hash = book_hash(
            market=market.condition_id, token=market.yes, time_ms=shown.time_ms, bids=shown.bids, asks=shown.asks,
            min_size=market.min_size, tick=market.tick, neg_risk=False, last_trade=cents(40),
        )  # fmt: skip
        replaced: BookSnapshot = msgspec.structs.replace(shown, hash=hash or true_hash, last_trade=cents(40))
        self.stage.venue.answers["book"] = Complete(replaced)

    async def look(self) -> str | None:
        return await self.audit.contradiction(self.state)


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_our_levels_give_the_venues_hash(scene: Scene) -> None:
    """Same moment, same hash: the book is right to the last level."""
    scene.venue_shows(48, 52)
    assert await scene.look() is None and scene.audit.statistics.hashes_equal == 1


async def test_another_hash_at_the_same_moment_contradicts(scene: Scene) -> None:
    """A level that differs somewhere shows, although the touch agrees."""
    scene.venue_shows(48, 52, hash="0" * 40)
    assert await scene.look() == "hash"


async def test_a_venue_that_moved_on_without_telling_us_contradicts(scene: Scene) -> None:
    """The feed is open and silent, and the venue's best prices are others: frozen."""
    scene.venue_shows(45, 52, later_ms=60_000)
    assert "touch" in str(await scene.look())


async def test_a_quiet_book_that_agrees_is_fine(scene: Scene) -> None:
    """Quiet alone is not stale."""
    scene.venue_shows(48, 52, later_ms=60_000)
    assert await scene.look() is None and scene.audit.statistics.touches_equal == 1


async def test_what_cannot_be_read_says_nothing(scene: Scene) -> None:
    """A failed read is no contradiction."""
    scene.stage.venue.answers["book"] = Unavailable("timeout")
    assert await scene.look() is None and scene.audit.statistics.unavailable == 1


async def test_one_contradiction_is_a_race_and_two_are_wrong(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a second reading that contradicts again costs the book its trust."""
    monkeypatch.setattr(audit, "TURN_SECS", 0.01)
    monkeypatch.setattr(audit, "AGAIN_SECS", 0.01)
    scene.venue_shows(45, 52, later_ms=60_000)
    wrong = scene.stage.venue.answers["book"]
    scene.venue_shows(48, 52)
    right = scene.stage.venue.answers["book"]
    scene.stage.venue.answers["book"] = [wrong, right, right, wrong, wrong]
    running = asyncio.create_task(scene.audit.run())
    await until(lambda: len(scene.distrusted) == 1)
    assert scene.distrusted[0][0] is scene.state and scene.audit.statistics.contradictions == 3
    running.cancel()


async def test_quiet_markets_come_first(scene: Scene) -> None:
    """The market that has said nothing for half a minute is read before one that speaks."""
    stage = Stage(markets=3)
    books = Audit(stage.desk, stage.venue, lambda s, why: None, stage.clock)
    states = list(stage.desk.markets.values())
    for state in states[:2]:
        state.book.received_ns = stage.clock()
    assert books._next() is states[2]
    stage.clock.pass_secs(1)
    assert books._next() in states[:2]
