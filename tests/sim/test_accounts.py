"""Money: reservations, settlement, fees, and that nothing is made or lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.units import USD, Cash, Outcome, Price, Side
from mm_daemon.sim.accounts import ConservationError
from mm_daemon.sim.listing import VenueRules
from mm_daemon.sim.markets import demo_listings
from mm_daemon.sim.model import Refusal, Tif
from mm_daemon.sim.settlement import taker_fee
from mm_daemon.sim.traders import Trader
from mm_daemon.sim.venue import Venue
from tests.sim.conftest import HandClock, Watched, shares

OUTSIDE = "0xoutside"


def test_bids_on_both_outcomes_reserve_in_full(watched: Watched) -> None:
    """Nothing is netted: a YES bid and a NO bid both tie up their whole cost."""
    watched.outside_order(Side.BUY, 4000, shares(100))
    watched.outside_order(Side.BUY, 5000, shares(100), Outcome.NO)
    held = watched.venue.ledger.balance(OUTSIDE)
    assert (held.reserved, held.spendable) == (90 * USD, 9_910 * USD)


def test_a_cancel_frees_the_reservation(watched: Watched) -> None:
    """What a cancelled order tied up can be used again."""
    order = watched.outside_order(Side.BUY, 4000, shares(100))
    watched.venue.cancel([order.id], "key")
    assert watched.venue.ledger.balance(OUTSIDE).reserved == 0


def test_more_than_the_balance_is_refused_with_the_sums(watched: Watched) -> None:
    """The refusal names balance, active orders, matched orders and the amount, in base units."""
    watched.outside_order(Side.BUY, 4000, shares(20_000))
    with pytest.raises(Refusal) as refused:
        watched.outside_order(Side.BUY, 4000, shares(10_000))
    assert refused.value.text == (
        "not enough balance / allowance: the balance is not enough -> balance: 10000000000, "
        "sum of active orders: 8000000000, sum of matched orders: 0, order amount (inc. fees): 4000000000"
    )


def test_bought_tokens_cannot_be_sold_before_they_settle(watched: Watched) -> None:
    """A sale right after a match is refused; after the confirmation it is taken."""
    watched.trader("other").sell("demo-1", Outcome.YES, Price(5000), shares(50))
    watched.outside_order(Side.BUY, 5000, shares(50))
    with pytest.raises(Refusal, match="balance: 0"):
        watched.outside_order(Side.SELL, 6000, shares(50))
    watched.after(7_000)
    assert watched.outside_order(Side.SELL, 6000, shares(50)).is_live


def test_a_mint_locks_one_dollar_a_pair(watched: Watched) -> None:
    """Two buyers pay a dollar for each pair, the taker the rest of it."""
    watched.outside_order(Side.BUY, 4900, shares(10), Outcome.YES, maker="0xa")
    watched.outside_order(Side.BUY, 5300, shares(10), Outcome.NO, maker="0xb")
    ledger = watched.venue.ledger
    paid = [10_000 * USD - ledger.balance(wallet).total for wallet in ("0xa", "0xb")]
    fee = taker_fee(Price(5100), shares(10), 400)
    assert paid == [Cash(4_900_000), 5_100_000 + fee]
    assert ledger.locked[watched.market.condition_id] == 10 * USD


def test_the_taker_pays_the_fee_and_the_maker_none(watched: Watched) -> None:
    """100 shares at 0.50 with a rate of 0.04 cost the taker one dollar."""
    assert taker_fee(Price(5000), shares(100), 400) == 1 * USD
    assert taker_fee(Price(1000), shares(100), 400) == 360_000
    watched.outside_order(Side.BUY, 5000, shares(100))
    watched.trader("other").sell("demo-1", Outcome.YES, Price(5000), shares(100))
    assert watched.venue.ledger.balance(OUTSIDE).total == 9_950 * USD
    assert watched.venue.ledger.fees == 1 * USD


def test_a_leak_is_noticed(watched: Watched) -> None:
    """Money that appears from nowhere breaks the invariant."""
    watched.outside_order(Side.BUY, 4000, shares(100))
    watched.venue.ledger.balance(OUTSIDE).settled += 1
    with pytest.raises(ConservationError):
        watched.venue.conserves()


orders = st.tuples(
    st.sampled_from(["ann", "bob", "cid"]),
    st.sampled_from(list(Outcome)),
    st.sampled_from(list(Side)),
    st.integers(min_value=42, max_value=58).map(lambda cents: Price(cents * 100)),
    st.integers(min_value=500, max_value=20_000).map(lambda hundredths: shares(hundredths / 100)),
    st.sampled_from([Tif.GTC, Tif.GTC, Tif.FAK, Tif.FOK]),
    st.booleans(),
)


@settings(max_examples=60)
@given(st.lists(st.one_of(orders, st.integers(min_value=1, max_value=3_000)), max_size=60))
def test_any_trading_conserves_money(steps: list[object]) -> None:
    """Orders, dollars-budgets, refusals and time in any order: cash, pairs and fees always add up."""
    clock = HandClock()
    watched = Watched(Venue(demo_listings(1, 1), VenueRules(), clock), clock)
    traders = {name: Trader(watched.venue, name) for name in ("ann", "bob", "cid")}
    for step in steps:
        if isinstance(step, int):
            watched.after(step)
            continue
        assert isinstance(step, tuple)
        name, outcome, side, price, size, tif, in_dollars = step
        budget = Cash(price * size // 10_000) if in_dollars and side is Side.BUY and not tif.rests else Cash(0)
        try:
            traders[name].place("demo-1", outcome, side, price, size, tif, budget=budget)
        except Refusal:
            continue
        finally:
            assert watched.venue.conserves()
    watched.after(60_000)
    assert watched.venue.conserves()
    for trader in traders.values():
        trader.cancel_all()
        cash = watched.venue.ledger.balance(trader.address)
        assert (cash.reserved, cash.incoming, cash.outgoing) == (0, 0, 0)
