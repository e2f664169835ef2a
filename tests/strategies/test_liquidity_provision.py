"""liquidity_provision: where it quotes, when it does not, and when it looks again."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.market import MarketStatus
from mm_daemon.core.orders import OrderEvent, new_order
from mm_daemon.core.quotes import TwoSidedQuote
from mm_daemon.core.units import Outcome, Price, Side
from mm_daemon.strategies.api import BookChanged, CancelQuotes, Filled, QuoteMarket, Signal, TimerFired
from mm_daemon.strategies.liquidity_provision import (
    LiquidityProvision,
    LiquidityProvisionConfig,
    Terms,
    signed_risk,
    skewed_prices,
    within_touch,
)
from mm_daemon.tasks.quoting import DeskView
from tests.given import YES, a_desk, a_market, a_snapshot, book_at, cents, levels, order_id, shares, usd

MARKET = a_market()
FINE = a_market(tick=0.01)
ID = MARKET.condition_id


def a_config(**settings: Any) -> LiquidityProvisionConfig:
    settings = {key: Decimal(str(v)) if isinstance(v, int | float) and not isinstance(v, bool) else v
                for key, v in settings.items()}  # fmt: skip
    return LiquidityProvisionConfig(markets=("market-1",), **settings)


class Table:
    """One market, a strategy and a clock to turn by hand."""

    def __init__(self, **settings: Any) -> None:
        self.market = FINE
        self.desk: Desk = a_desk(FINE)
        self.state: MarketState = self.desk.markets[ID]
        self.strategy = LiquidityProvision(a_config(**settings))
        self.now_ns = 1
        self.view = DeskView(self.desk, lambda: self.now_ns)

    def book(self, bid: float, ask: float, size: float = 1_000) -> Sequence[Signal]:
        book_at(self.desk, self.market, bid, ask, size)
        return self.strategy.on_event(BookChanged(ID), self.view)

    def timer(self) -> Sequence[Signal]:
        return self.strategy.on_event(TimerFired(ID), self.view)

    def hold(self, yes: float = 0, no: float = 0) -> None:
        self.state.position.open_with(Outcome.YES, shares(yes))
        self.state.position.open_with(Outcome.NO, shares(no))

    def quote(self) -> TwoSidedQuote:
        signals = self.timer()
        assert len(signals) == 1 and isinstance(signals[0], QuoteMarket), signals
        return signals[0].quote

    def rest(self, side: Side, price: float, size: float = 50) -> None:
        order = new_order(FINE, order_id(7), YES, side, cents(price), shares(size), why="", now_ns=0)
        self.desk.register(order)
        self.desk.apply(order.id, OrderEvent.ACCEPTED, 1)


def why(signals: Sequence[Signal]) -> str:
    assert len(signals) == 1, signals
    return signals[0].why


# Where it quotes


def test_two_percent_around_fifty_cents_is_49_5_and_50_5() -> None:
    """The formula by the book: half the spread on each side of the mid, flat."""
    table = Table(base_spread_pct=0.02)
    table.book(49, 51)
    quote = table.quote()
    assert (quote.bid, quote.ask) == (cents(49.5), cents(50.5))


def test_on_a_coarse_grid_the_bid_goes_down_and_the_ask_up() -> None:
    """49.5 and 50.5 become 49 and 51 where the tick is a cent: rounding is away from us."""
    assert skewed_prices(10_000, 0, Terms.of(a_config()), cents(1)) == (cents(49), cents(51))


def test_a_long_position_lowers_both_quotes() -> None:
    """Holding YES makes us keener to sell and less keen to buy."""
    flat, long = Table(), Table()
    long.hold(yes=250)
    for table in (flat, long):
        table.book(49, 51)
    flat_quote, long_quote = flat.quote(), long.quote()
    assert flat_quote.bid and flat_quote.ask and long_quote.bid and long_quote.ask
    assert long_quote.bid < flat_quote.bid and long_quote.ask < flat_quote.ask


def test_a_short_position_raises_both_quotes() -> None:
    """Holding NO is being short YES: keener to buy."""
    flat, short = Table(), Table()
    short.hold(no=250)
    for table in (flat, short):
        table.book(49, 51)
    flat_quote, short_quote = flat.quote(), short.quote()
    assert flat_quote.bid and flat_quote.ask and short_quote.bid and short_quote.ask
    assert short_quote.bid > flat_quote.bid and short_quote.ask > flat_quote.ask


def test_the_skew_is_the_stated_fraction_of_the_mid() -> None:
    """Half the limit at risk, factor 4 %: both prices shift by 2 % of the mid."""
    table = Table(base_spread_pct=0.02, inventory_skew_factor=0.04, max_position_usd=250, min_liquidity_usd=0)
    table.hold(yes=250)  # 125 dollars at 50 cents
    table.book(45, 55)
    quote = table.quote()
    assert (quote.bid, quote.ask) == (cents(48.5), cents(49.5))


def test_a_position_over_the_limit_skews_no_more_than_one_at_it() -> None:
    """A mid that runs away with the position must not push quotes out of the market."""
    assert signed_risk(shares(10_000), 10_000, usd(250)) == usd(250)
    assert signed_risk(-shares(10_000), 10_000, usd(250)) == -usd(250)


def test_quotes_never_cross_the_touch() -> None:
    """Post-only: a tick below the best ask, a tick above the best bid, whatever the skew wants."""
    table = Table(base_spread_pct=0.02, inventory_skew_factor=0.5)
    table.hold(yes=500)
    table.book(49.9, 50.1)
    quote = table.quote()
    assert quote.ask == cents(49.91)
    assert quote.bid is not None and quote.bid < cents(49.9)


def test_our_own_orders_are_no_mid_to_quote_around() -> None:
    """The mid is of everybody else's orders: our own bid at 49.9 does not move it."""
    table = Table()
    table.rest(Side.BUY, 49.9, 50)
    snapshot = a_snapshot(FINE, levels((49.9, 50), (49, 900)), levels((51, 900)), time_ms=5)
    table.state.book.receive_snapshot(snapshot, 1)
    assert table.view.markets[ID].touch == (cents(49), cents(51))
    table.state.book.receive_snapshot(a_snapshot(FINE, levels((49.9, 80)), levels((51, 900)), time_ms=6), 1)
    assert table.view.markets[ID].touch.bid == cents(49.9)


