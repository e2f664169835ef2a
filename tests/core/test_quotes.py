"""Routing a two-sided quote to orders on tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.quotes import Quote, Room, TwoSidedQuote, quotes_for, route
from mm_daemon.core.units import Price, Side, Size, mirror, notional
from tests.given import NO, YES, a_market, cents, shares, usd

MARKET = a_market()
PLENTY = Room(buy=shares(10**6), sell=shares(10**6), free_yes=Size(0), free_no=Size(0))


def routed(direction: Side, price: float, room: Room = PLENTY, notional_usd: float = 25) -> Quote:
    made = route(MARKET, direction, cents(price), usd(notional_usd), room)
    assert isinstance(made, Quote), made
    return made


def test_without_tokens_both_sides_are_buys() -> None:
    """A bid buys YES; an ask without YES to sell buys NO at one dollar less the ask."""
    assert routed(Side.BUY, 49) == Quote(Side.BUY, YES, Side.BUY, cents(49), shares(51.02))
    assert routed(Side.SELL, 51) == Quote(Side.SELL, NO, Side.BUY, cents(49), shares(51.02))


def test_an_ask_sells_the_yes_we_hold() -> None:
    """Free YES goes out by a SELL, cut to what is free."""
    room = Room(buy=shares(1_000), sell=shares(1_000), free_yes=shares(30), free_no=Size(0))
    assert routed(Side.SELL, 51, room) == Quote(Side.SELL, YES, Side.SELL, cents(51), shares(30))


def test_a_bid_sells_the_no_we_hold() -> None:
    """The mirror: free NO goes out by a SELL of NO at one dollar less the bid."""
    room = Room(buy=shares(1_000), sell=shares(1_000), free_yes=Size(0), free_no=shares(200))
    assert routed(Side.BUY, 49, room) == Quote(Side.BUY, NO, Side.SELL, cents(51), shares(49.01))


def test_too_little_to_sell_is_not_sold() -> None:
    """Below the market's minimum size held tokens stay, and the other token is bought."""
    room = Room(buy=shares(1_000), sell=shares(1_000), free_yes=shares(4.99), free_no=Size(0))
    assert routed(Side.SELL, 51, room).side is Side.BUY


def test_a_side_below_the_minimum_size_is_not_quoted() -> None:
    """Five shares is the market's minimum; two dollars at 49 cents make four."""
    assert route(MARKET, Side.BUY, cents(49), usd(2), PLENTY) == "below_min_size"


def test_at_the_limit_the_reducing_side_goes_on_with_what_fits() -> None:
    """No room to buy: no bid, with the reason; room for eight to sell: an ask of eight."""
    room = Room(buy=Size(0), sell=shares(8), free_yes=shares(500), free_no=Size(0))
    quotes, missing = quotes_for(MARKET, TwoSidedQuote(bid=cents(49), ask=cents(51), notional=usd(25)), room)
    assert [(q.direction, q.size) for q in quotes] == [(Side.SELL, shares(8))]
    assert missing == {Side.BUY: "limit"}


def test_a_quote_that_would_meet_itself_cannot_be_made() -> None:
    """Bid and ask at one price are a YES bid and a NO bid that reach one dollar."""
    with pytest.raises(ValueError, match="one dollar"):
        TwoSidedQuote(bid=cents(50), ask=cents(50), notional=usd(25))


sizes = st.integers(0, 10**10).map(Size)


@given(
    st.integers(1, 99), st.integers(1, 99), st.integers(1_000_000, 10**9), sizes, sizes, sizes, sizes
)  # fmt: skip
def test_orders_stay_within_their_dollars_their_room_and_one_dollar_together(
    low: int, high: int, dollars: int, buy: Size, sell: Size, free_yes: Size, free_no: Size
) -> None:
    """Each order costs at most its notional, fits its room, is a number of 0.01 shares, and never meets the other."""
    if low == high:
        return
    bid, ask = sorted((cents(low), cents(high)))
    room = Room(buy, sell, free_yes, free_no)
    quotes, missing = quotes_for(MARKET, TwoSidedQuote(bid=bid, ask=ask, notional=usd(0) or dollars), room)  # type: ignore[arg-type]
    assert len(quotes) + len(missing) == 2
    for quote in quotes:
        assert notional(quote.price, quote.size) <= dollars
        assert quote.size <= (buy if quote.direction is Side.BUY else sell) and quote.size % 10_000 == 0
        assert quote.size >= MARKET.min_size and MARKET.is_on_grid(quote.price)
        if quote.side is Side.SELL:
            assert quote.size <= (free_yes if quote.token == YES else free_no)
    yes_prices: list[Price] = [quote.price if quote.token == YES else mirror(quote.price) for quote in quotes]
    assert yes_prices in ([bid, ask], [bid], [ask], [])
