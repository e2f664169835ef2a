"""Watching the daemon over HTTP: what it says of itself is what the exchange says of it, from its start to its end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from mm_daemon.core.units import Outcome, Side

from ..given import cents, shares
from .commands import command
from .conftest import MARKET, Scene
from .daemon import DaemonProcess, Settings, patience, running_daemon

STOPPED, FAILED, CONFIG = 0, 1, 2
TOKEN = "correct-horse-battery-staple"
CALL = "POST /orders"


class Watcher:
    """Whoever watches a daemon."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def probe(self, path: str) -> tuple[int, list[str]]:
        """The status and the reasons of a probe."""
        async with self._client.get(path) as answer:
            return answer.status, (await answer.json())["reasons"]

    async def scrape(self) -> dict[str, float]:
        """Every sample by name, with the values of its labels but the market's behind it."""
        async with self._client.get("/metrics") as answer:
            assert answer.status == 200
            text = await answer.text()
        return {
            " ".join([sample.name.removeprefix("mm_daemon_"), *(v for k, v in sample.labels.items() if k != "market")]):
            sample.value
            for family in text_string_to_metric_families(text) for sample in family.samples
        }  # fmt: skip

    async def until_ready(self, is_ready: bool = True) -> list[str]:
        """Wait until readiness is as given; its reasons."""
        async with asyncio.timeout(patience(15)):
            while True:
                status, reasons = await self.probe("/readyz")
                if (status == 200) == is_ready:
                    return reasons
                await asyncio.sleep(0.05)

    async def until_scraped(self, name: str, value: float) -> dict[str, float]:
        """Wait for a value; the scrape that had it."""
        seen: dict[str, float] = {}
        try:
            async with asyncio.timeout(patience(10)):
                while True:
                    seen = await self.scrape()
                    if seen.get(name) == value:
                        return seen
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            raise AssertionError(f"{name} is {seen.get(name)} and not {value}") from error


@asynccontextmanager
async def watching(daemon: DaemonProcess, **headers: str) -> AsyncIterator[Watcher]:
    """Watch a daemon from the moment it listens."""
    url = (await daemon.logged("http_listening", secs=20))["url"]
    async with aiohttp.ClientSession(url, headers=headers) as client:
        yield Watcher(client)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def approx_usd(base_units: int) -> Any:
    """Dollars of base units, to the last of them."""
    return pytest.approx(base_units / 1_000_000, abs=1e-9)


async def test_metrics_agree_with_the_exchange(scene: Scene) -> None:
    """Orders, prices, position and cash are those in the exchange's own books, after fills on both sides."""
    taker = scene.exchange.trader("taker")
    async with scene.daemon() as daemon, watching(daemon) as watcher:
        await scene.quoted()
        taker.sell(MARKET, Outcome.YES, cents(49), shares(40))
        await daemon.logged("fill_settle")
        await watcher.until_scraped("day_fills", 1)
        await watcher.until_scraped("market_open_orders", 2)
        await scene.quoted()
        await asyncio.sleep(1)  # lets a requote that the fill brought settle on both sides of the comparison
        seen = await watcher.scrape()
        bid, ask = scene.prices
        assert (seen["market_our_bid_dollars"], seen["market_our_ask_dollars"]) == (bid / 10_000, ask / 10_000)
        assert (seen["market_bid_dollars"], seen["market_ask_dollars"]) == (0.48, 0.52)
        assert seen["open_orders"] == len(scene.orders) == 2
        accounts, yes = scene.exchange.venue.ledger, scene.exchange.venue.find(MARKET).market.yes
        assert seen["market_net_shares"] == seen["market_holding_shares yes"] == 40
        assert accounts.balance(scene.wallet, yes).total == shares(40)
        assert seen["cash_dollars"] == approx_usd(accounts.balance(scene.wallet).total)
        assert seen["fills_total"] == 1 and seen["day_volume_dollars"] == pytest.approx(19.6)
        assert seen["day_spread_dollars"] == pytest.approx(40 * 0.01)
        assert sum(seen[f"day_pnl_part_dollars {part}"] for part in ("realised", "unrealised", "fees")) == (
            pytest.approx(seen["day_pnl_dollars"], abs=2e-6)
        )
        assert seen["exposure_dollars"] == seen["market_exposure_dollars"] <= seen["exposure_limit_dollars"] == 100
        assert await daemon.stop() == STOPPED
    assert scene.orders == []


