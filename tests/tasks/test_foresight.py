"""What is signed ahead, and when."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from mm_daemon.core.market import Market
from mm_daemon.core.quotes import Desired, TwoSidedQuote
from mm_daemon.core.units import Price, Side, Size, TokenId, size_for
from mm_daemon.tasks import foresight
from mm_daemon.tasks.foresight import Foresight

from ..given import a_desk, a_market, cents, usd
from .fakes import ScriptedVenue, until

MARKET = a_market()


class Signing(ScriptedVenue):
    """Notes what it has to sign ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead: list[tuple[TokenId, Side, Price, Size]] = []

    def sign_ahead(self, market: Market, token: TokenId, side: Side, price: Price, size: Size) -> None:
        assert market.is_on_grid(price)
        self.ahead.append((token, side, price, size))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresight, "AFTER_SECS", 0.0)


def a_wish(bid: Price | None, ask: Price | None, market: Market = MARKET, arrived_ns: int = 0) -> Desired:
    quote = TwoSidedQuote(bid=bid, ask=ask, notional=usd(25))
    return Desired(market=market.condition_id, quotes=(), why="test", made_ns=1, quote=quote, arrived_ns=arrived_ns)


async def test_the_quotes_that_stand_and_their_neighbours_are_signed() -> None:
    """Both sides of a wish are signed as they are and one tick up and down, with the sizes that they would have."""
    venue = Signing()
    Foresight(a_desk(MARKET), venue).expect(a_wish(cents(49), cents(51)))
    await until(lambda: len(venue.ahead) == 6, "six signatures")
    for token, middle in ((MARKET.yes, 49), (MARKET.no, 49)):
        for price in (cents(middle - 1), cents(middle), cents(middle + 1)):
            assert (token, Side.BUY, price, size_for(usd(25), price)) in venue.ahead


async def test_a_wish_is_foreseen_once() -> None:
    """The same wish again, because an answer came, signs nothing; a new wish does."""
    venue = Signing()
    seer, wish = Foresight(a_desk(MARKET), venue), a_wish(cents(49), cents(51))
    seer.expect(wish)
    await until(lambda: len(venue.ahead) == 6, "six signatures")
    venue.ahead.clear()
    seer.expect(wish)
    await asyncio.sleep(0.01)
    assert not venue.ahead
    seer.expect(a_wish(cents(49), cents(51)))
    await until(lambda: len(venue.ahead) == 6, "six signatures")


async def test_no_price_beyond_the_grid_is_foreseen() -> None:
    """At the end of the grid the neighbour that no order may have is left out."""
    venue = Signing()
    Foresight(a_desk(MARKET), venue).expect(a_wish(MARKET.lowest, None))
    await until(lambda: len(venue.ahead) == 2, "two signatures")
    assert {price for _, _, price, _ in venue.ahead} == {MARKET.lowest, Price(2 * MARKET.tick)}


async def test_a_tick_that_changes_meanwhile_does_no_harm() -> None:
    """What was foreseen on one grid is signed as of that grid: it is not wanted any more, and no error."""
    venue, desk = Signing(), a_desk(MARKET)
    Foresight(desk, venue).expect(a_wish(cents(49), cents(51)))
    await until(lambda: venue.ahead, "the first signature")
    state = desk.markets[MARKET.condition_id]
    state.market = msgspec.structs.replace(MARKET, tick=Price(1000))
    await until(lambda: len(venue.ahead) == 6, "six signatures")


async def test_nothing_wanted_is_nothing_foreseen() -> None:
    """A wish without quotes, such as that of a hold, signs nothing."""
    venue = Signing()
    Foresight(a_desk(MARKET), venue).expect(Desired(market=MARKET.condition_id, quotes=(), why="test", made_ns=1))
    await asyncio.sleep(0.01)
    assert not venue.ahead


async def test_no_turn_of_the_loop_holds_more_than_one_step() -> None:
    """Wishes of many markets at once are worked off one signature a turn, so that frames have their turns between."""
    markets = [a_market(number) for number in range(1, 21)]
    venue = Signing()
    seer = Foresight(a_desk(*markets), venue)
    for market in markets:
        seer.expect(msgspec.structs.replace(a_wish(cents(49), cents(51)), market=market.condition_id))
    most, seen = 0, 0
    async with asyncio.timeout(5):
        while len(venue.ahead) < 6 * len(markets):
            await asyncio.sleep(0)
            most, seen = max(most, len(venue.ahead) - seen), len(venue.ahead)
    assert most == 1


async def test_of_many_markets_those_that_moved_last_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for more markets, one that a frame moved takes the place of the one that moved the longest
    ago, and one that only the timer speaks for takes nobody's."""
    monkeypatch.setattr(foresight, "MOST_MARKETS", 2)
    first, second, third = (a_market(number) for number in (1, 2, 3))
    venue = Signing()
    seer = Foresight(a_desk(first, second, third), venue)

    async def signed(market: Market, arrived_ns: int = 0) -> bool:
        venue.ahead.clear()
        seer.expect(a_wish(cents(49), cents(51), market, arrived_ns))
        seer.expect(a_wish(cents(49), cents(51), last_served, arrived_ns))
        await until(lambda: any(token in last_served.tokens for token, *_ in venue.ahead), "one that is served")
        return any(token in market.tokens for token, *_ in venue.ahead)

    last_served = second
    assert await signed(first)
    assert not await signed(third)
    assert await signed(third, arrived_ns=1)
    assert not await signed(first)
