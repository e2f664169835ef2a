"""What systemd is told of the daemon: that it is ready, reloads or stops, how it stands, and that it is alive.

The protocol is sd_notify(3): one datagram of NAME=value lines to the socket that $NOTIFY_SOCKET names. Without that
variable nothing is told, and whatever becomes of a datagram, the daemon never fails by it.

The watchdog is fed from the event loop, and only while the quoting loop's timer turns: a loop that is blocked or a
strategy that hangs is not kept alive by it. While the daemon starts, the same turns extend the start's deadline: a
venue that is not open yet is waited for, and a start that hangs is not.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from enum import Enum, auto

import structlog

from mm_daemon.core.units import Cash, format_usd
from mm_daemon.ops.logs import redact_text
from mm_daemon.ops.observation import Observation

ADDRESS_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE = "WATCHDOG_USEC"
WATCHDOG_PID_VARIABLE = "WATCHDOG_PID"

TURN_SECS = 5.0
STARTING_TURN_SECS = 0.25
FEEDS = 3
"""The watchdog is fed at least so many times within its limit."""
EXTENSION_SECS = 60
"""While starting, each turn asks for so much more time from then on."""
MAX_STATUS = 1_000

log = structlog.get_logger()


class Phase(Enum):
    """Where the daemon is between its start and its end, as systemd knows it."""

    STARTING = auto()
    READY = auto()
    STOPPING = auto()


class Systemd:
    """The daemon's side of the conversation with systemd.

    Args:
        address: of the datagram socket, a path or an abstract name after "@"; None tells nobody.
        watchdog_secs: how long systemd lets pass between two signs of life; None where it does not watch.

    Attributes:
        turn_secs: how often it tells once the daemon is up; several times within the watchdog's limit.
    """

    def __init__(self, address: str | None = None, watchdog_secs: float | None = None) -> None:
        self._address = address
        self.turn_secs = min(TURN_SECS, watchdog_secs / FEEDS) if watchdog_secs else TURN_SECS
        self._phase = Phase.STARTING
        self._untold: str | None = None
        self._refusal: str | None = None
        self._is_complaining = False

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str] = os.environ) -> Systemd:
        """As the environment says. Its variables are taken out: no child process speaks for the daemon."""
        address = environ.pop(ADDRESS_VARIABLE, "")
        limit, pid = environ.pop(WATCHDOG_VARIABLE, ""), environ.pop(WATCHDOG_PID_VARIABLE, "")
        is_watched = limit.isdecimal() and int(limit) > 0 and pid in ("", str(os.getpid()))
        return cls(address if address[:1] in ("/", "@") else None, int(limit) / 1e6 if is_watched else None)

    @property
    def is_listening(self) -> bool:
        """Whether there is anybody to tell."""
        return self._address is not None

    async def run(self, watch: Callable[[], Awaitable[Observation]]) -> None:
        """Tell how the daemon stands, from its start on, until cancelled.

        Args:
            watch: looks at the daemon.
        """
        while True:
            self.tell(await watch())
            await asyncio.sleep(STARTING_TURN_SECS if self._phase is Phase.STARTING else self.turn_secs)

    def tell(self, seen: Observation) -> None:
        """One turn: the state where it changed, the status line, and the sign of life if the daemon deserves it."""
        if self._phase is Phase.STARTING and is_up(seen):
            self._phase, self._untold = Phase.READY, "READY=1"
        lines = [self._untold] if self._untold else []
        lines.append(_status(status_line(seen, self._refusal)))
        if is_turning(seen):
            lines.append("WATCHDOG=1")
            if self._phase is Phase.STARTING:
                lines.append(f"EXTEND_TIMEOUT_USEC={EXTENSION_SECS * 1_000_000}")
        if self._send(*lines):
            self._untold = None

    def reloading(self) -> None:
        """The settings are about to be read again."""
        if self._phase is Phase.READY:
            self._enter(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self, refusal: str | None) -> None:
        """The settings are in force, or for this reason the old ones still are, which the status goes on to say."""
        self._refusal = refusal
        if self._phase is Phase.READY:
            self._enter("READY=1", _status(f"reload refused: {refusal}" if refusal else "reloaded"))

    def stopping(self, why: str) -> None:
        """The stop has begun."""
        self._phase = Phase.STOPPING
        self._enter("STOPPING=1", _status(f"stopping: {why}"))

    def ended(self, last_words: str) -> None:
        """How it ended; the status says so until the next start."""
        self._send(_status(last_words))

    def _enter(self, state: str, *lines: str) -> None:
        """Tell a change of state; one that does not get through is told again with the next turn."""
        self._untold = None if self._send(state, *lines) else state

    def _send(self, *lines: str) -> bool:
        """Send one datagram, without waiting; whether systemd has it, which nobody does where nobody listens."""
        if self._address is None:
            return True
        target = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(lines).encode(errors="replace"), target)
        except OSError as error:
            if not self._is_complaining:
                log.warning("systemd_not_told", why=str(error))
            self._is_complaining = True
            return False
        self._is_complaining = False
        return True


def is_up(seen: Observation) -> bool:
    """Whether the start is done: every check passed, every socket open, all orders and trades read.

    A pause or a kill does not stand in the way, nor does a venue that takes no orders just now: the daemon is as ready
    as it can be, and its status line says what it waits for.
    """
    return (
        seen.is_started
        and not seen.is_stopping
        and seen.is_synchronised
        and all(socket_seen.is_open for socket_seen in seen.sockets)
    )


def is_turning(seen: Observation) -> bool:
    """Whether the quoting loop turns as often as it should; before it runs and while it stops, looking is enough."""
    return seen.is_stopping or not any(task.name == "quoting" and task.is_stuck for task in seen.tasks)


def status_line(seen: Observation, refusal: str | None) -> str:
    """How the daemon stands, in one line for `systemctl status`.

    Args:
        seen: the daemon.
        refusal: why the last reload was refused, if it was.
    """
    if not seen.is_started:
        return "; ".join(seen.not_ready)
    quoted = sum(market.our_bid is not None or market.our_ask is not None for market in seen.markets)
    position = Cash(sum(market.at_risk for market in seen.markets))
    today = Cash(seen.today.total)
    numbers = (
        f"{seen.mode}: quoting {quoted} of {len(seen.markets)} markets, {seen.open_orders} orders, "
        f"position ${format_usd(position)}, worst case ${format_usd(Cash(seen.exposure))} of "
        f"${format_usd(Cash(seen.max_total_position))}, "
        f"today {'-' if today < 0 else '+'}${format_usd(Cash(abs(today)))}"
    )
    refused = [f"last reload refused: {refusal}"] if refusal else []
    return "; ".join([*seen.not_ready, numbers, *refused])


def _status(text: str) -> str:
    """The line that shows `text`, whatever it holds: a line break would begin another message."""
    return f"STATUS={' '.join(redact_text(text).split())[:MAX_STATUS]}"
