"""A quiet exchange with a crowd around fifty cents, and the daemon in front of it, with proxies in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from mm_daemon.core.units import OrderId, Outcome, Side
from mm_daemon.sim.main import Exchange, ExchangeOptions, running_exchange
from mm_daemon.sim.model import SimOrder

from ..given import cents, shares
from .daemon import Addresses, DaemonProcess, Settings, new_key, running_daemon, until
from .proxies import Line, RestProxy, line_to, rest_proxy

MARKET = "demo-1"


class Scene:
    """One exchange, one account of ours on it, and the way between."""

    def __init__(self, exchange: Exchange, rest: RestProxy, line: Line, folder: Path) -> None:
        self.exchange = exchange
        self.rest = rest
        self.line = line
        self.folder = folder
        self.private_key, self.account = new_key()
        self.wallet = self.account

    @property
    def direct(self) -> Addresses:
        """The exchange itself."""
        url, sockets = self.exchange.url, self.exchange.ws_url
        return Addresses(clob=url, gamma=f"{url}/gamma", market_ws=f"{sockets}/market", user_ws=f"{sockets}/user")

    @property
    def by_proxy(self) -> Addresses:
        """The exchange behind the REST proxy and the line."""
        url, sockets = self.rest.url, f"ws://127.0.0.1:{self.line.port}/ws"
        return Addresses(clob=url, gamma=f"{url}/gamma", market_ws=f"{sockets}/market", user_ws=f"{sockets}/user")

    def crowd(self, bid: float = 48, ask: float = 52, size: float = 1_000) -> None:
        """Others' orders at these cents."""
        maker = self.exchange.trader("crowd")
        maker.cancel_all()
        maker.buy(MARKET, Outcome.YES, cents(bid), shares(size))
        maker.sell(MARKET, Outcome.YES, cents(ask), shares(size))

    def daemon(self, settings: Settings | None = None) -> AbstractAsyncContextManager[DaemonProcess]:
        """The daemon, live, by the proxies unless the settings say otherwise."""
        settings = settings or Settings()
        settings.addresses = settings.addresses or self.by_proxy
        return running_daemon(settings.write(self.folder), self.private_key)

    @property
    def orders(self) -> list[SimOrder]:
        """What the exchange holds of ours."""
        return self.exchange.venue.orders_of(self.wallet)

    def order(self, direction: Side) -> SimOrder:
        """Our one order on a side."""
        [order] = [order for order in self.orders if order.direction is direction]
        return order

    @property
    def is_two_sided(self) -> bool:
        """Whether we have exactly one order on each side."""
        return sorted(order.direction for order in self.orders) == [Side.BUY, Side.SELL]

    async def quoted(self, secs: float = 5.0) -> None:
        """Wait for a quote on both sides."""
        await until(lambda: self.is_two_sided, "a quote on both sides", secs)

    @property
    def prices(self) -> tuple[int, int]:
        """Our bid and ask in YES prices."""
        return self.order(Side.BUY).yes_price, self.order(Side.SELL).yes_price

    @property
    def ids(self) -> set[OrderId]:
        """Ids of our orders."""
        return {order.id for order in self.orders}


@asynccontextmanager
async def beside(scene: Scene, folders: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Another account on the same exchange, with a way of its own."""
    exchange = scene.exchange
    async with rest_proxy(exchange.url) as rest, line_to(URL(exchange.url).port or 0) as line:
        yield Scene(exchange, rest, line, folders.mktemp("beside"))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """An exchange without flow that settles at once, a crowd at 48 and 52, and our account."""
    options = ExchangeOptions(flow=False, mined_after_ms=50, confirmed_after_ms=100, tape_delay_ms=10)
    async with (
        running_exchange(options) as exchange,
        rest_proxy(exchange.url) as rest,
        line_to(URL(exchange.url).port or 0) as line,
    ):
        scene = Scene(exchange, rest, line, tmp_path)
        scene.crowd()
        yield scene
        assert exchange.venue.conserves()
