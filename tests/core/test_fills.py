"""Fills: booked once, settled once, reversed at most once, whatever messages come."""

from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.desk import Desk
from mm_daemon.core.events import TradeReport, TradeStatus
from mm_daemon.core.fills import FillBook, Step
from mm_daemon.core.units import Outcome, Side
from tests.given import NO, YES, a_desk, a_fill, a_market, cents, order_id, shares, usd

MARKET = a_market()
FILL = a_fill(MARKET, order_id(1), YES, Side.BUY, cents(50), shares(100))
ladder = st.lists(st.sampled_from([s for s in TradeStatus if s is not TradeStatus.FAILED]), min_size=1, max_size=6)


@given(ladder)
def test_a_fill_is_booked_once_and_settled_once(statuses: list[TradeStatus]) -> None:
    """Repeated, skipped and reordered steps book one fill; CONFIRMED settles it."""
    fills = FillBook()
    steps = [fills.receive(FILL, status) for status in statuses]
    assert sum(step in (Step.BOOK, Step.BOOK_SETTLED) for step in steps) == 1
    settled = sum(step in (Step.SETTLE, Step.BOOK_SETTLED) for step in steps)
    assert settled == (TradeStatus.CONFIRMED in statuses)


@given(ladder.filter(lambda s: TradeStatus.CONFIRMED not in s), st.integers(0, 6))
def test_a_failed_trade_leaves_nothing_behind(statuses: list[TradeStatus], at: int) -> None:
    """Wherever FAILED comes, once or twice, position, settled tokens and cash are as before."""
    desk = a_desk(MARKET)
    messages = [*statuses[:at], TradeStatus.FAILED, *statuses[at:], TradeStatus.FAILED]
    for status in messages:
        desk.receive_trade(TradeReport("trade-1", status, (FILL,)), now_ns=1)
    position = desk.markets[MARKET.condition_id].position
    assert (position.yes.held, position.yes.settled, position.cash, desk.cash) == (0, 0, 0, usd(10_000))


@given(st.permutations(list(TradeStatus)[:3] * 2))
def test_settlement_does_not_depend_on_the_order_of_messages(statuses: list[TradeStatus]) -> None:
    """MATCHED, MINED and CONFIRMED, twice each and in any order, give the same desk."""
    desk = a_desk(MARKET)
    for status in statuses:
        desk.receive_trade(TradeReport("trade-1", status, (FILL,)), now_ns=1)
    position = desk.markets[MARKET.condition_id].position
    assert (position.yes.held, position.yes.settled) == (shares(100), shares(100))
    assert desk.cash == usd(9_950)


def test_two_orders_in_one_trade_are_two_fills() -> None:
    """The key is (trade, order): one trade can take several of our orders."""
    desk = a_desk(MARKET)
    other = a_fill(MARKET, order_id(2), NO, Side.BUY, cents(48), shares(40))
    report = TradeReport("trade-1", TradeStatus.MATCHED, (FILL, other))
    assert len(desk.receive_trade(report, 1)) == 2
    assert desk.receive_trade(report, 2) == []
    assert desk.markets[MARKET.condition_id].position.net == shares(60)


def test_bought_tokens_can_be_sold_only_when_settled() -> None:
    """Provisional inventory counts for the position and not for what may be sold."""
    desk = a_desk(MARKET)
    state = desk.markets[MARKET.condition_id]
    desk.receive_trade(TradeReport("trade-1", TradeStatus.MATCHED, (FILL,)), 1)
    assert state.position.net == shares(100) and desk.room(state).free_yes == 0
    desk.receive_trade(TradeReport("trade-1", TradeStatus.CONFIRMED, (FILL,)), 2)
    assert desk.room(state).free_yes == shares(100)


def test_the_proceeds_of_a_sale_are_spendable_when_settled() -> None:
    """A SELL takes the tokens at once and gives the cash later."""
    desk = a_desk(MARKET)
    state = desk.markets[MARKET.condition_id]
    state.position.open_with(Outcome.YES, shares(100))
    sale = a_fill(MARKET, order_id(1), YES, Side.SELL, cents(60), shares(100))
    desk.receive_trade(TradeReport("trade-1", TradeStatus.MATCHED, (sale,)), 1)
    assert state.position.yes.settled == 0 and desk.cash == usd(10_000)
    desk.receive_trade(TradeReport("trade-1", TradeStatus.CONFIRMED, (sale,)), 2)
    assert desk.cash == usd(10_060)


def test_a_fill_without_a_side_takes_it_from_our_order() -> None:
    """In a mint both sides buy: the taker's side says nothing about ours."""
    desk: Desk = a_desk(MARKET)
    nameless = a_fill(MARKET, order_id(9), NO, Side.BUY, cents(48), shares(10), trade="trade-2")
    nameless = type(nameless)(**{f: getattr(nameless, f) for f in nameless.__struct_fields__} | {"side": None})
    assert desk.receive_trade(TradeReport("trade-2", TradeStatus.MATCHED, (nameless,)), 1) == []
    assert desk.strangers == 1


def test_settled_fills_are_remembered_up_to_a_bound() -> None:
    """Memory is bounded; pending fills are never dropped."""
    fills = FillBook(remember=1)
    for number in (1, 2):
        done = a_fill(MARKET, order_id(number), YES, Side.BUY, cents(50), shares(1))
        fills.receive(done, TradeStatus.CONFIRMED)
    assert fills.status((FILL.trade_id, order_id(1))) is None
    assert fills.status((FILL.trade_id, order_id(2))) is TradeStatus.CONFIRMED
    assert fills.pending == 0
