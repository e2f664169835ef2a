"""`mm-daemon status` and `mm-daemon pnl`: what they read, how they print it, and what they say without a ledger."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from mm_daemon.books import ledger_file
from mm_daemon.cli import main
from mm_daemon.config import load_config
from mm_daemon.core.desk import FillEffect, MarketState
from mm_daemon.core.fills import Step
from mm_daemon.core.orders import OrderState, new_order
from mm_daemon.core.pnl import DAY_MS
from mm_daemon.core.units import Side
from mm_daemon.journal.keeper import Bookkeeper, day_text
from mm_daemon.journal.ledger import Ledger
from mm_daemon.report import dollars, exact
from tests.given import a_fill, a_market, cents, order_id, shares, usd

MARKET = a_market()


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A main file whose state directory has no ledger yet."""
    file = tmp_path / "mm-daemon.toml"
    file.write_text('mode = "sim"\nstrategy = "s.toml"\n[state]\ndirectory = "state"\n')
    return str(file)


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000


@pytest.fixture
async def keeper(config: str) -> Bookkeeper:
    """A running bookkeeper with a position, an order, a kill and a day; everything is on disk."""
    ledger = Ledger.open(ledger_file(load_config(Path(config)).state_directory))
    keeper = Bookkeeper(ledger, now_ms)
    keeper.load()
    state = MarketState(MARKET)
    state.twice_mid = 2 * cents(50)
    keeper.opening(MARKET, 0, 0, state.twice_mid)
    fill = a_fill(MARKET, order_id(1), MARKET.yes, Side.BUY, cents(49), shares(12.34))
    keeper.fill_changed(FillEffect(fill, Side.BUY, Side.BUY, Step.BOOK), state)
    order = new_order(MARKET, order_id(2), MARKET.no, Side.BUY, cents(48), shares(20), why="mid_moved", now_ns=1)
    order.state = OrderState.LIVE
    keeper.order_changed(order)
    keeper.latches.set("kill", "daily_loss", "risk")
    keeper.reward(MARKET.condition_id, usd(0.25))
    keeper.mark(now_ms(), {MARKET.condition_id: 2 * cents(50.5)}, usd(1_000))
    await keeper.close()
    return keeper


@pytest.mark.usefixtures("keeper")
def test_status_shows_what_an_operator_asks(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Position with its entry, order on the YES axis, today, the kill and its reason, and when it was last written."""
    assert main(["status", "--config", config]) == 0
    out = capsys.readouterr().out
    positions, orders, today, latches, events, last = out.split("\n\n")
    assert positions.splitlines()[2].split() == (
        ["market-1", "12.34", "0", "12.34", "0.4900", "0.505", "+6.05", "+0.19", "0.00"]
    )
    assert orders.splitlines()[2].split()[:9] == (
        [
            "market-1",
            "0x00000000…",
            "live",
            "mid_moved",
            "ask",
            "0.52",
            "20",
            "0",
            time.strftime("%Y-%m-%d", time.gmtime()),
        ]
    )
    assert today.splitlines()[2].split()[2:] == (
        ["+0.12", "0.00", "0.00", "0.00", "0.00", "0.00", "+0.25", "0.00", "+0.19", "+0.44", "6.05", "1"]
    )
    assert latches.splitlines()[2].split()[:4] == ["kill", "all", "daily_loss", "risk"]
    assert events == "last differences from the venue: none"
    assert last.startswith("last written: order 2")


@pytest.mark.usefixtures("keeper")
def test_status_as_json_is_exact(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every amount is a decimal string to the last unit."""
    assert main(["status", "--config", config, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (position,), (order,), (day,), (latch,) = (found[key] for key in ("positions", "open_orders", "today", "latches"))
    assert (position["net"], position["cost"], position["mid"]) == ("12.34", "6.0466", "0.505")
    assert (position["unrealised"], position["cash"]) == ("0.1851", "-6.0466")
    assert (order["side"], order["price"], order["yes_price"], order["state"]) == ("BUY", "0.48", "0.52", "LIVE")
    assert (day["spread_captured"], day["rewards"], day["total"]) == ("0.1234", "0.25", "0.4351")
    assert (latch["kind"], latch["reason"], latch["market"]) == ("kill", "daily_loss", "")
    assert (found["today_total"]["pnl"], found["today_total"]["equity"]) == ("0.4351", "1000")


@pytest.mark.usefixtures("keeper")
def test_pnl_by_market_and_day(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One row for each market and day, in text and in JSON."""
    assert main(["pnl", "--config", config, "--days", "1"]) == 0
    title, header, row = capsys.readouterr().out.splitlines()
    assert "UTC" in title and header.split()[:3] == ["day", "market", "spread"]
    assert row.split()[:3] == [day_text(now_ms() // DAY_MS), "market-1", "+0.12"]
    assert main(["pnl", "--config", config, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["days"][0]["market"] == "market-1" and found["days"][0]["total"] == "0.4351"
    assert found["totals"][0]["worst"] == "0"


@pytest.mark.usefixtures("keeper")
def test_on_a_terminal_it_is_a_table(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn by rich where somebody looks."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["pnl", "--config", config]) == 0
    assert "│" in capsys.readouterr().out


async def test_status_while_the_daemon_writes(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The reader neither waits for the writer nor stops it."""
    ledger = Ledger.open(ledger_file(load_config(Path(config)).state_directory))
    keeper = Bookkeeper(ledger, now_ms)
    keeper.load()
    keeper.opening(MARKET, shares(5), 0, 2 * cents(40))
    assert await ledger.flush(5)
    assert main(["status", "--config", config, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["positions"][0]["net"] == "5"
    keeper.latches.set("pause", "lunch", "operator")
    assert await ledger.flush(5)
    assert main(["status", "--config", config]) == 0
    assert "lunch" in capsys.readouterr().out
    assert await keeper.close()


@pytest.mark.parametrize("command", ["status", "pnl"])
def test_no_ledger_yet(command: str, config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, exit code 2, and none is made."""
    assert main([command, "--config", config]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "ledger.sqlite: there is no ledger yet" in captured.err
    assert not (Path(config).parent / "state").exists()


def test_a_damaged_ledger(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line, exit code 2."""
    file = ledger_file(load_config(Path(config)).state_directory)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"nonsense" * 100)
    assert main(["pnl", "--config", config]) == 2
    assert capsys.readouterr().err.startswith(f"{file}: is damaged or not a database")


def test_money_for_people_and_for_machines() -> None:
    """Cents with a sign that is never lost and never on nothing; exact digits."""
    unit = 20_000
    assert [dollars(amount * unit) for amount in (1_234_567, -1_234_567, 4_999, -4_999, 0)] == (
        ["+1.23", "-1.23", "0.00", "0.00", "0.00"]
    )
    assert [exact(1), exact(-1), exact(usd(2.5) * unit)] == ["0.00000000005", "-0.00000000005", "2.5"]
