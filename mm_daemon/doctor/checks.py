"""Checks: what one is, what it finds, and how many are run side by side.

A check that takes too long, or breaks, is a finding as any other and hides none; one whose ground is gone says so and
is not run at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import NamedTuple

DEADLINE_SECS = 10.0


class Verdict(Enum):
    """How a check ended, from best to worst."""

    OK = "ok"
    SKIP = "skip"
    """Not looked at: what it stands on failed, or does not apply."""
    WARN = "warn"
    """The daemon would run, but somebody should know."""
    FAIL = "fail"
    """The daemon would not start, or not trade as it is meant to."""


class Seen(NamedTuple):
    """What a check saw. `subject` names what it looked at, where one check looks at several things."""

    verdict: Verdict
    detail: str
    remedy: str = ""
    subject: str = ""


class Finding(NamedTuple):
    """One line of the result."""

    check: str
    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""


class Check(NamedTuple):
    """One check.

    Attributes:
        name: unique in a run together with `subject`.
        subject: what is looked at; may be empty.
        look: looks; may raise, which is a failure.
        needs: checks listed before, which must not fail or be skipped.
        after: checks listed before, which must have ended, however they did.
        remedy: what to do when `look` raises or does not end.
        deadline_secs: how long `look` may take.
    """

    name: str
    subject: str
    look: Callable[[], Awaitable[Seen | Sequence[Seen]]]
    needs: Sequence[Check] = ()
    after: Sequence[Check] = ()
    remedy: str = "try again; if it stays, the message says where to look"
    deadline_secs: float = DEADLINE_SECS

    @property
    def title(self) -> str:
        """Name and subject."""
        return f"{self.name} {self.subject}".rstrip()


def ok(detail: str, subject: str = "") -> Seen:
    """All is well."""
    return Seen(Verdict.OK, detail, "", subject)


def warn(detail: str, remedy: str, subject: str = "") -> Seen:
    """Not in the way, but worth knowing."""
    return Seen(Verdict.WARN, detail, remedy, subject)


def fail(detail: str, remedy: str, subject: str = "") -> Seen:
    """In the way."""
    return Seen(Verdict.FAIL, detail, remedy, subject)


def skip(detail: str, subject: str = "") -> Seen:
    """Not looked at."""
    return Seen(Verdict.SKIP, detail, "", subject)


async def run_checks(checks: Sequence[Check]) -> list[Finding]:
    """Run all checks side by side; their findings, in the order of the checks.

    Args:
        checks: each after those that it needs or waits for.
    """
    running: dict[str, asyncio.Task[list[Finding]]] = {}
    for check in checks:
        needed = {other.title: running[other.title] for other in check.needs}
        awaited = [running[other.title] for other in check.after]
        running[check.title] = asyncio.create_task(_run(check, needed, awaited), name=check.title)
    try:
        return [finding for task in running.values() for finding in await task]
    finally:
        for task in running.values():
            task.cancel()


async def _run(
    check: Check, needed: dict[str, asyncio.Task[list[Finding]]], awaited: Sequence[asyncio.Task[list[Finding]]]
) -> list[Finding]:
    if awaited:
        await asyncio.wait(awaited)
    for title, task in needed.items():
        if any(finding.verdict in (Verdict.FAIL, Verdict.SKIP) for finding in await asyncio.shield(task)):
            return [Finding(check.name, check.subject, Verdict.SKIP, f"skipped because of: {title}")]
    seen = await _look(check)
    return [Finding(check.name, one.subject or check.subject, one.verdict, one.detail, one.remedy) for one in seen]


async def _look(check: Check) -> Sequence[Seen]:
    """What the check sees, or that it saw nothing in time, or broke. Never raises, whatever the check raises."""
    looking = asyncio.ensure_future(check.look())
    try:
        done, _ = await asyncio.wait({looking}, timeout=check.deadline_secs)
    finally:
        looking.cancel()
    if not done:
        return [fail(f"no answer within {check.deadline_secs:g} s", check.remedy)]
    error = looking.exception()
    if error is not None:
        return [fail(f"{type(error).__name__}: {error}".rstrip(": "), check.remedy)]
    seen = looking.result()
    return [seen] if isinstance(seen, Seen) else seen
