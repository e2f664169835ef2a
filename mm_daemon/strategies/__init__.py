"""Strategies: the protocol, the plug-ins of this package and those that others install."""

from __future__ import annotations

from importlib.metadata import entry_points

from mm_daemon.strategies.api import Strategy

GROUP = "mm_daemon.strategies"


class UnknownStrategy(Exception):
    """No plug-in has that name; the message lists those that are installed."""


def find_strategy(name: str) -> type[Strategy]:
    """The strategy class that the entry-point group lists under `name`.

    Raises:
        UnknownStrategy: there is none.
    """
    points = entry_points(group=GROUP)
    for point in points:
        if point.name == name:
            found: type[Strategy] = point.load()
            return found
    raise UnknownStrategy(f"no strategy {name!r} is installed; there are: {', '.join(sorted(points.names))}")
