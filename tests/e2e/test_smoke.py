"""The smoke test against the built-in exchange: one order comes and goes, whatever happens, and the code says so."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass, replace

import pytest

from mm_daemon.core.units import OrderId, Outcome, Side
from mm_daemon.sim.model import SimOrder

from ..given import cents, shares
from .commands import Ended, command, ended, started, written
from .conftest import MARKET, Scene
from .daemon import Settings, until

DONE, FAILED, CONFIG, UNVERIFIED, REFUSED, LOCKED = 0, 1, 2, 3, 4, 5
PLACE, CANCEL = "POST /orders", "DELETE /orders"


@dataclass
class Watched:
    """A smoke test that runs, and every order that it ever put on the book."""

    scene: Scene
    process: asyncio.subprocess.Process

    async def end(self) -> Ended:
        """Wait for its end."""
        return await ended(self.process)


def all_orders(scene: Scene) -> list[SimOrder]:
    """Every order of ours that the exchange ever took."""
    return [order for order in scene.exchange.venue.orders.values() if order.maker == scene.wallet]


async def smoking(scene: Scene, *more: str, settings: Settings | None = None) -> Watched:
    """Start `mm-daemon smoke --live`."""
    file = str(written(scene, settings))
    process = await started("smoke", "--config", file, "--live", *more, MM_PRIVATE_KEY=scene.private_key)
    return Watched(scene, process)


async def smoke(scene: Scene, *more: str, settings: Settings | None = None) -> Ended:
    """Run `mm-daemon smoke --live` to its end."""
    return await (await smoking(scene, *more, settings=settings)).end()


async def test_one_order_comes_and_goes(scene: Scene) -> None:
    """A post-only bid of the smallest size at the lowest price, far from the touch; each step is told with its time."""
    end = await smoke(scene)
    assert end.code == DONE, end.out + end.err
    [order] = all_orders(scene)
    assert (order.side, order.price, order.size, order.post_only) == (Side.BUY, cents(1), shares(5), True)
    assert scene.orders == []
    assert scene.rest.calls[PLACE] == 1
    assert scene.rest.calls["DELETE /cancel-all"] == 0
    steps = [line[6:].split("  ")[0] for line in end.out.splitlines() if line.startswith("ok")]
    assert steps == [
        "API key", "account", "market", "user channel open", "placed", "seen on the user channel",
        "seen in open orders", "cancelled", "seen cancelled on the user channel", "gone from open orders",
    ]  # fmt: skip
    assert all(line.endswith(" ms") for line in end.out.splitlines() if line.startswith("ok"))


async def test_no_secret_is_shown(scene: Scene) -> None:
    """Neither the private key nor the API key's triple."""
    end = await smoke(scene)
    [key] = scene.exchange.venue.keys.of_wallet(scene.account)
    shown = end.out + end.err
    assert not [secret for secret in (scene.private_key, key.secret, key.passphrase) if secret in shown]


async def test_orders_of_others_on_the_key_stay(scene: Scene) -> None:
    """Only its own order is cancelled."""
    assert (await smoke(scene)).code == DONE
    [done] = all_orders(scene)
    kept = replace(done, id=OrderId("0x" + "77" * 32), price=cents(40), status="LIVE")
    scene.exchange.venue.submit(kept)
    assert (await smoke(scene)).code == DONE
    assert scene.orders == [kept]


async def test_the_other_outcome_where_yes_is_cheap(scene: Scene) -> None:
    """Where YES itself trades near the lowest price the bid is for NO."""
    scene.crowd(bid=2, ask=4)
    assert (await smoke(scene)).code == DONE
    [order] = all_orders(scene)
    assert (order.outcome, order.price) == (Outcome.NO, cents(1))


async def test_no_price_is_deep_enough(scene: Scene) -> None:
    """Without others to hide behind nothing is placed."""
    scene.exchange.trader("crowd").cancel_all()
    end = await smoke(scene)
    assert (end.code, all_orders(scene)) == (FAILED, [])
    assert "--market" in end.out


async def test_a_market_by_name(scene: Scene) -> None:
    """`--market` goes before the settings; one that does not exist is exit code 2."""
    settings = Settings(strategy={"markets": ["no-such-market"]})
    assert (await smoke(scene, "--market", MARKET, settings=settings)).code == DONE
    assert (await smoke(scene, settings=settings)).code == CONFIG


async def test_beside_a_running_daemon(scene: Scene) -> None:
    """The wallet's lock keeps it out: exit code 5, and the daemon goes on."""
    async with scene.daemon(Settings()) as daemon:
        await scene.quoted()
        end = await smoke(scene)
        assert end.code == LOCKED
        assert str(daemon.pid) in end.out
        assert scene.is_two_sided
        assert await daemon.stop() == 0


