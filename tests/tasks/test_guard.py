"""The guard: limits over time, halts that only a person lifts, markets about to end."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from mm_daemon.core.units import Cash, ConditionId
from mm_daemon.tasks.guard import END_HOLD, LEDGER_HOLD, Guard, GuardLimits

from ..given import a_desk, a_market, book_at, usd
from .fakes import Clock

MARKET = a_market()
ENDING = msgspec.structs.replace(a_market(2), end_secs=10_000)


class Accounts:
    """Books that say what the test wants."""

    def __init__(self) -> None:
        self.day_loss = Cash(0)
        self.problem: str | None = None
        self.latches: list[tuple[str, str]] = []
        self.marked: Mapping[ConditionId, int] = {}

    def mark(self, mids: Mapping[ConditionId, int]) -> None:
        self.marked = mids

    def set_latch(self, kind: str, reason: str, by: str) -> None:
        self.latches.append((kind, reason))

    def clear_latches(self, by: str) -> None:
        self.latches.clear()


class Holds:
    """The holds in force, by market (None: all)."""

    def __init__(self) -> None:
        self.now: set[tuple[str, ConditionId | None]] = set()

    def hold(self, reason: str, market: ConditionId | None = None) -> None:
        self.now.add((reason, market))

    def release(self, reason: str, market: ConditionId | None = None) -> None:
        self.now.discard((reason, market))


class Scene:
    def __init__(self) -> None:
        self.desk = a_desk(MARKET, ENDING)
        self.holds, self.accounts, self.clock = Holds(), Accounts(), Clock()
        self.unix_secs = 1_000.0
        limits = GuardLimits(usd(100), 3, 60, 300)
        self.guard = Guard(self.desk, self.holds, self.accounts, limits, self.clock, lambda: self.unix_secs)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_daily_loss_at_its_limit_is_no_breach(scene: Scene) -> None:
    """The limit itself may be lost; nothing is held."""
    scene.accounts.day_loss = usd(100)
    scene.guard.look()
    assert scene.holds.now == set() and scene.accounts.latches == []


def test_a_daily_loss_over_its_limit_kills_once(scene: Scene) -> None:
    """Quotes are pulled, the kill is latched on disk, and one alert goes out however often it is seen."""
    scene.accounts.day_loss = usd(100.01)
    scene.guard.look()
    scene.guard.look()
    assert len(scene.holds.now) == len(scene.accounts.latches) == len(scene.guard.halts) == 1
    assert scene.accounts.latches[0][0] == "kill"


def test_order_errors_within_the_window_kill(scene: Scene) -> None:
    """Three in a minute are too many; three in an hour are not."""
    for _ in range(5):
        scene.guard.order_error()
        scene.clock.pass_secs(31)
    assert not scene.guard.halts
    for _ in range(2):
        scene.guard.order_error()
    assert len(scene.guard.halts) == 1 and "3 order errors" in next(iter(scene.guard.halts))


async def test_only_resume_lifts_a_halt(scene: Scene) -> None:
    """A pause and a kill stay until a person resumes, and then the disk forgets them too."""
    await scene.guard.pause("lunch")
    scene.guard.kill("loss")
    scene.guard.look()
    assert {reason for reason, _ in scene.holds.now} == {"pause: lunch", "kill: loss"}
    answer = await scene.guard.resume("")
    assert scene.holds.now == set() and scene.accounts.latches == [] and "kill: loss" in answer


def test_a_restart_finds_the_halt_of_the_last_run(scene: Scene) -> None:
    """What was latched holds from the start."""
    scene.guard.restore({"kill": "loss"})
    assert scene.holds.now == {("kill: loss", None)}
    scene.guard.kill("loss again")


def test_while_the_ledger_cannot_be_written_nothing_is_quoted(scene: Scene) -> None:
    """A full disk holds quoting, and a cured one lets it go on."""
    scene.accounts.problem = "database or disk is full"
    scene.guard.look()
    assert scene.holds.now == {(LEDGER_HOLD, None)}
    scene.accounts.problem = None
    scene.guard.look()
    assert scene.holds.now == set()


def test_a_market_about_to_end_is_left_alone(scene: Scene) -> None:
    """Five minutes before its end one market is held, and no other."""
    scene.unix_secs = 9_700
    scene.guard.look()
    assert scene.holds.now == set()
    scene.unix_secs = 9_701
    scene.guard.look()
    assert scene.holds.now == {(END_HOLD, ENDING.condition_id)}


def test_everything_is_valued_at_the_mids_we_have(scene: Scene) -> None:
    """A market without a mid is not valued at a guess."""
    book_at(scene.desk, MARKET, 48, 52)
    scene.guard.look()
    assert scene.accounts.marked == {MARKET.condition_id: 10_000}
