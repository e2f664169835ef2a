"""The dead-man switch: while we live we say so every five seconds, and when we stop the venue cancels our orders.

It beats only while the engine is healthy, so a stuck quoting loop is not kept alive by it. When beats fail for longer
than the venue waits, our orders are gone or going: quotes are held until a beat is accepted and all is read anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from mm_daemon.exchange.api import Venue
from mm_daemon.exchange.errors import AuthError, VenueError
from mm_daemon.tasks.user_feed import Holder

INTERVAL_SECS = 5.0
RETRY_SECS = 1.0
VENUE_WAITS_SECS = 10.0
HOLD = "heartbeat_lost"

log = structlog.get_logger()


class Heartbeat:
    """The beat.

    Attributes:
        accepted_at: loop time of the last accepted beat.
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
            elif not is_beating and not is_lost and loop.time() - self.accepted_at > VENUE_WAITS_SECS:
                self._holder.hold(HOLD)
                is_lost = True

    async def _beat(self) -> bool:
        """Send one beat if the engine is healthy; whether it was accepted."""
        if not self._is_healthy():
            log.error("heartbeat_withheld", why="the quoting loop stands still")
            return False
        try:
            await self._venue.heartbeat()
        except AuthError:
            raise
        except VenueError as error:
            log.warning("heartbeat_failed", why=str(error))
            return False
        self.accepted_at = asyncio.get_running_loop().time()
        return True
