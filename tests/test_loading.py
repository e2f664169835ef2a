"""What `load_daemon` leaves behind, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import gc, sys
from mm_daemon.loading import load_daemon
load_daemon()
{}
"""


def leaves(expression: str) -> bool:
    """Whether this is so behind it."""
    script = LOADED.format(f"print({expression})")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return {"True\n": True, "False\n": False}[done.stdout]


def test_everything_is_loaded_before_trading() -> None:
    """No import makes a quote wait: venue, sockets and HTTP server are there."""
    names = ("exchange.polymarket.venue", "tasks.quick_socket", "watching", "app")
    assert leaves(f"all('mm_daemon.' + name in sys.modules for name in {names})")


def test_tracebacks_are_plain() -> None:
    """structlog found no rich, which would print local variables; others find it."""
    assert leaves("__import__('structlog').dev.rich is None and __import__('rich') is not None")


def test_garbage_is_collected_again() -> None:
    """The collector stands still while modules are loaded, and not longer."""
    assert leaves("gc.isenabled()")


def test_aiohttp_trusts_whom_we_trust() -> None:
    """What all connections share; and who makes a context later reads the authorities as ever."""
    authorities = "__import__('mm_daemon.exchange.tls').exchange.tls.trusted()"
    assert leaves(f"__import__('aiohttp').connector._SSL_CONTEXT_VERIFIED is {authorities}")
    assert leaves(f"{authorities}.get_ca_certs() == __import__('ssl').create_default_context().get_ca_certs()")


def test_the_exchange_beside_us_is_not_loaded_into_us() -> None:
    """In mode "sim" its modules, and whom they verify signatures with, are the child's alone."""
    assert leaves("__import__('mm_daemon.simulated') and 'mm_daemon.sim.venue' not in __import__('sys').modules")
