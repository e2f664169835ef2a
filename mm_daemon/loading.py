"""Loading the modules that the daemon is made of, which takes a good part of the time to its first quote."""

from __future__ import annotations

import gc
import ssl
import sys
from contextlib import suppress

from mm_daemon.exchange.tls import trusted


def load_daemon() -> None:
    """Import the daemon, its client of the venue and what watches it.

    The garbage collector stands still meanwhile: it finds nothing in modules, and takes a seventh of the time. rich is
    hidden from structlog, which would load it, a tenth of the time, for tracebacks with every local variable in them:
    a key may be one. aiohttp gets the authorities that we have read already.
    """
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        _load_structlog()
        _load_aiohttp()
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


def _load_aiohttp() -> None:
    """It reads the system's authorities twice, a fifth of the time: for connections that trust them, and for those that
    trust anybody. The first get what is read once for all, the others have no use for it."""
    authorities, read_authorities = trusted(), ssl.create_default_context
    setattr(ssl, "create_default_context", lambda: authorities)  # noqa: B010 - their types allow no other
    setattr(ssl.SSLContext, "set_default_verify_paths", lambda _context: None)  # noqa: B010
    try:
        import aiohttp  # noqa: F401
    finally:
        setattr(ssl, "create_default_context", read_authorities)  # noqa: B010
        delattr(ssl.SSLContext, "set_default_verify_paths")
