"""Loading the modules that the daemon is made of, which takes a good part of the time to its first quote."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress


def load_daemon() -> None:
    """Import the daemon, its client of the venue and what watches it.

    The garbage collector stands still meanwhile: it finds nothing in modules, and takes a seventh of the time. rich is
    hidden from structlog, which would load it, a tenth of the time, for tracebacks with every local variable in them:
    a key may be one.
    """
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        _load_structlog()
        from mm_daemon import process, watching  # noqa: F401
        from mm_daemon.exchange.polymarket import venue  # noqa: F401
        from mm_daemon.exchange.polymarket.official import official_module

        official_module("config")
        with suppress(ImportError):  # without picows it is websockets, which the log will say when it can
            from mm_daemon.tasks import quick_socket  # noqa: F401
    finally:
        if was_collecting:
            gc.enable()


def _load_structlog() -> None:
    if "rich" in sys.modules or "structlog" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # which is how Python says: not to be had
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
