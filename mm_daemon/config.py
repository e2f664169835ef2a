"""The daemon's settings: what the main file may hold, typed and checked before anything is sent anywhere.

`load_config` reads the main file, `load_strategy_table` the strategy's. A plug-in strategy brings the struct type of
its own table and hands it to `convert`. Every mistake is a `ConfigError`, whose text is one line for the person at the
terminal. No secret is ever part of the settings: keys come by way of `mm_daemon.credentials`.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from mm_daemon.core.risk import Limits
from mm_daemon.core.units import DOLLAR, Cash, Price
from mm_daemon.toml_tables import ConfigError, convert, read_toml, render, shown

__all__ = [
    "AlertSettings",
    "Config",
    "ConfigError",
    "HttpSettings",
    "LogSettings",
    "RiskSettings",
    "SimSettings",
    "StateSettings",
    "VenueSettings",
    "WalletSettings",
    "convert",
    "effective",
    "load_config",
    "load_strategy_table",
    "render",
]

DEFAULT_STRATEGY = "liquidity_provision"
MAX_MARKETS = 1000
MAX_USD = Decimal(1_000_000_000)

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_CONDITION_ID = re.compile(r"0x[0-9a-fA-F]{62}(?:[0-9a-fA-F]{2})?")
_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_STRATEGY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class VenueSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the venue is. The defaults are production; no URL ends in a slash."""

    clob_url: str = "https://clob.polymarket.com"
    market_ws_url: str = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    user_ws_url: str = "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    gamma_url: str = "https://gamma-api.polymarket.com"
    data_url: str = "https://data-api.polymarket.com"
    chain_id: int = 137

    def __post_init__(self) -> None:
        for key in ("clob_url", "gamma_url", "data_url"):
            msgspec.structs.force_setattr(self, key, _checked_url(key, getattr(self, key), "https", "http"))
        for key in ("market_ws_url", "user_ws_url"):
            msgspec.structs.force_setattr(self, key, _checked_url(key, getattr(self, key), "wss", "ws"))
        if self.chain_id not in (137, 80002):
            raise ValueError("chain_id: must be 137 (Polygon) or 80002 (its Amoy test chain)")


class WalletSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which wallet trades. Types: 0 the key's own address, 1 proxy, 2 Safe, 3 deposit wallet."""

    signature_type: int = 3
    funder: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.signature_type <= 3:
            raise ValueError(
                "signature_type: must be 0 (the key's own address), 1 (proxy), 2 (Safe) or 3 (deposit wallet), "
                f"not {self.signature_type}"
            )
        # A wrong value is not repeated: what people paste here by mistake is their private key.
        if self.funder and not _ADDRESS.fullmatch(self.funder):
            raise ValueError("funder: must be an address, 0x and 40 hexadecimal digits")
        if self.funder and not int(self.funder, 16):
            raise ValueError("funder: must not be the zero address")


class RiskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits over everything the daemon does, whatever a strategy asks for. Dollars."""

    max_position_usd: Decimal = Decimal(250)
    max_total_position_usd: Decimal = Decimal(1000)
    max_open_orders: int = 100
    max_event_position_usd: Decimal = Decimal(500)
    max_order_usd: Decimal = Decimal(100)
    price_collar_usd: Decimal = Decimal("0.10")
    max_daily_loss_usd: Decimal = Decimal(100)
    max_order_errors: int = 20
    order_error_window_secs: int = 60
    stop_before_end_secs: int = 300
    orders_at_start: Literal["cancel", "adopt"] = "cancel"
    foreign_orders: Literal["ignore", "report", "count", "cancel"] = "report"

    def __post_init__(self) -> None:
        for key in self.__struct_fields__:
            if key.endswith("_usd"):
                _check_usd(key, getattr(self, key))
        if self.price_collar_usd > 1:
            raise ValueError(f"price_collar_usd: must be at most one dollar, not {self.price_collar_usd}")
        _check_range("max_order_errors", self.max_order_errors, 1, 10_000)
        _check_range("order_error_window_secs", self.order_error_window_secs, 1, 86_400)
        _check_range("stop_before_end_secs", self.stop_before_end_secs, 0, 31_536_000)
        if self.max_position_usd > self.max_total_position_usd:
            raise ValueError(
                f"max_position_usd: {self.max_position_usd} for one market is more than "
                f"max_total_position_usd, {self.max_total_position_usd}, for all"
            )
        _check_range("max_open_orders", self.max_open_orders, 1, 10_000)

    @property
    def max_daily_loss(self) -> Cash:
        """The most that may be lost in one UTC day, in micro-dollars."""
        return _cash(self.max_daily_loss_usd)

    def limits(self, max_position: Cash, max_total_position: Cash) -> Limits:
        """These limits together with a strategy's own, in micro-dollars: the smaller of two holds."""
        return Limits(
            max_position=min(_cash(self.max_position_usd), max_position),
            max_total_position=min(_cash(self.max_total_position_usd), max_total_position),
            max_open_orders=self.max_open_orders,
            max_event_position=_cash(self.max_event_position_usd),
            max_order=_cash(self.max_order_usd),
            collar=Price(int(self.price_collar_usd * DOLLAR)),
        )


class StateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the daemon keeps what has to survive a restart."""

    directory: str = ""


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is logged, and for whom: "auto" writes for people on a terminal and for machines everywhere else."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The server of health, metrics and the dashboard. Port 0 takes any free one; the token never stands here."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 9464
    token_file: str = ""

    def __post_init__(self) -> None:
        if not self.host or any(c.isspace() or not c.isprintable() for c in self.host):
            raise ValueError("host: must be an address of this machine, such as 127.0.0.1")
        _check_range("port", self.port, 0, 65_535)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or (_is_address(self.host) and ipaddress.ip_address(self.host).is_loopback)


class AlertSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which webhook is told what a person should know. Its address holds a token, so it never stands here."""

    url_file: str = ""
    form: Literal["generic", "slack", "discord", "telegram"] = "generic"
    telegram_chat_id: str = ""
    min_level: Literal["warning", "error", "critical"] = "warning"
    repeat_secs: int = 900
    instance: str = ""

    def __post_init__(self) -> None:
        _check_range("repeat_secs", self.repeat_secs, 10, 86_400)
        if self.form == "telegram" and not self.telegram_chat_id:
            raise ValueError("telegram_chat_id: is needed with the form telegram")
        if self.form != "telegram" and self.telegram_chat_id:
            raise ValueError(f"telegram_chat_id: is for the form telegram, not {self.form}")
        if len(self.instance) > 100 or not self.instance.isprintable():
            raise ValueError("instance: must be one line of at most 100 characters")


class SimSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The built-in exchange of `mode = "sim"`. `speed` is simulated seconds for each real one."""

    markets: int = 3
    seed: int = 1
    speed: Decimal = Decimal(1)
    starting_cash_usd: int = 10_000

    def __post_init__(self) -> None:
        _check_range("markets", self.markets, 1, MAX_MARKETS)
        _check_range("seed", self.seed, 0, 2**32 - 1)
        if not Decimal("0.01") <= self.speed <= 1000:
            raise ValueError(f"speed: must be from 0.01 to 1000, not {self.speed}")
        _check_range("starting_cash_usd", self.starting_cash_usd, 1, int(MAX_USD))


class _MainFile(msgspec.Struct, frozen=True, kw_only=True):
    """The main file as it is written; `Config` is what it means."""

    mode: Literal["sim", "live"]
    strategy: str
    venue: VenueSettings = msgspec.field(default_factory=VenueSettings)
    wallet: WalletSettings = msgspec.field(default_factory=WalletSettings)
    risk: RiskSettings = msgspec.field(default_factory=RiskSettings)
    state: StateSettings = msgspec.field(default_factory=StateSettings)
    log: LogSettings = msgspec.field(default_factory=LogSettings)
    http: HttpSettings = msgspec.field(default_factory=HttpSettings)
    alerts: AlertSettings = msgspec.field(default_factory=AlertSettings)
    sim: SimSettings = msgspec.field(default_factory=SimSettings)

    def __post_init__(self) -> None:
        if not self.strategy.strip():
            raise ValueError("strategy: must name the strategy's file, relative to this one")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The effective settings.

    Attributes:
        file: the main file as it was named.
        mode: "sim" or "live".
        strategy_file: the strategy's file, resolved against the main file's folder.
        state_directory: absolute, the mode's own folder; not created here.
    """

    file: Path
    mode: Literal["sim", "live"]
    strategy_file: Path
    state_directory: Path
    venue: VenueSettings
    wallet: WalletSettings
    risk: RiskSettings
    log: LogSettings
    http: HttpSettings
    alerts: AlertSettings
    sim: SimSettings


