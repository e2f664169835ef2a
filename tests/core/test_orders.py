"""The life of an order: every path is in the table, and messages end in the same state in whatever order they come."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.events import OrderReport, OrderStatus
from mm_daemon.core.orders import (
    TRANSITIONS,
    IllegalTransition,
    Order,
    OrderEvent,
    OrderState,
    OrderTable,
    new_order,
    own_levels,
)
from mm_daemon.core.units import Side, Size
from tests.given import NO, YES, a_market, cents, order_id, shares

MARKET = a_market()


def an_order(number: int = 1, side: Side = Side.BUY, token: str = YES, price: float = 49, size: float = 100) -> Order:
    return new_order(
        MARKET, order_id(number), MARKET.yes if token == YES else MARKET.no, side, cents(price), shares(size),
        why="test", now_ns=0,
    )  # fmt: skip


def state_of(order: Order) -> OrderState:
    return order.state


def a_table(*orders: Order) -> OrderTable:
    table = OrderTable()
    for order in orders:
        table.register(order)
    return table


def a_report(status: OrderStatus, matched: float = 0) -> OrderReport:
    return OrderReport(
        id=order_id(1), market=MARKET.condition_id, token=YES, side=Side.BUY, price=cents(49),
        size=shares(100), matched=shares(matched), status=status,
    )  # fmt: skip


def test_every_state_is_in_the_table_and_only_death_is_final() -> None:
    """Each state has its row; from each but DEAD there is a way to DEAD."""
    assert set(TRANSITIONS) == set(OrderState)
    reach = {OrderState.DEAD}
    while more := {s for s, row in TRANSITIONS.items() if reach & set(row.values())} - reach:
        reach |= more
    assert reach == set(OrderState)
    assert set(TRANSITIONS[OrderState.DEAD].values()) == {OrderState.DEAD}


def test_nothing_brings_an_order_back_to_the_book() -> None:
    """Once off the book, no message makes an order rest again."""
    for state in (OrderState.GONE, OrderState.DEAD):
        assert set(TRANSITIONS[state].values()) <= {OrderState.GONE, OrderState.DEAD}


@pytest.mark.parametrize("state", [OrderState.SENDING, OrderState.GONE, OrderState.DEAD])
def test_what_may_not_be_cancelled_raises_and_changes_nothing(state: OrderState) -> None:
    """A cancel for an order that was not confirmed, or is gone, is our own mistake."""
    order = an_order()
    table = a_table(order)
    order.state = state
    with pytest.raises(IllegalTransition):
        table.apply(order.id, OrderEvent.CANCEL_SENT, now_ns=1)
    assert order.state is state


def test_an_order_is_exposure_before_it_is_sent() -> None:
    """From registration on the whole size counts."""
    order = an_order()
    assert state_of(order) is OrderState.SENDING and order.exposure == shares(100)


def test_a_lost_answer_leaves_the_order_exposed() -> None:
    """UNKNOWN and CANCELLING orders count in full until their death is confirmed."""
    table = a_table(order := an_order())
    for event in (OrderEvent.ANSWER_LOST, OrderEvent.SEEN_LIVE, OrderEvent.CANCEL_SENT, OrderEvent.CANCEL_LOST):
        table.apply(order.id, event, now_ns=1)
        assert order.exposure == shares(100)


def test_a_confirmed_cancel_counts_until_its_fills_are_known() -> None:
    """The venue's answer to a cancel carries no matched size: the rest counts until the last report."""
    table = a_table(order := an_order())
    for event in (OrderEvent.ACCEPTED, OrderEvent.CANCEL_SENT, OrderEvent.CANCEL_CONFIRMED):
        table.apply(order.id, event, now_ns=1)
    assert state_of(order) is OrderState.GONE and order.exposure == shares(100)
    table.receive_report(a_report(OrderStatus.CANCELLED, matched=30), now_ns=2)
    assert order.exposure == shares(30)
    table.receive_fill(order.id, shares(30), now_ns=3)
    assert state_of(order) is OrderState.DEAD and order.exposure == 0


