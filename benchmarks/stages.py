"""Where the time goes inside the daemon: `python -m benchmarks.stages FILE run --config X --live`.

The daemon as it is, with a clock read at the places named in `PLACES`; each costs well below a microsecond. A path
begins when a websocket hands a price_change to its protocol and ends when a POST /orders was handed to the transport.
Paths are kept by their kind, with a cancel in them or without one. At the end the daemon's process writes the times
between places to FILE, and `read` makes rows of them.
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
    """A method, and what the time since the place before was spent on when it is entered and when it is left.

    `request` names the request that what follows belongs to.
    """

    owner: str
    method: str
    entered: str = ""
    left: str = ""
    request: str = ""


_CANCEL, _SIGNED, _DECIDED = "DELETE hop to the request's task", "build + sign", "decision"
_BOOKED = "gate, register orders, mark cancels"
_MANAGER = "mm_daemon.tasks.order_manager:OrderManager"
_VENUE = "mm_daemon.exchange.polymarket.venue:PolymarketVenue"
_REST = "mm_daemon.exchange.polymarket.rest:Rest"
PLACES = (
    Place("mm_daemon.tasks.feed:Feed", "receive", "websockets: bytes to a frame, and to our task"),
    Place("mm_daemon.tasks.quoting:Quoting", "book_changed", "decode + book update", _DECIDED),
    Place(_MANAGER, "_send", "hop to the order manager's task"),
    Place(_MANAGER, "_send_cancels", "plan", _BOOKED),
    Place(_VENUE, "sign", _BOOKED, _SIGNED),
    Place(_MANAGER, "_send_posts", left=_BOOKED),
    Place("structlog._config:BoundLoggerLazyProxy", "__getattr__", _BOOKED),
    Place("structlog._base:BoundLoggerBase", "_proxy_to_logger", left="log lines of cancels and orders"),
    Place(_VENUE, "cancel", "hop to the request's task", request="DELETE"),
    Place(_VENUE, "place", "hop to the request's task", request="POST"),
    Place(_REST, "_exchange", "rate limit and body"),
    Place(_REST, "_headers", "url, session, timeout", "L2 headers"),
    Place("aiohttp.client_reqrep:ClientRequest", "write_bytes", "aiohttp: request built"),
)

Stages = dict[str, int]
"""Nanoseconds by stage, in the order of the path."""


class Recorder:
    """The stages of the path at hand, and those of all finished ones."""

    def __init__(self) -> None:
        self._is_on_path = False
        self._last_ns = 0
        self._request = ""
        self._stages: Stages = {}
        self.paths: list[Stages] = []

    def begin(self) -> None:
        """Bytes came in."""
        self._is_on_path, self._request, self._stages = True, "", {}
        self._last_ns = monotonic_ns()

    def mark(self, stage: str, request: str = "") -> None:
        """The time since the last place was spent on `stage`."""
        if not self._is_on_path:
            return
        now_ns = monotonic_ns()
        self._request = request or self._request
        name = f"{self._request} {stage}".lstrip()
        self._stages[name] = self._stages.get(name, 0) + now_ns - self._last_ns
        self._last_ns = now_ns

    def end(self) -> None:
        """The order's bytes are out."""
        if self._is_on_path and _DECIDED in self._stages and _SIGNED in self._stages:
            self.paths.append(self._stages)
        self._is_on_path = False


def _watch(place: Place, recorder: Recorder) -> None:
    """Put clocks before and after a method; after a coroutine's call means when it was made, not when it is done."""
    module, _, name = place.owner.partition(":")
    owner = getattr(importlib.import_module(module), name)
    method: Callable[..., Any] = getattr(owner, place.method)

    @functools.wraps(method)
    def watched(*arguments: Any, **named: Any) -> Any:
        if place.entered:
            recorder.mark(place.entered, place.request)
        result = method(*arguments, **named)
        if place.left:
            recorder.mark(place.left)
        return result

    setattr(owner, place.method, watched)


def _watch_ends(recorder: Recorder) -> None:
    """Begin a path at the websocket, end it at the POST."""
    owner = importlib.import_module("websockets.asyncio.client").ClientConnection
    receive: Callable[..., None] = owner.data_received

    def data_received(connection: Any, chunk: bytes) -> None:
        if b"price_change" in chunk:
            recorder.begin()
        receive(connection, chunk)

    owner.data_received = data_received
    writer = importlib.import_module("aiohttp.http_writer").StreamWriter
    write: Callable[..., None] = writer._writelines

    def writelines(stream: Any, chunks: Any) -> None:
        request, _, rest = bytes(chunks[0]).partition(b" ")
        recorder.mark("hop to aiohttp's writer task", request.decode())
        write(stream, chunks)
        recorder.mark("transport.write")
        if request == b"POST" and rest.startswith(b"/orders"):
            recorder.end()

    writer._writelines = writelines


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
        rows.append(timing(group, "sum: bytes in to bytes out", [sum(path.values()) for path in chosen]))
    return rows


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
