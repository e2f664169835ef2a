"""`mm-daemon health`: one question to /healthz of the daemon of these settings, for a container's health check.

It starts often and has to be quick, so it is made of the standard library's client alone.
"""

from __future__ import annotations

import http.client
from typing import NamedTuple

from mm_daemon.config import HttpSettings

ANSWER_SECS = 5.0
MOST_BYTES = 16_384
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""A server that listens on all addresses is asked on the nearest."""


class Answer(NamedTuple):
    """Whether the daemon is alive, and its words."""

    is_alive: bool
    text: str


def ask_health(settings: HttpSettings) -> Answer:
    """Ask the daemon that serves with these settings."""
    if not settings.enabled:
        return Answer(False, "nobody can be asked: [http] enabled is false")
    if not settings.port:
        return Answer(False, "nobody can be asked: [http] port is 0, which is any free one")
    host = EVERYWHERE.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=ANSWER_SECS)
    try:
        connection.request("GET", "/healthz")
        response = connection.getresponse()
        text = response.read(MOST_BYTES).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return Answer(False, f"no daemon answers at {host}:{settings.port}: {error or type(error).__name__}")
    finally:
        connection.close()
    return Answer(response.status == 200, text)
