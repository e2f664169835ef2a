"""Modules of the official client, one at a time: the whole of it takes a second to import, its table of contracts none.

Its package imports everything that it has, HTTP client and wallet libraries included, and one of these raises the
interpreter's recursion limit a hundredfold, which is what protects the JSON decoder's stack from a hostile frame.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

_PACKAGE = "py_clob_client_v2"


@lru_cache(maxsize=8)
def official_module(name: str) -> ModuleType:
    """A module of `py_clob_client_v2`, with what it imports itself; the recursion limit is as before.

    Raises:
        ImportError: the client is not installed, or has no such module.
    """
    limit = sys.getrecursionlimit()
    try:
        return import_module(f"{_PACKAGE}.{name}") if _PACKAGE in sys.modules else _without_the_rest(name)
    finally:
        sys.setrecursionlimit(limit)


def _without_the_rest(name: str) -> ModuleType:
    """Import a module while an empty package stands for its own, of which nothing is left behind."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError(f"{_PACKAGE} is not installed")
    package = ModuleType(_PACKAGE)
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules[_PACKAGE] = package
    try:
        return import_module(f"{_PACKAGE}.{name}")
    finally:
        for each in [each for each in sys.modules if each == _PACKAGE or each.startswith(f"{_PACKAGE}.")]:
            del sys.modules[each]
