"""Accounts on the YES axis: what is realised, what is not, and that nothing is lost between the two."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.fills import Step
from mm_daemon.core.inventory import Position, worth
from mm_daemon.core.pnl import Account, DayResult, cash_of_fill, markout_x, spread_captured_x, to_cash, utc_day
from mm_daemon.core.units import Cash, Outcome, Price, Side, Size, mirror
from tests.given import cents, shares, usd


class OneFill(NamedTuple):
    """A fill on one token."""

    outcome: Outcome
    side: Side
    price: Price
    size: Size


PRICES = st.integers(1, 9_999).map(Price)
FILLS = st.builds(
    OneFill,
    st.sampled_from(Outcome),
    st.sampled_from(Side),
    PRICES,
    st.one_of(st.integers(1, 10**9), st.integers(1, 100_000).map(lambda n: n * 10_000)).map(Size),
)
MIDS = st.integers(1, 19_999)


def an_account(*fills: OneFill) -> Account:
    """An account after these fills."""
    account = Account()
    for fill in fills:
        account.receive_fill(*fill)
    return account


def bid(price: float, size: float) -> OneFill:
    """A fill of a bid: cents and shares."""
    return OneFill(Outcome.YES, Side.BUY, cents(price), shares(size))


def ask(price: float, size: float) -> OneFill:
    """A fill of an ask."""
    return OneFill(Outcome.YES, Side.SELL, cents(price), shares(size))


def buy_no(price: float, size: float) -> OneFill:
    """An ask that buys NO at its own price."""
    return OneFill(Outcome.NO, Side.BUY, cents(price), shares(size))


def test_reducing_a_position_realises_at_the_average_entry() -> None:
    """Bought 100 at 40 and 100 at 60, the average is 50; selling 50 at 55 realises five cents each."""
    account = an_account(bid(40, 100), bid(60, 100), ask(55, 50))
    assert account.entry == 0.5 and account.net == shares(150)
    assert account.realised == usd(2.5) and account.unrealised(2 * cents(52)) == usd(3)


def test_a_short_position_earns_when_the_price_falls() -> None:
    """Sold 100 at 60, bought back 100 at 45: fifteen cents each."""
    assert an_account(ask(60, 100), bid(45, 100)).realised == usd(15)


def test_a_flip_realises_the_old_position_and_opens_the_new_one_at_the_price() -> None:
    """Long 100 at 40; an ask of 150 at 50 realises 10 dollars and leaves a short of 50 at 50."""
    account = an_account(bid(40, 100), ask(50, 150))
    assert (account.net, account.realised, account.entry) == (-shares(50), usd(10), 0.5)


def test_buying_no_is_selling_yes_at_the_mirror() -> None:
    """BUY YES at 40 and BUY NO at 45 is a pair for 85 cents, worth a dollar: 15 cents realised, nothing open."""
    account = an_account(bid(40, 100), buy_no(45, 100))
    assert (account.net, account.cost_x, account.realised) == (0, 0, usd(15))
    assert (account.yes, account.no, account.cash) == (shares(100), shares(100), -usd(85))


def test_what_is_taken_in_at_the_mid_earns_nothing() -> None:
    """A position found, or gone, enters at the mid: total profit at that mid stays as it was."""
    account = an_account(bid(40, 100))
    before = account.total(2 * cents(50))
    account.take_in(shares(300), shares(50), 2 * cents(50))
    assert account.net == shares(250) and account.total(2 * cents(50)) == before
    account.take_in(0, 0, 2 * cents(50))
    assert account.net == account.cost_x == 0 and account.realised == before


def test_pairs_come_and_go_without_a_price() -> None:
    """A merge takes as many YES as NO; the net position, its cost and its mark do not change."""
    account = an_account(bid(40, 100), buy_no(45, 60))
    net, cost, realised = account.net, account.cost_x, account.realised_x
    assert account.take_in(shares(40), 0, 0) == 0
    assert (account.net, account.cost_x, account.realised_x, account.twice_mid) == (net, cost, realised, None)


def test_spread_and_markout_have_the_sign_of_our_gain() -> None:
    """A bid below the mid and an ask above it capture spread; a mid that moves against the fill is a loss."""
    mid, size = 2 * cents(50), shares(10)
    assert to_cash(spread_captured_x(Side.BUY, cents(49), size, mid)) == usd(0.1)
    assert to_cash(spread_captured_x(Side.SELL, cents(52), size, mid)) == usd(0.2)
    assert to_cash(spread_captured_x(Side.SELL, cents(49), size, mid)) == -usd(0.1)
    assert to_cash(markout_x(Side.BUY, size, mid, mid - 200)) == -usd(0.1)
    assert to_cash(markout_x(Side.SELL, size, mid, mid - 200)) == usd(0.1)


def test_a_day_is_what_was_realised_and_how_the_rest_moved() -> None:
    """Fees cost, rebates and rewards earn, and what was unrealised in the morning is not today's."""
    day = DayResult(opening_x=20_000 * 5, unrealised_x=20_000 * 9, realised_x=-20_000)
    day.fees, day.rebates, day.rewards = Cash(4), Cash(2), Cash(1)
    assert day.pnl == (9 - 5) - 1 - 4 + 2 + 1


