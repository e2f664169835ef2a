"""What one run of the fault suite does, all of it drawn from its seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from random import Random
from typing import Any

from eth_account import Account

from mm_daemon.sim.faults.schedule import Fault, Kind, random_schedule


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the daemon is told, and is held to. Dollars, and orders."""

    order: float = 12.0
    max_position: float = 40.0
    max_total: float = 60.0
    max_open_orders: int = 12


@dataclass(frozen=True, kw_only=True)
class Kill:
    """SIGKILL at a time, and a restart after a while; in between the database may get lost."""

    at: float
    down_secs: float
    loses_ledger: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run. Times are in seconds; they count from the first daemon's start of trading, or from its process's start.

    Attributes:
        from_spawn: time counts from the process's start, so that faults hit the daemon's start as well.
        stop_at: when SIGTERM comes.
        trade_secs: how long at least a restarted process trades before its end; None: it may end while it starts.
        speed: of the order flow and of settlement.
        risk, strategy: settings of the daemon other than the usual ones.
    """

    seed: int
    markets: int = 2
    faults: list[Fault] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    stop_at: float = 6.0
    from_spawn: bool = False
    trade_secs: float | None = None
    limits: Limits = field(default_factory=Limits)
    speed: float = 6.0
    risk: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = field(default_factory=dict)

    @property
    def private_key(self) -> str:
        """A throw-away key."""
        return hashlib.sha256(f"chaos:{self.seed}".encode()).hexdigest()

    @property
    def account(self) -> str:
        """Its address, lower case."""
        address: str = Account.from_key(self.private_key).address
        return address.lower()

    def last_end(self, *kinds: Kind) -> float:
        """When the last fault of these kinds is over; 0 if there is none."""
        return max((fault.at + fault.secs for fault in self.faults if fault.kind in kinds), default=0.0)


def random_plan(seed: int) -> Plan:
    """The run of a seed."""
    rng = Random(f"plan:{seed}")
    duration = rng.uniform(5.0, 8.5)
    markets = rng.choice((2, 2, 4))
    kills = []
    if rng.random() < 0.35:
        at = rng.uniform(0.3, duration - 1.0)
        kills.append(Kill(at=round(at, 2), down_secs=round(rng.uniform(0, 1.0), 2), loses_ledger=rng.random() < 0.25))
        if rng.random() < 0.3:
            kills.append(Kill(at=round(at + rng.uniform(0.4, 2.5), 2), down_secs=round(rng.uniform(0, 0.5), 2)))
    last_start = kills[-1].at + kills[-1].down_secs if kills else 0.0
    return Plan(
        seed=seed,
        markets=markets,
        faults=random_schedule(seed, duration, markets),
        kills=kills,
        stop_at=round(max(rng.uniform(3.0, duration), last_start + rng.uniform(0.1, 3.0)), 2),
        from_spawn=rng.random() < 0.2,
        trade_secs=round(rng.uniform(0.2, 2.5), 2) if rng.random() < 0.8 else None,
    )
