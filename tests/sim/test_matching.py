"""The book: price-time priority on one YES axis, with mint and merge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.units import DOLLAR, Cash, ConditionId, OrderId, Outcome, Price, Side, Size, TokenId
from mm_daemon.sim.matching import Match, OrderBook
from mm_daemon.sim.model import DUST, MatchKind, SimOrder, Tif
from tests.sim.conftest import shares

TOKENS = (TokenId("7" * 77), TokenId("8" * 77))


def order(
    number: int,
    outcome: Outcome,
    side: Side,
    price: int,
    size: float,
    tif: Tif = Tif.GTC,
    budget: Cash = Cash(0),  # noqa: B008
) -> SimOrder:
    """An order of one market; `price` in 1/10,000 dollar, `size` in shares."""
    return SimOrder(
        id=OrderId(f"0x{number:064x}"),
        maker=f"0x{number % 3}",
        owner="",
        market=ConditionId("0x1"),
        token=TOKENS[outcome],
        outcome=outcome,
        side=side,
        price=Price(price),
        size=shares(size),
        tif=tif,
        budget=budget,
    )


def take(book: OrderBook, taker: SimOrder) -> list[Match]:
    """Match an order and rest what is left of it."""
    matches = book.match(taker)
    if taker.tif.rests and taker.remaining >= DUST:
        book.rest(taker)
    return matches


orders = st.lists(
    st.tuples(
        st.sampled_from(list(Outcome)),
        st.sampled_from(list(Side)),
        st.integers(min_value=40, max_value=60).map(lambda cents: cents * 100),
        st.integers(min_value=1, max_value=5000).map(lambda hundredths: hundredths / 100),
    ),
    max_size=60,
)


@given(orders)
def test_no_crossed_book_is_left(flow: list[tuple[Outcome, Side, int, float]]) -> None:
    """After every order the best bid is below the best ask on the YES axis."""
    book = OrderBook()
    for number, row in enumerate(flow):
        take(book, order(number, *row))
        bid, ask = book.best(Side.BUY), book.best(Side.SELL)
        assert bid is None or ask is None or bid < ask


@given(orders)
def test_matches_come_in_price_then_time_order(flow: list[tuple[Outcome, Side, int, float]]) -> None:
    """A taker meets better prices first, older orders first, never beyond its limit, and skips nobody."""
    book = OrderBook()
    for number, row in enumerate(flow):
        taker = order(number, *row)
        sign = 1 if taker.direction is Side.BUY else -1
        eligible = [
            resting
            for resting in book.orders()
            if resting.direction is not taker.direction and sign * resting.yes_price <= sign * taker.yes_price
        ]
        expected = sorted(eligible, key=lambda resting: (sign * resting.yes_price, resting.id))
        matches = take(book, taker)
        met = [match.maker for match in matches]
        assert met == expected[: len(met)]
        assert all(maker.remaining < DUST for maker in met[:-1])
        if taker.remaining >= DUST:
            assert len(met) == len(expected)


@given(orders)
def test_shares_are_neither_made_nor_lost(flow: list[tuple[Outcome, Side, int, float]]) -> None:
    """What the taker gets is what the makers give, and every cost is a whole number of micro-dollars."""
    book = OrderBook()
    for number, row in enumerate(flow):
        taker = order(number, *row)
        matches = take(book, taker)
        assert taker.matched == sum(match.size for match in matches)
        assert all(match.price * match.size % DOLLAR == 0 for match in matches)
        assert all(0 <= resting.remaining <= resting.size for resting in book.orders())


@given(orders, st.integers(min_value=1, max_value=200))
def test_a_budget_is_never_overspent(flow: list[tuple[Outcome, Side, int, float]], dollars: int) -> None:
    """A market buy in dollars spends its budget up to one step of the last price, and never more."""
    book = OrderBook()
    for number, row in enumerate(flow):
        take(book, order(number, *row))
    budget = Cash(dollars * 1_000_000)
    taker = order(999, Outcome.YES, Side.BUY, 6000, dollars / 0.6, Tif.FAK, budget)
    can_fill = book.fills_whole(taker)
    book.match(taker)
    assert taker.spent <= budget
    assert not can_fill or budget - taker.spent < DOLLAR


def test_the_maker_sets_the_price() -> None:
    """A taker that would pay more gets the resting price."""
    book = OrderBook()
    book.rest(order(1, Outcome.YES, Side.SELL, 5000, 10))
    [match] = book.match(order(2, Outcome.YES, Side.BUY, 5500, 4))
    assert (match.price, match.size, match.kind) == (5000, shares(4), MatchKind.NORMAL)


def test_two_buys_of_both_outcomes_mint() -> None:
    """A bid for YES at 0.49 meets a bid for NO at 0.51."""
    book = OrderBook()
    book.rest(order(1, Outcome.YES, Side.BUY, 4900, 10))
    [match] = book.match(order(2, Outcome.NO, Side.BUY, 5100, 10))
    assert (match.price, match.kind) == (4900, MatchKind.MINT)


def test_two_sells_of_both_outcomes_merge() -> None:
    """An ask of YES at 0.49 meets an ask of NO at 0.51."""
    book = OrderBook()
    book.rest(order(1, Outcome.YES, Side.SELL, 4900, 10))
    [match] = book.match(order(2, Outcome.NO, Side.SELL, 5100, 10))
    assert (match.price, match.kind) == (4900, MatchKind.MERGE)


def test_a_cancelled_order_is_out_of_the_queue() -> None:
    """The next in line is matched instead."""
    book = OrderBook()
    first, second = (order(number, Outcome.YES, Side.SELL, 5000, 10) for number in (1, 2))
    book.rest(first)
    book.rest(second)
    assert book.cancel(first.id) is first
    assert book.cancel(first.id) is None
    [match] = book.match(order(3, Outcome.YES, Side.BUY, 5000, 1))
    assert match.maker is second


def test_dust_counts_as_filled() -> None:
    """A remainder below a hundredth of a share leaves the book."""
    book = OrderBook()
    maker = order(1, Outcome.YES, Side.SELL, 5000, 10)
    book.rest(maker)
    taker = order(2, Outcome.YES, Side.BUY, 5000, 10, Tif.FAK, Cash(4_999_000))
    book.match(taker)
    assert maker.remaining == Size(2_000)
    assert maker.status == "MATCHED" and maker.id not in book


def test_levels_are_the_sum_of_their_orders() -> None:
    """Both outcomes add up on the one axis, best first."""
    book = OrderBook()
    book.rest(order(1, Outcome.YES, Side.BUY, 4800, 10))
    book.rest(order(2, Outcome.NO, Side.SELL, 5200, 5))
    book.rest(order(3, Outcome.YES, Side.BUY, 4900, 1))
    assert book.levels(Side.BUY) == [(4900, shares(1)), (4800, shares(15))]
