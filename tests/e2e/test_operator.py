"""A person's hand on a running daemon: commands, reload, halts that outlive it, and what a restart remembers."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from mm_daemon.books import ledger_file
from mm_daemon.core.units import Outcome, Price, Side
from mm_daemon.journal.reading import LedgerReader
from mm_daemon.sim.model import Tif

from ..given import cents, shares
from .conftest import MARKET, Scene
from .daemon import Settings, running_daemon, until

STOPPED, CONFIG, LOCKED = 0, 2, 5


async def told(scene: Scene, *words: str) -> str:
    """Run a command of ours against the daemon of the scene's settings; what it printed."""
    file = str(scene.folder / "mm-daemon.toml")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mm_daemon", *words, "--config", file,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, out
    return out.decode()


def state(scene: Scene) -> Path:
    return scene.folder / "state" / "live"


async def test_pause_pulls_everything_and_resume_brings_it_back(scene: Scene) -> None:
    """By the control socket, with what was done as the answer."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        assert "paused" in await told(scene, "pause", "--reason", "lunch")
        await until(lambda: scene.orders == [], "nothing rests")
        assert "lifted: pause: lunch" in await told(scene, "resume")
        await scene.quoted()
        assert await daemon.stop() == STOPPED


async def test_a_pause_outlives_the_daemon(scene: Scene) -> None:
    """Only a person lifts it: a restart quotes nothing."""
    settings = Settings()
    async with scene.daemon(settings) as daemon:
        await scene.quoted()
        await told(scene, "pause")
        assert await daemon.stop() == STOPPED
    async with scene.daemon(settings) as daemon:
        await daemon.logged("started", secs=10)
        await daemon.logged("quoting_held", count=2)
        await daemon.logged("started_without", secs=10)
        assert scene.orders == []
        await told(scene, "resume")
        await scene.quoted()
        assert await daemon.stop() == STOPPED


async def test_cancel_all_pauses_and_says_what_rests(scene: Scene) -> None:
    """The running daemon cancels, and stays quiet."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        assert "0 orders rest" in await told(scene, "cancel-all")
        assert scene.orders == []
        assert await daemon.stop() == STOPPED


async def test_reconcile_finds_what_somebody_moved(scene: Scene) -> None:
    """Cash that came in without us is taken in and told, on demand."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        assert "0 differences" in await told(scene, "reconcile")
        scene.exchange.venue.deposit(scene.wallet, 500)
        assert "1 differences" in await told(scene, "reconcile")
        assert (await daemon.logged("balance_differs"))["venues"] == 10_500_000_000
        assert await daemon.stop() == STOPPED


async def test_flatten_only_reduces(scene: Scene) -> None:
    """A long position is offered one tick inside the touch, nothing is bid, and when it is sold nothing rests."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        scene.exchange.trader("taker").sell(MARKET, Outcome.YES, cents(49), shares(30), tif=Tif.FAK)
        await daemon.logged("fill_settle", secs=5)
        await told(scene, "flatten")
        await until(lambda: [o.direction for o in scene.orders] == [Side.SELL], "one ask and no bid")
        assert scene.order(Side.SELL).yes_price == cents(51)
        scene.exchange.trader("taker").buy(MARKET, Outcome.YES, cents(51), shares(30), tif=Tif.FAK)
        await until(lambda: scene.orders == [], "flat")
        assert await daemon.stop() == STOPPED


async def test_a_good_reload_is_applied_and_a_bad_one_is_refused(scene: Scene) -> None:
    """SIGHUP: the new spread is quoted; a file that does not fit leaves the old settings in force and says so."""
    settings = Settings()
    async with scene.daemon(settings) as daemon:
        await until(lambda: scene.is_two_sided and scene.prices == (cents(49), cents(51)), "two per cent")
        settings.strategy = {"base_spread_pct": 0.06}
        settings.write(scene.folder)
        daemon.send(signal.SIGHUP)
        changed = await daemon.logged("setting_changed")
        assert (changed["key"], changed["before"], changed["after"]) == ("strategy.base_spread_pct", "0.02", "0.06")
        await until(lambda: scene.is_two_sided and scene.prices == (cents(48), cents(52)), "six per cent")
        settings.strategy = {"base_spread_pct": -1}
        settings.write(scene.folder)
        daemon.send(signal.SIGHUP)
        assert "base_spread_pct" in (await daemon.logged("reload_refused"))["why"]
        assert scene.prices == (cents(48), cents(52))
        assert await daemon.stop() == STOPPED


