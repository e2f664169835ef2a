"""The daemon on a venue by another hand, in another process, with none of the daemon's code in it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .daemon import Addresses, Settings, new_key, patience, running_daemon, until

SCRIPT = Path(__file__).with_name("foreign_venue.py")
SLUG = "will-another-hand-do"


class ForeignVenue:
    """The running script."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session
        self.orders: list[dict[str, Any]] = []
        self.refused: list[str] = []

    @property
    def addresses(self) -> Addresses:
        """Where the daemon finds it."""
        sockets = self.url.replace("http", "ws", 1) + "/ws"
        return Addresses(
            clob=self.url, gamma=f"{self.url}/gamma", market_ws=f"{sockets}/market", user_ws=f"{sockets}/user"
        )

    async def look(self) -> None:
        """Read its state."""
        async with self._session.get(f"{self.url}/_/state") as answer:
            state = await answer.json()
        self.orders = [order for order in state["orders"] if order["status"] == "LIVE"]
        self.refused = state["refused"]

    async def fill(self, direction: str, size: int) -> None:
        """Hit our order on one side."""
        async with self._session.post(f"{self.url}/_/fill", json={"direction": direction, "size": str(size)}) as answer:
            assert answer.status == 200, await answer.text()

    @property
    def quote(self) -> tuple[Decimal, Decimal] | None:
        """Our bid and ask in YES prices, if there is one of each."""
        prices: dict[bool, Decimal] = {}
        for order in self.orders:
            is_yes, price = order["outcome"] == "Yes", Decimal(order["price"])
            prices[(order["side"] == "BUY") == is_yes] = price if is_yes else 1 - price
        return (prices[True], prices[False]) if len(prices) == len(self.orders) == 2 else None

    async def quoted(self, below: tuple[Decimal, Decimal] | None = None, secs: float = 5.0) -> tuple[Decimal, Decimal]:
        """Wait for a quote on both sides, both below the given prices."""
        async with asyncio.timeout(patience(secs)):
            while True:
                await self.look()
                quote = self.quote
                if quote and (below is None or (quote[0] < below[0] and quote[1] < below[1])):
                    return quote
                await asyncio.sleep(0.02)


@pytest.fixture
async def venue() -> AsyncIterator[ForeignVenue]:
    """The script as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), patience(15))
    async with aiohttp.ClientSession() as session:
        yield ForeignVenue(json.loads(line)["url"], session)
    process.stdin.close()
    await asyncio.wait_for(process.wait(), patience(5))


def test_nothing_of_ours_is_in_it() -> None:
    """The script imports no module of the daemon or of its tests."""
    assert "mm_daemon" not in SCRIPT.read_text()
    assert "from ." not in SCRIPT.read_text()


async def test_the_daemon_trades_there(venue: ForeignVenue, tmp_path: Path) -> None:
    """It quotes within 5 s, is filled, skews, sells what it holds, and stops with exit 0 and no order left."""
    private_key, _ = new_key()
    config = Settings(addresses=venue.addresses, strategy={"markets": [SLUG]}).write(tmp_path)
    async with running_daemon(config, private_key) as daemon:
        first = await venue.quoted(secs=5)
        assert first == (Decimal("0.49"), Decimal("0.51"))
        await venue.fill("BUY", 40)
        await daemon.logged("fill_settle")
        lower = await venue.quoted(below=first)
        await until(lambda: len(daemon.events("order_sent")) >= 4, "both sides sent anew")
        await venue.fill("SELL", 20)
        sold = await daemon.logged("fill_book", count=2)
        assert sold["net"] == 20
        assert lower < first
        await venue.quoted()
        assert venue.refused == []
        assert await daemon.stop() == 0
    await venue.look()
    assert venue.orders == []
