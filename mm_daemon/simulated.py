"""`mode = "sim"`: the daemon with a throw-away key against the built-in exchange, a child process beside it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from mm_daemon.app import Daemon
from mm_daemon.books import ledger_file
from mm_daemon.config import Config
from mm_daemon.credentials import PrivateKey
from mm_daemon.http_token import HttpToken
from mm_daemon.ops.webhooks import Webhook
from mm_daemon.process import live
from mm_daemon.sim.child import exchange_beside


def sim_config(config: Config, url: str) -> Config:
    """The same settings with every address of the venue on the built-in exchange at `url`."""
    socket_url = url.replace("http", "ws", 1)
    return msgspec.structs.replace(
        config,
        venue=msgspec.structs.replace(
            config.venue,
            clob_url=url,
            gamma_url=f"{url}/gamma",
            data_url=f"{url}/data-api",
            market_ws_url=f"{socket_url}/ws/market",
            user_ws_url=f"{socket_url}/ws/user",
        ),
        wallet=msgspec.structs.replace(config.wallet, signature_type=0, funder=""),
    )


def forget_world(state_directory: Path) -> None:
    """Remove the books of an earlier run: every start makes a new exchange, and a new account on it."""
    for file in (ledger_file(state_directory), *state_directory.glob(f"{ledger_file(state_directory).name}-*")):
        file.unlink(missing_ok=True)


async def simulated(
    config: Config,
    watch: Callable[[Daemon], Awaitable[None]] | None = None,
    http_token: HttpToken | None = None,
    webhook: Webhook | None = None,
) -> int:
    """Run a daemon with a throw-away key against a built-in exchange that lives as long as it does."""
    sim = config.sim
    forget_world(config.state_directory)
    async with exchange_beside(
        markets=sim.markets, seed=sim.seed, speed=float(sim.speed), starting_cash_usd=str(sim.starting_cash_usd)
    ) as url:
        return await live(
            sim_config(config, url), PrivateKey(secrets.token_hex(32)), watch, config, http_token, webhook
        )