async def test_requests_latencies_and_the_process_are_counted(scene: Scene) -> None:
    """What went to the exchange, how long it took, and what the process needs."""
    async with scene.daemon() as daemon, watching(daemon) as watcher:
        await scene.quoted()
        seen = await watcher.until_scraped("orders_accepted_total", 2)
        assert seen["orders_posted_total"] == 2
        assert seen[f"requests_total {CALL}"] == scene.rest.calls[CALL]
        assert seen["order_to_ack_seconds_count"] == 2 and 0 < seen["order_to_ack_seconds_sum"] < patience(2)
        assert seen["order_to_ack_seconds_bucket +Inf"] == 2
        assert seen["socket_up user"] == seen["socket_up market_0"] == 1
        [build] = [name for name in seen if name.startswith("build_info")]
        assert build.split()[2:] == ["live", "liquidity_provision", build.split()[-1]]
        assert build.lower().endswith(scene.wallet)
        assert seen["process_resident_memory_bytes"] > 10_000_000
        assert seen["ledger_writable"] == 1 and seen["reconciliations_total"] >= 1
        assert await daemon.stop() == STOPPED


async def test_refusals_are_counted_by_reason(scene: Scene) -> None:
    """What the exchange refused stands under the daemon's own word for it."""
    async with scene.daemon() as daemon, watching(daemon) as watcher:
        await scene.quoted()
        scene.exchange.venue.withdraw(scene.wallet, 9_949)
        scene.crowd(bid=47.5, ask=51.5)
        await daemon.logged("order_refused", secs=10)
        seen = await watcher.scrape()
        refused = {name: value for name, value in seen.items() if name.startswith("orders_refused_total ")}
        assert "orders_refused_total not_enough_balance" in refused
        assert await daemon.stop() == STOPPED


async def test_alive_while_starting_and_ready_when_it_trades(scene: Scene) -> None:
    """The server answers before the first check is done, and readiness waits for the whole start."""
    scene.rest.delays["GET /gamma/markets"] = 2.0
    async with scene.daemon() as daemon, watching(daemon) as watcher:
        assert await watcher.probe("/healthz") == (200, [])
        assert await watcher.probe("/readyz") == (503, ["starting"])
        seen = await watcher.scrape()
        assert seen["started"] == seen["ready"] == 0 and "equity_dollars" not in seen
        await watcher.until_ready()
        assert daemon.events("started")
        await watcher.until_scraped("ready", 1)
        assert await daemon.stop() == STOPPED


async def test_a_pause_is_not_ready_and_alive(scene: Scene) -> None:
    """A halt is the operator's will: readiness names it, health does not restart the daemon for it."""
    file = str(scene.folder / "mm-daemon.toml")
    async with scene.daemon() as daemon, watching(daemon) as watcher:
        await watcher.until_ready()
        await command("pause", "--config", file, "--reason", "lunch")
        assert await watcher.until_ready(False) == ["halted, pause: lunch"]
        assert await watcher.probe("/healthz") == (200, [])
        seen = await watcher.until_scraped("halted pause", 1)
        assert seen["halted kill"] == seen["ready"] == 0 and seen["markets pause"] == 1
        await command("resume", "--config", file)
        await watcher.until_ready()
        assert await daemon.stop() == STOPPED


async def test_a_dead_line_is_not_ready(scene: Scene) -> None:
    """Both sockets down are told by name; when they are back, so is readiness."""
    async with scene.daemon() as daemon, watching(daemon) as watcher:
        await watcher.until_ready()
        await scene.line.cut()
        reasons = await watcher.until_ready(False)
        async with asyncio.timeout(patience(10)):
            while not {"the market_0 socket is down", "the user socket is down"} <= set(reasons):
                _, reasons = await watcher.probe("/readyz")
                await asyncio.sleep(0.05)
        seen = await watcher.until_scraped("socket_up user", 0)
        assert seen["held user_channel_down"] == 1
        await scene.line.open()
        await watcher.until_ready()
        assert (await watcher.scrape())["socket_connections_total user"] >= 2
        assert await daemon.stop() == STOPPED


