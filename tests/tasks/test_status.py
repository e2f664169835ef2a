"""The status watch: what a refusal or the clock says to look at is looked at, and changes are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from mm_daemon.core.desk import MarketState
from mm_daemon.core.market import MarketStatus
from mm_daemon.exchange.api import Complete, Unavailable
from mm_daemon.exchange.errors import RejectReason
from mm_daemon.tasks import status
from mm_daemon.tasks.status import StatusWatch

from ..given import cents
from .fakes import Stage, turns, until


class Watch:
    """A running status watch."""

    def __init__(self) -> None:
        self.stage = Stage(markets=2)
        self.changed: list[MarketState] = []
        self.cash_read = 0
        self.watch = StatusWatch(self.stage.desk, self.stage.venue, self._refresh_cash, self.changed.append)
        self.run = asyncio.create_task(self.watch.run())

    async def _refresh_cash(self) -> None:
        self.cash_read += 1

    @property
    def looks(self) -> int:
        """How often a market was read."""
        return len(self.stage.venue.called("market_status"))


@pytest.fixture
async def watch() -> AsyncIterator[Watch]:
    """Two open markets."""
    watch = Watch()
    await turns()
    yield watch
    watch.run.cancel()
    await asyncio.gather(watch.run, return_exceptions=True)


async def test_a_refusal_about_the_market_is_looked_into(watch: Watch) -> None:
    """Off the tick: the rules are read at once; a new tick makes the book unknown and is told."""
    market = watch.stage.market
    watch.stage.venue.answers["market_status"] = Complete(msgspec.structs.replace(market, tick=cents(0.1)))
    watch.watch.refused(market.condition_id, RejectReason.OFF_TICK)
    await until(lambda: watch.changed, "the change is told")
    assert watch.stage.state.market.tick == cents(0.1)
    assert not watch.stage.state.book.is_known
    assert watch.looks == 1


async def test_a_crossing_is_nobodys_fault(watch: Watch) -> None:
    """A post-only order that crossed says nothing about the market's rules."""
    watch.watch.refused(watch.stage.market.condition_id, RejectReason.POST_ONLY_CROSSED)
    await turns()
    assert (watch.looks, watch.cash_read) == (0, 0)


async def test_too_little_money_is_looked_into(watch: Watch) -> None:
    """A balance that did not suffice makes us read ours anew."""
    watch.watch.refused(watch.stage.market.condition_id, RejectReason.NOT_ENOUGH_BALANCE)
    await until(lambda: watch.cash_read == 1, "the cash is read")


@pytest.fixture
def short_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "PERIOD_SECS", 0.01)


async def test_every_market_is_read_once_a_period(short_period: None, watch: Watch) -> None:
    """A market that closes without a word on the channel is found closed; what cannot be read is asked for again."""
    market = watch.stage.market
    watch.stage.venue.answers["market_status"] = [
        Unavailable("HTTP 500"),
        Complete(msgspec.structs.replace(market, status=MarketStatus.CLOSED)),
    ]
    watch.watch.refused(market.condition_id, RejectReason.MARKET_NOT_READY)
    await until(lambda: watch.changed, "the change is told")
    assert watch.stage.state.market.status is MarketStatus.CLOSED
    assert watch.stage.state.book.is_known
    await until(lambda: watch.looks >= 6, "more periods")
    asked = {call.argument.slug for call in watch.stage.venue.called("market_status")}
    assert asked == {"market-1", "market-2"}
    assert len(watch.changed) == 1
    assert watch.stage.venue.called("server_secs"), "the clock is compared as well"


async def test_unavailable_rules_change_nothing(watch: Watch) -> None:
    """What cannot be read is not believed changed."""
    watch.stage.venue.answers["market_status"] = Unavailable("HTTP 500")
    watch.watch.refused(watch.stage.market.condition_id, RejectReason.NO_BOOK)
    await until(lambda: watch.looks == 1, "a look")
    await turns()
    assert watch.changed == []
    assert watch.stage.state.market.status is MarketStatus.OPEN
