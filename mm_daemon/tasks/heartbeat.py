"""The dead-man switch: while we live we say so every four seconds, and when we stop the venue cancels our orders.

It beats only while the engine is healthy, so a stuck quoting loop is not kept alive by it. Quotes are held before the
venue gives us up: once it has, orders placed later would not be covered by the switch. They are released when a beat is
accepted again and all was read anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from mm_daemon.exchange.api import Venue
from mm_daemon.exchange.errors import AuthError, VenueError
from mm_daemon.tasks.user_feed import Holder

INTERVAL_SECS = 4.0
BEAT_SECS = 2.0
"""How long one beat may take. A lost answer may have been accepted; the chain of ids finds out."""
RETRY_SECS = 0.5
PATIENCE_SECS = 8.0
"""Quotes are held this long after the last accepted beat was sent; the venue waits 10 s."""
HOLD = "heartbeat_lost"

log = structlog.get_logger()


class Heartbeat:
    """The beat.

    Attributes:
        accepted_at: loop time at which the last accepted beat was sent.
    """

    def __init__(
        self,
        venue: Venue,
        holder: Holder,
        is_healthy: Callable[[], bool],
        synchronise: Callable[[], Awaitable[None]],
    ) -> None:
        self._venue = venue
        self._holder = holder
        self._is_healthy = is_healthy
        self._synchronise = synchronise
        self.accepted_at = asyncio.get_running_loop().time()

    @property
    def silent_secs(self) -> float:
        """How long ago the last accepted beat was sent."""
        return asyncio.get_running_loop().time() - self.accepted_at

    async def run(self) -> None:
        """Beat until cancelled. The first beat has been sent before the first order.

        Raises:
            AuthError: the venue does not accept our key any more.
        """
        loop = asyncio.get_running_loop()
        delay = INTERVAL_SECS
        is_lost = False
        while True:
            await asyncio.sleep(delay)
            is_beating = await self._beat()
            delay = INTERVAL_SECS if is_beating else RETRY_SECS
            if is_beating and is_lost:
                await self._synchronise()
                self._holder.release(HOLD)
                is_lost = False
            elif not is_beating and not is_lost and loop.time() - self.accepted_at > PATIENCE_SECS - RETRY_SECS:
                self._holder.hold(HOLD)
                is_lost = True

    async def _beat(self) -> bool:
        """Send one beat if the engine is healthy; whether it was accepted."""
        if not self._is_healthy():
            log.error("heartbeat_withheld", why="the quoting loop stands still")
            return False
        sent_at = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(BEAT_SECS):
                await self._venue.heartbeat()
        except AuthError:
            raise
        except (VenueError, TimeoutError) as error:
            log.warning("heartbeat_failed", why=str(error) or "no answer in time")
            return False
        self.accepted_at = sent_at
        return True
