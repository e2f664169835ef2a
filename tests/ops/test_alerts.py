"""What a person is told, and when: rules over observations, and the board that keeps them over time."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.app import ExitCode
from mm_daemon.ops.alerts import CLEAR_SECS, Alert, Board, conditions, ended, happenings
from mm_daemon.ops.observation import SocketSeen, TaskSeen

from ..given import usd
from .seen import an_observation

FEED_DOWN = SocketSeen("market_1", False, 30.0, 5, 1)
USER_DOWN = SocketSeen("user", False, 30.0, 5, 1)
REPEAT_SECS = 900.0

WRONG: list[tuple[dict[str, Any], str, str, str]] = [
    # what is seen, key, level, part of the text
    ({"halts": ("kill: daily loss",)}, "killed", "critical", "kill: daily loss"),
    ({"day_loss": usd(80)}, "daily_loss", "warning", "$80.00 lost of $100.00"),
    ({"day_loss": usd(101)}, "loss_without_kill", "critical", "$101.00 lost"),
    ({"ledger_problem": "disk full"}, "ledger", "critical", "disk full"),
    ({"sockets": (FEED_DOWN,)}, "feed_down", "error", "market_1"),
    ({"sockets": (USER_DOWN,)}, "user_channel_down", "error", "no connection"),
    ({"tasks": (TaskSeen("audit", 91.0, 90.0),)}, "task_stuck", "critical", "audit for 91 s"),
    ({"heartbeat_secs": 11.0}, "heartbeat_lost", "error", "11 s"),
    ({"undecided": 2, "undecided_secs": 16.0}, "order_undecided", "error", "2 undecided, the oldest for 16 s"),
    ({"reconciled_secs": 130.0}, "not_reconciled", "error", "130 s ago"),
]


@pytest.mark.parametrize(("changes", "key", "level", "part"), WRONG, ids=[key for _, key, _, _ in WRONG])
def test_what_is_wrong_is_found(changes: dict[str, Any], key: str, level: str, part: str) -> None:
    """Each rule finds its own trouble, with its values, and nothing in a quiet observation."""
    assert conditions(an_observation()) == {}
    finding = conditions(an_observation(**changes))[key]
    assert finding.level == level
    assert part in finding.text


@pytest.mark.parametrize(
    "changes",
    [
        {"halts": ("pause: lunch",)},
        {"day_loss": usd(79)},
        {"undecided": 1, "undecided_secs": 3.0},
        {"heartbeat_secs": 6.0},
        {"is_stopping": True, "sockets": (FEED_DOWN, USER_DOWN), "heartbeat_secs": 60.0},
        {"is_started": False, "sockets": (FEED_DOWN, USER_DOWN), "reconciled_secs": None},
    ],
)
def test_what_is_not_wrong_is_not_found(changes: dict[str, Any]) -> None:
    """A person's pause, a start, a stop, and values within their limits wake nobody."""
    assert conditions(an_observation(**changes)) == {}


def test_a_loss_over_the_limit_that_was_killed_is_one_critical_message() -> None:
    """The kill says it; that the limit is near stays true and is not called resolved."""
    assert set(conditions(an_observation(day_loss=usd(120), halts=("kill: daily loss",)))) == {"killed", "daily_loss"}


@pytest.mark.parametrize(
    ("counter", "key"),
    [
        ("balance_repairs", "balance_corrected"),
        ("ledger_rows_lost", "ledger_rows_lost"),
        ("foreign_reports", "foreign_orders"),
        ("books_distrusted", "book_contradicted"),
    ],
)
def test_a_counter_that_grows_happened(counter: str, key: str) -> None:
    """The difference of two looks is told; a counter that stands still, or begins at zero, is nothing."""
    before, after = an_observation(counts={counter: 3}), an_observation(counts={counter: 5})
    assert happenings(before, after)[key].text.startswith("2 ")
    assert happenings(after, after) == {}
    assert happenings(an_observation(counts={}), an_observation(counts={counter: 0})) == {}


class Day:
    """A board that sees an observation each second."""

    def __init__(self) -> None:
        self.board = Board(REPEAT_SECS)
        self.now = 0.0

    def see(self, secs: float, **changes: Any) -> list[Alert]:
        """The same for so long, once a second."""
        alerts: list[Alert] = []
        for _ in range(round(secs)):
            self.now += 1
            seen = an_observation(uptime_secs=self.now, time_ms=round(self.now * 1_000), **changes)
            alerts += self.board.receive(seen)
        return alerts