terms = st.builds(
    lambda spread, skew, limit: Terms.of(
        a_config(base_spread_pct=spread, inventory_skew_factor=skew, max_position_usd=limit, order_size_usd=1,
                 max_total_position_usd=10**6, min_profit_pct=0)
    ),
    st.integers(1, 200_000).map(lambda ppm: ppm / 1e6),
    st.integers(0, 200_000).map(lambda ppm: ppm / 1e6),
    st.integers(1, 5_000),
)  # fmt: skip
ticks = st.sampled_from([1, 10, 25, 50, 100, 1_000]).map(Price)


@given(st.integers(2, 19_998), st.integers(-100, 100), terms, ticks)
def test_prices_are_the_exact_formula_rounded_away_from_us(mid: int, part: int, t: Terms, tick: Price) -> None:
    """Against the formula in fractions: the bid is the last tick at or below it, the ask the first at or above it."""
    risk = t.max_position * part // 100
    exact_mid = Fraction(mid, 2)
    half = exact_mid * Fraction(t.spread, 2_000_000)
    skew = exact_mid * Fraction(t.skew, 1_000_000) * Fraction(risk, t.max_position)
    bid, ask = skewed_prices(mid, risk, t, tick)
    assert bid % tick == ask % tick == 0
    assert bid <= exact_mid - half - skew < bid + tick
    assert ask - tick < exact_mid + half - skew <= ask


def two_between(low: int, high: int) -> st.SearchStrategy[list[int]]:
    """Two different whole numbers, the lower first."""
    return st.lists(st.integers(low, high), min_size=2, max_size=2, unique=True).map(sorted)


