"""The tables for people and the file for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.goals import Outcome
from benchmarks.timing import Figure, Timing


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one run measured, and on what."""

    machine: Mapping[str, str]
    goals: Sequence[Outcome]
    timings: Sequence[Timing]
    figures: Sequence[Figure]
    notes: Sequence[str]


def show(console: Console, run: Run) -> None:
    """Print everything, as wide as it needs to be."""
    if run.timings:
        console.print(_timings(run.timings))
    if run.figures:
        console.print(_figures(run.figures))
    if run.goals:
        console.print(_goals(run.goals))
    for note in run.notes:
        console.print(note, soft_wrap=True, highlight=False)
    for name, value in run.machine.items():
        console.print(f"{name}: {value}", soft_wrap=True, highlight=False)


def _timings(timings: Sequence[Timing]) -> Table:
    table = Table(title="single operations", title_justify="left")
    table.add_column("operation")
    for heading in ("median us", "p99 us", "iterations"):
        table.add_column(heading, justify="right")
    group = ""
    for row in timings:
        if row.group != group:
            table.add_section()
            table.add_row(f"[bold]{row.group}[/bold]")
            group = row.group
        table.add_row(f"  {row.operation}", f"{row.median_us:,.1f}", f"{row.p99_us:,.1f}", f"{row.iterations:,}")
    return table


def _figures(figures: Sequence[Figure]) -> Table:
    table = Table(title="under load", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for figure in figures:
        table.add_row(figure.what, _number(figure.value), figure.unit)
    return table


def _goals(goals: Sequence[Outcome]) -> Table:
    table = Table(title="goals", title_justify="left")
    table.add_column("what")
    table.add_column("goal")
    table.add_column("measured", justify="right")
    table.add_column("met")
    for goal in goals:
        table.add_row(goal.what, goal.bound, _number(goal.measured), "yes" if goal.is_met else "no")
    return table


def _number(value: float) -> str:
    """Three digits that count, whole numbers above a thousand."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def save(file: Path, run: Run) -> None:
    """Write one JSON object, to compare commits by."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
