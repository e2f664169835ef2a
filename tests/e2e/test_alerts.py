"""Alerts of the daemon as a process: what happens to it arrives at a webhook, which is never named anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mm_daemon.core.units import Outcome, Side
from mm_daemon.sim.model import Tif

from ..given import cents, shares
from ..ops.receiver import Receiver, running_receiver
from .commands import command
from .conftest import MARKET, Scene
from .daemon import Settings, until

STOPPED, CONFIG, UNVERIFIED = 0, 2, 3


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """The webhook's far end."""
    async with running_receiver() as receiver:
        yield receiver


def alerted(scene: Scene, receiver: Receiver, **settings: object) -> Settings:
    """Settings whose alerts go to this receiver, by a file as it should be."""
    file = scene.folder / "alert_url"
    file.write_text(receiver.url + "\n")
    file.chmod(0o600)
    return Settings(alerts={"url_file": "alert_url", "instance": "desk-7"}, **settings)  # type: ignore[arg-type]


async def test_a_kill_by_daily_loss_is_told(scene: Scene, receiver: Receiver) -> None:
    """Bought at 49, and the market falls to 30: the kill arrives within seconds, and after a resume its end."""
    async with scene.daemon(alerted(scene, receiver, risk={"max_daily_loss_usd": 2})) as daemon:
        await scene.quoted()
        scene.exchange.trader("taker").sell(MARKET, Outcome.YES, cents(49), shares(30), tif=Tif.FAK)
        await daemon.logged("fill_book")
        scene.crowd(30, 34)
        alert = await receiver.told("killed")
        assert alert["level"] == "critical"
        assert "daily loss" in alert["text"]
        assert alert["instance"].startswith("desk-7 (live, 0x")
        assert alert["observation"]["day_loss"] > 2_000_000
        assert (await receiver.told("daily_loss"))["level"] == "warning"
        assert await daemon.stop() == STOPPED
    assert not any(sent["key"].startswith(("stop", "ended")) for sent in receiver.bodies)
    assert "webhook-secret" not in str(daemon.log)


async def test_a_lost_user_channel_and_market_feed_are_told_and_resolved(scene: Scene, receiver: Receiver) -> None:
    """Cut for longer than ten seconds: told once; and told again when they are back."""
    async with scene.daemon(alerted(scene, receiver)) as daemon:
        await scene.quoted()
        await scene.line.cut()
        await receiver.told("user_channel_down", secs=20)
        await receiver.told("feed_down", secs=5)
        await scene.line.open()
        await receiver.told("user_channel_down", secs=45, resolved=True)  # the longest back-off is 30
        await receiver.told("feed_down", secs=30, resolved=True)  # each socket has a back-off of its own
        assert await daemon.stop() == STOPPED


async def test_cash_that_moved_is_told(scene: Scene, receiver: Receiver) -> None:
    """A difference to what the venue has is taken over, and a person hears of it."""
    async with scene.daemon(alerted(scene, receiver)) as daemon:
        await scene.quoted()
        scene.exchange.venue.deposit(scene.wallet, 500)
        assert "1 differences" in await reconcile(scene)
        assert (await receiver.told("balance_corrected"))["level"] == "error"
        assert await daemon.stop() == STOPPED


async def test_a_stop_that_cannot_be_verified_is_told(scene: Scene, receiver: Receiver) -> None:
    """The venue does not answer any more: the last word says how many orders may rest, before the process ends."""
    async with scene.daemon(alerted(scene, receiver)) as daemon:
        await scene.quoted()
        scene.rest.is_deaf = True
        assert await daemon.stop(within_secs=15) == UNVERIFIED
        alert = await receiver.told("stop_unverified", secs=1)
    assert alert["level"] == "critical"
    assert "2 orders may rest" in alert["text"]


async def test_a_refused_start_is_told(scene: Scene, receiver: Receiver) -> None:
    """A daemon that cannot begin says so to the same people."""
    settings = alerted(scene, receiver)
    settings.addresses = scene.by_proxy
    async with scene.daemon(settings) as first:
        await scene.quoted()
        async with scene.daemon(settings) as second:
            assert await second.exit_code(10) == 5
        assert str(first.pid) in (await receiver.told("ended_locked", secs=1))["text"]
        assert await first.stop() == STOPPED


@pytest.mark.parametrize("trouble", ["deaf", "failing"])
async def test_a_bad_webhook_costs_the_daemon_nothing(scene: Scene, receiver: Receiver, trouble: str) -> None:
    """Quotes follow the market and the stop is verified in time, whatever the webhook does; what was lost is logged."""
    receiver.is_deaf = trouble == "deaf"
    for _ in range(200):
        receiver.will_answer(500)
    async with scene.daemon(alerted(scene, receiver)) as daemon:
        await scene.quoted()
        scene.exchange.venue.deposit(scene.wallet, 500)
        await reconcile(scene)
        await receiver.received(1)
        scene.crowd(46, 50)
        await until(lambda: scene.is_two_sided and scene.order(Side.BUY).yes_price < cents(49), "quotes follow")
        assert await daemon.stop() == STOPPED
        assert daemon.events("alert_lost")[0]["key"] == "balance_corrected"


async def test_the_least_level_is_kept(scene: Scene, receiver: Receiver) -> None:
    """What is less than asked for is not sent."""
    settings = alerted(scene, receiver)
    settings.alerts["min_level"] = "critical"
    async with scene.daemon(settings) as daemon:
        await scene.quoted()
        scene.exchange.venue.deposit(scene.wallet, 500)
        await reconcile(scene)
        scene.rest.is_deaf = True
        assert await daemon.stop(within_secs=15) == UNVERIFIED
    assert [sent["key"] for sent in receiver.bodies] == ["stop_unverified"]


async def test_alert_test_sends_one(scene: Scene, receiver: Receiver) -> None:
    """`mm-daemon alert-test`: exit 0 when the webhook took it, 1 with the reason when not, 2 when there is none."""
    file = alerted(scene, receiver).write(scene.folder)
    assert await alert_test(file) == (0, "the webhook took the alert")
    assert receiver.bodies[0]["key"] == "test"
    receiver.will_answer(403)
    assert await alert_test(file) == (1, "the alert was not delivered: HTTP 403")
    (scene.folder / "alert_url").chmod(0o644)
    code, said = await alert_test(file)
    assert (code, "open to other users" in said) == (CONFIG, True)
    (scene.folder / "alert_url").chmod(0o600)
    (scene.folder / "alert_url").write_text("http://hooks.example.org/webhook-secret")
    code, said = await alert_test(file)
    assert (code, "must begin with https" in said, "secret" in said) == (CONFIG, True, False)
    code, said = await alert_test(Settings().write(scene.folder))
    assert (code, "names no webhook" in said) == (CONFIG, True)


async def alert_test(file: Path) -> tuple[int, str]:
    """The command's exit code and what it said."""
    done = await command("alert-test", "--config", str(file))
    return done.code, (done.out + done.err).strip()


async def reconcile(scene: Scene) -> str:
    """Tell the running daemon to compare everything now; returns its answer."""
    done = await command("reconcile", "--config", str(scene.folder / "mm-daemon.toml"))
    assert done.code == 0, done.err
    return done.out
