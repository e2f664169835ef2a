"""Whom the connections to a venue trust."""

from __future__ import annotations

import ssl
from functools import cache


@cache
def trusted() -> ssl.SSLContext:
    """The system's authorities, read once for all connections: the loop stands still for some 30 ms meanwhile.

    The libraries would read them again at each reconnect, with orders resting.
    """
    return ssl.create_default_context()