def test_an_order_filled_to_its_size_is_dead_by_its_fills_alone() -> None:
    """Fills are enough; dust of up to 0.01 share does not keep an order alive."""
    table = a_table(order := an_order())
    table.receive_fill(order.id, shares(60), now_ns=1)
    assert state_of(order) is OrderState.LIVE and order.remaining == shares(40)
    table.receive_fill(order.id, shares(39.99), now_ns=2)
    assert state_of(order) is OrderState.DEAD


def test_messages_before_the_answer_are_taken() -> None:
    """The user channel can be faster than the answer to the POST."""
    table = a_table(order := an_order())
    table.receive_report(a_report(OrderStatus.LIVE), now_ns=1)
    table.receive_fill(order.id, shares(100), now_ns=2)
    table.apply(order.id, OrderEvent.ACCEPTED, now_ns=3)
    assert state_of(order) is OrderState.DEAD


steps = st.lists(
    st.one_of(
        st.sampled_from([OrderEvent.ACCEPTED, OrderEvent.ANSWER_LOST]),
        st.integers(1, 100).map(lambda n: a_report(OrderStatus.LIVE, n)),
    ),
    max_size=4,
)


@given(noise=steps, seed=st.randoms(use_true_random=False), fills=st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_any_order_of_messages_ends_in_the_same_state(noise: list[object], seed: object, fills: list[int]) -> None:
    """Reports, answers and fills commute and repeat; a cancelled order ends dead with its fills booked."""
    total = sum(fills)
    ends = []
    for turn in range(4):
        table = a_table(order := an_order(size=200))
        messages = [*noise, *fills, a_report(OrderStatus.CANCELLED, total), a_report(OrderStatus.CANCELLED, total)]
        if turn:
            seed.shuffle(messages)  # type: ignore[attr-defined]
        for message in messages:
            if isinstance(message, int):
                table.receive_fill(order.id, shares(message), now_ns=1)
            elif isinstance(message, OrderReport):
                if message.matched <= shares(total):
                    table.receive_report(message, now_ns=1)
            else:
                table.apply(order.id, message, now_ns=1)  # type: ignore[arg-type]
        ends.append((order.state, order.filled, order.exposure))
    assert set(ends) == {(OrderState.DEAD, shares(total), 0)}


def test_all_orders_of_a_short_life_end_dead() -> None:
    """Answer, report of the end and fill in each of their six orders."""
    for turn in permutations(range(3)):
        table = a_table(order := an_order())
        acts = [
            lambda table=table: table.apply(order_id(1), OrderEvent.ACCEPTED, 1),
            lambda table=table: table.receive_report(a_report(OrderStatus.MATCHED, 100), 1),
            lambda table=table: table.receive_fill(order_id(1), shares(100), 1),
        ]
        for number in turn:
            acts[number]()
        assert state_of(order) is OrderState.DEAD


def test_a_matched_report_without_a_size_waits_for_fills() -> None:
    """A status MATCHED that names no size takes the order off the book but settles nothing."""
    table = a_table(order := an_order())
    table.receive_report(a_report(OrderStatus.MATCHED), now_ns=1)
    assert state_of(order) is OrderState.GONE and order.exposure == shares(100)


def test_the_dead_are_remembered_up_to_a_bound() -> None:
    """Late fills find their order, and memory does not grow for ever."""
    table = OrderTable(remember=2)
    for number in (1, 2, 3):
        table.register(an_order(number))
        table.apply(order_id(number), OrderEvent.REFUSED, now_ns=1)
    assert order_id(1) not in table and order_id(3) in table
    assert table.receive_fill(order_id(3), Size(5), now_ns=2) is not None
    assert list(table.working()) == []


def test_no_order_is_registered_twice() -> None:
    """The same id twice would count its exposure once."""
    table = a_table(an_order())
    with pytest.raises(ValueError, match="already registered"):
        table.register(an_order())


def test_own_levels_are_on_the_yes_axis() -> None:
    """A NO bid at 48 cents is our ask at 52."""
    bids, asks = own_levels([an_order(1), an_order(2, token=NO, price=48, size=70)])
    assert bids == {cents(49): shares(100)} and asks == {cents(52): shares(70)}
