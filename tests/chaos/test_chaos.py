"""A short fixed set of the fault suite: a few seeds, the stop with the venue closed or gone, kills in a row.

`make chaos SEEDS=200` runs the long one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mm_daemon.sim.faults.schedule import Fault, Kind, random_schedule

from .checks import violations
from .kills import kill_often
from .plan import Kill, Plan, random_plan
from .run import run_plan
from .stops import closed_for_a_while, gone_for_good, stop_after

NETWORK = [
    Fault(kind=Kind.USER_DROPPED, at=0.6),
    Fault(kind=Kind.MARKET_HALF_FRAME, at=0.9),
    Fault(kind=Kind.RESET_AFTER, at=1.0, secs=1.5, share=0.6, on="/order"),
    Fault(kind=Kind.TRUNCATED_JSON, at=1.5, secs=1.0, share=0.5),
    Fault(kind=Kind.EVENTS_LOST, at=2.5, secs=1.0, share=0.7),
    Fault(kind=Kind.USER_GARBAGE, at=2.8),
]
VENUE = [
    Fault(kind=Kind.TRADE_FAILED, at=0.2, secs=3.0, share=0.6),
    Fault(kind=Kind.TRADE_RETRYING, at=0.2, secs=3.0, share=0.4),
    Fault(kind=Kind.RESTARTING_425, at=0.8, secs=0.8),
    Fault(kind=Kind.TICK_CHANGED, at=1.5, on="demo-1"),
    Fault(kind=Kind.EVENTS_DOUBLED, at=1.5, secs=2.0),
    Fault(kind=Kind.EVENTS_LATE, at=1.5, secs=2.0, amount=0.8),
    Fault(kind=Kind.HEARTBEAT_LOST, at=2.5, secs=0.5),
    Fault(kind=Kind.CASH_WITHDRAWN, at=3.0, amount=200),
    Fault(kind=Kind.MARKET_RESOLVED, at=3.2, on="demo-2"),
    Fault(kind=Kind.CANCEL_ALL_FAILS, at=3.0, secs=20.0, count=3),
]


def test_a_seed_is_a_schedule() -> None:
    """The same seed always gives the same run; another one gives another."""
    assert random_plan(7) == random_plan(7) != random_plan(8)
    assert random_schedule(7, 8.0, 2) == random_schedule(7, 8.0, 2)


def test_every_kind_is_drawn() -> None:
    """A hundred seeds hold every kind of fault, kills, lost ledgers and starts under fire."""
    plans = [random_plan(seed) for seed in range(100)]
    assert {fault.kind for plan in plans for fault in plan.faults} == set(Kind)
    assert any(kill.loses_ledger for plan in plans for kill in plan.kills)
    assert any(plan.from_spawn for plan in plans)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(seed=902, faults=VENUE, stop_at=4.2),
        Plan(seed=903, faults=NETWORK, kills=[Kill(at=2.0, down_secs=0.1)], stop_at=4.0, trade_secs=1.0),
    ],
    ids=["venue", "network_and_kill"],
)
async def test_everything_holds_after_faults(plan: Plan, tmp_path: Path) -> None:
    """Orders, limits, position, fills, ledger, cash and exit code are right whatever went wrong."""
    seen = await run_plan(plan, tmp_path)
    assert violations(seen) == []
    assert seen.later.placed and seen.later.fills and len(seen.later.hits) > 2


async def test_stop_while_the_venue_is_closed(tmp_path: Path) -> None:
    """Cancels are refused for four seconds and then work: the stop waits, and verifies."""
    seen = await stop_after(Plan(seed=911), tmp_path, closed_for_a_while, orders=2)
    assert violations(seen) == []
    assert seen.lives[0].code == 0


async def test_stop_while_the_venue_is_gone(tmp_path: Path) -> None:
    """Exit 3 within the deadline, the last line says how many orders may rest, and the dead-man switch takes them."""
    seen = await stop_after(Plan(seed=912), tmp_path, gone_for_good, orders=2)
    assert violations(seen) == []
    [last] = seen.lives
    assert last.code == 3
    assert last.events("stopped")[0]["orders_that_may_rest"] >= max(1, len(seen.at_end.orders))


async def test_kills_in_a_row(tmp_path: Path) -> None:
    """SIGKILL three times, the same wallet and ledger throughout: each start knows what the exchange knows."""
    kills = await kill_often(3, 921, tmp_path)
    assert kills.wrong == []
