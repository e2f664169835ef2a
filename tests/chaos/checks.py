"""What has to hold after every run, whatever went wrong in it. Each check returns its violations, in words."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

from mm_daemon.sim.faults.schedule import Kind

from .run import STOP_SECS, Life, Seen

Check = Callable[[Seen], list[str]]

STOPPED, CLOCK_IS_WRONG, UNVERIFIED = 0, 2, 3
READ_AGO_MS = 1_500
"""The position at the stop is as of the last reading, which may be this much older."""
CUT_OFF = (
    Kind.DISABLED_503,
    Kind.RESTARTING_425,
    Kind.ERROR_500,
    Kind.RESET_BEFORE,
    Kind.RESET_AFTER,
    Kind.TRUNCATED_JSON,
    Kind.SLOW_BODY,
    Kind.REST_DELAYED,
    Kind.THROTTLED_429,
    Kind.VENUE_GONE,
)
"""Faults that can make a verification impossible."""
VERIFYING_SECS = 3.0
"""What the daemon's stop needs of its 8 seconds once it can reach the venue, back-offs included."""


def may_be_unverified(seen: Seen) -> bool:
    """Whether the faults left the last process too little time to verify its stop."""
    begun = seen.at_end.begun
    told_ms = seen.at_end.now_ms - round((seen.lives[-1].ended - seen.lives[-1].told_to_stop) * 1000)
    last_end_ms = max((at + round(secs * 1000) for kind, at, secs in begun if kind in CUT_OFF), default=0)
    return last_end_ms > told_ms + round((8.0 - VERIFYING_SECS) * 1000)


def ended_rightly(seen: Seen) -> list[str]:
    """Every process ended when it was told to, in time, with a code that the run allows."""
    found = []
    for number, life in enumerate(seen.lives):
        is_last = number == len(seen.lives) - 1
        allowed = _allowed_codes(seen, life, is_last=is_last)
        if life.code not in allowed:
            found.append(f"process {number} ended with {life.code}, allowed: {sorted(allowed)}")
        if life.told_to_stop and life.ended - life.told_to_stop > STOP_SECS:
            found.append(f"process {number} took {life.ended - life.told_to_stop:.1f} s to end")
    return found


def _allowed_codes(seen: Seen, life: Life, *, is_last: bool) -> set[int]:
    allowed = {STOPPED} if is_last else {-signal.SIGKILL}
    if is_last and may_be_unverified(seen):
        allowed.add(UNVERIFIED)
    if is_last and not life.log:
        allowed.add(-signal.SIGTERM)  # before the first line of the program
    if not life.events("started"):
        allowed.add(UNVERIFIED)  # told to stop, or given up, before it knew what rests from an earlier life
        if Kind.CLOCK_SKEWED in {kind for kind, _, _ in seen.at_end.begun}:
            allowed.add(CLOCK_IS_WRONG)
    return allowed


def nothing_outlives_the_stop(seen: Seen) -> list[str]:
    """After a verified stop nothing of ours rests, nor comes later; after another one it is gone within 15 seconds."""
    code = seen.lives[-1].code
    if code == STOPPED and seen.at_end.orders:
        return [f"exit 0, and {len(seen.at_end.orders)} orders rest"]
    if code == STOPPED and seen.later.orders:
        return [f"exit 0, and {len(seen.later.orders)} orders came to rest afterwards"]
    if seen.gone_secs is None and not _was_disarmed(seen):
        return [f"exit {code}, and {len(seen.later.orders)} orders still rest 16 s later"]
    return []


def _was_disarmed(seen: Seen) -> bool:
    """Whether the dead-man switch had gone off before the last end, so that only a later beat could arm it again."""
    return any(kind is Kind.HEARTBEAT_LOST for kind, _, _ in seen.at_end.begun) and not seen.lives[-1].events("started")


def exposure_within_limits(seen: Seen) -> list[str]:
    """No placement ever took the worst case over a limit."""
    return seen.later.violations


def money_conserved(seen: Seen) -> list[str]:
    """Neither dollars nor tokens came from nowhere."""
    return [seen.later.accounts] if seen.later.accounts else []