async def test_a_second_daemon_on_the_wallet_is_refused(scene: Scene) -> None:
    """Exit 5 names the first one's process, which does not notice."""
    settings = Settings(addresses=scene.by_proxy)
    async with scene.daemon(settings) as daemon:
        await scene.quoted()
        before = scene.ids
        async with running_daemon(settings.write(scene.folder), scene.private_key) as second:
            assert await second.exit_code(10) == LOCKED
            assert str(daemon.pid) in second.events("start_refused")[0]["why"]
        assert scene.ids == before
        assert await daemon.stop() == STOPPED


async def test_a_ledger_that_is_none_is_refused(scene: Scene) -> None:
    """A damaged file is never written over: exit 2, and nothing is placed."""
    state(scene).mkdir(parents=True)
    ledger_file(state(scene)).write_bytes(b"this is not a database" * 100)
    async with scene.daemon() as daemon:
        assert await daemon.exit_code(10) == CONFIG
        assert "ledger.sqlite" in daemon.events("start_refused")[0]["why"]
    assert scene.orders == []


async def test_a_killed_daemon_finds_its_fills_and_orders_again(scene: Scene) -> None:
    """SIGKILL with orders resting and a fill that nobody heard: after the restart position and accounts are right."""
    settings = Settings()
    async with scene.daemon(settings) as daemon:
        await scene.quoted()
        scene.exchange.trader("taker").sell(MARKET, Outcome.YES, cents(49), shares(20), tif=Tif.FAK)
        await daemon.logged("fill_settle", secs=5)
        await asyncio.to_thread(ledger_has_fills, scene, 1)
        await daemon.stop(signal.SIGKILL)
    left = scene.order(Side.SELL)
    scene.exchange.trader("taker").buy(MARKET, Outcome.YES, Price(left.yes_price), shares(10), tif=Tif.FAK)
    async with scene.daemon(settings) as daemon:
        await daemon.logged("order_sent", secs=10, count=2)
        await scene.quoted()
        assert left.id not in scene.ids
        assert await daemon.stop() == STOPPED
    with LedgerReader(ledger_file(state(scene))) as reader:
        assert sorted(fill.size for fill, _ in reader.fills(0)) == [shares(10), shares(20)]
        [(account, _)] = reader.accounts().values()
        assert account.net == shares(10)


def ledger_has_fills(scene: Scene, count: int) -> None:
    """Return when the writer has put that many fills on disk."""
    for _ in range(1_000_000):
        with LedgerReader(ledger_file(state(scene))) as reader:
            if len(reader.fills(0)) >= count:
                return
    raise AssertionError("the fill is not in the ledger")


async def test_a_daily_loss_kills_and_stays_killed(scene: Scene) -> None:
    """Bought at 49, and the market falls to 30: quotes are pulled, and a restart on the same day quotes nothing."""
    settings = Settings(risk={"max_daily_loss_usd": 2})
    async with scene.daemon(settings) as daemon:
        await scene.quoted()
        scene.exchange.trader("taker").sell(MARKET, Outcome.YES, cents(49), shares(30), tif=Tif.FAK)
        await daemon.logged("fill_book", secs=5)
        scene.crowd(30, 34)
        assert "daily loss" in (await daemon.logged("killed", secs=5))["why"]
        await until(lambda: scene.orders == [], "nothing rests")
        assert await daemon.stop() == STOPPED
    async with scene.daemon(settings) as daemon:
        await daemon.logged("started_without", secs=15)
        assert scene.orders == []
        assert await daemon.stop() == STOPPED
