"""What the daemon is to reach, and how far a run got. Ratios are taken inside one run, since machines differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from benchmarks.timing import Figure, Timing

Values = dict[str, float]


class Goal(msgspec.Struct, frozen=True):
    """One line of the table: what is measured, the bound (its direction is `is_met`), and how it is read of a run."""

    what: str
    bound: str
    read: Callable[[Values], float]
    is_met: Callable[[float], bool]


def at_most(bound: float) -> Callable[[float], bool]:
    """Whether a value is this or less."""
    return lambda value: value <= bound


def at_least(bound: float) -> Callable[[float], bool]:
    """Whether a value is this or more."""
    return lambda value: value >= bound


def one(name: str) -> Callable[[Values], float]:
    """A figure as it is."""
    return lambda values: values[name]


def ratio(over: str, under: str) -> Callable[[Values], float]:
    """Two figures of the same run."""
    return lambda values: values[over] / values[under]


FLOOR = "floor: frame to first order"
FRESH = "fresh: frame to first order"
REPRICE = "reprice: frame to first order"
UPDATE = "price_change: decode + book update"
GOALS = (
    Goal("frame to first order, median", "<= 1.25 x floor", ratio(FRESH, FLOOR), at_most(1.25)),
    Goal("frame to first order, p99", "<= 2 x floor", ratio(f"{FRESH} p99", f"{FLOOR} p99"), at_most(2)),
    Goal("reprice with cancels, median", "<= 1.25 x floor", ratio(REPRICE, FLOOR), at_most(1.25)),
    Goal("reprice with cancels, p99", "<= 2 x floor", ratio(f"{REPRICE} p99", f"{FLOOR} p99"), at_most(2)),
    Goal("first order over TLS, median", "<= 1.25 x floor", ratio(f"TLS, {FRESH}", f"TLS, {FLOOR}"), at_most(1.25)),
    Goal("reprice over TLS, median", "<= 1.25 x floor", ratio(f"TLS, {REPRICE}", f"TLS, {FLOOR}"), at_most(1.25)),
    Goal("fresh, watched over unwatched, median", "<= 1.05 x", ratio(f"watched, {FRESH}", FRESH), at_most(1.05)),
    Goal("reprice, watched over unwatched, median", "<= 1.05 x", ratio(f"watched, {REPRICE}", REPRICE), at_most(1.05)),
    Goal(
        "build + sign + body + L2 headers",
        "<= 100 us",
        one("build + sign + body + L2 headers, one order, type 3"),
        at_most(100),
    ),
    Goal("decode + book update", "<= 5 us", one(f"{UPDATE}, 1 x 20 levels a side"), at_most(5)),
    Goal(
        "  400 levels over 20",
        "<= 1.1 x",
        ratio(f"{UPDATE}, 1 x 400 levels a side", f"{UPDATE}, 1 x 20 levels a side"),
        at_most(1.1),
    ),
    Goal(
        "  1,000 markets over one",
        "<= 1.1 x",
        ratio(f"{UPDATE}, 1,000 x 20 levels a side", f"{UPDATE}, 1 x 20 levels a side"),
        at_most(1.1),
    ),
    Goal("frames taken, books current", ">= 20,000 /s", one("one market: frames taken"), at_least(20_000)),
    Goal(
        "  beside the floor's",
        ">= 0.6 x floor",
        ratio("one market: frames taken", "floor: frames taken"),
        at_least(0.6),
    ),
    Goal(
        "longest reaction at 20,000 frames/s",
        "<= 250 ms",
        one("50 markets: move to order meanwhile, longest"),
        at_most(250),
    ),
    Goal(
        "CPU for 1,000 deep frames",
        "<= 1.5 x floor",
        ratio("one market: CPU for 1,000 deep frames", "floor: CPU for 1,000 frames"),
        at_most(1.5),
    ),
    Goal(
        "  1,000 markets over one",
        "<= 1.1 x",
        ratio("1,000 markets: CPU for 1,000 frames at 2,000/s", "one market: CPU for 1,000 frames at 2,000/s"),
        at_most(1.1),
    ),
    Goal("1,000 markets: resident memory", "<= 250 MB", one("1,000 markets: resident memory"), at_most(250)),
    Goal(
        "1,000 markets: orders of one before each had one",
        "<= 2",
        one("1,000 markets: most orders of one market meanwhile"),
        at_most(2),
    ),
    Goal("start to first quote, 50 markets", "<= 3 s", one("50 markets: start to first quote"), at_most(3)),
    Goal("  of which imports", "<= 0.5 s", one("imports"), at_most(0.5)),
    Goal(
        "stop with 200 orders to verified zero",
        "<= 1 s",
        one("stop with 200 resting orders: verified zero"),
        at_most(1),
    ),
    Goal("pauses of the event loop, p99.9", "<= 10 ms", one("pauses of the event loop, p99.9"), at_most(10)),
)


class Outcome(msgspec.Struct, frozen=True):
    """A goal and what a run measured."""

    what: str
    bound: str
    measured: float
    is_met: bool


def outcomes(timings: Sequence[Timing], figures: Sequence[Figure]) -> list[Outcome]:
    """The goals whose figures this run has, in the table's order."""
    values = {figure.what: figure.value for figure in figures}
    for timing in timings:
        values[timing.operation] = timing.median_us
        values[f"{timing.operation} p99"] = timing.p99_us
    found = []
    for goal in GOALS:
        try:
            measured = goal.read(values)
        except KeyError:
            continue
        found.append(Outcome(goal.what, goal.bound, measured, goal.is_met(measured)))
    return found
