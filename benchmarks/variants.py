"""The daemon with another library in one place: `python -m benchmarks.variants WHICH run --config X --live`.

shipped      as it is: picows for both websockets, uvloop
websockets   both by websockets, which the daemon falls back on where picows is missing
asyncio      the standard library's event loop
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any


def _listen_by_websockets() -> None:
    spare = importlib.import_module("mm_daemon.tasks.spare_socket")
    for name in ("feed", "user_feed"):
        _replace(importlib.import_module(f"mm_daemon.tasks.{name}"), "quickest", lambda: spare.over_websockets)


def _run_on_asyncio() -> None:
    class Loop:
        @staticmethod
        def run(main: Coroutine[Any, Any, int]) -> int:
            return asyncio.run(main)

    _replace(importlib.import_module("mm_daemon.process"), "uvloop", Loop)


def _replace(module: ModuleType, name: str, by: object) -> None:
    """Put something else where the daemon finds `name`; fails where it is not looked for any more."""
    if not hasattr(module, name):
        raise AttributeError(f"{module.__name__} has no {name}")
    setattr(module, name, by)


VARIANTS: dict[str, Callable[[], None]] = {
    "shipped": lambda: None,
    "websockets": _listen_by_websockets,
    "asyncio": _run_on_asyncio,
}


def main() -> int:
    """Run the daemon."""
    which, *arguments = sys.argv[1:]
    VARIANTS[which]()
    from mm_daemon.cli import main as daemon

    return daemon(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
