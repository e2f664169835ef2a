"""What both websocket channels share: the text keep-alive and the count of what came in.

The venue answers the text PING with the text PONG; both stand outside JSON.
"""

from __future__ import annotations

import msgspec

PING_EVERY_NS = 10_000_000_000
DEAD_AFTER_NS = 5_000_000_000
_KINDS_KEPT = 64
_SAMPLE_LENGTH = 240


class ChannelStatistics(msgspec.Struct):
    """Counts since the channel was made.

    `malformed` and `unknown` count by kind; `samples` holds the beginning of the first malformed frame of each kind,
    for one log line a kind.
    """

    pongs: int = 0
    malformed: dict[str, int] = {}
    unknown: dict[str, int] = {}
    samples: dict[str, str] = {}


class KeepAlive:
    """When to send PING and when to give a socket up; times in nanoseconds of any steady clock.

    The venue's own client waits 30 s for a PONG. We trade on what the socket says, so silence after a PING is worth a
    new connection much sooner; any frame is a sign of life.
    """

    def __init__(self) -> None:
        self._next_ping_ns: int | None = None
        self._asked_ns: int | None = None

    def connected(self, now_ns: int) -> None:
        """A socket is open; the first PING is due one interval from now."""
        self._next_ping_ns = now_ns + PING_EVERY_NS
        self._asked_ns = None

    def texts_due(self, now_ns: int) -> list[str]:
        """PING, if one is due."""
        if self._next_ping_ns is None or now_ns < self._next_ping_ns:
            return []
        self._next_ping_ns = now_ns + PING_EVERY_NS
        if self._asked_ns is None:
            self._asked_ns = now_ns
        return ["PING"]

    def heard(self) -> None:
        """A frame came, PONG or any other."""
        self._asked_ns = None

    def is_dead(self, now_ns: int) -> bool:
        """Whether nothing at all came for too long after a PING."""
        return self._asked_ns is not None and now_ns - self._asked_ns > DEAD_AFTER_NS


def count_kind(counts: dict[str, int], kind: str) -> None:
    """Add one to `kind`; beyond a bounded number of kinds all new ones are counted as "other"."""
    if kind not in counts and len(counts) >= _KINDS_KEPT:
        kind = "other"
    counts[kind] = counts.get(kind, 0) + 1


def count_malformed(statistics: ChannelStatistics, kind: str, sample: str | bytes) -> None:
    """Count an unreadable frame and keep the beginning of the first of its kind."""
    if kind not in statistics.malformed and len(statistics.samples) < _KINDS_KEPT:
        text = sample[:_SAMPLE_LENGTH]
        statistics.samples[kind] = text if isinstance(text, str) else text.decode(errors="replace")
    count_kind(statistics.malformed, kind)


def is_control(text: str | bytes) -> bool:
    """Whether a frame is no JSON container: PONG, an empty frame or a line of prose."""
    first = text.lstrip()[:1]
    return first not in (b"{", b"[") if isinstance(first, bytes) else first not in ("{", "[")
