"""Limits hold for the worst case, over every sequence of events."""

from collections.abc import Callable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.diff import plan
from mm_daemon.core.events import OrderReport, OrderStatus, TradeReport, TradeStatus
from mm_daemon.core.inventory import at_risk
from mm_daemon.core.market import Market
from mm_daemon.core.orders import Order, OrderEvent, OrderState, new_order
from mm_daemon.core.quotes import Desired, Quote, TwoSidedQuote, quotes_for
from mm_daemon.core.risk import WorstCase, objection, room_for
from mm_daemon.core.units import Cash, Outcome, Price, Side, Size
from tests.given import NO, YES, a_desk, a_fill, a_market, book_at, cents, order_id, shares, usd

MARKET = a_market()


def registered(desk: Desk, quote: Quote, number: int, market: Market = MARKET) -> Order:
    order = new_order(
        market, order_id(number), quote.token, quote.side, quote.price, quote.size, why="", now_ns=0
    )  # fmt: skip
    desk.register(order)
    return order


def a_bid(price: float, size: float) -> Quote:
    return Quote(Side.BUY, YES, Side.BUY, cents(price), shares(size))


def an_ask(price: float, size: float) -> Quote:
    return Quote(Side.SELL, NO, Side.BUY, cents(100 - price), shares(size))


nets = st.integers(-(10**10), 10**10)
mids = st.one_of(st.none(), st.integers(2, 19_998))


@given(nets, nets, mids, st.integers(0, 10**10), st.sampled_from(Side))
def test_room_is_the_most_that_fits(a: int, b: int, twice_mid: int | None, cap: int, side: Side) -> None:
    """Adding the room keeps that side's worst case within the cap (or flat); one step more does not."""
    case = WorstCase(long=max(a, b), short=min(a, b))

    def risk_with(size: int) -> Cash:
        net = case.long + size if side is Side.BUY else case.short - size
        grows = net > 0 if side is Side.BUY else net < 0
        return at_risk(net, twice_mid) if grows else Cash(0)

    room = room_for(side, case, Cash(cap), twice_mid)
    assert risk_with(room) <= cap or room == 0
    assert risk_with(room + 20_000) > cap


def test_resting_orders_count_before_they_fill() -> None:
    """A second bid is refused when the first one's fill would already use the limit."""
    desk = a_desk(MARKET, max_position=50)
    state = book_at(desk, MARKET, 49, 51)
    registered(desk, a_bid(49, 90), 1)
    assert desk.exposure == usd(45)
    assert objection(a_bid(48, 20), desk.situation(state)) == "limit"
    assert objection(a_bid(48, 10), desk.situation(state)) is None


def test_the_total_limit_counts_all_markets() -> None:
    """What one market uses, another cannot."""
    other = a_market(2)
    desk = a_desk(MARKET, other, max_position=100, max_total=120)
    state, _ = book_at(desk, MARKET, 49, 51), book_at(desk, other, 49, 51)
    quote = Quote(Side.BUY, other.yes, Side.BUY, cents(49), shares(160))
    registered(desk, quote, 1, other)
    assert desk.cap(state) == usd(40)
    assert objection(a_bid(49, 100), desk.situation(state)) == "limit"


def test_a_bid_at_our_own_ask_waits_even_while_that_is_cancelled() -> None:
    """YES bid plus NO bid never reach one dollar, not for a moment."""
    desk = a_desk(MARKET)
    state = book_at(desk, MARKET, 49, 51)
    ask = registered(desk, an_ask(50, 20), 1)
    for event in (OrderEvent.ACCEPTED, OrderEvent.CANCEL_SENT):
        assert objection(a_bid(50, 20), desk.situation(state)) == "self_match"
        desk.apply(ask.id, event, 1)
    assert objection(a_bid(49, 20), desk.situation(state)) is None
    desk.apply(ask.id, OrderEvent.CANCEL_CONFIRMED, 2)
    assert objection(a_bid(50, 20), desk.situation(state)) is None


def test_cash_that_is_reserved_is_not_spent_twice() -> None:
    """Bids on YES and on NO both reserve in full."""
    desk = a_desk(MARKET, cash=20)
    state = book_at(desk, MARKET, 49, 51)
    registered(desk, a_bid(49, 30), 1)
    assert objection(an_ask(51, 20), desk.situation(state)) == "balance"
    assert objection(an_ask(51, 10), desk.situation(state)) is None