def position_is_right(seen: Seen) -> list[str]:
    """What the daemon says it held at its verified stop is what the exchange says it held then."""
    life = seen.lives[-1]
    lines = life.events("position_at_stop")
    if life.code != STOPPED or not lines or not life.events("started"):
        return []
    ours = {slug: tuple(pair) for slug, pair in lines[-1]["tokens"].items()}
    said_ms = _ms(lines[-1])
    theirs = [
        snapshot.positions
        for snapshot, following in pairwise([*seen.at_end.history, None])
        if snapshot is not None
        and snapshot.at_ms <= said_ms
        and (following is None or following.at_ms >= said_ms - READ_AGO_MS)
    ]
    if ours in theirs:
        return []
    return [f"daemon held {ours} at its stop, the exchange has {seen.at_end.history[-1].positions}"]


def fills_booked_once(seen: Seen) -> list[str]:
    """No process booked or reversed a fill twice, none booked one that never was, and none was missed."""
    found = []
    real = {(fill.trade, fill.order): fill for fill in seen.later.fills}
    booked_ever: set[tuple[str, str]] = set()
    for number, life in enumerate(seen.lives):
        booked = Counter(_key(line) for line in life.events("fill_book", "fill_book_settled"))
        reversed_ = Counter(_key(line) for line in life.events("fill_reverse"))
        booked_ever |= booked.keys()
        found += [f"process {number} booked {key} {times} times" for key, times in booked.items() if times > 1]
        found += [f"process {number} reversed {key} {times} times" for key, times in reversed_.items() if times > 1]
        found += [f"process {number} booked {key}, which never was" for key in booked if key not in real]
        found += [
            f"process {number} reversed {key}, which is {real[key].status}"
            for key in reversed_
            if key in real and real[key].status != "FAILED"
        ]
    if len(seen.lives) == 1 and seen.lives[0].code == STOPPED and seen.lives[0].events("started"):
        missed = [key for key, fill in real.items() if key not in booked_ever and fill.status != "FAILED"]
        found += [f"{len(missed)} fills were never booked: {missed[:3]}"] if missed else []
    return found


def ledger_is_right(seen: Seen) -> list[str]:
    """The ledger on disk has every fill of all lives once, in the right state, and the position that they make."""
    life, ledger = seen.lives[-1], seen.ledger
    lines = life.events("position_at_stop")
    if life.code != STOPPED or not life.events("started") or not lines:
        return []
    if ledger is None:
        return ["there is no ledger"]
    found = []
    ours = {slug: tuple(pair) for slug, pair in lines[-1]["tokens"].items()}
    is_fresh = any(kill.loses_ledger for kill in seen.plan.kills)  # what it found is taken in at the next mid
    if ledger.tokens != ours and not is_fresh:
        found.append(f"accounts hold {ledger.tokens}, the daemon held {ours}")
    real = {(fill.trade, fill.order): fill for fill in seen.later.fills}
    found += [f"fill {key} is {ledger.fills[key]}, and never was" for key in ledger.fills.keys() - real.keys()]
    for key, fill in real.items():
        state = ledger.fills.get(key)
        if state is None and fill.status != "FAILED" and not is_fresh:
            found.append(f"fill {key} of {fill.matched_ms}, {fill.status}, is missing")
        if (state == "failed" and fill.status != "FAILED") or (state == "settled" and fill.status != "CONFIRMED"):
            found.append(f"fill {key} is {state}, the exchange says {fill.status}")
    return found[:5]


def log_is_clean(seen: Seen) -> list[str]:
    """No task failed, nothing was raised where nobody caught it, and no line is anything but JSON."""
    found = [
        f"process {number}: {str(line)[:300]}"
        for number, life in enumerate(seen.lives)
        for line in life.log
        if "event" not in line or "exception" in line or line.get("event") == "task_failed"
    ]
    return found[:5]


def it_traded(seen: Seen) -> list[str]:
    """The run was one: orders came to rest, where there was time."""
    life = seen.lives[0]
    started = life.events("started")
    if not started or seen.plan.from_spawn or seen.plan.stop_at < 3 or seen.plan.kills:
        return []
    return [] if seen.later.placed else ["not one order was placed"]


CHECKS: tuple[Check, ...] = (
    ended_rightly,
    nothing_outlives_the_stop,
    exposure_within_limits,
    money_conserved,
    position_is_right,
    fills_booked_once,
    ledger_is_right,
    log_is_clean,
    it_traded,
)


def violations(seen: Seen) -> list[str]:
    """Everything that does not hold, each with the name of its check."""
    return [f"{check.__name__}: {what}" for check in CHECKS for what in check(seen)]


def _key(line: dict[str, Any]) -> tuple[str, str]:
    return line["trade"], line["order"]


def _ms(line: dict[str, Any]) -> int:
    return round(datetime.fromisoformat(line["timestamp"]).timestamp() * 1000)
