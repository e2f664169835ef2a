"""Where the time goes inside the daemon: `python -m benchmarks.stages FILE run --config X --live`.

The daemon as it is, with a clock read at the places named in `PLACES`; each costs well below a microsecond. A path
begins when picows hands us a frame that leads to orders and ends when everything it led to was handed to the
transport: the POST of the new orders, then the DELETE of the old ones. Paths are kept by their kind, with a cancel in
them or without one. At the end the daemon's process writes the times between places to FILE, and `read` makes rows of
them.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any, NamedTuple

import msgspec

from benchmarks.timing import Timing, timing


class Place(NamedTuple):
    """A method, and what the time since the place before was spent on when it is entered and when it is left."""

    owner: str
    method: str
    entered: str = ""
    left: str = ""


_RECEIVED = "frame's text taken over from picows"
_CANCEL, _SIGNED, _POSTED = "DELETE: cancel marked", "build + sign", "POST: transport.write"
_DESK = "mm_daemon.core.desk:Desk"
_MANAGER = "mm_daemon.tasks.order_manager:OrderManager"
_VENUE = "mm_daemon.exchange.polymarket.venue:PolymarketVenue"
_REST = "mm_daemon.exchange.polymarket.rest:Rest"
PLACES = (
    Place(
        "mm_daemon.tasks.feed:Feed", "receive", "websockets: bytes to a frame, and to our task", "decode + book update"
    ),
    Place("mm_daemon.tasks.quoting:Quoting", "look_at", "hop to the look", "decision"),
    Place(_MANAGER, "_send_posts", "plan"),
    Place(_VENUE, "sign", "gate", _SIGNED),
    Place(_DESK, "register", "order", "registered, noted for the ledger"),
    Place(_DESK, "apply", left=_CANCEL),
    Place(_VENUE, "place", "gate"),
    Place(_REST, "_signed_lines", "rate limit and body", "L2 headers"),
)

Stages = dict[str, int]
"""Nanoseconds by stage, in the order of the path."""


class Recorder:
    """The stages of the path at hand, and those of all finished ones."""

    def __init__(self) -> None:
        self._is_on_path = False
        self._last_ns = 0
        self._prefix = ""
        self._stages: Stages = {}
        self.paths: list[Stages] = []

    def begin(self) -> None:
        """A frame came in."""
        self._is_on_path, self._prefix, self._stages = True, "", {}
        self._last_ns = monotonic_ns()

    def mark(self, stage: str) -> None:
        """The time since the last place was spent on `stage`."""
        if not self._is_on_path:
            return
        now_ns = monotonic_ns()
        name = stage if stage == _CANCEL else self._prefix + stage
        self._stages[name] = self._stages.get(name, 0) + now_ns - self._last_ns
        self._last_ns = now_ns

    def posted(self) -> None:
        """The orders' bytes are out; what follows is the cancels'."""
        self._prefix = "DELETE: "

    def end(self) -> None:
        """Everything is out."""
        if self._is_on_path and _SIGNED in self._stages and _POSTED in self._stages:
            self.paths.append(self._stages)
        self._is_on_path = False


def _watch(place: Place, recorder: Recorder) -> None:
    """Put clocks before and after a method."""
    module, _, name = place.owner.partition(":")
    owner = getattr(importlib.import_module(module), name)
    method: Callable[..., Any] = getattr(owner, place.method)

    @functools.wraps(method)
    def watched(*arguments: Any, **named: Any) -> Any:
        if place.entered:
            recorder.mark(place.entered)
        result = method(*arguments, **named)
        if place.left:
            recorder.mark(place.left)
        return result

    setattr(owner, place.method, watched)


def _watch_ends(recorder: Recorder) -> None:
    """Begin a path at a frame, end it when the last request was written and before anything is logged."""
    frames = importlib.import_module("mm_daemon.tasks.quick_socket")._Frames
    receive: Callable[..., None] = frames.on_ws_frame

    def on_ws_frame(listener: Any, transport: Any, frame: Any) -> None:
        recorder.begin()
        receive(listener, transport, frame)

    frames.on_ws_frame = on_ws_frame
    connections = importlib.import_module("mm_daemon.exchange.polymarket.connections").Connection
    write: Callable[..., None] = connections.send

    def send(connection: Any, exchange: Any) -> None:
        recorder.mark("request's bytes, connection")
        write(connection, exchange)
        if exchange.request.startswith(b"POST /orders"):
            recorder.mark(_POSTED)
            recorder.posted()
        else:
            recorder.mark("transport.write")

    connections.send = send
    manager = importlib.import_module("mm_daemon.tasks.order_manager")
    log_sent: Callable[..., None] = manager.log_sent

    def log(*arguments: Any) -> None:
        recorder.end()
        log_sent(*arguments)

    setattr(manager, "log_sent", log)  # noqa: B010 - a module's type knows no such attribute


def read(file: Path) -> list[Timing]:
    """Rows of the stages, in the order of the path, and of their sum."""
    paths = msgspec.json.decode(file.read_bytes(), type=list[Stages])
    rows: list[Timing] = []
    for kind, is_kind in (("without a cancel", False), ("with a cancel", True)):
        chosen = [path for path in paths if (_CANCEL in path) is is_kind]
        if not chosen:
            continue
        group = f"stages {kind}"
        found = dict.fromkeys(name for path in sorted(chosen, key=len, reverse=True) for name in path)
        names = [name for name in found if 2 * sum(name in path for path in chosen) > len(chosen)]  # usual stages only
        rows += [timing(group, name, [path.get(name, 0) for path in chosen]) for name in names]
        rows.append(timing(group, "sum: frame to the orders' bytes out", [_until_posted(path) for path in chosen]))
    return rows


def _until_posted(path: Stages) -> int:
    return sum(took for stage, took in path.items() if not stage.startswith("DELETE"))


def main() -> int:
    """Run the daemon with the clocks in it."""
    file, *arguments = sys.argv[1:]
    recorder = Recorder()
    for place in PLACES:
        _watch(place, recorder)
    _watch_ends(recorder)
    from mm_daemon.cli import main as daemon

    exit_code = daemon(arguments)
    Path(file).write_bytes(msgspec.json.encode(recorder.paths))
    return exit_code


if __name__ == "__main__":
    raise SystemExit(main())