async def test_without_both_words(scene: Scene) -> None:
    """One word in the file and one on the command line, as for the daemon: exit code 2, not one call."""
    words = ("smoke", "--config", str(written(scene)))
    assert (await command(*words, MM_PRIVATE_KEY=scene.private_key)).code == CONFIG
    words = ("smoke", "--config", str(written(scene, Settings(mode="sim"))))
    assert (await command(*words)).code == CONFIG
    assert (await command(*words, "--live", MM_PRIVATE_KEY=scene.private_key)).code == CONFIG
    assert not scene.rest.calls


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("GET /auth/ban-status/closed-only", (200, {"closed_only": True})),
        (PLACE, (400, {"error": "the address banned"})),
        (PLACE, (403, {"error": "Trading restricted in your region, please refer to available regions"})),
        (PLACE, (401, {"error": "Unauthorized/Invalid api key"})),
    ],
    ids=["closed_only", "banned", "region", "key"],
)
async def test_the_venue_refuses(scene: Scene, call: str, answer: tuple[int, object]) -> None:
    """Exit code 4, and nothing rests."""
    scene.rest.answers[call] = answer
    end = await smoke(scene)
    assert (end.code, all_orders(scene)) == (REFUSED, [])


async def test_without_an_approval(scene: Scene) -> None:
    """What the doctor would have told is a refusal here: exit code 4, with the venue's words."""
    scene.exchange.venue.revoke(scene.wallet, scene.exchange.venue.exchange_contracts[0])
    end = await smoke(scene)
    assert end.code == REFUSED
    assert "allowance" in end.out


async def test_an_answer_that_is_lost(scene: Scene) -> None:
    """The order arrives and its answer does not: it is found by its id, cancelled, and never sent again."""
    scene.rest.losses.add(PLACE)
    end = await smoke(scene)
    assert end.code == DONE, end.out + end.err
    assert "looking for it by its id" in end.out
    assert len(all_orders(scene)) == scene.rest.calls[PLACE] == 1
    assert scene.orders == []


async def test_an_order_that_never_arrives(scene: Scene) -> None:
    """A server error and no order: believed after several reads and some time; exit code 1, sent once."""
    scene.rest.answers[PLACE] = (500, {"error": "internal server error"})
    end = await smoke(scene)
    assert end.code == FAILED
    assert "never arrived" in end.out
    assert (all_orders(scene), scene.rest.calls[PLACE]) == ([], 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_while_it_rests(scene: Scene, number: signal.Signals) -> None:
    """It is cancelled and verified gone before the end: exit code 1, for the test was not done."""
    scene.rest.delays["GET /data/orders"] = 1.0
    watched = await smoking(scene)
    await until(lambda: scene.orders, "the order on the book", 30)
    watched.process.send_signal(number)
    end = await watched.end()
    assert end.code == FAILED, end.out + end.err
    assert "verified that nothing rests" in end.out
    assert scene.orders == []


async def test_a_signal_while_it_is_on_its_way(scene: Scene) -> None:
    """It lands after the signal, and is found and cancelled all the same."""
    scene.rest.delays[PLACE] = 1.0
    watched = await smoking(scene)
    await until(lambda: scene.rest.waiting[PLACE], "the order on its way", 30)
    watched.process.send_signal(signal.SIGTERM)
    end = await watched.end()
    assert end.code == FAILED, end.out + end.err
    assert scene.orders == []
    assert scene.rest.calls[PLACE] == 1


async def test_a_deaf_user_channel(scene: Scene) -> None:
    """An order of which the channel says nothing is cancelled, and the step fails: exit code 1."""
    scene.exchange.server.user_hub.line.tamper = lambda client, text: None
    end = await smoke(scene)
    assert end.code == FAILED
    assert "seen on the user channel: not within" in end.out
    assert (len(all_orders(scene)), scene.orders) == (1, [])


async def test_cancels_that_fail(scene: Scene) -> None:
    """An order that will not go away is exit code 3, with its id and what to do."""
    scene.rest.answers[CANCEL] = (500, {"error": "internal server error"})
    end = await smoke(scene)
    assert end.code == UNVERIFIED, end.out + end.err
    [order] = scene.orders
    assert f"order {order.id} may rest" in end.out
    assert "cancel-all" in end.out


async def test_somebody_sells_to_it(scene: Scene) -> None:
    """A fill is told, with what is held now; nothing rests, and the code says that it did not go as it should."""
    scene.rest.delays["GET /data/orders"] = 1.0
    watched = await smoking(scene)
    await until(lambda: scene.orders, "the order on the book", 30)
    seller = scene.exchange.trader("seller")
    scene.exchange.trader("crowd").cancel_all()
    seller.sell(MARKET, Outcome.YES, cents(1), shares(200))
    end = await watched.end()
    assert end.code == FAILED, end.out + end.err
    assert "filled: 5 shares are held" in end.out
