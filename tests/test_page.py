"""The page's fills: what it is told is what the ledger holds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from mm_daemon.core.events import TradeReport, TradeStatus
from mm_daemon.core.units import Side
from mm_daemon.journal.keeper import Bookkeeper
from mm_daemon.journal.ledger import Ledger
from mm_daemon.ops.dashboard.clients import FillsUnread
from mm_daemon.ops.dashboard.payload import FillShown
from mm_daemon.page import last_fills

from .given import NO, YES, a_desk, a_fill, a_market, cents, order_id, shares, usd
from .journal.given import Clock


async def test_the_last_fills_of_a_market_with_what_the_mid_did_since(tmp_path: Path) -> None:
    """Newest first, on the YES axis, with the spread captured, the markouts that are due, and the others unknown."""
    market, other, clock = a_market(), a_market(2), Clock()
    desk, path = a_desk(market, other), tmp_path / "ledger.sqlite"
    desk.witness = keeper = Bookkeeper(Ledger.open(path), clock)
    keeper.load()

    def trade(number: int, token: str, side: Side, price: float, status: TradeStatus) -> None:
        fill = a_fill(market, order_id(number), YES, side, cents(price), shares(10), trade=f"trade-{number}")
        fill = msgspec.structs.replace(fill, token=NO if token == NO else YES, time_ms=clock())
        desk.receive_trade(TradeReport(fill.trade_id, status, (fill,)), 1)

    def mid(value: float, secs: float) -> None:
        clock.now_ms += round(1_000 * secs)
        desk.set_mid(desk.markets[market.condition_id], 2 * cents(value))
        keeper.mark(clock(), {market.condition_id: 2 * cents(value)})

    mid(50, 0)
    trade(1, YES, Side.BUY, 49, TradeStatus.CONFIRMED)
    mid(48, 5)
    trade(2, NO, Side.BUY, 51, TradeStatus.MATCHED)
    assert await keeper.close()
    assert last_fills(path, market.condition_id, 10) == [
        FillShown(clock(), "ask", "NO", cents(49), shares(10), True, "booked", usd(0.1), (None, None, None)),
        FillShown(clock() - 5_000, "bid", "YES", cents(49), shares(10), True, "settled", usd(0.1),
                  (usd(-0.2), None, None)),
    ]  # fmt: skip
    assert len(last_fills(path, market.condition_id, 1)) == 1
    assert last_fills(path, other.condition_id, 10) == []


def test_a_ledger_that_cannot_be_read_is_no_ledger_without_fills(tmp_path: Path) -> None:
    """The page says that it does not know, and why."""
    with pytest.raises(FillsUnread, match="there is no ledger yet"):
        last_fills(tmp_path / "ledger.sqlite", a_market().condition_id, 10)
