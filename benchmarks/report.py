"""The table for people and the file for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.timing import Timing


def show(console: Console, timings: Sequence[Timing], facts: Mapping[str, str], notes: Sequence[str]) -> None:
    """Print everything, as wide as it needs to be."""
    table = Table(title="mm-daemon benchmarks", title_justify="left")
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
    console.print(table)
    for note in notes:
        console.print(note, soft_wrap=True, highlight=False)
    for name, value in facts.items():
        console.print(f"{name}: {value}", soft_wrap=True, highlight=False)


def save(file: Path, timings: Sequence[Timing], facts: Mapping[str, str], notes: Sequence[str]) -> None:
    """Write one JSON object, to compare commits by."""
    content = {"machine": facts, "timings": timings, "notes": notes}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
