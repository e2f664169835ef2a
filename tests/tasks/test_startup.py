"""The start against a venue in every wrong state: one clear refusal with its exit code, before the first order."""

from __future__ import annotations

import time
from typing import Any, Literal

import msgspec
import pytest

from mm_daemon.core.events import TradeReport, TradeStatus
from mm_daemon.core.market import MarketStatus
from mm_daemon.core.orders import OrderState
from mm_daemon.core.units import Side
from mm_daemon.exchange.api import Balance, Complete, Unavailable
from mm_daemon.exchange.errors import AuthError, Mode, Rejected, RejectReason, Restricted, Throttled, Unreachable
from mm_daemon.tasks import startup
from mm_daemon.tasks.startup import EXIT_CONFIG, EXIT_REFUSED, EXIT_UNVERIFIED, StartRefused, start_up

from ..given import a_desk, a_fill, a_market, cents, order_id, shares, usd
from .fakes import Clock, ScriptedVenue, a_report

A, B = order_id(1001), order_id(1002)


class Start:
    """A venue with two markets, and the desk that is to be made true."""

    def __init__(self) -> None:
        self.market, self.other = a_market(1), a_market(2)
        self.venue = ScriptedVenue()
        self.venue.markets = {"rain": self.market, "snow": self.other}
        self.desk = a_desk(cash=0)

    async def go(self, *refs: str, policy: Literal["cancel", "adopt"] = "cancel") -> None:
        """Start up."""
        await start_up(self.desk, self.venue, refs or ("rain",), policy, Clock())

    async def refused(self, *refs: str) -> int:
        """Start up, be refused, and return the exit code."""
        with pytest.raises(StartRefused) as caught:
            await self.go(*refs)
        assert "\n" not in str(caught.value)
        assert not self.venue.called("place")
        return caught.value.exit_code

    def leave(self, number: int, market_number: int = 1, matched: float = 0) -> None:
        """An order from before: a bid for 10 at 49."""
        market = a_market(market_number)
        id = order_id(number)
        report = a_report(market, id, market.yes, Side.BUY, cents(49), shares(10), matched=matched)
        self.venue.resting[id] = report


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Everything is in order, and retries come at once."""
    monkeypatch.setattr(startup, "RETRY_SECS", 0)
    return Start()


async def test_all_is_well(start: Start) -> None:
    """Every check is made in its order, cash and holdings are taken, and the first heartbeat comes last."""
    start.venue.answers["holding"] = [Complete(Balance(shares(7), None)), Complete(Balance(shares(2), None))]
    await start.go("rain")
    names = list(dict.fromkeys(call.name for call in start.venue.calls))
    assert names[:5] == ["connect", "server_secs", "is_closed_only", "load_market", "open_orders"]
    assert names[-1] == "heartbeat"
    assert start.desk.cash == usd(10_000)
    [state] = start.desk.markets.values()
    assert (state.position.yes.settled, state.position.no.settled) == (shares(7), shares(2))


@pytest.mark.parametrize(
    ("call", "answer", "code"),
    [
        ("connect", AuthError("no"), EXIT_REFUSED),
        ("connect", Restricted(Mode.REGION, 5), EXIT_REFUSED),
        ("connect", Unreachable("refused"), EXIT_UNVERIFIED),
        ("is_closed_only", True, EXIT_REFUSED),
        ("is_closed_only", Restricted(Mode.RESTARTING, 0), EXIT_UNVERIFIED),
        ("load_market", Rejected(RejectReason.NOT_FOUND, "no such slug", 404), EXIT_CONFIG),
        ("open_orders", Unavailable("HTTP 500"), EXIT_UNVERIFIED),
        ("trades", Unavailable("HTTP 500"), EXIT_UNVERIFIED),
        ("collateral", Unavailable("HTTP 500"), EXIT_UNVERIFIED),
        ("collateral", Complete(Balance(0, None)), EXIT_CONFIG),
        ("collateral", Complete(Balance(usd(5), 0)), EXIT_CONFIG),
        ("holding", Unavailable("HTTP 500"), EXIT_UNVERIFIED),
        ("heartbeat", Rejected(RejectReason.OTHER, "no heartbeats", 400), EXIT_REFUSED),
    ],
)
async def test_what_is_wrong_says_how_it_ends(start: Start, call: str, answer: Any, code: int) -> None:
    """Each failure has its exit code: 2 for our settings, 3 for what is not known, 4 for a refusal for good."""
    start.venue.answers[call] = answer
    assert await start.refused() == code


@pytest.mark.parametrize(("off_secs", "is_fine"), [(0, True), (2, True), (-2, True), (5, False), (-5, False)])
async def test_the_clock(start: Start, off_secs: int, is_fine: bool) -> None:
    """Two seconds off the venue's clock are borne, more are not."""
    start.venue.answers["server_secs"] = int(time.time()) + off_secs
    if is_fine:
        await start.go()
    else:
        assert await start.refused() == EXIT_CONFIG