def test_only_free_tokens_are_sold() -> None:
    """Tokens behind a resting SELL, or not settled, are not offered again."""
    desk = a_desk(MARKET)
    state = book_at(desk, MARKET, 49, 51)
    state.position.open_with(Outcome.YES, shares(50))
    registered(desk, Quote(Side.SELL, YES, Side.SELL, cents(51), shares(40)), 1)
    again = Quote(Side.SELL, YES, Side.SELL, cents(52), shares(20))
    assert objection(again, desk.situation(state)) == "balance"


def test_prices_off_the_grid_never_leave() -> None:
    """The gate has the last word on tick and bounds."""
    desk = a_desk(MARKET)
    state = book_at(desk, MARKET, 49, 51)
    assert objection(a_bid(49.5, 20), desk.situation(state)) == "off_grid"


def test_an_order_far_from_mid_or_last_trade_is_refused() -> None:
    """Ten cents of collar: what is further away was computed from something wrong."""
    desk = a_desk(MARKET)
    desk.limits = msgspec.structs.replace(desk.limits, collar=cents(10))
    state = book_at(desk, MARKET, 49, 51)
    assert objection(a_bid(40, 20), desk.situation(state)) is None
    assert objection(a_bid(39, 20), desk.situation(state)) == "collar_mid"
    state.book.last_trade = cents(70)
    assert objection(a_bid(49, 20), desk.situation(state)) == "collar_last_trade"
    assert objection(an_ask(61, 20), desk.situation(state)) == "collar_mid"


def test_one_order_is_never_larger_than_its_limit() -> None:
    """A strategy that asks for more does not get it."""
    desk = a_desk(MARKET)
    desk.limits = msgspec.structs.replace(desk.limits, max_order=usd(10))
    state = book_at(desk, MARKET, 49, 51)
    assert objection(a_bid(49, 20), desk.situation(state)) is None
    assert objection(a_bid(49, 21), desk.situation(state)) == "max_order"


def test_markets_of_one_event_share_its_limit() -> None:
    """Outcomes of a neg-risk event exclude each other; together they stay within the event's limit."""
    first, second = (msgspec.structs.replace(a_market(n), event_id="0xevent") for n in (1, 2))
    outside = a_market(3)
    desk = a_desk(first, second, outside, max_position=100, max_total=1_000)
    desk.limits = msgspec.structs.replace(desk.limits, max_event_position=usd(120))
    for market in (first, second, outside):
        book_at(desk, market, 49, 51)
    registered(desk, Quote(Side.BUY, second.yes, Side.BUY, cents(49), shares(160)), 1, second)
    assert desk.cap(desk.markets[first.condition_id]) == usd(40)
    assert desk.cap(desk.markets[outside.condition_id]) == usd(100)


