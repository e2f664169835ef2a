"""What tests are given: markets, books and desks in the words of the trade."""

from __future__ import annotations

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.events import BookSnapshot, Fill, Level
from mm_daemon.core.market import Market
from mm_daemon.core.risk import Limits
from mm_daemon.core.units import Cash, ConditionId, OrderId, Price, Side, Size, TokenId

YES = TokenId("71321045679252212594626385532706912750332728571942532289631379312455583992563")
NO = TokenId("52114319501245915516055106046884209969926127482827954674443846427813813222426")


def cents(value: float) -> Price:
    """A price in cents: 52.5 is 0.525 dollars."""
    return Price(round(value * 100))


def shares(value: float) -> Size:
    """A number of shares."""
    return Size(round(value * 1_000_000))


def usd(value: float) -> Cash:
    """A number of dollars."""
    return Cash(round(value * 1_000_000))


def order_id(number: int) -> OrderId:
    """An order id."""
    return OrderId(f"0x{number:064x}")


def a_market(number: int = 1, *, tick: float = 1, min_size: float = 5, neg_risk: bool = False) -> Market:
    """A market whose tick is given in cents; number 1 has the tokens YES and NO."""
    return Market(
        condition_id=ConditionId(f"0x{number:064x}"),
        slug=f"market-{number}",
        question="Will it happen?",
        yes=YES if number == 1 else TokenId(f"{number}{YES[:70]}"),
        no=NO if number == 1 else TokenId(f"{number}{NO[:70]}"),
        tick=cents(tick),
        min_size=shares(min_size),
        neg_risk=neg_risk,
    )


def levels(*pairs: tuple[float, float]) -> list[Level]:
    """Levels as (cents, shares)."""
    return [(cents(price), shares(size)) for price, size in pairs]


def a_snapshot(market: Market, bids: list[Level], asks: list[Level], time_ms: int = 1_000) -> BookSnapshot:
    """A snapshot of the market's YES book."""
    return BookSnapshot(market.condition_id, market.yes, time_ms, bids, asks)


def a_desk(*markets: Market, max_position: float = 250, max_total: float = 1_000, cash: float = 10_000) -> Desk:
    """A desk with these markets, limits in dollars and cash."""
    desk = Desk(Limits(usd(max_position), usd(max_total), 1_000))
    desk.cash = usd(cash)
    for market in markets:
        desk.add_market(market)
    return desk


def book_at(desk: Desk, market: Market, bid: float, ask: float, size: float = 1_000) -> MarketState:
    """Give a market a two-sided book at these cents, and mark it there."""
    state = desk.markets[market.condition_id]
    time_ms = state.book.time_ms + 1
    state.book.receive_snapshot(a_snapshot(market, levels((bid, size)), levels((ask, size)), time_ms), now_ns=1)
    desk.set_mid(state, desk.touch(state).twice_mid)
    return state


def a_fill(
    market: Market,
    order: OrderId,
    token: TokenId,
    side: Side,
    price: Price,
    size: Size,
    *,
    trade: str = "trade-1",
) -> Fill:
    """A maker fill of ours."""
    return Fill(
        trade_id=trade,
        order_id=order,
        market=market.condition_id,
        token=token,
        side=side,
        price=price,
        size=size,
        is_maker=True,
    )