async def test_a_taken_port_refuses_the_start(scene: Scene) -> None:
    """A daemon that is to be watched and cannot be sends nothing: exit code 2, and the port in the log."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with scene.daemon(Settings(http={"port": port})) as daemon:
            assert await daemon.exit_code(20) == CONFIG
            [refusal] = daemon.events("start_refused")
            assert f"127.0.0.1:{port}" in refusal["why"] and "[http]" in refusal["why"]
    assert not scene.rest.calls


async def test_the_server_may_be_off(scene: Scene) -> None:
    """Nothing listens, and the daemon trades."""
    async with scene.daemon(Settings(http={"enabled": False})) as daemon:
        await scene.quoted()
        assert not daemon.events("http_listening")
        assert await daemon.stop() == STOPPED


async def test_the_health_command(scene: Scene) -> None:
    """0 while the daemon lives, 1 when it does not answer, as when its process stands still, and when it is gone."""
    settings = Settings(http={"port": free_port()})
    file = str(scene.folder / "mm-daemon.toml")
    async with scene.daemon(settings) as daemon:
        await scene.quoted()
        healthy = await command("health", "--config", file)
        assert healthy.code == 0 and '"status":"ok"' in healthy.out
        daemon.send(signal.SIGSTOP)
        try:
            assert (await command("health", "--config", file)).code == FAILED
        finally:
            daemon.send(signal.SIGCONT)
        assert await daemon.stop() == STOPPED
    assert (await command("health", "--config", file)).code == FAILED


async def test_a_venue_that_does_not_answer_is_no_reason_to_restart(scene: Scene) -> None:
    """Tasks wait for it within their patience: healthy, with their ages to be seen."""
    async with scene.daemon() as daemon, watching(daemon) as watcher:
        await scene.quoted()
        scene.rest.is_deaf = True
        await asyncio.sleep(1)
        assert (await watcher.probe("/healthz"))[0] == 200
        ages = await watcher.scrape()
        assert ages["task_age_seconds quoting"] < ages["task_stuck_after_seconds quoting"]
        scene.rest.is_deaf = False
        await daemon.stop()


async def test_the_token_opens_it_and_is_nowhere(scene: Scene, tmp_path: Path) -> None:
    """401 without it, 200 with it; no line of the log has it."""
    file = tmp_path / "http_token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    settings = Settings(http={"port": 0, "token_file": str(file)})
    async with scene.daemon(settings) as daemon:
        async with watching(daemon, Authorization=f"Bearer {TOKEN}") as watcher:
            await watcher.until_ready()
            assert (await watcher.scrape())["ready"] == 1
        async with watching(daemon) as stranger:
            with pytest.raises(AssertionError):
                await stranger.scrape()
            assert (await stranger.probe("/healthz"))[0] == 200
        assert await daemon.stop() == STOPPED
        assert TOKEN not in str(daemon.log)


async def test_the_built_in_exchange_is_watched_too(tmp_path: Path) -> None:
    """`mode = "sim"` serves the same."""
    file = Settings(mode="sim", wallet={}).write(tmp_path)
    async with running_daemon(file, None) as daemon, watching(daemon) as watcher:
        await watcher.until_ready()
        seen = await watcher.scrape()
        assert any(name.startswith("build_info") and " sim " in name for name in seen)
        assert seen["cash_dollars"] > 0
        assert await daemon.stop() == STOPPED


async def test_it_answers_until_the_stop_is_verified(scene: Scene) -> None:
    """While a slow exchange cancels, readiness says that the daemon stops; then the port is free."""
    async with scene.daemon() as daemon, watching(daemon) as watcher:
        await watcher.until_ready()
        assert len(scene.orders) == 2 and scene.order(Side.BUY)
        scene.rest.delay_secs = 1.0
        daemon.send(signal.SIGTERM)
        assert "stopping" in await watcher.until_ready(False)
        assert (await watcher.probe("/healthz"))[0] == 200
        assert await daemon.exit_code(20) == STOPPED
        with pytest.raises(aiohttp.ClientError):
            await watcher.probe("/healthz")
    assert scene.orders == []
