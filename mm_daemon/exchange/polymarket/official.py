"""Importing the official client: lazily, for it takes more than a second, and without its side effect.

A library that it brings raises the interpreter's recursion limit a hundredfold, and that limit is what protects the
JSON decoder's stack from a hostile frame.
"""

from __future__ import annotations

import sys
from importlib import import_module


def import_official_client() -> None:
    """Import `py_clob_client_v2` and its dependencies; the recursion limit is as before."""
    limit = sys.getrecursionlimit()
    try:
        import_module("py_clob_client_v2")
    finally:
        sys.setrecursionlimit(limit)
