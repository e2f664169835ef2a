"""What a person is woken for: rules over observations, and when to speak of them.

Rules are pure. `conditions` finds what stands now, `happenings` what came to pass between two looks; both make
`Finding`s, one for each key. The `Board` keeps them over time and decides which become an `Alert`: a condition has to
stand for its time first, tells when it has ended, and no key speaks twice within the repeat time, so that what comes
and goes does not ring all night. How alerts leave is the business of `ops/courier.py`; `docs/runbook.md` says what to
do about each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from mm_daemon.core.units import Cash, format_usd
from mm_daemon.ops.observation import Observation

Level = Literal["warning", "error", "critical"]
LEVELS: tuple[Level, ...] = ("warning", "error", "critical")

NEAR_LOSS_PERCENT = 80
"""From this part of the daily loss limit on, a person is told."""
UNDECIDED_SECS = 15.0
"""An order whose fate is unknown is looked up twice a second, and the venue drops orphans within this time."""
HEARTBEAT_SECS = 10.0
"""The venue cancels everything when no heartbeat came for this long."""
UNREAD_SECS = 120.0
"""Orders and trades are read every 30 s; this is four times in a row without success."""
CLEAR_SECS = 10.0
"""A condition has ended when it was gone for this long."""


class Finding(msgspec.Struct, frozen=True):
    """What a rule has to say.

    Attributes:
        key: the rule's name; messages about the same thing share it.
        title: what it is, in a few words.
        text: the values, in a sentence.
        stands_secs: how long it has to stand before it is worth a message.
    """

    key: str
    level: Level
    title: str
    text: str
    stands_secs: float = 0.0


class Alert(msgspec.Struct, frozen=True):
    """One message to a person.

    Attributes:
        since_ms: unix time at which it began, or first happened.
        is_resolved: it has ended.
        count: how often it happened since then.
    """

    key: str
    level: Level
    title: str
    text: str
    since_ms: int
    is_resolved: bool = False
    count: int = 1


def conditions(seen: Observation) -> dict[str, Finding]:
    """What is wrong now, by key; nothing while the daemon stops, for then everything ends on purpose."""
    if seen.is_stopping:
        return {}
    found = [*_money(seen), *_books(seen)]
    if seen.is_started:
        found += [*_channels(seen), *_orders(seen)]
    return {finding.key: finding for finding in found}


def _money(seen: Observation) -> Iterator[Finding]:
    kills = [halt for halt in seen.halts if halt.startswith("kill")]
    if kills:
        yield Finding("killed", "critical", "Killed: every quote is pulled until a person resumes", "; ".join(kills))
    if seen.day_loss * 100 >= seen.max_daily_loss * NEAR_LOSS_PERCENT:
        limit = f"${format_usd(Cash(seen.max_daily_loss))}"
        yield Finding(
            "daily_loss", "warning", "Daily loss limit is near", f"${format_usd(Cash(seen.day_loss))} lost of {limit}"
        )
    if seen.day_loss > seen.max_daily_loss and not kills:
        yield Finding(
            "loss_without_kill",
            "critical",
            "Daily loss is over its limit and quoting goes on",
            f"${format_usd(Cash(seen.day_loss))} lost; the guard should have killed",
            stands_secs=5,
        )


def _books(seen: Observation) -> Iterator[Finding]:
    if seen.ledger_problem is not None:
        yield Finding("ledger", "critical", "Ledger cannot be written, nothing is quoted", seen.ledger_problem, 2)


def _channels(seen: Observation) -> Iterator[Finding]:
    down = [socket.name for socket in seen.sockets if not socket.is_open]
    feeds = [name for name in down if name != "user"]
    if feeds:
        yield Finding("feed_down", "error", "Market data is down", f"no connection: {', '.join(feeds)}", 10)
    if "user" in down:
        yield Finding("user_channel_down", "error", "User channel is down, nothing is quoted", "no connection", 10)
    stuck = [f"{task.name} for {task.age_secs:.0f} s" for task in seen.tasks if task.is_stuck]
    if stuck:
        yield Finding("task_stuck", "critical", "A task stands still", ", ".join(stuck), 2)


def _orders(seen: Observation) -> Iterator[Finding]:
    if seen.heartbeat_secs > HEARTBEAT_SECS:
        text = f"no heartbeat was accepted for {seen.heartbeat_secs:.0f} s: the venue cancels every order"
        yield Finding("heartbeat_lost", "error", "Heartbeat is lost, nothing is quoted", text)
    if seen.undecided_secs > UNDECIDED_SECS:
        text = f"{seen.undecided} undecided, the oldest for {seen.undecided_secs:.0f} s"
        yield Finding("order_undecided", "error", "An order's fate is unknown beyond its time", text)
    if seen.reconciled_secs is not None and seen.reconciled_secs > UNREAD_SECS:
        text = f"last read completely {seen.reconciled_secs:.0f} s ago"
        yield Finding("not_reconciled", "error", "Orders and trades cannot be read", text)


_COUNTED: dict[str, tuple[str, Level, str, str]] = {
    "balance_repairs": ("balance_corrected", "error", "Cash or holdings were not as booked", "taken from the venue"),
    "ledger_rows_lost": ("ledger_rows_lost", "critical", "The ledger lost rows", "rows not written"),
    "foreign_reports": ("foreign_orders", "warning", "Orders on this account are not ours", "reports of them"),
    "books_distrusted": ("book_contradicted", "warning", "A book was contradicted by the venue", "read anew"),
}
"""Counters that stand still in a good day: what to say when one grows."""


def happenings(before: Observation, now: Observation) -> dict[str, Finding]:
    """What came to pass between two looks at the same daemon, by key."""
    found = {}
    for counter, (key, level, title, what) in _COUNTED.items():
        grown = now.counts.get(counter, 0) - before.counts.get(counter, 0)
        if grown > 0:
            found[key] = Finding(key, level, title, f"{grown} {what}")
    return found


class _Standing(msgspec.Struct):
    """A condition over time; `gone_at` is when it was first not found any more."""

    finding: Finding
    began_at: float
    since_ms: int
    is_told: bool = False
    gone_at: float | None = None


class _Waiting(msgspec.Struct):
    """What happened and was not told yet."""

    finding: Finding
    since_ms: int
    count: int


class Board:
    """What stands and what happened, over time. Its clock is the observations' own.

    Args:
        repeat_secs: no key speaks twice within this time; the end of what was told is told all the same.
    """

    def __init__(self, repeat_secs: float) -> None:
        self.repeat_secs = repeat_secs
        self._standing: dict[str, _Standing] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._told_at: dict[str, float] = {}
        self._before: Observation | None = None

    def receive(self, seen: Observation) -> list[Alert]:
        """Take the next look; returns what a person is to be told now."""
        if seen.is_stopping:
            return []
        before, self._before = self._before, seen
        found = conditions(seen)
        alerts = [*self._begun(found, seen), *self._ended(found, seen.uptime_secs)]
        if before is not None:
            alerts += self._happened(happenings(before, seen), seen)
        return alerts

    def _begun(self, found: dict[str, Finding], seen: Observation) -> Iterator[Alert]:
        now = seen.uptime_secs
        for key, finding in found.items():
            standing = self._standing.setdefault(key, _Standing(finding, now, seen.time_ms))
            standing.finding, standing.gone_at = finding, None
            if standing.is_told or now - standing.began_at < finding.stands_secs or not self._may_tell(key, now):
                continue
            standing.is_told = True
            self._told_at[key] = now
            yield _alert(finding, standing.since_ms)

    def _ended(self, found: dict[str, Finding], now: float) -> Iterator[Alert]:
        for key in [key for key in self._standing if key not in found]:
            standing = self._standing[key]
            standing.gone_at = now if standing.gone_at is None else standing.gone_at
            if standing.is_told and now - standing.gone_at < CLEAR_SECS:
                continue
            del self._standing[key]
            if standing.is_told:
                yield _alert(standing.finding, standing.since_ms, is_resolved=True)

    def _happened(self, found: dict[str, Finding], seen: Observation) -> Iterator[Alert]:
        for key, finding in found.items():
            waiting = self._waiting.setdefault(key, _Waiting(finding, seen.time_ms, 0))
            waiting.finding, waiting.count = finding, waiting.count + 1
        for key in [key for key in self._waiting if self._may_tell(key, seen.uptime_secs)]:
            waiting = self._waiting.pop(key)
            self._told_at[key] = seen.uptime_secs
            yield _alert(waiting.finding, waiting.since_ms, count=waiting.count)

    def _may_tell(self, key: str, now: float) -> bool:
        told_at = self._told_at.get(key)
        return told_at is None or now - told_at >= self.repeat_secs


def _alert(finding: Finding, since_ms: int, *, is_resolved: bool = False, count: int = 1) -> Alert:
    return Alert(finding.key, finding.level, finding.title, finding.text, since_ms, is_resolved, count)


def ended(meaning: str, why: str, may_rest: int, time_ms: int) -> Alert | None:
    """The last word on a daemon that did not end well; None for one that stopped as asked and verified it.

    Args:
        meaning: the exit code's name in lower case.
        why: what began the end, where something did.
        may_rest: orders that may still rest at the venue.
    """
    if meaning == "stopped":
        return None
    if meaning == "unverified":
        rests = f"{may_rest} orders may rest" if may_rest else "orders may rest: nothing could be read"
        text = f"{rests}; the venue cancels them when it misses our heartbeat; {why}".rstrip("; ")
        return Alert("stop_unverified", "critical", "Stopped, and open orders could not be verified", text, time_ms)
    title = "Trading ended, and no order rests" if meaning == "failed" else "The daemon does not trade"
    return Alert(f"ended_{meaning}", "critical", f"{title}: {meaning}", why or "see the log", time_ms)


def summary(seen: Observation) -> dict[str, object]:
    """The few values of an observation that go with a message to a machine. Money in micro-dollars."""
    return {
        "version": seen.version,
        "mode": seen.mode,
        "wallet": seen.wallet,
        "uptime_secs": round(seen.uptime_secs, 1),
        "halts": list(seen.halts),
        "holds": list(seen.holds),
        "day_pnl": seen.today.total,
        "day_loss": seen.day_loss,
        "max_daily_loss": seen.max_daily_loss,
        "exposure": seen.exposure,
        "max_total_position": seen.max_total_position,
        "open_orders": seen.open_orders,
        "undecided": seen.undecided,
    }