def test_a_condition_is_told_once_while_it_stands_and_once_when_it_ended() -> None:
    """Begun, and resolved with the same beginning; nothing in between."""
    day = Day()
    assert day.see(10) == []
    [began] = day.see(3_000, halts=("kill: errors",))
    assert (began.key, began.is_resolved, began.since_ms) == ("killed", False, 11_000)
    assert day.see(CLEAR_SECS) == []
    [end] = day.see(60)
    assert (end.key, end.is_resolved, end.since_ms) == ("killed", True, 11_000)


def test_what_is_over_before_its_time_is_not_told() -> None:
    """A socket that comes back within ten seconds is the ordinary course of business."""
    day = Day()
    assert day.see(9, sockets=(FEED_DOWN,)) == []
    assert day.see(60) == []
    assert day.see(9, sockets=(FEED_DOWN,)) == []
    assert [alert.key for alert in day.see(3, sockets=(FEED_DOWN,))] == ["feed_down"]


def test_what_flaps_rings_once_within_the_repeat_time() -> None:
    """Down and up every half minute: one message and its end, then again after the repeat time."""
    day = Day()
    told = [alert for _ in range(28) for alert in (*day.see(15, sockets=(FEED_DOWN,)), *day.see(15))]
    assert [alert.is_resolved for alert in told] == [False, True]
    again = [alert for _ in range(8) for alert in (*day.see(15, sockets=(FEED_DOWN,)), *day.see(15))]
    assert [alert.is_resolved for alert in again] == [False, True]


def test_a_second_outage_that_stays_is_told_when_the_repeat_time_is_over() -> None:
    """Nothing that still stands is kept back for good."""
    day = Day()
    day.see(20, sockets=(FEED_DOWN,))
    day.see(60)
    told = day.see(REPEAT_SECS, sockets=(FEED_DOWN,))
    assert [(alert.key, alert.is_resolved) for alert in told] == [("feed_down", False)]


def test_what_happens_often_is_counted() -> None:
    """The first is told at once, the rest together after the repeat time."""
    day = Day()
    told: list[Alert] = []
    day.see(1, counts={"balance_repairs": 0})
    for count in range(1, 1_001):
        told += day.see(1, counts={"balance_repairs": count})
    assert [(alert.key, alert.count) for alert in told] == [("balance_corrected", 1), ("balance_corrected", 900)]


def test_a_stop_resolves_nothing() -> None:
    """Everything ends when the daemon stops; that is not news of recovery."""
    day = Day()
    assert len(day.see(30, sockets=(USER_DOWN,))) == 1
    assert day.see(60, is_stopping=True) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 400), st.sets(st.sampled_from([0, 1, 4, 5, 6, 7]))), min_size=1, max_size=12))
def test_no_key_rings_twice_within_the_repeat_time(phases: list[tuple[int, set[int]]]) -> None:
    """Whatever comes and goes: begins and ends take turns, and begins keep their distance."""
    day, told = Day(), dict[str, list[tuple[float, bool]]]()
    for secs, wrong in phases:
        changes: dict[str, Any] = {}
        for index in wrong:
            changes |= WRONG[index][0]
        for _ in range(secs):
            for alert in day.see(1, **changes):
                told.setdefault(alert.key, []).append((day.now, alert.is_resolved))
    for messages in told.values():
        assert [resolved for _, resolved in messages] == [bool(index % 2) for index in range(len(messages))]
        begins = [at for at, resolved in messages if not resolved]
        assert all(later - earlier >= REPEAT_SECS for earlier, later in pairwise(begins))


def test_the_last_word() -> None:
    """A stop that was asked for and verified is nothing; every other end is critical and says why."""
    assert ended("stopped", "SIGTERM", 0, 1) is None
    unverified = ended("unverified", "SIGTERM", 3, 1)
    assert unverified is not None
    assert (unverified.key, unverified.level) == ("stop_unverified", "critical")
    assert "3 orders may rest" in unverified.text
    for code in ExitCode:
        alert = ended(code.name.lower(), "feed_0 failed", 0, 1)
        assert alert is None or "feed_0 failed" in alert.text


def test_the_runbook_has_every_alert() -> None:
    """Whoever is woken finds the key and what to do."""
    runbook = (Path(__file__).parent.parent.parent / "docs" / "runbook.md").read_text()
    source = (Path(__file__).parent.parent.parent / "mm_daemon" / "ops" / "alerts.py").read_text()
    keys = {key for _, key, _, _ in WRONG} | set(re.findall(r'": \("([a-z_]+)", "', source)) | {"stop_unverified"}
    keys |= {f"ended_{code.name.lower()}" for code in ExitCode if code.name not in ("STOPPED", "UNVERIFIED")}
    assert len(keys) == len(WRONG) + 4 + 1 + 4
    assert [key for key in sorted(keys) if f"`{key}`" not in runbook] == []
