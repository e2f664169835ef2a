"""Observations for tests: a daemon that trades quietly, changed as a test says."""

from __future__ import annotations

from typing import Any

import msgspec

from mm_daemon.ops.observation import MarketSeen, Observation, Result, SocketSeen, TaskSeen

from ..given import cents, shares, usd

EVEN = Result(
    total=0, realised=0, unrealised=0, spread=0, markouts=(0, 0, 0), fees=0, rebates=0, rewards=0, volume=0, fills=0
)


def a_result(**changes: Any) -> Result:
    """A day on which nothing was earned, changed as given."""
    return msgspec.structs.replace(EVEN, **changes)


def a_market_seen(number: int = 1, **changes: Any) -> MarketSeen:
    """A market quoted on both sides, flat."""
    seen = MarketSeen(
        id=f"0x{number:064x}",
        slug=f"market-{number}",
        question="Will it happen?",
        status="open",
        tick=cents(1),
        end_secs=0,
        is_book_known=True,
        book_age_secs=0.25,
        bid=cents(48),
        ask=cents(52),
        twice_mid=10_000,
        our_bid=cents(49),
        our_ask=cents(51),
        why="timer",
        held=None,
        net=shares(0),
        yes=shares(0),
        no=shares(0),
        at_risk=usd(0),
        exposure=usd(50),
        max_position=usd(250),
        open_orders=2,
        today=None,
    )
    return msgspec.structs.replace(seen, **changes)


def an_observation(*markets: MarketSeen, **changes: Any) -> Observation:
    """A daemon that has started and trades these markets, one if none are given."""
    seen = Observation(
        time_ms=1_700_000_000_000,
        version="1.2.3",
        mode="live",
        strategy="liquidity_provision",
        wallet="0x" + "ab" * 20,
        uptime_secs=12.5,
        is_started=True,
        is_stopping=False,
        is_synchronised=True,
        holds=(),
        halts=(),
        is_flattening=False,
        day="2026-11-22",
        today=EVEN,
        worst=usd(0),
        day_loss=usd(0),
        max_daily_loss=usd(100),
        equity=usd(10_000),
        cash=usd(9_000),
        exposure=usd(50),
        max_total_position=usd(1_000),
        open_orders=2,
        max_open_orders=100,
        undecided=0,
        undecided_secs=0.0,
        pending_fills=0,
        heartbeat_secs=1.5,
        reconciled_secs=3.0,
        sockets=(SocketSeen("market_0", True, 0.5, 1_000, 1), SocketSeen("user", True, 2.0, 10, 1)),
        tasks=(TaskSeen("quoting", 0.5, 12.0), TaskSeen("guard", 0.5, 15.0)),
        counts={"orders_posted": 7, "fills": 3},
        refusals={"post_only_crossed": 2},
        requests={"POST /order": 7},
        request_errors={"Unknown": 1},
        ledger_problem=None,
        markets=markets or (a_market_seen(),),
    )
    return msgspec.structs.replace(seen, **changes)
