"""`python -m benchmarks`: measure, print tables, those of the goals last, write it as JSON where asked."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import end_to_end, goals, load, machine, micro, report, stages
from benchmarks.timing import Figure, Timing

PARTS = ("micro", "end_to_end", "load", "stages")
COMPARISON = "variants"
NOTES = (
    "micro: one thread, calls timed one by one, garbage collector off while timing",
    "end to end: venue in another process, single samples, the daemon's own garbage collector setting",
    "load: venue in another process; CPU is of the whole process, less that of an equally long idle time",
    "stages: inside the daemon, from the socket's bytes to the order's bytes handed to the socket; clocks included",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; returns the exit code.

    Args:
        arguments: without the program's name; those of the process when left out.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here as well")
    parser.add_argument("--quick", action="store_true", help="few iterations: shows that it works, not how fast it is")
    parser.add_argument(
        "--only", choices=(*PARTS, COMPARISON), help=f"one part alone; {COMPARISON} is no part of the whole"
    )
    parser.add_argument(
        "--pause-secs", type=float, help="how long to watch the event loop's pauses under load; the goal speaks of 3600"
    )
    options = parser.parse_args(arguments)
    facts = machine.facts()
    timings: list[Timing] = []
    figures: list[Figure] = []
    for part in PARTS if options.only is None else (options.only,):
        if part == "load":
            figures += load.run(quick=options.quick, pause_secs=options.pause_secs)
        elif part == COMPARISON:
            timings += end_to_end.compare(quick=options.quick)
            figures += load.compare(quick=options.quick)
        else:
            timings += _timings(part, quick=options.quick)
    run = report.Run(
        machine=facts, goals=goals.outcomes(timings, figures), timings=timings, figures=figures, notes=NOTES
    )
    report.show(Console(width=110), run)
    if options.json is not None:
        report.save(options.json, run)
    return 0


def _timings(part: str, *, quick: bool) -> list[Timing]:
    with tempfile.TemporaryDirectory() as folder:
        if part == "micro":
            with (Path(folder) / "log").open("w") as log_file:
                return micro.run(log_file, quick=quick)
        if part == "end_to_end":
            return end_to_end.run(quick=quick)
        stages_file = Path(folder) / "stages.json"
        end_to_end.timed_inside(stages_file, quick=quick)
        return stages.read(stages_file)


if __name__ == "__main__":
    raise SystemExit(main())
