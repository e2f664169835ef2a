"""What deploy/ asks of Prometheus: the expressions of the dashboard, and the metrics that anything there names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = DEPLOY / "grafana/dashboards/mm-daemon.json"
RULES = DEPLOY / "prometheus/rules.yml"
RULES_TEST = ROOT / "tests/docker/rules.test.yml"

_NAME = re.compile(r"\b(?:mm_daemon|process|python)_[a-z0-9_]+")
_OF_HISTOGRAM = re.compile(r"_(?:bucket|count|sum)$")


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    content: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return content


def dashboard_expressions() -> Iterator[tuple[str, str]]:
    """The panel's title and the expression, of every query of the dashboard."""
    for panel in dashboard()["panels"]:
        for query in panel.get("targets", ()):
            yield panel["title"], query["expr"]


def metrics_in(text: str) -> set[str]:
    """Names of the daemon's metrics in this text; those of a histogram's series are the histogram's."""
    return {_OF_HISTOGRAM.sub("", name) for name in _NAME.findall(text)}
