"""Times of one operation, and how calls are timed one by one.

Each call is timed alone with `perf_counter_ns`, because a p99 needs single times; reading the clock twice costs some
50 ns, which the row "nothing" shows and no row has subtracted. The garbage collector is off while micro-benchmarks are
timed, and runs between them: its pauses belong to the end-to-end figures, where the daemon keeps its own setting.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

WARM_UP = 200
SLICE = 500


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table; times in microseconds."""

    group: str
    operation: str
    median_us: float
    p99_us: float
    iterations: int


class Figure(msgspec.Struct, frozen=True):
    """Anything that is not a time of single calls."""

    what: str
    value: float
    unit: str


def quantile(ordered: Sequence[int], share: float) -> int:
    """The smallest element that at least `share` of all elements do not exceed (nearest rank)."""
    rank = -(-len(ordered) * share // 1)
    return ordered[max(int(rank), 1) - 1]


def timing(group: str, operation: str, times_ns: Sequence[int]) -> Timing:
    """Sum up single times."""
    ordered = sorted(times_ns)
    return Timing(
        group=group,
        operation=operation,
        median_us=quantile(ordered, 0.5) / 1000,
        p99_us=quantile(ordered, 0.99) / 1000,
        iterations=len(ordered),
    )


class Operation(msgspec.Struct, frozen=True):
    """A call and the arguments that it gets one after the other; the first `WARM_UP` of them are not timed."""

    name: str
    call: Callable[[Any], object]
    arguments: Sequence[Any]


def measure_in_turns(operations: Sequence[Operation], *, group: str = "micro") -> list[Timing]:
    """Time operations that are compared with each other, a slice of each in turn: the machine's speed changes within
    a run, and a ratio means something only where both sides had the same share of it."""
    times: list[list[int]] = [[] for _ in operations]
    gc.collect()
    gc.disable()
    try:
        for start in range(0, max(len(operation.arguments) for operation in operations), SLICE):
            for operation, taken in zip(operations, times, strict=True):
                call = operation.call
                for argument in operation.arguments[start : start + SLICE]:
                    started = perf_counter_ns()
                    call(argument)
                    taken.append(perf_counter_ns() - started)
    finally:
        gc.enable()
    return [
        timing(group, operation.name, taken[min(WARM_UP, len(taken) // 2) :])
        for operation, taken in zip(operations, times, strict=True)
    ]


def measure(
    operation: str, iterations: int, call: Callable[[T], object], prepare: Callable[[int], T], *, group: str = "micro"
) -> Timing:
    """Time `call` once for each iteration, with what `prepare` makes for it outside the clock."""
    for number in range(min(WARM_UP, iterations)):
        call(prepare(number))
    times: list[int] = []
    gc.collect()
    gc.disable()
    try:
        for number in range(min(WARM_UP, iterations), min(WARM_UP, iterations) + iterations):
            argument = prepare(number)
            started = perf_counter_ns()
            call(argument)
            times.append(perf_counter_ns() - started)
    finally:
        gc.enable()
    return timing(group, operation, times)
