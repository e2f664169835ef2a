"""One look at a running daemon: plain values that everything which watches it is made from.

The status line, readiness, metrics, the dashboard and the alerts all read an `Observation` and nothing else, so they
cannot change what they watch and do not know how it is built. Integers keep their units: prices 1/10,000 dollar, sizes
micro-shares, money micro-dollars. All are small enough to be exact as a JavaScript number.
"""

from __future__ import annotations

import msgspec


class SocketSeen(msgspec.Struct, frozen=True):
    """One websocket: whether it is open, how long nothing came from it, and counts since the start."""

    name: str
    is_open: bool
    silent_secs: float
    frames: int
    connections: int


class TaskSeen(msgspec.Struct, frozen=True):
    """One periodic task: how long ago it last turned, and how long that may be before it counts as stuck."""

    name: str
    age_secs: float
    stuck_after_secs: float

    @property
    def is_stuck(self) -> bool:
        """Whether it has not turned for longer than it may."""
        return self.age_secs > self.stuck_after_secs


class Result(msgspec.Struct, frozen=True):
    """What was earned today, of one market or all: micro-dollars.

    `markouts` go with the horizons of `core.pnl.HORIZONS_SECS`. `total` is realised, the change of unrealised, rebates
    and rewards less fees.
    """

    total: int
    realised: int
    unrealised: int
    spread: int
    markouts: tuple[int, ...]
    fees: int
    rebates: int
    rewards: int
    volume: int
    fills: int


class MarketSeen(msgspec.Struct, frozen=True):
    """One market.

    Attributes:
        id: condition id.
        tick: price grid.
        is_book_known, book_age_secs: whether the book is current, and how long ago a frame last spoke of it.
        bid, ask: best prices of everybody else; 0 and 10,000 where that side is empty.
        twice_mid: the last mid, in 1/20,000 dollar; None before there was one.
        our_bid, our_ask: our best resting quotes on the YES axis.
        why: why it is quoted as it is, or not.
        held: the hold that pulls its quotes, if there is one.
        net, yes, no: what we hold; net is YES less NO.
        at_risk: dollars that the net position can lose.
        exposure, max_position: dollars at risk in the worst case, and the limit on them.
        open_orders: orders that may rest.
        today: today's result; None where nothing was booked.
    """

    id: str
    slug: str
    question: str
    status: str
    tick: int
    end_secs: int
    is_book_known: bool
    book_age_secs: float | None
    bid: int
    ask: int
    twice_mid: int | None
    our_bid: int | None
    our_ask: int | None
    why: str
    held: str | None
    net: int
    yes: int
    no: int
    at_risk: int
    exposure: int
    max_position: int
    open_orders: int
    today: Result | None


class Observation(msgspec.Struct, frozen=True):
    """The whole daemon at one moment.

    Attributes:
        time_ms: unix time.
        uptime_secs: since the process's tasks began.
        is_started: every start-up check is done and the tasks run.
        is_stopping: a stop was requested; nothing is placed any more.
        is_synchronised: orders and trades were read completely at least once.
        holds: what pulls the quotes of all markets now.
        halts: pauses and kills that a person has to lift.
        is_flattening: only orders that reduce positions are placed.
        day: the UTC day of the results.
        day_loss, max_daily_loss: what today lost, and the limit that kills.
        equity: cash and holdings at mids; None before the first mids.
        exposure, max_total_position: dollars at risk in the worst case over all markets, and the limit.
        undecided, undecided_secs: orders whose fate is unknown, and how long the oldest has been.
        pending_fills: fills on their way to the chain.
        heartbeat_secs: since the last beat that the venue accepted was sent.
        reconciled_secs: since orders and trades were last read completely; None before the first time.
        counts: counters since the start by name (for a metric: `posted` becomes `orders_posted_total`).
        refusals: orders refused, by reason.
        requests, request_errors: calls to the venue, by endpoint and by kind of failure.
        ledger_problem: why the ledger cannot be written; None while it can.
        markets: by configuration order.
    """

    time_ms: int
    version: str
    mode: str
    strategy: str
    wallet: str
    uptime_secs: float
    is_started: bool
    is_stopping: bool
    is_synchronised: bool
    holds: tuple[str, ...]
    halts: tuple[str, ...]
    is_flattening: bool
    day: str
    today: Result
    worst: int
    day_loss: int
    max_daily_loss: int
    equity: int | None
    cash: int
    exposure: int
    max_total_position: int
    open_orders: int
    max_open_orders: int
    undecided: int
    undecided_secs: float
    pending_fills: int
    heartbeat_secs: float
    reconciled_secs: float | None
    sockets: tuple[SocketSeen, ...]
    tasks: tuple[TaskSeen, ...]
    counts: dict[str, int]
    refusals: dict[str, int]
    requests: dict[str, int]
    request_errors: dict[str, int]
    ledger_problem: str | None
    markets: tuple[MarketSeen, ...]

    @property
    def not_ready(self) -> list[str]:
        """Why the daemon is not ready to trade; empty when it is."""
        reasons = []
        if not self.is_started:
            reasons.append("starting")
        if self.is_stopping:
            reasons.append("stopping")
        if self.is_started and not self.is_synchronised:
            reasons.append("orders and trades were not read yet")
        reasons += [f"the {socket.name} socket is down" for socket in self.sockets if not socket.is_open]
        reasons += [f"halted, {halt}" for halt in self.halts]
        reasons += [f"held, {hold}" for hold in self.holds if hold not in self.halts]
        reasons += [f"the {task.name} task is stuck" for task in self.tasks if task.is_stuck]
        return reasons