class Trading(RuleBasedStateMachine):
    """Two markets quoted at random, against a venue that answers, fills, refuses, loses and reprices at random."""

    @initialize()
    def begin(self) -> None:
        self.markets = [a_market(1), a_market(2)]
        self.desk = a_desk(*self.markets, max_position=100, max_total=150, cash=1_000)
        self.orders = self.trades = 0
        for market in self.markets:
            book_at(self.desk, market, 49, 51)

    def pick(self, data: st.DataObject, *states: OrderState) -> Order | None:
        found = [order for order in self.desk.orders.working() if order.state in states]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(number=st.integers(0, 1), bid=st.integers(30, 68), spread=st.integers(1, 6), dollars=st.integers(5, 90))
    def quote(self, number: int, bid: int, spread: int, dollars: int) -> None:
        """A new wish is planned, gated and sent as the order manager does it."""
        state = self.desk.markets[self.markets[number].condition_id]
        wanted = TwoSidedQuote(bid=cents(bid), ask=cents(bid + spread), notional=usd(dollars))
        quotes, _ = quotes_for(state.market, wanted, self.desk.room(state))
        desired = Desired(market=state.market.condition_id, quotes=quotes, why="test", made_ns=0)
        todo = plan(desired, list(self.desk.orders.working(state.market.condition_id)))
        for cancel in todo.cancels:
            self.desk.apply(cancel.id, OrderEvent.CANCEL_SENT, 1)
        for one in todo.posts:
            before, before_market = self.desk.exposure, state.exposure
            if objection(one, self.desk.situation(state)) is None:
                self.orders += 1
                registered(self.desk, one, self.orders, state.market)
                assert state.exposure <= max(self.desk.limits.max_position, before_market)
                assert self.desk.exposure <= max(self.desk.limits.max_total_position, before)

    @rule(data=st.data(), event=st.sampled_from([OrderEvent.ACCEPTED, OrderEvent.REFUSED, OrderEvent.ANSWER_LOST]))
    def answer_a_post(self, data: st.DataObject, event: OrderEvent) -> None:
        order = self.pick(data, OrderState.SENDING)
        if order:
            self.desk.apply(order.id, event, 1)

    @rule(data=st.data(), event=st.sampled_from([OrderEvent.CANCEL_CONFIRMED, OrderEvent.CANCEL_REFUSED]))
    def answer_a_cancel(self, data: st.DataObject, event: OrderEvent) -> None:
        order = self.pick(data, OrderState.CANCELLING)
        if order:
            self.desk.apply(order.id, event, 1)

    @rule(data=st.data(), status=st.sampled_from([OrderStatus.LIVE, OrderStatus.CANCELLED]))
    def report(self, data: st.DataObject, status: OrderStatus) -> None:
        order = self.pick(data, OrderState.UNKNOWN, OrderState.GONE)
        if order and not (order.state is OrderState.GONE and status is OrderStatus.LIVE):
            self.desk.receive_report(
                OrderReport(
                    id=order.id, market=order.market, token=order.token, side=order.side, price=order.price,
                    size=order.size, matched=order.filled, status=status,
                ), 1,
            )  # fmt: skip

    @rule(data=st.data(), part=st.integers(1, 100), settles=st.booleans())
    def fill(self, data: st.DataObject, part: int, settles: bool) -> None:
        """A fill changes no exposure upwards: it was counted when the order was registered."""
        order = self.pick(data, OrderState.SENDING, OrderState.LIVE, OrderState.UNKNOWN, OrderState.CANCELLING)
        if order is None or order.exposure == 0:
            return
        before = self.desk.exposure
        size = Size(max(order.exposure * part // 100, 1))
        self.trades += 1
        market = self.desk.markets[order.market].market
        fill = a_fill(
            market, order.id, order.token, order.side, order.price, size, trade=f"trade-{self.trades}"
        )  # fmt: skip
        status = TradeStatus.CONFIRMED if settles else TradeStatus.MATCHED
        self.desk.receive_trade(TradeReport(fill.trade_id, status, (fill,)), 1)
        assert self.desk.exposure <= before

    @rule(number=st.integers(0, 1), bid=st.integers(5, 90), spread=st.integers(1, 5))
    def reprice(self, number: int, bid: int, spread: int) -> None:
        book_at(self.desk, self.markets[number], bid, bid + spread)

    @precondition(lambda self: hasattr(self, "desk"))
    @invariant()
    def no_order_can_meet_another_of_ours(self) -> None:
        for market in self.markets:
            resting = [order for order in self.desk.orders.working(market.condition_id) if order.may_rest]
            bids = [order.yes_price for order in resting if order.direction is Side.BUY]
            asks = [order.yes_price for order in resting if order.direction is Side.SELL]
            assert max(bids, default=Price(0)) < min(asks, default=Price(10_000))

    @precondition(lambda self: hasattr(self, "desk"))
    @invariant()
    def the_sums_are_the_sum_of_their_parts(self) -> None:
        """The running sums equal a fresh count, and no cash or token is promised twice."""
        fresh = a_fresh_sum(self.desk, lambda state: state.exposure)
        assert self.desk.exposure == fresh
        bought = sum(o.price * o.exposure / 10_000 for o in self.desk.orders.working() if o.side is Side.BUY)
        assert bought <= self.desk.cash + 1_000
        for market in self.markets:
            for outcome in Outcome:
                selling = sum(
                    order.exposure
                    for order in self.desk.orders.working(market.condition_id)
                    if order.token == market.token(outcome) and order.side is Side.SELL
                )
                assert selling <= self.desk.markets[market.condition_id].position.holding(outcome).settled


def a_fresh_sum(desk: Desk, part: Callable[[MarketState], int]) -> int:
    for market in desk.markets:
        desk.refresh(market)
    return sum(part(state) for state in desk.markets.values())


Trading.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTrading = Trading.TestCase
