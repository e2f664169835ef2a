"""Trades that do not settle, what the venue does to a wallet, and the monitor that watches it."""

from __future__ import annotations

import pytest

from mm_daemon.core.units import Outcome, Price, Side
from mm_daemon.sim.accounts import ConservationError
from mm_daemon.sim.faults.monitor import AccountLimits, Monitor
from mm_daemon.sim.faults.play import FaultPlay
from mm_daemon.sim.model import Trade, TradeStatus
from mm_daemon.sim.settlement import Path

from .conftest import Watched, shares

WALLET = "0xoutside"


def take_path(watched: Watched, *path: TradeStatus) -> None:
    """Let every trade of ours go this way."""

    def path_of(trade: Trade) -> Path:
        return path

    watched.venue.settlement.path_of = path_of


def statuses(watched: Watched) -> list[str]:
    """The steps that we were told of our trades."""
    return [frame.payload["status"] for frame in watched.user_frames if frame.payload["event_type"] == "trade"]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_failed_trade_never_was(watched: Watched, outcome: Outcome) -> None:
    """Tokens, dollars and the collateral of a minted pair go back; the filled order stays filled."""
    take_path(watched, TradeStatus.RETRYING, TradeStatus.FAILED)
    order = watched.outside_order(Side.BUY, 5000, shares(10))
    taker = watched.trader("taker")
    if outcome is Outcome.YES:
        taker.sell("demo-1", outcome, Price(5000), shares(10))
    else:
        taker.buy("demo-1", outcome, Price(5000), shares(10))
    assert watched.venue.ledger.balance(WALLET, watched.market.yes).total == shares(10)
    watched.after(60_000)
    assert watched.venue.ledger.balance(WALLET, watched.market.yes).total == 0
    assert watched.venue.ledger.balance(WALLET).spendable == watched.venue.rules.starting_cash
    assert order.status == "MATCHED"
    assert statuses(watched) == ["MATCHED", "RETRYING", "FAILED"]
    assert watched.venue.conserves()


def test_a_retried_trade_settles_once(watched: Watched) -> None:
    """RETRYING changes nothing; the end is the ordinary one."""
    take_path(watched, TradeStatus.RETRYING, TradeStatus.MINED, TradeStatus.CONFIRMED)
    watched.outside_order(Side.BUY, 5000, shares(10))
    watched.trader("taker").sell("demo-1", Outcome.YES, Price(5000), shares(10))
    watched.after(60_000)
    assert statuses(watched) == ["MATCHED", "RETRYING", "MINED", "CONFIRMED"]
    assert watched.venue.ledger.balance(WALLET, watched.market.yes).settled == shares(10)
    assert watched.venue.conserves()


def test_a_withdrawal_cancels_what_cannot_be_paid(watched: Watched) -> None:
    """The newest unfunded bids go, with the venue's own status; older ones stay."""
    old = watched.outside_order(Side.BUY, 5000, shares(1_000))
    new = watched.outside_order(Side.BUY, 4000, shares(1_000))
    watched.venue.withdraw(WALLET, 9_400)
    assert (old.status, new.status) == ("LIVE", "CANCELED_NOT_ENOUGH_BALANCE")
    assert watched.venue.conserves()


def test_a_lost_heartbeat_takes_every_order(watched: Watched) -> None:
    """The switch goes off once; without a new beat it is not armed."""
    order = watched.outside_order(Side.BUY, 5000, shares(10))
    watched.venue.beat("key", "")
    watched.venue.lose_heartbeat("key")
    assert order.status == "CANCELED"
    later = watched.outside_order(Side.BUY, 5000, shares(10))
    watched.after(60_000)
    assert later.status == "LIVE"


def a_monitor(watched: Watched, max_position: float, max_total: float = 1e6) -> Monitor:
    """A monitor over the wallet outside, in a crowd at 49 and 51."""
    crowd = watched.trader("crowd")
    crowd.buy("demo-1", Outcome.YES, Price(4900), shares(100))
    crowd.sell("demo-1", Outcome.YES, Price(5100), shares(100))
    limits = AccountLimits(max_position=max_position, max_total=max_total, max_open_orders=3)
    return Monitor(watched.venue, WALLET, limits, FaultPlay(1))


def test_the_monitor_adds_up_one_side(watched: Watched) -> None:
    """Two bids of ten dollars each are twenty at risk, and asks do not make them less."""
    monitor = a_monitor(watched, max_position=15)
    watched.outside_order(Side.BUY, 4800, shares(20))
    watched.outside_order(Side.BUY, 4800, shares(20), outcome=Outcome.NO)
    assert monitor.violations == []
    watched.outside_order(Side.BUY, 4700, shares(20))
    assert len(monitor.violations) == 1 and "market limit 15 exceeded: 20.0000" in monitor.violations[0]


def test_the_monitor_counts_orders(watched: Watched) -> None:
    """The fourth of three is one too many."""
    monitor = a_monitor(watched, max_position=1e6)
    for price in (4500, 4600, 4700, 4800):
        watched.outside_order(Side.BUY, price, shares(5))
    assert len(monitor.violations) == 1 and "open_orders" in monitor.violations[0]


def test_the_monitor_sees_money_that_came_from_nowhere(watched: Watched) -> None:
    """Tokens that no fill explains, and dollars that nobody paid in."""
    monitor = a_monitor(watched, max_position=1e6)
    assert monitor.accounts_are_wrong() == ""
    watched.venue.ledger.balance(WALLET).settled += 1
    assert "micro-dollars" in monitor.accounts_are_wrong()
    with pytest.raises(ConservationError):
        watched.venue.conserves()
