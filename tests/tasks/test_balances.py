"""Balances: explained differences are left, real ones repaired and told with both values."""

from __future__ import annotations

import pytest

from mm_daemon.core.desk import MarketState
from mm_daemon.core.events import TradeReport, TradeStatus
from mm_daemon.core.units import Outcome, Side
from mm_daemon.exchange.api import Balance, Complete, Unavailable
from mm_daemon.tasks import balances
from mm_daemon.tasks.balances import Balances, Difference

from ..given import a_fill, cents, order_id, shares, usd
from .fakes import Stage


class Scene:
    def __init__(self) -> None:
        self.stage = Stage()
        self.desk, self.state = self.stage.desk, self.stage.state
        self.changed: list[MarketState] = []
        self.told: list[Difference] = []
        self.balances = Balances(self.desk, self.stage.venue, self.changed.append)
        self.balances.repaired = self.told.append

    def venue_has(self, what: str, amount: int) -> None:
        self.stage.venue.answers[what] = Complete(Balance(amount, None))

    def buy(self, status: TradeStatus) -> None:
        fill = a_fill(self.stage.market, order_id(1), self.stage.market.yes, Side.BUY, cents(50), shares(100))
        self.desk.receive_trade(TradeReport("trade-1", status, (fill,)), 1)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(balances, "AGAIN_SECS", 0.0)
    return Scene()


async def test_cash_that_somebody_took_is_taken_off_ours(scene: Scene) -> None:
    """A withdrawal: the venue's word is taken, and both values are told."""
    scene.venue_has("collateral", usd(5_000))
    await scene.balances.check_cash()
    assert scene.desk.cash == usd(5_000)
    assert scene.told == [Difference("cash", "", usd(1_000_000), usd(5_000))]


async def test_a_difference_that_does_not_stand_is_no_difference(scene: Scene) -> None:
    """One odd reading repairs nothing."""
    scene.stage.venue.answers["collateral"] = [
        Complete(Balance(usd(5), None)),
        Complete(Balance(usd(1_000_000), None)),
    ]
    await scene.balances.check_cash()
    assert scene.desk.cash == usd(1_000_000) and scene.told == []


async def test_trades_under_way_explain_a_difference(scene: Scene) -> None:
    """Tokens bought and not yet on chain are not missing; settled ones are there."""
    scene.buy(TradeStatus.MATCHED)
    scene.venue_has("holding", 0)
    await scene.balances.check_tokens(scene.state, Outcome.YES)
    assert scene.told == [] and scene.state.position.net == shares(100)
    scene.buy(TradeStatus.CONFIRMED)
    scene.venue_has("holding", shares(100))
    await scene.balances.check_tokens(scene.state, Outcome.YES)
    assert scene.told == []


async def test_tokens_that_a_lost_fill_brought_are_taken_in(scene: Scene) -> None:
    """A position we did not know of counts from now on, for risk and for sale, and the strategy is told."""
    scene.venue_has("holding", shares(30))
    await scene.balances.check_tokens(scene.state, Outcome.NO)
    assert scene.state.position.net == -shares(30) and scene.desk.room(scene.state).free_no == shares(30)
    assert scene.changed == [scene.state] and scene.told[0].kind == "NO"


async def test_a_failed_read_changes_nothing(scene: Scene) -> None:
    """Unavailable is not zero."""
    scene.buy(TradeStatus.CONFIRMED)
    scene.stage.venue.answers["holding"] = Unavailable("timeout")
    await scene.balances.check_tokens(scene.state, Outcome.YES)
    assert scene.state.position.yes.held == shares(100)


async def test_dust_is_no_difference(scene: Scene) -> None:
    """Up to a hundredth of a share is rounding on the way to the chain."""
    scene.venue_has("holding", shares(0.01))
    await scene.balances.check_tokens(scene.state, Outcome.YES)
    assert scene.told == []
