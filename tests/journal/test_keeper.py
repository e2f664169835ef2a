"""The bookkeeper: what fills and marks become, and that a restart in between changes nothing."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.desk import Desk
from mm_daemon.core.events import Fill, TradeReport, TradeStatus
from mm_daemon.core.fills import FillBook, Step
from mm_daemon.core.orders import OrderEvent, OrderState, new_order
from mm_daemon.core.pnl import DAY_MS
from mm_daemon.core.units import Cash, Outcome, Price, Side
from mm_daemon.journal.keeper import Bookkeeper, day_text
from mm_daemon.journal.ledger import Ledger
from mm_daemon.journal.reading import LedgerReader
from tests.given import NO, YES, a_desk, a_fill, a_market, cents, order_id, shares, usd
from tests.journal.given import NOON_MS, Clock

MARKET, OTHER = a_market(1), a_market(2)
ID = MARKET.condition_id
TODAY = day_text(NOON_MS // DAY_MS)


class House:
    """A desk, a bookkeeper that witnesses it, and the ledger under it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path, self.clock = path, clock
        self.desk: Desk = a_desk(MARKET, OTHER)
        self.trades = 0
        self.start()

    def start(self) -> None:
        """Open the ledger, and load."""
        self.ledger = Ledger.open(self.path)
        self.keeper = Bookkeeper(self.ledger, self.clock)
        self.keeper.load()
        self.desk.witness = self.keeper

    async def restart(self) -> None:
        """The daemon stops and starts again."""
        assert await self.keeper.close()
        self.start()

    def mid(self, mid: float, secs: float = 0) -> None:
        """The first market's mid in cents after so many seconds, marked."""
        self.clock.now_ms += int(secs * 1000)
        self.desk.set_mid(self.desk.markets[ID], round(mid * 200))
        self.mark()

    def mark(self) -> None:
        """Mark everything."""
        self.keeper.mark(self.clock(), {id: state.twice_mid for id, state in self.desk.markets.items()})

    def fill(self, token: str, side: Side, price: float, size: float, status: str = "matched") -> Fill:
        """A trade with a fill of ours: cents and shares."""
        self.trades += 1
        number = self.trades
        fill = a_fill(MARKET, order_id(number), YES, side, cents(price), shares(size), trade=f"trade-{number}")
        fill = msgspec.structs.replace(fill, token=NO if token == NO else YES, time_ms=self.clock())
        self.told(fill, status)
        return fill

    def told(self, fill: Fill, status: str) -> None:
        """The venue tells of a fill."""
        self.desk.receive_trade(TradeReport(fill.trade_id, TradeStatus(status), (fill,)), 1)


@pytest.fixture
async def house(path: Path, clock: Clock) -> Any:
    """A house that is left in order."""
    house = House(path, clock)
    yield house
    await house.keeper.close()


# What a fill becomes


