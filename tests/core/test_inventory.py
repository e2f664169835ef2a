"""Positions, what they risk and what they earned."""

from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.fills import Step
from mm_daemon.core.inventory import Position, at_risk, worth
from mm_daemon.core.units import Outcome, Price, Side, Size
from tests.given import cents, shares, usd


def test_risk_is_what_the_position_can_lose() -> None:
    """Long YES loses its price, short YES (long NO) loses one dollar less it."""
    mid_30 = 2 * cents(30)
    assert at_risk(shares(100), mid_30) == usd(30)
    assert at_risk(-shares(100), mid_30) == usd(70)
    assert at_risk(0, mid_30) == 0


def test_without_a_mid_every_share_risks_a_dollar() -> None:
    """What cannot be marked counts in full, either way."""
    assert at_risk(shares(10), None) == at_risk(-shares(10), None) == usd(10)


def test_a_pair_is_a_dollar_at_every_mid() -> None:
    """YES and NO together risk nothing."""
    assert {worth(shares(5), shares(5), 2 * cents(p)) for p in (1, 50, 99)} == {usd(5)}


def test_a_round_trip_earns_its_spread() -> None:
    """Bought at 49 and sold at 51: two cents a share, whatever the mid is afterwards."""
    position = Position()
    position.receive_fill(Outcome.YES, Side.BUY, cents(49), shares(100), Step.BOOK_SETTLED)
    position.receive_fill(Outcome.YES, Side.SELL, cents(51), shares(100), Step.BOOK_SETTLED)
    assert position.pnl(2 * cents(10)) == position.pnl(2 * cents(90)) == usd(2)
    assert (position.bought, position.sold) == (shares(100), shares(100))


def test_an_ask_made_by_buying_no_earns_the_same() -> None:
    """BUY YES at 49 and BUY NO at 49 is the same round trip as selling at 51."""
    position = Position()
    position.receive_fill(Outcome.YES, Side.BUY, cents(49), shares(100), Step.BOOK)
    position.receive_fill(Outcome.NO, Side.BUY, cents(49), shares(100), Step.BOOK)
    assert position.net == 0 and position.pnl(2 * cents(37)) == usd(2)


def test_holdings_from_before_are_no_profit() -> None:
    """What was held at the start is valued at the first mid; only later moves of the mid count."""
    position = Position()
    position.open_with(Outcome.YES, shares(100))
    position.mark_opening(2 * cents(40))
    position.mark_opening(2 * cents(80))
    assert position.pnl(2 * cents(40)) == 0 and position.pnl(2 * cents(45)) == usd(5)


@given(st.sampled_from(Outcome), st.sampled_from(Side), st.integers(1, 9_999), st.integers(1, 10**12))
def test_a_reversed_fill_is_as_if_it_had_not_been(outcome: Outcome, side: Side, price: int, size: int) -> None:
    """Reversal undoes holdings, cash and volume exactly, micro-dollar for micro-dollar."""
    position = Position()
    change = position.receive_fill(outcome, side, Price(price), Size(size), Step.BOOK)
    assert position.receive_fill(outcome, side, Price(price), Size(size), Step.REVERSE) == -change
    assert position == Position()
