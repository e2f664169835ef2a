"""What is printed: a line for each finding, its remedy below it; in colours on a terminal, else plain, or as JSON."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence

from mm_daemon.doctor.checks import Finding, Verdict
from mm_daemon.ops.logs import redact_text

COLOURS = {Verdict.OK: "green", Verdict.SKIP: "dim", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
TROUBLE = (Verdict.WARN, Verdict.FAIL)


def show(findings: Sequence[Finding], *, as_json: bool) -> str:
    """The text of all findings, without any registered secret."""
    if as_json:
        return redact_text(json.dumps([_document(finding) for finding in findings], indent=2, ensure_ascii=False))
    return redact_text((_drawn if sys.stdout.isatty() else _plain)(findings))


def summary(findings: Sequence[Finding]) -> str:
    """How many ended how."""
    counts = Counter(finding.verdict for finding in findings)
    names = {Verdict.OK: "ok", Verdict.WARN: "to know", Verdict.FAIL: "failed", Verdict.SKIP: "skipped"}
    return ", ".join(f"{counts[verdict]} {name}" for verdict, name in names.items() if counts[verdict])


def _document(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "subject": finding.subject,
        "verdict": finding.verdict.value,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }


def _what(finding: Finding) -> str:
    return f"{finding.check} {finding.subject}".rstrip()


def _plain(findings: Sequence[Finding]) -> str:
    """Aligned columns, nothing that a pipe could stumble over."""
    width = max(len(_what(finding)) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.verdict.value:<4}  {_what(finding):<{width}}  {finding.detail}")
        if finding.remedy and finding.verdict in TROUBLE:
            lines.append(f"{'':<6}{'':<{width}}  do: {finding.remedy}")
    return "\n".join([*lines, "", summary(findings)])


def _drawn(findings: Sequence[Finding]) -> str:
    """The same by rich, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for _ in range(3):
        grid.add_column(overflow="fold")
    for finding in findings:
        colour = COLOURS[finding.verdict]
        grid.add_row(Text(finding.verdict.value, style=colour), Text(_what(finding)), Text(finding.detail))
        if finding.remedy and finding.verdict in TROUBLE:
            grid.add_row("", "", Text(f"do: {finding.remedy}", style=colour))
    console = Console()
    with console.capture() as captured:
        console.print(grid)
        console.print()
        console.print(Text(summary(findings)))
    return captured.get().rstrip("\n")
