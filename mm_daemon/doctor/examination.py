"""One examination: which checks there are, what each stands on, and what the exit code makes of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import typer

from mm_daemon.config import Config, ConfigError, load_config
from mm_daemon.connection import polymarket
from mm_daemon.core.desk import Desk
from mm_daemon.core.market import Market
from mm_daemon.core.units import Cash
from mm_daemon.credentials import PrivateKey, forbid_core_dumps, load_private_key
from mm_daemon.doctor import account, machine, network
from mm_daemon.doctor.checks import Check, Finding, Seen, Verdict, fail, ok, run_checks, skip
from mm_daemon.doctor.markets import MarketChecks
from mm_daemon.doctor.verdict import show
from mm_daemon.exchange.polymarket import public_reads
from mm_daemon.exchange.polymarket.contracts import load_contracts
from mm_daemon.exchange.polymarket.market_channel import PolymarketMarketChannel
from mm_daemon.exchange.polymarket.rest import Rest
from mm_daemon.exchange.polymarket.throttle import RateLimits
from mm_daemon.exchange.polymarket.venue import PolymarketVenue
from mm_daemon.ops.logs import register_secret
from mm_daemon.plugins import load_strategy_settings
from mm_daemon.strategies.api import Strategy

EXIT_OK, EXIT_FAILED, EXIT_CONFIG = 0, 1, 2
SETTINGS = ("settings", "strategy")
"""Checks whose failure means wrong settings."""
CLIENT_SECS = 20.0
"""Loading the official client takes more than a second, and many on a crowded machine."""
CHANNEL_TOKENS = 10


def run_doctor(file: Path, *, as_json: bool) -> int:
    """Look at everything and print what was found.

    Returns:
        0 if nothing failed, 1 if a check did, 2 if the settings are wrong.
    """
    forbid_core_dumps()
    findings = asyncio.run(_until_told(file))
    typer.echo(show(findings, as_json=as_json))
    return exit_code(findings)


def exit_code(findings: Sequence[Finding]) -> int:
    """What the findings amount to."""
    failed = {finding.check for finding in findings if finding.verdict is Verdict.FAIL}
    if failed & set(SETTINGS):
        return EXIT_CONFIG
    return EXIT_FAILED if failed else EXIT_OK


async def _until_told(file: Path) -> list[Finding]:
    """The findings; a signal ends it without any."""
    examining = asyncio.ensure_future(examine(file))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, examining.cancel)
    try:
        return await examining
    except asyncio.CancelledError:
        return [Finding("doctor", "", Verdict.FAIL, "interrupted: nothing was looked at to the end")]


async def examine(file: Path) -> list[Finding]:
    """Look at everything that the main settings file `file` leads to."""
    try:
        config = load_config(file)
    except ConfigError as error:
        return [Finding("settings", str(file), Verdict.FAIL, str(error), "correct the file")]
    examination = Examination(config)
    try:
        return await run_checks(examination.checks())
    finally:
        await examination.close()


class Examination:
    """What the checks learn, and pass on to those that need them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._rest = Rest(config.venue.clob_url, RateLimits.below_standard_tier())
        self._strategy: Strategy | None = None
        self._key: PrivateKey | None = None
        self._venue: PolymarketVenue | None = None
        self._market_checks: MarketChecks | None = None

    async def close(self) -> None:
        """Close connections."""
        await self._rest.close()
        if self._venue is not None:
            await self._venue.close()

    def checks(self) -> list[Check]:
        """All of them, each after what it stands on."""
        strategy = Check("strategy", str(self._config.strategy_file), _plain(self._look_at_strategy))
        if self._config.mode == "sim":
            return [*self._machine(strategy), Check("venue", "", self._no_venue)]
        key = Check("key", "", _plain(self._read_key))
        signer = Check("signer", "", self._make_venue, [key], remedy="correct [wallet]", deadline_secs=CLIENT_SECS)
        hosts = network.hosts_of(self._config.venue)
        reached = {
            host: Check(
                "host", host.title, _looking(network.look_at_host, host), remedy="check the firewall and the URL"
            )
            for host in hosts
        }
        return [
            *self._machine(strategy),
            key,
            signer,
            Check("wallet", "", _plain(self._look_at_wallet), [signer]),
            Check("lock", "", _plain(self._look_at_lock), [signer]),
            *reached.values(),
            *self._at_the_venue(strategy, signer, lambda url: reached[network.host_of(hosts, url)]),
        ]

    def _machine(self, strategy: Check) -> list[Check]:
        """What needs no network."""
        config = self._config
        directory = config.state_directory
        is_sim = config.mode == "sim"
        return [
            Check("settings", str(config.file), _plain(self._look_at_settings)),
            strategy,
            Check("state directory", str(directory), _plain(lambda: machine.look_at_state(directory))),
            Check("disk", str(directory), _plain(lambda: machine.look_at_disk(directory))),
            Check("ledger", "", _plain(lambda: machine.look_at_ledger(directory, config.file))),
            *([Check("lock", "", _plain(lambda: machine.look_at_lock(directory, "")))] if is_sim else []),
            Check("clock", "this machine", _plain(machine.look_at_clock)),
        ]

    def _at_the_venue(self, strategy: Check, signer: Check, host: Callable[[str], Check]) -> list[Check]:
        """What needs the venue; some of it our key too."""
        urls = self._config.venue
        exchange, site = host(urls.clob_url), network.website_of(urls.clob_url)
        clock = Check("clock", "the venue", lambda: network.look_at_clock(self._server_secs), needs=[exchange])
        credentials = Check("credentials", "", self._look_at_credentials, needs=[signer, exchange], after=[clock])
        markets = Check(
            "market",
            "",
            self._look_at_markets,
            needs=[strategy, exchange, host(urls.gamma_url)],
            deadline_secs=MarketChecks.deadline_secs(500),
        )
        balance = Check("balance", "", self._look_at_balances, needs=[credentials], after=[markets], deadline_secs=30)
        allowance = Check("approval", "", self._look_at_allowances, needs=[credentials], after=[balance])
        return [
            clock,
            Check("region", "", lambda: network.look_at_region(self._rest, site), needs=[host(site)]),
            credentials,
            Check("account", "", lambda: account.look_at_status(self.venue), needs=[credentials]),
            Check("rate limit", "", lambda: account.look_at_tier(self.venue), needs=[credentials]),
            markets,
            balance,
            allowance,
            Check("orders", "", self._look_at_orders, needs=[credentials]),
            Check("market channel", "", self._listen_to_market, needs=[host(urls.market_ws_url)], after=[markets]),
            Check("user channel", "", self._listen_to_user, needs=[credentials, host(urls.user_ws_url)]),
        ]

    @property
    def venue(self) -> PolymarketVenue:
        """The venue with our key.

        Raises:
            RuntimeError: the check "signer" has not made it.
        """
        if self._venue is None:
            raise RuntimeError("there is no key")
        return self._venue

    async def _no_venue(self) -> Seen:
        return skip('mode is "sim": there is no venue to reach; key, network, account and markets are for "live"')

    def _look_at_settings(self) -> Seen:
        return machine.look_at_file(self._config.file, f'valid, mode "{self._config.mode}"')

    def _look_at_strategy(self) -> Seen:
        try:
            plugin, settings = load_strategy_settings(self._config)
            self._strategy = plugin(settings)
        except ConfigError as error:
            return fail(str(error), "correct the file")
        limits = self._config.risk.limits(self._strategy.max_position, self._strategy.max_total_position)
        venue, seconds = self._config.venue, self._config.risk.stop_before_end_secs
        self._market_checks = MarketChecks(self._rest, venue.gamma_url, limits, seconds)
        what = f"{plugin.name}, {len(self._strategy.markets)} markets"
        return machine.look_at_file(self._config.strategy_file, what)

    def _read_key(self) -> Seen:
        source = machine.key_source(os.environ)
        try:
            self._key = load_private_key()
        except ConfigError as error:
            return fail(str(error), "one file with the key, chmod 600, named by MM_PRIVATE_KEY_FILE")
        register_secret(self._key.reveal_hex())
        return ok(source)

    async def _make_venue(self) -> Seen:
        assert self._key is not None
        config = self._config
        venue = polymarket(config, self._key, Desk(config.risk.limits(Cash(0), Cash(0)))).venue
        assert isinstance(venue, PolymarketVenue)
        self._venue = venue
        return ok(f"key {venue.account} signs for wallet {venue.wallet}")

    def _look_at_wallet(self) -> Seen:
        config = self._config
        account_of_key, wallet = self.venue.account, self.venue.wallet
        return account.judge_wallet(account_of_key, wallet, config.wallet.signature_type, config.venue.chain_id)

    def _look_at_lock(self) -> Seen:
        return machine.look_at_lock(self._config.state_directory, self.venue.wallet)

    async def _server_secs(self) -> int:
        return await public_reads.server_secs(self._rest)

    async def _look_at_credentials(self) -> Seen:
        return await account.look_at_credentials(self.venue)

    async def _look_at_markets(self) -> Sequence[Seen]:
        assert self._market_checks is not None and self._strategy is not None
        return await self._market_checks.look(self._strategy.markets)

    async def _look_at_balances(self) -> Sequence[Seen]:
        return await account.look_at_balances(self.venue, self._config.wallet.signature_type, self._markets)

    async def _look_at_allowances(self) -> Sequence[Seen]:
        contracts = load_contracts(self._config.venue.chain_id)
        return await account.look_at_allowances(self.venue, self._config, contracts, self._markets)

    async def _look_at_orders(self) -> Seen:
        return await account.look_at_orders(self.venue, self._config.risk.orders_at_start)

    async def _listen_to_market(self) -> Seen:
        tokens = [market.yes for market in self._markets][:CHANNEL_TOKENS]
        if not tokens:
            return skip("no market to listen to")
        return await network.look_at_market_channel(PolymarketMarketChannel(self._config.venue.market_ws_url, tokens))

    async def _listen_to_user(self) -> Seen:
        return await network.look_at_user_channel(self.venue.user_channel(self._config.venue.user_ws_url))

    @property
    def _markets(self) -> list[Market]:
        return list(self._market_checks.markets.values()) if self._market_checks else []


def _plain(look: Callable[[], Seen]) -> Callable[[], Awaitable[Seen]]:
    """A check that waits for nothing."""

    async def looking() -> Seen:
        return look()

    return looking


def _looking(look: Callable[[network.Host], Awaitable[Seen]], host: network.Host) -> Callable[[], Awaitable[Seen]]:
    return lambda: look(host)