def test_days_change_at_utc_midnight() -> None:
    """The last millisecond before midnight is still the old day."""
    assert utc_day(86_400_000 - 1) == 0 and utc_day(86_400_000) == 1


@given(st.lists(FILLS, max_size=40), MIDS)
def test_nothing_is_lost_between_realised_and_unrealised(fills: list[OneFill], mid: int) -> None:
    """Realised and unrealised profit are exactly the cash of all fills on the YES axis and the worth of the net."""
    account = an_account(*fills)
    cash_x, net = 0, 0
    for fill in fills:
        way = 1 if (fill.side is Side.BUY) == (fill.outcome is Outcome.YES) else -1
        yes_price = mirror(fill.price) if fill.outcome else fill.price
        cash_x -= way * 2 * yes_price * fill.size
        net += way * fill.size
    assert account.net == net
    assert account.realised_x - account.cost_x == cash_x
    assert (account.cost_x == 0) or account.net


@given(st.lists(FILLS, max_size=40), MIDS)
def test_the_account_agrees_with_the_position(fills: list[OneFill], mid: int) -> None:
    """Cash and holdings are the position's own; profit differs by at most a micro-dollar for each fill."""
    account, position = an_account(*fills), Position()
    for fill in fills:
        position.receive_fill(*fill, Step.BOOK)
    assert (account.yes, account.no, account.cash) == (position.yes.held, position.no.held, position.cash)
    assert account.cash == sum(cash_of_fill(fill.side, fill.price, fill.size) for fill in fills)
    profit = account.cash + worth(account.yes, account.no, mid)
    assert profit == position.pnl(mid)
    assert abs(account.total(mid) - profit) <= len(fills) + 1


@given(st.lists(FILLS, max_size=20), MIDS, MIDS)
def test_a_position_from_before_earns_only_by_the_mid(fills: list[OneFill], first: int, mid: int) -> None:
    """With an opening position, profit is still the position's own."""
    account, position = Account(), Position()
    for outcome, size in zip(Outcome, (shares(70), shares(20)), strict=True):
        position.open_with(outcome, size)
    position.mark_opening(first)
    account.take_in(shares(70), shares(20), first)
    for fill in fills:
        account.receive_fill(*fill)
        position.receive_fill(*fill, Step.BOOK)
    assert abs(account.total(mid) - position.pnl(mid)) <= len(fills) + 2


@given(st.lists(FILLS, max_size=20), FILLS, st.lists(FILLS, max_size=20), MIDS)
def test_a_fill_and_its_reversal_leave_no_profit(
    before: list[OneFill], failed: OneFill, between: list[OneFill], mid: int
) -> None:
    """Holdings, cash and profit at every mid are as if the failed fill had not been, whatever came in between."""
    account = an_account(*before, failed, *between)
    account.receive_fill(*failed, way=-1)
    without = an_account(*before, *between)
    assert (account.net, account.yes, account.no, account.cash) == (
        without.net,
        without.yes,
        without.no,
        without.cash,
    )
    assert account.total(mid) == without.total(mid)


@given(st.lists(FILLS, min_size=1, max_size=40))
def test_the_entry_is_a_price(fills: list[OneFill]) -> None:
    """The average entry of an open position lies within the prices of its fills."""
    account = an_account(*fills)
    if account.entry is not None:
        prices = [(mirror(fill.price) if fill.outcome else fill.price) / 10_000 for fill in fills]
        # Rounding of the cost is one unit at each reduction, which shows only on positions of a few micro-shares.
        slack = 1e-9 + len(fills) / (20_000 * abs(account.net))
        assert min(prices) - slack <= account.entry <= max(prices) + slack
