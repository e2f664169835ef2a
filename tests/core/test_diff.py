"""What is left alone, what is replaced, and what waits."""

from mm_daemon.core.diff import plan
from mm_daemon.core.orders import Order, OrderState, new_order
from mm_daemon.core.quotes import Desired, Quote
from mm_daemon.core.units import Side, TokenId
from tests.given import NO, YES, a_market, cents, order_id, shares

MARKET = a_market()


def a_bid(price: float = 49, size: float = 100) -> Quote:
    return Quote(Side.BUY, YES, Side.BUY, cents(price), shares(size))


def an_ask(price: float = 51, size: float = 100) -> Quote:
    return Quote(Side.SELL, NO, Side.BUY, cents(100 - price), shares(size))


def resting(
    quote: Quote, *, number: int = 1, state: OrderState = OrderState.LIVE, filled: float = 0, created_ns: int = 0
) -> Order:
    order = new_order(
        MARKET, order_id(number), TokenId(quote.token), quote.side, quote.price, quote.size,
        why="", now_ns=created_ns,
    )  # fmt: skip
    order.state, order.filled = state, shares(filled)
    return order


def wish(*quotes: Quote, bids_before: int = 0, asks_before: int = 0, why: str = "timer") -> Desired:
    return Desired(
        market=MARKET.condition_id, quotes=quotes, why=why, made_ns=0,
        replace_bids_before_ns=bids_before, replace_asks_before_ns=asks_before,
    )  # fmt: skip


def test_orders_that_are_right_keep_their_place() -> None:
    """Same price, enough size: nothing is sent."""
    assert plan(wish(a_bid(), an_ask()), [resting(a_bid()), resting(an_ask(), number=2)]) == ([], [])


def test_what_is_missing_is_posted() -> None:
    """An empty book side gets its order."""
    assert plan(wish(a_bid(), an_ask()), [resting(a_bid())]) == ([], [an_ask()])


def test_a_wrong_price_is_cancelled_and_posted_anew() -> None:
    """One tick off is another place in the queue."""
    assert plan(wish(a_bid(48)), [resting(a_bid(49))]) == ([(order_id(1), "price")], [a_bid(48)])


def test_a_partial_fill_within_the_tolerance_is_left_alone() -> None:
    """A fifth gone is not worth the place in the queue; more is."""
    assert plan(wish(a_bid()), [resting(a_bid(), filled=20)]) == ([], [])
    assert plan(wish(a_bid()), [resting(a_bid(), filled=21)]) == ([(order_id(1), "too_small")], [a_bid()])


def test_an_order_larger_than_allowed_is_replaced() -> None:
    """The limits left less room than when it was made."""
    assert plan(wish(a_bid(size=60)), [resting(a_bid())]) == ([(order_id(1), "too_large")], [a_bid(size=60)])


def test_stale_orders_are_replaced_on_their_side_only() -> None:
    """Age, or a fill of the other side, makes an order give up its place."""
    orders = [resting(a_bid(), created_ns=5), resting(an_ask(), number=2, created_ns=5)]
    assert plan(wish(a_bid(), an_ask(), asks_before=6), orders) == ([(order_id(2), "stale")], [an_ask()])


def test_an_empty_wish_cancels_with_its_reason() -> None:
    """The reason why nothing is quoted stands at every cancel."""
    assert plan(wish(why="book_unknown"), [resting(a_bid())]) == ([(order_id(1), "book_unknown")], [])


def test_a_side_that_is_not_quoted_is_cancelled() -> None:
    """One-sided quoting takes the other side down."""
    assert plan(wish(an_ask()), [resting(a_bid()), resting(an_ask(), number=2)]).cancels == [
        (order_id(1), "side_not_quoted")
    ]


def test_the_same_ask_by_another_token_is_replaced() -> None:
    """YES to sell came in: the ask becomes a SELL and frees the cash behind the NO bid."""
    sell = Quote(Side.SELL, YES, Side.SELL, cents(51), shares(100))
    assert plan(wish(sell), [resting(an_ask())]) == ([(order_id(1), "other_token")], [sell])


def test_an_undecided_order_keeps_its_side_waiting() -> None:
    """While one order is in flight or unknown, no second one joins it; it cannot be cancelled either."""
    for state in (OrderState.SENDING, OrderState.UNKNOWN):
        assert plan(wish(a_bid(48)), [resting(a_bid(49), state=state)]) == ([], [])


def test_an_order_being_cancelled_is_not_cancelled_again() -> None:
    """Its replacement is planned beside it; whether both fit is the gate's to say."""
    assert plan(wish(a_bid(48)), [resting(a_bid(49), state=OrderState.CANCELLING)]) == ([], [a_bid(48)])


def test_two_orders_on_one_side_become_one() -> None:
    """Adopted or doubled orders beyond the wish are taken down."""
    both = [resting(a_bid()), resting(a_bid(), number=2)]
    assert plan(wish(a_bid()), both) == ([(order_id(2), "side_not_quoted")], [])
