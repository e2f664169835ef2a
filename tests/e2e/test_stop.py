"""The stop: whatever is broken at that moment, within ten seconds, with an exit code that tells what was verified."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from .conftest import MARKET, Scene, beside
from .daemon import DaemonProcess, Settings, running_daemon, until

STOPPED, FAILED, UNVERIFIED = 0, 1, 3


def last_word(daemon: DaemonProcess) -> tuple[str, int]:
    """The last line's name and the exit code it announces."""
    return daemon.log[-1]["event"], daemon.log[-1]["exit_code"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_and_more_of_them_change_nothing(scene: Scene, number: signal.Signals) -> None:
    """One signal or fifty until the process is gone: exit 0, no order left, and the stop is begun once."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        ended = asyncio.create_task(daemon.exit_code(10))
        while not ended.done():
            daemon.send(number)
            daemon.send(signal.SIGTERM)
            await asyncio.wait({ended}, timeout=0.005)
        assert ended.result() == STOPPED
        assert last_word(daemon) == ("stopped", STOPPED)
        assert len(daemon.events("stop_requested")) == 1
    assert scene.orders == []


@pytest.mark.parametrize("fault", ["cut", "frozen"])
async def test_stop_with_dead_sockets_and_slow_rest(scene: Scene, fault: str) -> None:
    """With both websockets cut or silent and every REST call 0.6 s slow: exit 0 within 10 s, no order left."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        if fault == "cut":
            await scene.line.cut()
        else:
            scene.line.freeze()
        scene.rest.delay_secs = 0.6
        assert await daemon.stop(within_secs=10) == STOPPED
        assert last_word(daemon) == ("stopped", STOPPED)
    assert scene.orders == []


async def test_stop_with_a_post_in_flight(scene: Scene) -> None:
    """A POST that is on its way when the signal comes lands before the verdict, and is cancelled before it."""
    scene.rest.delays["POST /orders"] = 1.5
    async with scene.daemon() as daemon:
        await until(lambda: scene.rest.waiting["POST /orders"], "a POST on its way")
        assert await daemon.stop() == STOPPED
        assert scene.rest.waiting["POST /orders"] == 0
        assert daemon.events("order_sent")
    assert scene.orders == []


async def test_stop_without_a_venue(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A venue that takes requests and never answers, one that is gone, one that never was: exit 3, each within 10 s.

    The last line of the one that had quotes says how many orders may rest. The three run side by side.
    """
    async with beside(scene, tmp_path_factory) as gone, beside(scene, tmp_path_factory) as absent:
        await absent.rest.close()
        async with scene.daemon() as left_deaf, gone.daemon() as left_alone, absent.daemon() as never_started:
            await asyncio.gather(scene.quoted(), gone.quoted())
            scene.rest.is_deaf = True
            await gone.line.cut()
            await gone.rest.close()
            stopped = await asyncio.gather(left_deaf.stop(within_secs=10), left_alone.stop(within_secs=10))
            assert list(stopped) == [UNVERIFIED, UNVERIFIED]
            assert await never_started.exit_code(10) == UNVERIFIED
        for daemon in (left_deaf, left_alone, never_started):
            assert last_word(daemon) == ("stopped", UNVERIFIED)
        assert left_deaf.log[-1]["orders_that_may_rest"] == 2


async def test_stop_during_start_up(scene: Scene) -> None:
    """A signal while the venue keeps the start waiting ends it: nothing was sent, and it does not claim to know."""
    scene.rest.delays["GET /gamma/markets"] = 30
    async with scene.daemon() as daemon:
        await until(lambda: scene.rest.waiting["GET /gamma/markets"], "the start")
        assert await daemon.stop(within_secs=10) == UNVERIFIED
        assert last_word(daemon) == ("stopped", UNVERIFIED)
        assert not daemon.events("order_sent")


async def test_stop_during_a_late_part_of_the_start(scene: Scene) -> None:
    """Once the markets are known, a signal during the start cancels and verifies like any stop."""
    scene.rest.delays["GET /balance-allowance"] = 30
    async with scene.daemon() as daemon:
        await until(lambda: scene.rest.waiting["GET /balance-allowance"], "the balances")
        assert await daemon.stop(within_secs=10) == STOPPED
        assert last_word(daemon) == ("stopped", STOPPED)


FAILING = """
from mm_daemon.strategies.api import Filled
from mm_daemon.strategies.liquidity_provision import LiquidityProvision

class Failing(LiquidityProvision):
    name = "failing"

    def on_event(self, event, view):
        market = view.markets[event.market]
        if len(market.open_orders) == 2:
            raise RuntimeError("out of ideas")
        return super().on_event(event, view)
"""


def install_plugin(folder: Path) -> Path:
    """A package with the strategy "failing", as a third party would install it; returns what goes on the path."""
    packages = folder / "packages"
    information = packages / "failing-1.dist-info"
    information.mkdir(parents=True)
    (packages / "failing.py").write_text(FAILING)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: failing\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[mm_daemon.strategies]\nfailing = failing:Failing\n")
    return packages


async def test_a_failing_strategy_stops_the_daemon(scene: Scene) -> None:
    """A plug-in that raises while both quotes rest takes the daemon through the orderly stop: exit 1, no order left."""
    packages = install_plugin(scene.folder)
    config = Settings(addresses=scene.by_proxy, strategy_name="failing").write(scene.folder)
    async with running_daemon(config, scene.private_key, packages) as daemon:
        assert await daemon.exit_code(10) == FAILED
        assert daemon.events("order_sent")
        [failure] = daemon.events("task_failed")
        assert "out of ideas" in str(failure)
        assert last_word(daemon) == ("stopped", FAILED)
    assert scene.orders == []


async def test_orders_of_others_stay(scene: Scene) -> None:
    """The stop cancels ours and nobody else's."""
    before = len(scene.exchange.venue.find(MARKET).book.orders())
    async with scene.daemon() as daemon:
        await scene.quoted()
        assert await daemon.stop() == STOPPED
    assert len(scene.exchange.venue.find(MARKET).book.orders()) == before