@given(two_between(0, 10_000), two_between(-2_000, 12_000), ticks)
def test_quotes_stay_inside_the_touch_and_the_price_range(best: list[int], model: list[int], tick: Price) -> None:
    """For any touch and any model prices: on the grid, post-only, within [tick, 1 - tick], bid below ask."""
    (best_bid, best_ask), (bid, ask) = best, model
    market = msgspec.structs.replace(MARKET, tick=tick)
    touch = type(Table().state.book.touch)(Price(best_bid), Price(best_ask))
    low, high = within_touch(Price(bid // tick * tick), Price(-(-ask // tick) * tick), touch, market)
    for price in (low, high):
        assert price is None or market.is_on_grid(price)
    assert low is None or low < best_ask
    assert high is None or high > best_bid
    assert low is None or high is None or low < high


# When it does not


def test_nothing_is_quoted_before_the_book_is_known() -> None:
    """Unknown is not empty."""
    assert why(Table().timer()) == "book_unknown"


def test_a_one_sided_book_is_not_quoted() -> None:
    """There is no mid with one side."""
    table = Table()
    table.state.book.receive_snapshot(a_snapshot(FINE, [], levels((51, 100))), 1)
    assert why(table.timer()) == "book_one_sided"


def test_a_book_that_is_one_sided_without_us_is_not_quoted() -> None:
    """Our own bid alone does not make a market."""
    table = Table()
    table.rest(Side.BUY, 49, 50)
    table.state.book.receive_snapshot(a_snapshot(FINE, levels((49, 50)), levels((51, 500))), 1)
    assert why(table.timer()) == "book_one_sided"


def test_a_crossed_book_is_not_quoted() -> None:
    """A bid above the ask is a moment between two frames."""
    assert why(Table().book(52, 50)) == "book_crossed"


@pytest.mark.parametrize("status", [s for s in MarketStatus if s is not MarketStatus.OPEN])
def test_a_market_that_takes_no_orders_is_not_quoted(status: MarketStatus) -> None:
    """Closed, resolved or not accepting: the status is the reason shown."""
    table = Table()
    table.state.market = msgspec.structs.replace(FINE, status=status)
    assert why(table.book(49, 51)) == status.value


def test_a_thin_book_is_not_quoted_until_it_is_clearly_thick_enough() -> None:
    """Below the minimum quotes go; they come back at a fifth above it, not at a cent above it."""
    table = Table(min_liquidity_usd=100, liquidity_band_pct=0.05)
    assert why(table.book(49, 51, size=90)) == "min_liquidity"
    assert table.book(49, 51, size=110) == ()
    assert isinstance(table.book(49, 51, size=130)[0], QuoteMarket)
    assert table.book(49, 51, size=110) == ()


def test_liquidity_outside_the_band_does_not_count() -> None:
    """Size far from the mid protects nobody."""
    table = Table(min_liquidity_usd=100, liquidity_band_pct=0.01)
    assert why(table.book(40, 60, size=10_000)) == "min_liquidity"


def test_too_little_profit_is_not_quoted() -> None:
    """Half a percent is less than the two asked for; on a grid of cents the same spread is wide enough."""
    table = Table(base_spread_pct=0.005, min_profit_pct=0.02)
    assert why(table.book(49, 51)) == "min_profit"
    table.state.market = MARKET
    assert why(table.timer()) == "timer"


def test_a_disabled_strategy_pulls_its_quotes_and_says_so_once() -> None:
    """Enabled and disabled at run time; a reason is said once."""
    table = Table()
    table.book(49, 51)
    table.strategy.enabled = False
    assert why(table.timer()) == "disabled"
    assert table.timer() == ()
    table.strategy.enabled = True
    assert isinstance(table.timer()[0], QuoteMarket)


# When it looks again


def test_a_mid_that_moves_less_than_the_threshold_changes_nothing() -> None:
    """Half a percent of 50 cents is a quarter of a cent."""
    table = Table(price_change_threshold_pct=0.005)
    assert why(table.book(49, 51)) == "quotable"
    assert table.book(49.2, 51.2) == ()
    assert why(table.book(49.25, 51.25)) == "mid_moved"


def test_small_moves_add_up() -> None:
    """The move is measured from the mid the standing quotes were made at, not from the last frame."""
    table = Table(price_change_threshold_pct=0.005)
    table.book(49, 51)
    moves = [table.book(49 + step / 10, 51 + step / 10) for step in range(1, 5)]
    assert [len(signals) for signals in moves] == [0, 0, 1, 0]


def test_the_timer_and_a_fill_requote() -> None:
    """Without any move of the mid."""
    table = Table()
    table.book(49, 51)
    assert why(table.timer()) == "timer"
    filled = Filled(ID, Side.BUY, cents(49), shares(1))
    assert why(table.strategy.on_event(filled, table.view)) == "fill"


def test_a_fill_of_one_side_replaces_the_other() -> None:
    """cancel_on_fill: also a partial fill takes the other side's orders off; without it they keep their place."""
    filled = Filled(ID, Side.BUY, cents(49), shares(1))
    for setting, sides in ((True, {Side.SELL}), (False, set())):
        table = Table(cancel_on_fill=setting)
        table.book(49, 51)
        signal = table.strategy.on_event(filled, table.view)[0]
        assert isinstance(signal, QuoteMarket) and signal.replace == sides


def test_when_the_reason_is_gone_quoting_resumes_at_once() -> None:
    """No waiting for the timer."""
    table = Table()
    table.book(49, 51)
    table.state.book.forget()
    assert why(table.strategy.on_event(BookChanged(ID), table.view)) == "book_unknown"
    assert why(table.book(49, 51)) == "quotable"


# Settings


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"base_spread_pct": 0}, "base_spread_pct"),
        ({"base_spread_pct": 2}, "base_spread_pct"),
        ({"order_size_usd": -1}, "order_size_usd"),
        ({"order_size_usd": 300}, "order_size_usd"),
        ({"max_position_usd": 2_000}, "max_position_usd"),
        ({"inventory_skew_factor": 1}, "inventory_skew_factor"),
        ({"refresh_interval_secs": 0}, "refresh_interval_secs"),
        ({"stale_order_secs": 1}, "stale_order_secs"),
        ({"min_profit_pct": 1}, "min_profit_pct"),
        ({"base_spread_pct": 0.02000001}, "base_spread_pct"),
    ],
)
def test_impossible_settings_are_refused_with_their_key(settings: dict[str, float], key: str) -> None:
    """The key comes first and the reason after it."""
    with pytest.raises(ValueError, match=rf"^{key}: "):
        a_config(**settings)


def test_a_bad_reload_leaves_the_old_settings_in_force() -> None:
    """Markets are fixed while the daemon runs; everything else stays as it was."""
    table = Table()
    table.book(49, 51)
    before = table.quote()
    with pytest.raises(ValueError, match="restart"):
        table.strategy.reload(LiquidityProvisionConfig(markets=("other",), base_spread_pct=Decimal("0.04")))
    assert table.quote() == before


def test_signals_name_their_reason() -> None:
    """Whoever looks at the daemon sees why."""
    signals = Table().timer()
    assert isinstance(signals[0], CancelQuotes) and signals[0].why