def load_config(file: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check the main file. The strategy's file is not opened.

    Args:
        file: the main TOML file.
        environ: only `STATE_DIRECTORY` is read, which systemd sets; a directory in the file goes before it.

    Raises:
        ConfigError: the first thing that is wrong.
    """
    table = read_toml(file)
    _refuse_secrets(table, file)
    settings = convert(table, _MainFile, file)
    if settings.mode == "live" and settings.wallet.signature_type != 0 and not settings.wallet.funder:
        raise ConfigError(
            file,
            "wallet.funder",
            f"is needed in live mode with signature_type {settings.wallet.signature_type}: the wallet's address",
        )
    return Config(
        file=file,
        mode=settings.mode,
        strategy_file=file.parent / settings.strategy,
        state_directory=_state_directory(settings.state, settings.mode, file, environ),
        venue=settings.venue,
        wallet=settings.wallet,
        risk=settings.risk,
        log=settings.log,
        http=settings.http,
        alerts=settings.alerts,
        sim=settings.sim,
    )


def load_strategy_table(config: Config) -> tuple[str, dict[str, object], Path]:
    """The strategy's name, its raw `[strategy]` table, and the file they come from.

    The table's `markets`, which the daemon needs whatever the strategy, is checked here; all other keys are for the
    plug-in's own struct type and `convert(table, struct_type, file, "strategy")`.

    Raises:
        ConfigError: the file cannot be read, holds anything but `name` and `[strategy]`, or lists impossible markets.
    """
    file = config.strategy_file

    class StrategyFile(msgspec.Struct, frozen=True, kw_only=True):
        strategy: dict[str, object]
        name: str = DEFAULT_STRATEGY

    settings = convert(read_toml(file), StrategyFile, file)
    if not _STRATEGY_NAME.fullmatch(settings.name):
        raise ConfigError(file, "name", f"is not the name of a strategy: {shown(settings.name)}")
    if "markets" in settings.strategy:
        _check_markets(settings.strategy["markets"], file)
    return settings.name, settings.strategy, file


def effective(config: Config) -> str:
    """Every setting of the main file with the value in force, as TOML text. It holds no secret."""
    main = _MainFile(
        mode=config.mode,
        strategy=str(config.strategy_file.absolute()),
        venue=config.venue,
        wallet=config.wallet,
        risk=config.risk,
        state=StateSettings(directory=str(config.state_directory.parent)),
        log=config.log,
        http=config.http,
        alerts=config.alerts,
        sim=config.sim,
    )
    return render(main)


def _state_directory(state: StateSettings, mode: str, file: Path, environ: Mapping[str, str]) -> Path:
    """The folder for one mode's state: what was traded on the built-in exchange never meets what was traded live."""
    given = state.directory or environ.get("STATE_DIRECTORY", "").partition(":")[0] or "state"
    return (file.parent / given).absolute() / mode


def _refuse_secrets(table: Mapping[str, object], file: Path) -> None:
    """A key in a settings file ends in backups and in version control; say so before anything else."""
    for prefix, entries in (("", table), *((name, inner) for name, inner in table.items() if isinstance(inner, dict))):
        for name in entries:
            if re.search(r"private[_-]?key|secret|mnemonic|passphrase", name, re.IGNORECASE):
                raise ConfigError(
                    file,
                    f"{prefix}.{name}" if prefix else name,
                    "a secret never stands in a settings file: use MM_PRIVATE_KEY, MM_PRIVATE_KEY_FILE or "
                    "$CREDENTIALS_DIRECTORY/private_key",
                )


def _checked_url(key: str, url: str, secure: str, plain: str) -> str:
    """The URL without a slash at its end.

    Raises:
        ValueError: not a URL of these schemes, or one that would carry secrets in the open over the internet.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{key}: is not a URL: {error}") from None
    if parts.scheme not in (secure, plain):
        raise ValueError(f"{key}: must begin with {secure}:// or {plain}://")
    if not host or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(f"{key}: names no host")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(f"{key}: must not hold a user, a password, a query or a fragment")
    if parts.scheme == plain and not _is_local(host):
        raise ValueError(f"{key}: {plain}:// is only for this machine or a private network, use {secure}://")
    return url.rstrip("/")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_local(host: str) -> bool:
    if not _is_address(host):
        return "." not in host
    address = ipaddress.ip_address(host)
    return address.is_loopback or address.is_private


def _check_markets(markets: object, file: Path) -> None:
    key = "strategy.markets"
    if not isinstance(markets, list) or not all(isinstance(market, str) for market in markets):
        raise ConfigError(file, key, "must be a list of slugs or condition ids in quotes")
    if not markets:
        raise ConfigError(file, key, "is empty: name at least one market, by slug or condition id")
    if len(markets) > MAX_MARKETS:
        raise ConfigError(file, key, f"has {len(markets)} markets, more than {MAX_MARKETS}")
    seen: dict[str, int] = {}
    for index, market in enumerate(markets):
        here = f"{key}[{index}]"
        if market[:2] in ("0x", "0X") and not _CONDITION_ID.fullmatch(market):
            raise ConfigError(
                file, here, f"is not a condition id (0x and 62 or 64 hexadecimal digits): {shown(market)}"
            )
        if not _CONDITION_ID.fullmatch(market) and not _SLUG.fullmatch(market):
            raise ConfigError(
                file, here, f"is neither a slug (such as will-it-rain-2027) nor a condition id: {shown(market)}"
            )
        if market.lower() in seen:
            raise ConfigError(file, here, f"is the same market as {key}[{seen[market.lower()]}]: {shown(market)}")
        seen[market.lower()] = index


def _check_usd(key: str, value: Decimal) -> None:
    if value <= 0:
        raise ValueError(f"{key}: must be more than zero dollars, not {value}")
    if value > MAX_USD:
        raise ValueError(f"{key}: must be at most {MAX_USD} dollars, not {value}")
    if value != value.quantize(Decimal("0.000001")):
        raise ValueError(f"{key}: is finer than a millionth of a dollar: {value}")


def _check_range(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{key}: must be from {low} to {high}, not {value}")


def _cash(dollars: Decimal) -> Cash:
    return Cash(int(dollars * 1_000_000))