async def test_passing_failures_are_retried(start: Start) -> None:
    """Failures that pass cost tries, not the start."""
    start.venue.answers |= {
        "connect": [Unreachable("refused"), Throttled(0)],
        "open_orders": [Unavailable("HTTP 500")],
        "holding": [Unavailable("HTTP 500"), Unavailable("HTTP 500")],
    }
    await start.go()
    assert len(start.venue.called("connect")) == 3


async def test_a_new_wallet_is_looked_up_on_the_chain_once(start: Start) -> None:
    """The venue says nothing of a new wallet's money until it was told to look; then it is there."""
    start.venue.answers["collateral"] = [Complete(Balance(0, 0)), Complete(Balance(usd(50), usd(50)))]
    await start.go()
    assert len(start.venue.called("refresh_collateral")) == 1
    assert start.desk.cash == usd(50)


async def test_the_same_market_twice(start: Start) -> None:
    """Two names of one market are a mistake in the settings."""
    start.venue.markets["drizzle"] = start.market
    assert await start.refused("rain", "drizzle") == EXIT_CONFIG


async def test_a_market_that_is_not_open_is_loaded(start: Start) -> None:
    """A closed market is no reason not to start: it is watched and not quoted."""
    start.venue.markets["rain"] = msgspec.structs.replace(start.market, status=MarketStatus.CLOSED)
    await start.go("rain", "snow")
    assert len(start.desk.markets) == 2


async def test_orders_found_are_cancelled_until_gone(start: Start) -> None:
    """A cancel that leaves something is followed by another; only an empty read is enough."""
    start.leave(1001)
    start.leave(1002)
    start.venue.answers["cancel_all"] = [start.venue.take_off([A]) or {}, None]
    await start.go()
    assert start.venue.resting == {}
    assert start.desk.open_orders == 0


async def test_orders_that_do_not_go_away(start: Start) -> None:
    """An exchange that confirms and keeps them is not traded on."""
    start.leave(1001)
    start.venue.answers["cancel_all"] = {}
    start.venue.held.clear()
    assert await start.refused() == EXIT_UNVERIFIED


async def test_orders_found_are_adopted(start: Start) -> None:
    """Ours in the configured markets become live orders and exposure; those of other markets stay and are reported."""
    start.leave(1001, matched=4)
    start.leave(1002, market_number=9)
    await start.go(policy="adopt")
    [order] = start.desk.orders.working()
    assert (order.id, order.state, order.remaining) == (A, OrderState.LIVE, shares(6))
    assert B in start.venue.resting
    assert start.desk.exposure == usd(6), "unmarked, a share counts a whole dollar"


async def test_trades_on_their_way_come_on_top_of_the_balances(start: Start) -> None:
    """A pending fill is not in the balance yet, a confirmed one is: each counts once, now and when it is told again."""
    market = start.market
    pending = a_fill(market, A, market.yes, Side.BUY, cents(50), shares(4), trade="pending")
    settled = a_fill(market, B, market.yes, Side.BUY, cents(50), shares(7), trade="settled")
    trades = [
        TradeReport("pending", TradeStatus.MATCHED, (pending,)),
        TradeReport("settled", TradeStatus.CONFIRMED, (settled,)),
    ]
    start.venue.answers |= {
        "trades": Complete(trades),
        "holding": [Complete(Balance(shares(7), None)), Complete(Balance(0, None))],
    }
    await start.go()
    [state] = start.desk.markets.values()
    assert (state.position.yes.held, state.position.yes.settled) == (shares(11), shares(7))
    for trade in trades:
        start.desk.receive_trade(trade, 0)
    assert state.position.yes.held == shares(11)


async def test_a_trade_that_settles_during_the_reading(start: Start) -> None:
    """Balances are read again when a trade moved while they were read, so that nothing is counted twice."""
    market = start.market
    fill = a_fill(market, A, market.yes, Side.BUY, cents(50), shares(4))
    start.venue.answers |= {
        "trades": [
            Complete([TradeReport("trade-1", TradeStatus.MATCHED, (fill,))]),
            *[Complete([TradeReport("trade-1", TradeStatus.CONFIRMED, (fill,))])] * 2,
        ],
        "holding": [Complete(Balance(0, None))] * 2 + [Complete(Balance(shares(4), None)), Complete(Balance(0, None))],
    }
    await start.go()
    [state] = start.desk.markets.values()
    assert (state.position.yes.held, state.position.yes.settled) == (shares(4), shares(4))
