"""The benchmarks run; how fast anything is, no test says."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.__main__ import main
from benchmarks.timing import quantile
from mm_daemon.ops.logs import configure_logging


def test_quick_micro_benchmarks_print_a_table_and_write_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every micro-benchmark works, and the file holds the machine's facts beside the figures."""
    file = tmp_path / "figures.json"
    try:
        assert main(["--quick", "--only", "micro", "--json", str(file)]) == 0
    finally:
        configure_logging("warning", "console")
    table = capsys.readouterr().out
    figures = msgspec.json.decode(file.read_bytes())
    operations = {row["operation"] for row in figures["timings"]}
    assert {"price_change: decode", "decision: a moved mid to desired orders"} <= operations
    assert all(row["iterations"] and row["median_us"] <= row["p99_us"] for row in figures["timings"])
    assert {"cpu", "cores", "kernel", "python", "libraries", "load_average", "git_commit"} == figures["machine"].keys()
    assert "build + sign one order" in table
    assert figures["machine"]["kernel"] in table


def test_quantiles_are_elements() -> None:
    """A quantile is the nearest rank, so a p99 was really measured."""
    hundred = list(range(1, 101))
    assert (quantile(hundred, 0.5), quantile(hundred, 0.99), quantile([7], 0.99)) == (50, 99, 7)