async def test_a_round_trip_is_booked_with_its_split(house: House) -> None:
    """Bid at 49 and ask at 52 around 50: three cents, all of it spread captured."""
    house.mid(50)
    house.fill(YES, Side.BUY, 49, 100)
    house.fill(NO, Side.BUY, 48, 100)
    account, day = house.keeper.accounts[ID], house.keeper.days[ID]
    assert (account.net, account.realised, account.yes, account.no) == (0, usd(3), shares(100), shares(100))
    assert (day.spread_x // 20_000, day.fills, day.volume, day.pnl) == (usd(3), 2, usd(97), usd(3))
    assert house.keeper.day_pnl == usd(3) and house.keeper.day_loss == 0


async def test_markouts_are_taken_when_they_are_due(house: House) -> None:
    """The mid 5, 60 and 300 seconds after the fill; each once."""
    house.mid(50)
    house.fill(YES, Side.BUY, 49, 100)
    house.mid(49, secs=4.9)
    assert house.keeper.days[ID].markouts_x == [0, 0, 0]
    house.mid(48, secs=0.1)
    house.mid(47, secs=55)
    house.mid(46, secs=240)
    house.mid(30, secs=600)
    assert [x // 20_000 for x in house.keeper.days[ID].markouts_x] == [-usd(2), -usd(3), -usd(4)]
    assert house.keeper.statistics().markouts_waiting == 0


async def test_a_markout_that_is_too_late_is_left_out(house: House) -> None:
    """A mid of much later, or none at the time, is no markout."""
    house.mid(50)
    house.fill(YES, Side.BUY, 49, 100)
    house.mid(45, secs=11)
    assert house.keeper.days[ID].markouts_x == [0, 0, 0]
    assert house.keeper.statistics().markouts_missed == 1
    house.clock.now_ms += 49_000
    house.keeper.mark(house.clock(), {ID: None})
    house.mid(44, secs=2)
    assert house.keeper.days[ID].markouts_x[1] // 20_000 == -usd(6)


async def test_a_fill_told_late_has_no_mid(house: House) -> None:
    """A trade read after an outage counts as profit or loss, but not as spread captured."""
    house.mid(50)
    fill = a_fill(MARKET, order_id(1), YES, Side.BUY, cents(49), shares(100))
    house.told(msgspec.structs.replace(fill, time_ms=house.clock() - 60_000), "confirmed")
    day = house.keeper.days[ID]
    assert (day.spread_x, day.fills, day.pnl) == (0, 1, usd(1))
    house.mid(40, secs=5)
    assert day.markouts_x == [0, 0, 0]


async def test_a_failed_fill_leaves_nothing(house: House) -> None:
    """Its profit, volume, spread and markouts are taken back, and what is still due is not taken."""
    house.mid(50)
    fill = house.fill(YES, Side.BUY, 49, 100)
    house.mid(48, secs=5)
    house.told(fill, "failed")
    house.mid(40, secs=55)
    account, day = house.keeper.accounts[ID], house.keeper.days[ID]
    assert (account.net, account.cash, account.total(1)) == (0, 0, 0)
    assert (day.pnl, day.spread_x, day.markouts_x, day.fills, day.volume) == (0, 0, [0, 0, 0], 0, 0)
    assert house.keeper.statistics().unended_fills == 0


async def test_a_fill_of_an_earlier_run_fails(house: House) -> None:
    """What its spread and markouts were is known after the restart too, and taken back."""
    house.mid(50)
    fill = house.fill(YES, Side.BUY, 49, 100)
    house.mid(48, secs=5)
    await house.restart()
    assert house.keeper.days[ID].markouts_x[0] // 20_000 == -usd(2)
    house.told(fill, "failed")
    house.mid(40, secs=55)
    day = house.keeper.days[ID]
    assert (day.pnl, day.spread_x, day.markouts_x, day.fills, day.volume) == (0, 0, [0, 0, 0], 0, 0)


async def test_fees_rebates_and_rewards(house: House) -> None:
    """They are part of the day, and kept apart."""
    house.keeper.fee(ID, usd(3))
    house.keeper.rebate(ID, usd(1))
    house.keeper.reward(ID, usd(0.5))
    day = house.keeper.days[ID]
    assert (day.fees, day.rebates, day.rewards, house.keeper.day_loss) == (usd(3), usd(1), usd(0.5), usd(1.5))
    await house.ledger.flush(5)
    with LedgerReader(house.path) as reader:
        assert [flow[1:3] for flow in reader.cash_flows()] == [
            ("fee", -usd(3)),
            ("rebate", usd(1)),
            ("reward", usd(0.5)),
        ]


# Days


async def test_the_daily_loss_is_of_today(house: House) -> None:
    """At UTC midnight the loss begins at zero; what the position was worth then is the new day's opening."""
    house.mid(50)
    house.fill(YES, Side.BUY, 50, 100)
    house.mid(40, secs=1)
    assert (house.keeper.day_loss, house.keeper.worst) == (usd(10), -usd(10))
    house.mid(45, secs=1)
    assert (house.keeper.day_loss, house.keeper.worst) == (usd(5), -usd(10))
    house.clock.now_ms = (NOON_MS // DAY_MS + 1) * DAY_MS
    house.mid(43)
    assert (house.keeper.day_loss, house.keeper.worst) == (usd(2), -usd(2))
    await house.ledger.flush(5)
    with LedgerReader(house.path) as reader:
        assert next((total.pnl, total.worst) for total in reader.totals("0")) == (-usd(5), -usd(10))


async def test_the_loss_of_the_day_survives_a_kill(house: House) -> None:
    """A process that dies without a word has lost no more than the marks since the last save."""
    house.mid(50)
    house.fill(YES, Side.BUY, 50, 100)
    house.mid(40, secs=6)
    await house.ledger.flush(5)
    other = Bookkeeper(house.ledger, house.clock)
    other.load()
    assert (other.day_loss, other.worst) == (usd(10), -usd(10))


async def test_a_clock_that_goes_back_does_not_bring_yesterday_back(house: House) -> None:
    """The new day stays."""
    house.clock.now_ms = (NOON_MS // DAY_MS + 1) * DAY_MS
    house.mark()
    house.clock.now_ms -= 1
    house.keeper.fee(ID, usd(1))
    assert house.keeper.day_loss == usd(1)
    await house.ledger.flush(5)
    with LedgerReader(house.path) as reader:
        assert [day for day, _ in reader.days("0")] == [day_text(NOON_MS // DAY_MS + 1)]


# Positions from elsewhere


async def test_a_position_found_enters_at_the_mid(house: House) -> None:
    """It is no profit, it is an event with both values, and telling it again is no difference."""
    assert house.keeper.opening(MARKET, shares(100), shares(20), 10_000)
    assert not house.keeper.opening(MARKET, shares(100), shares(20), 12_000)
    assert house.keeper.accounts[ID].net == shares(80)
    assert house.keeper.day_pnl == usd(8)
    await house.ledger.flush(5)
    with LedgerReader(house.path) as reader:
        (event,) = reader.events()
    assert event[1:] == ("position_taken_in", ID, "0 YES, 0 NO", "100000000 YES, 20000000 NO")


async def test_a_position_found_without_a_mid_waits_for_one(house: House) -> None:
    """The first mark prices it; fills before that are not confused by it."""
    house.keeper.opening(MARKET, shares(100), 0, None)
    house.fill(YES, Side.SELL, 52, 100)
    assert house.keeper.statistics().unpriced == 1
    house.mid(50)
    account = house.keeper.accounts[ID]
    assert (account.net, account.yes, house.keeper.day_pnl) == (0, 0, usd(2))
    assert house.keeper.statistics().unpriced == 0


async def test_a_redemption_is_a_position_that_left_at_its_payout(house: House) -> None:
    """YES bought at 40 pays a dollar: sixty cents each, realised."""
    house.mid(40)
    house.fill(YES, Side.BUY, 40, 100)
    house.keeper.opening(MARKET, 0, 0, 20_000)
    assert (house.keeper.accounts[ID].realised, house.keeper.day_pnl) == (usd(60), usd(60))


# What the next run finds


async def test_latches_outlive_the_process(house: House) -> None:
    """A pause stays until it is lifted, and the first reason stays with it."""
    latches = house.keeper.latches
    latches.set("kill", "daily_loss", "risk")
    latches.set("kill", "again", "somebody")
    latches.set("pause", "lunch", "operator", ID)
    await house.restart()
    latches = house.keeper.latches
    kill, pause = latches.get("kill"), latches.get("pause", ID)
    assert kill and pause and (kill.reason, kill.set_by, pause.reason) == ("daily_loss", "risk", "lunch")
    assert latches.lift("kill", "operator") and not latches.lift("kill", "operator")
    await house.restart()
    assert [latch.kind for latch in house.keeper.latches.in_force] == ["pause"]


async def test_the_cursor_outlives_the_process(house: House) -> None:
    """Trades are read from where the last run stopped."""
    assert house.keeper.cursor is None
    house.keeper.set_cursor(1_800_000_000)
    await house.restart()
    assert house.keeper.cursor == 1_800_000_000


async def test_known_fills_prime_a_fill_book(house: House) -> None:
    """A fill of the last run is not booked again, and one that was on its way may still settle or fail."""
    settled, pending, failed = (house.fill(YES, Side.BUY, 40 + n, 10) for n in range(3))
    house.told(settled, "confirmed")
    house.told(failed, "failed")
    await house.restart()
    book = FillBook()
    known = house.keeper.known_fills(0)
    assert [(fill, status.value) for fill, status in known] == [
        (settled, "confirmed"),
        (pending, "matched"),
        (failed, "failed"),
    ]
    for fill, status in known:
        book.receive(fill, status)
    assert book.receive(settled, TradeStatus.CONFIRMED) is Step.NOTHING
    assert book.receive(failed, TradeStatus.MATCHED) is Step.NOTHING
    assert book.receive(pending, TradeStatus.MATCHED) is Step.NOTHING
    assert book.receive(pending, TradeStatus.FAILED) is Step.REVERSE
    assert [fill.trade_id for fill, _ in house.keeper.known_fills(house.clock() + 1)] == ["trade-2"]


async def test_known_orders_are_as_they_were_last(house: House) -> None:
    """Every field but the times of the dead process's clock; the dead are told only since the time asked for."""
    first, second = (
        new_order(MARKET, order_id(n), NO, Side.BUY, cents(40), shares(10), why="mid_moved", now_ns=5) for n in (1, 2)
    )
    house.desk.register(first)
    house.desk.register(second)
    house.clock.now_ms += 10
    house.desk.apply(first.id, OrderEvent.ACCEPTED, 6)
    house.desk.apply(second.id, OrderEvent.REFUSED, 6)
    await house.restart()
    assert [known.order.state for known in house.keeper.known_orders(0)] == [OrderState.LIVE, OrderState.DEAD]
    ((order, created_ms, changed_ms),) = house.keeper.known_orders(house.clock() + 1)
    assert order == msgspec.structs.replace(first, created_ns=0, since_ns=0)
    assert (created_ms, changed_ms) == (NOON_MS, NOON_MS + 10)


async def test_old_rows_are_pruned(house: House) -> None:
    """Dead orders and old fills go after their time; accounts, days and what is still open stay."""
    order = new_order(MARKET, order_id(99), YES, Side.BUY, cents(40), shares(10), why="", now_ns=5)
    alive = new_order(MARKET, order_id(98), YES, Side.BUY, cents(40), shares(10), why="", now_ns=5)
    house.desk.register(order)
    house.desk.register(alive)
    house.desk.apply(order.id, OrderEvent.REFUSED, 6)
    house.mid(50)
    house.fill(YES, Side.BUY, 49, 10, "confirmed")
    pending = house.fill(YES, Side.BUY, 49, 10)
    house.mid(50, secs=5)
    house.clock.now_ms += 100 * DAY_MS
    house.mark()
    await house.ledger.flush(5)
    assert [known.order.id for known in house.keeper.known_orders(0)] == [alive.id]
    assert [fill for fill, _ in house.keeper.known_fills(0)] == [pending]
    with LedgerReader(house.path) as reader:
        assert reader.accounts()[ID][0].net == shares(20) and (TODAY, ID) in reader.days("0")


async def test_marks_are_not_queued_while_the_ledger_has_a_problem(house: House, monkeypatch: Any) -> None:
    """What can be said later in one row does not fill the queue."""
    house.mid(50)
    monkeypatch.setattr(Ledger, "problem", "disk full")
    noted = house.ledger.statistics().noted
    for cents_up in range(10):
        house.mid(50 + cents_up, secs=10)
    assert house.ledger.statistics().noted == noted


Step_: TypeAlias = tuple[str, Any, Any, Any, Any]
TRADE = st.tuples(
    st.just("trade"), st.sampled_from(Outcome), st.sampled_from(Side), st.integers(1, 99), st.integers(1, 10**8)
)
ENDING = st.tuples(st.just("end"), st.integers(0, 20), st.sampled_from(["confirmed", "failed"]), st.none(), st.none())
MOVE = st.tuples(
    st.just("mid"), st.integers(2, 198), st.sampled_from([0, 1, 5, 58, 290, 3_600, 43_100]), st.none(), st.none()
)
STEPS = st.lists(st.one_of(TRADE, ENDING, MOVE, MOVE), max_size=14)


async def live(path: Path, steps: list[Step_], restarts: set[int]) -> dict[str, Any]:
    """What is in memory and on disk after these steps, with restarts before some of them."""
    house, fills = House(path, Clock()), []
    for number, (kind, a, b, c, d) in enumerate(steps):
        if number in restarts:
            await house.restart()
        if kind == "trade":
            fills.append(house.fill(MARKET.token(a), b, c, d / 10**6))
        elif kind == "end" and fills:
            house.told(fills[a % len(fills)], b)
        elif kind == "mid":
            house.mid(a / 2, secs=b)
    keeper = house.keeper
    memory = {
        "accounts": {id: account for id, account in keeper.accounts.items() if account.yes or account.cash},
        "days": {id: day for id, day in keeper.days.items() if day.fills or day.pnl_x},
        "pnl": (keeper.day_pnl, keeper.worst),
    }
    await keeper.close()
    with LedgerReader(path) as reader:
        days = {key: day for key, day in reader.days("0").items() if day.fills or day.pnl_x}
        totals = [(total.day, total.pnl, total.worst) for total in reader.totals("0")]
        return memory | {"disk": (reader.fills(0), days, totals)}


@settings(max_examples=40, deadline=None)
@given(STEPS, st.sets(st.integers(0, 13), max_size=3))
def test_a_restart_in_between_changes_nothing(steps: list[Step_], restarts: set[int]) -> None:
    """Split any sequence of fills, settlements and marks anywhere: accounts, days and files are the same."""
    with tempfile.TemporaryDirectory() as directory:
        straight = asyncio.run(live(Path(directory) / "a" / "ledger.sqlite", steps, set()))
        split = asyncio.run(live(Path(directory) / "b" / "ledger.sqlite", steps, restarts))
    assert split == straight


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_the_days_add_up_to_the_accounts(steps: list[Step_]) -> None:
    """All days together earned what the desk's own position says, to a micro-dollar for each fill and day."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.sqlite"
        house, fills = House(path, Clock()), []
        for kind, a, b, c, d in steps:
            if kind == "trade":
                fills.append(house.fill(MARKET.token(a), b, c, d / 10**6))
            elif kind == "end" and fills:
                house.told(fills[a % len(fills)], b)
            elif kind == "mid":
                house.mid(a / 2, secs=b)
        house.mid(50)
        asyncio.run(house.keeper.close())
        with LedgerReader(path) as reader:
            earned = sum(day.pnl_x for day in reader.days("0").values())
    position = house.desk.markets[ID].position
    account = house.keeper.accounts.get(ID)
    assert account is None or (account.yes, account.no, account.cash) == (
        position.yes.held,
        position.no.held,
        position.cash,
    )
    assert abs(Cash(earned // 20_000) - position.pnl(2 * Price(5_000))) <= 2 * len(steps) + 2
