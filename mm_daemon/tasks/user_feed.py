"""The user feed: what the venue says of our orders and trades, applied at once.

The channel has no replay, so each connection starts with a full read of orders and trades; until that is complete,
and whenever the connection is down, quotes are held.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog

from mm_daemon.core.desk import Desk, FillEffect
from mm_daemon.core.events import OrderReport, TradeReport
from mm_daemon.core.units import ConditionId, format_price, format_size
from mm_daemon.exchange.api import UserChannel
from mm_daemon.tasks.socket import keep_connected, quickest

HOLD = "user_channel_down"

log = structlog.get_logger()


class Holder(Protocol):
    """Who pulls the quotes while we are deaf."""

    def hold(self, reason: str) -> None:
        """Quote nothing."""
        ...

    def release(self, reason: str) -> None:
        """Quote again."""
        ...

    def wake(self, market: ConditionId) -> None:
        """An order of this market changed."""
        ...


def log_effects(desk: Desk, effects: Iterable[FillEffect]) -> None:
    """One log line for each thing that a trade did to us."""
    for effect in effects:
        fill, market = effect.fill, desk.markets[effect.fill.market]
        log.info(
            f"fill_{effect.step.name.lower()}",
            market=market.market.slug,
            side=f"{effect.side.name} {market.market.outcome(fill.token).name}",
            price=format_price(fill.price),
            size=format_size(fill.size),
            order=fill.order_id,
            trade=fill.trade_id,
            net=market.position.net / 1_000_000,
        )


class UserFeed:
    """The user channel's socket.

    Attributes:
        foreign: how many reports named orders that are not ours.
        frames, connections: counts since the start.
        is_open: whether the socket is connected now.
        heard_ns: monotonic time of the last frame, keep-alive answers included; of the start before there was one.
    """

    def __init__(
        self,
        desk: Desk,
        channel: UserChannel,
        holder: Holder,
        filled: Callable[[list[FillEffect]], None],
        synchronise: Callable[[], Awaitable[None]],
        clock_ns: Callable[[], int],
    ) -> None:
        self._desk = desk
        self._channel = channel
        self._holder = holder
        self._filled = filled
        self._synchronise = synchronise
        self._clock_ns = clock_ns
        self._opened = asyncio.Event()
        self.foreign = 0
        self.frames = 0
        self.connections = 0
        self.is_open = False
        self.heard_ns = clock_ns()

    async def run(self) -> None:
        """Listen until cancelled; read everything anew after each connection."""
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_connected("user", self._channel, self, quickest()))
            group.create_task(self._synchronise_when_opened())

    async def _synchronise_when_opened(self) -> None:
        while True:
            await self._opened.wait()
            connection = self.connections
            await self._synchronise()
            if self._opened.is_set() and connection == self.connections:  # else it began before this connection did
                self._holder.release(HOLD)
                self._opened.clear()

    def opened(self) -> None:
        """Connected: what happened while we were deaf has to be read."""
        self.connections += 1
        self.is_open = True
        self._opened.set()

    def lost(self) -> None:
        """Deaf: no quotes."""
        self.is_open = False
        self._opened.clear()
        self._holder.hold(HOLD)

    def texts_to_send(self, now_ns: int) -> list[str]:
        """Nothing of ours besides the channel's keep-alive."""
        return []

    def receive(self, text: str | bytes, now_ns: int) -> None:
        """One frame."""
        self.frames += 1
        self.heard_ns = now_ns
        for event in self._channel.receive(text, now_ns):
            match event:
                case OrderReport():
                    self.receive_report(event)
                case TradeReport():
                    effects = self._desk.receive_trade(event, self._clock_ns())
                    log_effects(self._desk, effects)
                    self._filled(effects)

    def receive_report(self, report: OrderReport) -> None:
        """The venue's word on one order."""
        order = self._desk.receive_report(report, self._clock_ns())
        if order is None:
            self.foreign += 1
            log.warning("foreign_order_seen", order=report.id, status=report.status.value)
        else:
            self._holder.wake(order.market)
