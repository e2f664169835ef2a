"""The user channel's shell: deaf means no quotes, and hearing again means reading everything first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mm_daemon.core.desk import FillEffect
from mm_daemon.core.events import OrderReport, OrderStatus, TradeReport, TradeStatus, UserEvent
from mm_daemon.core.orders import OrderState
from mm_daemon.core.units import Side
from mm_daemon.exchange.api import Accepted
from mm_daemon.tasks import user_feed
from mm_daemon.tasks.user_feed import HOLD, UserFeed

from ..given import a_fill, cents, order_id, shares
from .fakes import Holder, Stage, a_report, turns, until


class SpokenChannel:
    """A user channel whose frames are the events themselves."""

    url = "ws://127.0.0.1:1"

    def __init__(self) -> None:
        self.events: list[UserEvent] = []

    def connected(self, now_ns: int) -> list[str]:
        return []

    def tick(self, now_ns: int) -> list[str]:
        return []

    def is_dead(self, now_ns: int) -> bool:
        return False

    def malformed(self) -> dict[str, str]:
        return {}

    def receive(self, text: str | bytes, now_ns: int) -> Sequence[UserEvent]:
        events, self.events = self.events, []
        return events


class Deaf:
    """A user feed whose socket a test opens and loses, and whose reading it finishes."""

    def __init__(self, stage: Stage) -> None:
        self.holder = Holder()
        self.channel = SpokenChannel()
        self.filled: list[FillEffect] = []
        self.readings: list[asyncio.Future[None]] = []
        self.feed = UserFeed(stage.desk, self.channel, self.holder, self.filled.extend, self._synchronise, stage.clock)
        self.holder.hold(HOLD)

    async def _synchronise(self) -> None:
        self.readings.append(asyncio.get_running_loop().create_future())
        await self.readings[-1]

    def hear(self, *events: UserEvent) -> None:
        """One frame."""
        self.channel.events = list(events)
        self.feed.receive("frame", 0)


@asynccontextmanager
async def deaf(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deaf]:
    """The feed running without a socket."""

    async def no_socket(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(user_feed, "keep_connected", no_socket)
    scene = Deaf(stage)
    run = asyncio.create_task(scene.feed.run())
    await turns()
    yield scene
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_quotes_wait_for_the_reading(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection lifts the hold only once orders and trades have been read completely."""
    async with deaf(stage, monkeypatch) as scene:
        scene.feed.opened()
        await turns()
        assert HOLD in scene.holder.holds
        scene.readings[0].set_result(None)
        await turns()
        assert HOLD not in scene.holder.holds
        scene.feed.lost()
        assert HOLD in scene.holder.holds


async def test_a_loss_during_the_reading_keeps_the_hold(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that ends while the socket is gone lifts nothing."""
    async with deaf(stage, monkeypatch) as scene:
        scene.feed.opened()
        await turns()
        scene.feed.lost()
        scene.readings[0].set_result(None)
        await turns()
        assert HOLD in scene.holder.holds


async def test_a_reconnect_during_the_reading_is_read_anew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that began before the present connection may miss what happened in between: it lifts nothing."""
    async with deaf(stage, monkeypatch) as scene:
        scene.feed.opened()
        await turns()
        scene.feed.lost()
        scene.feed.opened()
        scene.readings[0].set_result(None)
        await turns()
        assert HOLD in scene.holder.holds
        assert len(scene.readings) == 2
        scene.readings[1].set_result(None)
        await turns()
        assert HOLD not in scene.holder.holds


async def test_a_report_before_the_answer_to_the_post(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """PLACEMENT may come before the POST's answer: the order is known by its id and live at once."""
    stage.venue.held.add("place")
    stage.wish(bid=49)
    await turns()
    [post] = stage.venue.waiting("place")
    [order] = post.argument
    async with deaf(stage, monkeypatch) as scene:
        scene.hear(a_report(stage.market, order.id, order.token, order.side, order.price, order.size))
        [ours] = stage.desk.orders.working()
        assert ours.state is OrderState.LIVE
        post.settle([Accepted(order.id)])
        await turns()
        assert ours.state is OrderState.LIVE
        assert scene.holder.woken[stage.market.condition_id] == 1


async def test_a_fill_is_booked_once_and_handed_on(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same trade told three times moves the position once, and settles once."""
    stage.wish(bid=49)
    await until(lambda: stage.venue.resting, "the bid rests")
    [id] = stage.venue.resting
    fill = a_fill(stage.market, id, stage.market.yes, Side.BUY, cents(49), shares(4))
    async with deaf(stage, monkeypatch) as scene:
        for status in (TradeStatus.MATCHED, TradeStatus.MATCHED, TradeStatus.CONFIRMED):
            scene.hear(TradeReport("trade-1", status, (fill,)))
        assert stage.state.position.net == shares(4)
        assert [effect.step.name for effect in scene.filled] == ["BOOK", "SETTLE"]


async def test_orders_of_nobody_are_counted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of an order that is not ours changes nothing and is counted."""
    stranger: OrderReport = a_report(
        stage.market, order_id(99), stage.market.yes, Side.BUY, cents(49), shares(5), status=OrderStatus.LIVE
    )
    async with deaf(stage, monkeypatch) as scene:
        scene.hear(stranger)
        assert scene.feed.foreign == 1
        assert stage.desk.open_orders == 0
