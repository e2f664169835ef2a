"""What makes the daemon not start, with the exit code that says why and nothing sent."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from .conftest import Scene
from .daemon import Addresses, Settings, running_daemon

CONFIG, REFUSED = 2, 4


async def test_the_venue_refuses_our_key(scene: Scene) -> None:
    """Neither a new API key nor the old one for our signature: exit 4."""
    refusal = (401, {"error": "Invalid L1 Request headers"})
    scene.rest.answers |= {"POST /auth/api-key": refusal, "GET /auth/derive-api-key": refusal}
    async with scene.daemon() as daemon:
        assert await daemon.exit_code(10) == REFUSED
        assert "key" in daemon.events("start_refused")[0]["why"]
    assert scene.rest.calls["POST /orders"] == 0


async def test_an_account_that_may_only_close(scene: Scene) -> None:
    """Closed-only mode: exit 4."""
    scene.rest.answers["GET /auth/ban-status/closed-only"] = (200, {"closed_only": True})
    async with scene.daemon() as daemon:
        assert await daemon.exit_code(10) == REFUSED


async def test_the_key_is_refused_while_trading(scene: Scene) -> None:
    """A key that the venue takes back makes the daemon stop, with exit 4."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        scene.rest.answers["POST /orders"] = (401, {"error": "Unauthorized/Invalid api key"})
        scene.crowd(bid=50, ask=54)
        assert await daemon.exit_code(10) == REFUSED
    assert scene.orders == []


async def test_orders_are_refused_for_good(scene: Scene) -> None:
    """A banned address stops the daemon at its first order: exit 4, nothing rests."""
    scene.rest.answers["POST /orders"] = (400, {"error": "the address banned"})
    async with scene.daemon() as daemon:
        assert await daemon.exit_code(10) == REFUSED
        assert scene.rest.calls["POST /orders"] == 1
    assert scene.orders == []


@pytest.mark.parametrize(
    "settings",
    [
        Settings(risk={"max_positon_usd": 5}),
        Settings(strategy={"base_spread_pct": 2}),
        Settings(strategy={"markets": []}),
        Settings(strategy_name="no_such_strategy"),
        Settings(wallet={"signature_type": 3}),
        Settings(mode="sim"),
    ],
    ids=["unknown_key", "impossible_value", "no_markets", "no_strategy", "no_funder", "live_flag_in_sim_mode"],
)
async def test_bad_settings(settings: Settings, tmp_path: Path) -> None:
    """A mistake in either file: one line, exit 2, and not one connection anywhere."""
    connections = 0

    def count(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.transport.abort()

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    here, sockets = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
    settings.addresses = Addresses(clob=here, gamma=here, market_ws=sockets, user_ws=sockets)
    async with running_daemon(settings.write(tmp_path), "11" * 32) as daemon:
        assert await daemon.exit_code(10) == CONFIG
        assert len(daemon.log) == 1
    assert connections == 0
    server.close()


async def test_no_key(scene: Scene) -> None:
    """Live without a private key: exit 2, and nothing is asked of the venue."""
    scene.private_key = ""
    async with scene.daemon() as daemon:
        assert await daemon.exit_code(10) == CONFIG
    assert not scene.rest.calls


async def test_an_unknown_market(scene: Scene) -> None:
    """A slug that the venue does not list: exit 2, and the line names it."""
    async with scene.daemon(Settings(strategy={"markets": ["demo-1", "no-such-market"]})) as daemon:
        assert await daemon.exit_code(10) == CONFIG
        assert "no-such-market" in daemon.events("start_refused")[0]["why"]
    assert scene.rest.calls["POST /orders"] == 0


@pytest.mark.parametrize("off_secs", [-30, 30])
async def test_a_wrong_clock(scene: Scene, off_secs: int) -> None:
    """A clock far from the venue's, either way: exit 2, for our signatures would carry it."""
    scene.rest.answers["GET /time"] = (200, int(time.time()) + off_secs)
    async with scene.daemon() as daemon:
        assert await daemon.exit_code(10) == CONFIG
        assert "clock" in daemon.events("start_refused")[0]["why"]
