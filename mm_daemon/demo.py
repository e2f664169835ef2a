"""`mm-daemon demo`: the daemon against an exchange of its own with simulated traders, shown while it happens.

Nothing in the daemon knows that it is a demo: it talks to the exchange over sockets, with a key made for the occasion.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import typer
import uvloop
from rich.console import Console
from rich.live import Live

from mm_daemon.app import Daemon
from mm_daemon.config import Config, SimSettings, load_config
from mm_daemon.core.units import Cash, format_usd
from mm_daemon.credentials import PrivateKey
from mm_daemon.ops.logs import configure_logging
from mm_daemon.ops.terminal import LogTail, plain_line, pnl, screen, shares
from mm_daemon.process import live
from mm_daemon.sim.child import exchange_beside
from mm_daemon.simulated import sim_config

REDRAW_SECS = 0.5
PLAIN_SECS = 5.0
LOG_LINES = 8

SETTINGS = """\
mode = "sim"
strategy = "strategy.toml"
[risk]
max_position_usd = 250
max_total_position_usd = {total}
max_open_orders = 1000
[http]
port = 0
"""
STRATEGY = """\
[strategy]
markets = [{markets}]
base_spread_pct = 0.02
order_size_usd = 25
max_position_usd = 250
max_total_position_usd = {total}
inventory_skew_factor = 0.05
refresh_interval_secs = 2
price_change_threshold_pct = 0.005
stale_order_secs = 60
min_liquidity_usd = 100
liquidity_band_pct = 0.05
min_profit_pct = 0.005
cancel_on_fill = true
"""


def demo_config(folder: Path, markets: int) -> Config:
    """The demo's settings, by way of files like anybody's."""
    names = ", ".join(f'"demo-{number}"' for number in range(1, markets + 1))
    total = 250 * markets
    (folder / "strategy.toml").write_text(STRATEGY.format(markets=names, total=total))
    file = folder / "mm-daemon.toml"
    file.write_text(SETTINGS.format(total=total))
    return load_config(file)


def run_demo(*, markets: int, seed: int, speed: float, seconds: float | None) -> int:
    """Run until Ctrl-C, SIGTERM or `seconds`; returns the daemon's exit code, 1 if the exchange still holds orders."""
    log_tail = LogTail(LOG_LINES)
    console = Console()
    is_terminal = console.is_terminal
    configure_logging("warning", "console", log_tail if is_terminal else sys.stderr)
    sim = SimSettings(markets=markets, seed=seed, speed=Decimal(str(speed)))
    with TemporaryDirectory(prefix="mm-daemon-demo-") as folder:
        config = demo_config(Path(folder), markets)
        return uvloop.run(_demo(config, sim, seconds, console if is_terminal else None, log_tail))


async def _demo(config: Config, sim: SimSettings, seconds: float | None, console: Console | None, tail: LogTail) -> int:
    seen: list[Daemon] = []

    async def watch(daemon: Daemon) -> None:
        seen.append(daemon)
        await daemon.started.wait()
        typer.echo(f"watch it at {daemon.url}")
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, daemon.request_stop, f"{seconds:g} seconds are over")
        await (_draw(daemon, console, tail) if console else _print_lines(daemon))

    async with exchange_beside(
        markets=sim.markets,
        seed=sim.seed,
        speed=float(sim.speed),
        starting_cash_usd=str(sim.starting_cash_usd),
    ) as url:
        code = await live(sim_config(config, url), PrivateKey(secrets.token_hex(32)), watch)
        resting = await _orders_at_exchange(url, seen[0].connection.account)
    _summarise(seen[0], resting, code)
    return code or (1 if resting else 0)


async def _draw(daemon: Daemon, console: Console, tail: LogTail) -> None:
    """Redraw the screen until cancelled."""
    began = time.monotonic()
    with Live(console=console, auto_refresh=False, screen=False) as view:
        while True:
            secs = time.monotonic() - began
            view.update(screen(daemon.desk, secs, daemon.manager.holds, tail.lines), refresh=True)
            await asyncio.sleep(REDRAW_SECS)


async def _print_lines(daemon: Daemon) -> None:
    """Print a line for each market every few seconds until cancelled."""
    began = time.monotonic()
    while True:
        for state in daemon.desk.markets.values():
            typer.echo(plain_line(daemon.desk, state, time.monotonic() - began))
        await asyncio.sleep(PLAIN_SECS)


async def _orders_at_exchange(url: str, account: str) -> int:
    """How many orders of ours the exchange holds, by its own account."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/_sim/state") as answer:
        state = await answer.json()
    return len(state["wallets"][account.lower()]["open_orders"])


def _summarise(daemon: Daemon, resting: int, code: int) -> None:
    for state in daemon.desk.markets.values():
        position = state.position
        typer.echo(
            f"{state.market.slug}: {position.fills} fills, bought {shares(position.bought)}, "
            f"sold {shares(position.sold)}, net {shares(position.net)}, pnl ${format_usd(pnl(state))}"
        )
    total = Cash(sum(pnl(state) for state in daemon.desk.markets.values()))
    statistics = daemon.manager.statistics
    typer.echo(
        f"total pnl ${format_usd(total)}; {statistics['posted']} orders posted, {statistics['cancels_sent']} cancels; "
        f"the exchange holds {resting} of our orders; exit code {code}"
    )
