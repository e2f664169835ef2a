"""Settings: what is accepted, and that everything else is one line with the file, the key and a reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.config import (
    Config,
    ConfigError,
    SimSettings,
    WalletSettings,
    convert,
    effective,
    load_config,
    load_strategy_table,
    render,
)
from mm_daemon.core.units import Cash
from mm_daemon.plugins import load_strategy_settings

SHIPPED = Path(__file__).parent.parent / "config"
MINIMAL = 'mode = "sim"\nstrategy = "s.toml"\n'
FUNDER = "0x" + "aB" * 20


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    """Writes a main file and returns its path."""

    def write(content: str | bytes) -> Path:
        file = tmp_path / "mm-daemon.toml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


@pytest.fixture
def write_strategy(tmp_path: Path) -> Callable[[str], Config]:
    """Writes a strategy's file and returns the settings that name it."""

    def write(content: str) -> Config:
        (tmp_path / "s.toml").write_text(content)
        main = tmp_path / "mm-daemon.toml"
        main.write_text(MINIMAL)
        return load_config(main, {})

    return write


def refusal(call: Callable[[], object]) -> str:
    """The one line with which `call` refuses."""
    with pytest.raises(ConfigError) as caught:
        call()
    line = str(caught.value)
    assert line.isprintable(), "one line, nothing that moves a cursor"
    return line


def test_shipped_settings_are_the_defaults(tmp_path: Path) -> None:
    """The commented file says the truth: leaving out everything but mode and strategy gives the same settings."""
    shipped = load_config(SHIPPED / "mm-daemon.toml", {})
    (tmp_path / "mm-daemon.toml").write_text(MINIMAL)
    bare = load_config(tmp_path / "mm-daemon.toml", {})
    assert shipped.mode == "sim"
    for table in ("venue", "wallet", "risk", "log", "http", "alerts", "sim"):
        assert getattr(shipped, table) == getattr(bare, table)


def test_shipped_file_has_every_key() -> None:
    """No setting is hidden: each key that exists stands in the shipped file, if only as a comment."""
    text = (SHIPPED / "mm-daemon.toml").read_text()
    for table, keys in tomli.loads(effective(load_config(SHIPPED / "mm-daemon.toml", {}))).items():
        assert table in text
        for key in keys if isinstance(keys, dict) else ():
            assert f"\n{key} = " in text or f"\n# {key} = " in text, key


def test_shipped_strategy_is_accepted_by_its_plugin() -> None:
    """The shipped strategy file loads through the entry point that an installed plug-in comes by."""
    plugin, settings = load_strategy_settings(load_config(SHIPPED / "mm-daemon.toml", {}))
    assert plugin(settings).markets == ("demo-1",)


def test_shipped_strategy_file_has_every_key() -> None:
    """No key of the strategy is hidden either."""
    config = load_config(SHIPPED / "mm-daemon.toml", {})
    plugin, _ = load_strategy_settings(config)
    _, table, _ = load_strategy_table(config)
    assert set(table) == {field.encode_name for field in msgspec.structs.fields(plugin.config_type)}


def test_effective_settings_read_back_as_the_same(write: Callable[[str | bytes], Path], tmp_path: Path) -> None:
    """What check-config prints is a settings file, and means what it was printed from."""
    first = load_config(write(MINIMAL + '[wallet]\nfunder = "' + FUNDER + '"\n[sim]\nspeed = 2.50\n'), {})
    again = load_config(write(effective(first)), {})
    assert again == msgspec.structs.replace(first, strategy_file=tmp_path / "s.toml")


def test_decimals_are_exact(write: Callable[[str | bytes], Path]) -> None:
    """0.1 in the file is a tenth and not the nearest float."""
    config = load_config(write(MINIMAL + "[risk]\nmax_position_usd = 0.1\n"), {})
    assert config.risk.max_position_usd == Decimal("0.1")
    limits = config.risk.limits(Cash(10**12), Cash(10**12))
    assert (limits.max_position, limits.max_total_position) == (100_000, 1_000_000_000)


@pytest.mark.parametrize(
    ("given_in_file", "environ", "expected"),
    [
        ("", {}, "state"),
        ("", {"STATE_DIRECTORY": "/var/lib/x"}, "/var/lib/x"),
        ("", {"STATE_DIRECTORY": "/var/lib/x:/var/lib/y"}, "/var/lib/x"),
        ('[state]\ndirectory = "mine"\n', {"STATE_DIRECTORY": "/var/lib/x"}, "mine"),
        ('[state]\ndirectory = "/srv/mm"\n', {}, "/srv/mm"),
    ],
)
def test_state_directory(
    write: Callable[[str | bytes], Path], tmp_path: Path, given_in_file: str, environ: dict[str, str], expected: str
) -> None:
    """The file goes before systemd, systemd before the default; a relative one is relative to the file."""
    assert load_config(write(MINIMAL + given_in_file), environ).state_directory == tmp_path / expected / "sim"


BAD_MAIN: list[tuple[str, str, str]] = [
    # content, key, part of the reason
    ("", "mode", "is missing"),
    ('mode = "sim"', "strategy", "is missing"),
    ('mode = "paper"\nstrategy = "s"', "mode", '"sim" or "live", not "paper"'),
    ('mode = "Live"\nstrategy = "s"', "mode", 'did you mean "live"?'),
    ("mode = 1\nstrategy = 's'", "mode", "must be text in quotes, not a whole number"),
    ('mode = "sim"\nstrategy = " "', "strategy", "must name"),
    (MINIMAL + "riks = 1", "riks", "did you mean risk?"),
    (MINIMAL + "risk = 1", "risk", "must be a table"),
    (MINIMAL + "[[risk]]", "risk", "must be a table, not a list"),
    (
        MINIMAL + "[risk]\nmax_total_positon_usd = 1",
        "risk.max_total_positon_usd",
        "did you mean max_total_position_usd?",
    ),
    (MINIMAL + "[risk]\nMax-Open-Orders = 1", "risk.Max-Open-Orders", "did you mean max_open_orders?"),
    (MINIMAL + "[state]\nmax_open_orders = 1", "state.max_open_orders", "did you mean risk.max_open_orders?"),
    (MINIMAL + "[risk]\nzzz = 1", "risk.zzz", "known here: max_position_usd"),
    (MINIMAL + '[risk]\n"a\\nb" = 1', 'risk."a\\U0000000ab"', "unknown key"),
    (MINIMAL + '[risk]\n"\\u202e" = 1', "risk.", "unknown key"),
    (MINIMAL + "[risk]\nmax_position_usd = true", "risk.max_position_usd", "must be a number, not true or false"),
    (MINIMAL + '[risk]\nmax_position_usd = "250"', "risk.max_position_usd", "must be a number, not text"),
    (MINIMAL + "[risk]\nmax_position_usd = [1]", "risk.max_position_usd", "must be a number, not a list"),
    (MINIMAL + "[risk]\nmax_position_usd = 2020-01-01", "risk.max_position_usd", "must be a number, not a date"),
    (MINIMAL + "[risk]\nmax_position_usd = -1", "risk.max_position_usd", "more than zero"),
    (MINIMAL + "[risk]\nmax_position_usd = 0.0", "risk.max_position_usd", "more than zero"),
    (MINIMAL + "[risk]\nmax_position_usd = 0.0000001", "risk.max_position_usd", "finer than a millionth"),
    (MINIMAL + "[risk]\nmax_position_usd = 1e10", "risk.max_position_usd", "at most"),
    (MINIMAL + "[risk]\nmax_position_usd = 1e99", "risk.max_position_usd", "more digits"),
    (MINIMAL + "[risk]\nmax_position_usd = 1e-99", "risk.max_position_usd", "more digits"),
    (MINIMAL + "[risk]\nmax_position_usd = inf", "risk.max_position_usd", "finite"),
    (MINIMAL + "[risk]\nmax_position_usd = nan", "risk.max_position_usd", "finite"),
    (MINIMAL + "[risk]\nmax_position_usd = 2000", "risk.max_position_usd", "more than max_total_position_usd"),
    (MINIMAL + "[risk]\nmax_open_orders = 1.0", "risk.max_open_orders", "must be a whole number, not a number"),
    (MINIMAL + "[risk]\nmax_open_orders = true", "risk.max_open_orders", "must be a whole number, not true or false"),
    (MINIMAL + "[risk]\nmax_open_orders = 0", "risk.max_open_orders", "from 1 to 10000, not 0"),
    (MINIMAL + f"[risk]\nmax_open_orders = {10**60}", "risk.max_open_orders", "more digits"),
    (MINIMAL + '[risk]\norders_at_start = "keep"', "risk.orders_at_start", '"cancel" or "adopt"'),
    (MINIMAL + '[log]\nlevel = "verbose"', "log.level", '"debug" or "info" or "warning" or "error"'),
    (MINIMAL + '[log]\nlevel = "warn"', "log.level", 'did you mean "warning"?'),
    (MINIMAL + '[log]\nformat = "xml"', "log.format", '"auto" or "console" or "json"'),
    (MINIMAL + '[alerts]\nform = "telegram"', "alerts.telegram_chat_id", "is needed"),
    (MINIMAL + '[alerts]\ntelegram_chat_id = "1"', "alerts.telegram_chat_id", "not generic"),
    (MINIMAL + '[alerts]\nform = "slak"', "alerts.form", 'did you mean "slack"?'),
    (MINIMAL + "[alerts]\nrepeat_secs = 1", "alerts.repeat_secs", "from 10 to 86400"),
    (MINIMAL + '[alerts]\ninstance = "two\\nlines"', "alerts.instance", "one line"),
    (MINIMAL + '[venue]\nclob_url = "ftp://x"', "venue.clob_url", "https:// or http://"),
    (MINIMAL + '[venue]\nclob_url = "wss://x.com"', "venue.clob_url", "https:// or http://"),
    (MINIMAL + '[venue]\nuser_ws_url = "https://x.com"', "venue.user_ws_url", "wss:// or ws://"),
    (MINIMAL + '[venue]\nclob_url = "https://"', "venue.clob_url", "names no host"),
    (MINIMAL + '[venue]\nclob_url = ""', "venue.clob_url", "must begin with"),
    (MINIMAL + '[venue]\nclob_url = "https://a b.com"', "venue.clob_url", "names no host"),
    (MINIMAL + '[venue]\nclob_url = "https://x.com:port"', "venue.clob_url", "is not a URL"),
    (MINIMAL + '[venue]\nclob_url = "https://[::1"', "venue.clob_url", "is not a URL"),
    (MINIMAL + '[venue]\nclob_url = "https://me:pw@x.com"', "venue.clob_url", "must not hold a user"),
    (MINIMAL + '[venue]\nclob_url = "https://x.com?key=1"', "venue.clob_url", "must not hold"),
    (MINIMAL + '[venue]\nclob_url = "http://clob.polymarket.com"', "venue.clob_url", "use https://"),
    (MINIMAL + '[venue]\nuser_ws_url = "ws://8.8.8.8/ws"', "venue.user_ws_url", "use wss://"),
    (MINIMAL + "[venue]\nchain_id = 1", "venue.chain_id", "137"),
    (MINIMAL + "[wallet]\nsignature_type = 4", "wallet.signature_type", "not 4"),
    (MINIMAL + "[wallet]\nsignature_type = -1", "wallet.signature_type", "not -1"),
    (MINIMAL + '[wallet]\nfunder = "0x12"', "wallet.funder", "40 hexadecimal digits"),
    (MINIMAL + f'[wallet]\nfunder = "{"ab" * 20}"', "wallet.funder", "0x and 40"),
    (MINIMAL + f'[wallet]\nfunder = "0x{"0" * 40}"', "wallet.funder", "zero address"),
    ('mode = "live"\nstrategy = "s"', "wallet.funder", "is needed in live mode"),
    (MINIMAL + "[sim]\nmarkets = 0", "sim.markets", "from 1 to 1000"),
    (MINIMAL + "[sim]\nseed = -1", "sim.seed", "from 0"),
    (MINIMAL + "[sim]\nspeed = 0", "sim.speed", "from 0.01"),
    (MINIMAL + "[sim]\nstarting_cash_usd = 0", "sim.starting_cash_usd", "from 1 to"),
    (MINIMAL + "[http]\nport = 65536", "http.port", "from 0 to 65535"),
    (MINIMAL + '[http]\nhost = ""', "http.host", "an address of this machine"),
    (MINIMAL + '[http]\nhost = "a b"', "http.host", "an address of this machine"),
    (MINIMAL + '[http]\nenabled = "no"', "http.enabled", "must be true or false"),
    (MINIMAL + '[http]\ntoken = "x"', "http.token", "unknown"),
    (MINIMAL + "[state]\ndirectory = 1", "state.directory", "must be text in quotes"),
]


@pytest.mark.parametrize(("content", "key", "reason"), BAD_MAIN, ids=[key for _, key, _ in BAD_MAIN])
def test_bad_main_file(write: Callable[[str | bytes], Path], content: str, key: str, reason: str) -> None:
    """Every mistake is one line: the file, the dotted key, the reason."""
    file = write(content)
    line = refusal(lambda: load_config(file, {}))
    assert line.startswith(f"{file}: {key}")
    assert reason in line


@pytest.mark.parametrize("key", ["private_key", "privatekey", "PRIVATE-KEY", "api_secret", "passphrase", "mnemonic"])
@pytest.mark.parametrize("table", ["", "[wallet]\n"])
def test_a_secret_in_the_file_is_refused_and_not_repeated(
    write: Callable[[str | bytes], Path], key: str, table: str
) -> None:
    """Somebody who pastes a key into the file is told where it belongs, without the key being printed."""
    line = refusal(lambda: load_config(write(f'{MINIMAL}{table}{key} = "{"ab" * 32}"'), {}))
    assert "MM_PRIVATE_KEY" in line
    assert "abab" not in line


def test_a_key_pasted_as_funder_is_not_repeated(write: Callable[[str | bytes], Path]) -> None:
    """The commonest slip, the private key in place of the address, does not reach the terminal."""
    line = refusal(lambda: load_config(write(f'{MINIMAL}[wallet]\nfunder = "0x{"ab" * 32}"'), {}))
    assert "abab" not in line


@pytest.mark.parametrize("signature_type", [1, 2, 3])
def test_live_needs_a_funder(write: Callable[[str | bytes], Path], signature_type: int) -> None:
    """A wallet that is not the key's own address has to be named; any letter case will do."""
    content = f'mode = "live"\nstrategy = "s"\n[wallet]\nsignature_type = {signature_type}\n'
    assert "wallet.funder" in refusal(lambda: load_config(write(content), {}))
    assert load_config(write(f'{content}funder = "{FUNDER}"'), {}).wallet.funder == FUNDER


def test_live_with_the_keys_own_address_needs_no_funder(write: Callable[[str | bytes], Path]) -> None:
    """Type 0 trades from the key's own address."""
    config = load_config(write('mode = "live"\nstrategy = "s"\n[wallet]\nsignature_type = 0\n'), {})
    assert config.wallet == WalletSettings(signature_type=0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://localhost", "http://[::1]:80", "http://exchange:1"])
def test_plain_http_on_a_private_network(write: Callable[[str | bytes], Path], url: str) -> None:
    """A venue on this machine or in the same container network needs no TLS; a slash at the end is dropped."""
    assert load_config(write(f'{MINIMAL}[venue]\nclob_url = "{url}"'), {}).venue.clob_url == url.rstrip("/")


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is named."""
    assert refusal(lambda: load_config(tmp_path / "x.toml")) == f"{tmp_path / 'x.toml'}: no such file"


def test_unreadable_files(write: Callable[[str | bytes], Path], tmp_path: Path) -> None:
    """A directory, text that is not UTF-8, text that is not TOML and a huge file are told apart, with the line."""
    assert "cannot be read: Is a directory" in refusal(lambda: load_config(tmp_path))
    assert "not UTF-8 text (at line 2)" in refusal(lambda: load_config(write(b"# x\n# \xff\n")))
    assert "not TOML" in refusal(lambda: load_config(write("mode = \n")))
    assert "at line 2, column" in refusal(lambda: load_config(write("mode = 1\nmode = 2\n")))
    assert "larger than" in refusal(lambda: load_config(write("#" * 1_000_001)))
    assert "not TOML" in refusal(lambda: load_config(write("a = " + "[" * 100_000)))
    assert "not TOML" in refusal(lambda: load_config(write("a = " + "9" * 10_000)))
    assert "not TOML" in refusal(lambda: load_config(write("a = 1e99999999999999999999")))


def test_strategy_file_missing_or_unnameable(write: Callable[[str | bytes], Path]) -> None:
    """The strategy's file is named as such, resolved against the main file's folder."""
    config = load_config(write(MINIMAL), {})
    assert refusal(lambda: load_strategy_table(config)) == f"{config.strategy_file}: no such file"
    config = load_config(write('mode = "sim"\nstrategy = "a\\u0000b"\n'), {})
    assert "not the name of a file" in refusal(lambda: load_strategy_table(config))


BAD_STRATEGY: list[tuple[str, str, str]] = [
    ("", "strategy", "is missing"),
    ("strategy = 1", "strategy", "must be a table"),
    ("nam = 'x'\n[strategy]", "nam", "did you mean name?"),
    ("name = '../x'\n[strategy]", "name", "is not the name of a strategy"),
    ("name = 'liquidity_provison'\n[strategy]\nmarkets = ['a']", "name", "did you mean liquidity_provision?"),
    ("name = 'zzz'\n[strategy]\nmarkets = ['a']", "name", "installed: "),
    ("[strategy]\nmarkets = []", "strategy.markets", "is empty"),
    ("[strategy]\nmarkets = 'a'", "strategy.markets", "must be a list"),
    ("[strategy]\nmarkets = [1]", "strategy.markets", "must be a list"),
    ("[strategy]\nmarkets = ['a', 'b', 'a']", "strategy.markets[2]", "the same market as strategy.markets[0]"),
    ("[strategy]\nmarkets = ['a b']", "strategy.markets[0]", "neither a slug"),
    ("[strategy]\nmarkets = ['a\\b']", "strategy.markets[0]", "neither a slug"),
    ("[strategy]\nmarkets = ['']", "strategy.markets[0]", "neither a slug"),
    ("[strategy]\nmarkets = ['../etc']", "strategy.markets[0]", "neither a slug"),
    ("[strategy]\nmarkets = ['0x12']", "strategy.markets[0]", "is not a condition id"),
    (f"[strategy]\nmarkets = ['0x{'g' * 64}']", "strategy.markets[0]", "is not a condition id"),
    (f"[strategy]\nmarkets = ['0x{'ab' * 32}', '0x{'AB' * 32}']", "strategy.markets[1]", "the same market"),
    ("[strategy]\nbase_spred_pct = 1\nmarkets = ['a']", "strategy.base_spred_pct", "did you mean base_spread_pct?"),
    ("[strategy]\nbase_spread_pct = 0\nmarkets = ['a']", "strategy.base_spread_pct", ""),
    ("[strategy]\nbase_spread_pct = -0.1\nmarkets = ['a']", "strategy.base_spread_pct", ""),
    ("[strategy]\nbase_spread_pct = 1\nmarkets = ['a']", "strategy.base_spread_pct", ""),
    ("[strategy]\nbase_spread_pct = '0.1'\nmarkets = ['a']", "strategy.base_spread_pct", "not text"),
    ("[strategy]\norder_size_usd = 0\nmarkets = ['a']", "strategy.order_size_usd", ""),
    ("[strategy]\norder_size_usd = true\nmarkets = ['a']", "strategy.order_size_usd", "must be a number"),
    ("[strategy]\ncancel_on_fill = 1\nmarkets = ['a']", "strategy.cancel_on_fill", "must be true or false"),
    ("[strategy]\nrefresh_interval_secs = 0\nmarkets = ['a']", "strategy.refresh_interval_secs", ""),
]


@pytest.mark.parametrize(("content", "key", "reason"), BAD_STRATEGY, ids=[key for _, key, _ in BAD_STRATEGY])
def test_bad_strategy_file(write_strategy: Callable[[str], Config], content: str, key: str, reason: str) -> None:
    """A mistake in the strategy's file reads like one in the main file."""
    config = write_strategy(content)
    line = refusal(lambda: load_strategy_settings(config))
    assert line.startswith(f"{config.strategy_file}: {key}: ")
    assert reason in line


class Inner(msgspec.Struct, frozen=True):
    """A table in a plug-in's table."""

    level_pct: Decimal = Decimal("0.1")


class Plugin(msgspec.Struct, frozen=True):
    """The settings of somebody else's strategy."""

    steps: tuple[Decimal, ...]
    size: Decimal
    limit: Decimal | None = None
    inner: Inner = Inner()

    def __post_init__(self) -> None:
        if self.size <= 0:
            raise ValueError("size: must be more than zero")


def plugin_table(**entries: object) -> dict[str, object]:
    """A good table with some entries replaced."""
    return {"steps": [Decimal("0.5"), 1], "size": 1} | entries


def test_a_plugin_brings_its_own_settings() -> None:
    """Whole numbers and decimals both become `Decimal`, in lists and nested tables too."""
    settings = convert(plugin_table(limit=Decimal("1.5"), inner={"level_pct": 0}), Plugin, Path("s.toml"), "strategy")
    assert settings == Plugin(
        steps=(Decimal("0.5"), Decimal(1)), size=Decimal(1), limit=Decimal("1.5"), inner=Inner(level_pct=Decimal(0))
    )


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (plugin_table(size=-1), "s.toml: strategy.size: must be more than zero"),
        (plugin_table(limit="1"), "s.toml: strategy.limit: must be a number, not text in quotes"),
        (plugin_table(steps=[1, "2"]), "s.toml: strategy.steps: must be a number, not text in quotes"),
        (plugin_table(steps=[1, True]), "s.toml: strategy.steps[1]: must be a number, not true or false"),
        (
            plugin_table(inner={"levle_pct": 1}),
            "s.toml: strategy.inner.levle_pct: unknown key, did you mean level_pct?",
        ),
        (plugin_table(inner={"level_pct": []}), "s.toml: strategy.inner.level_pct: must be a number, not a list"),
        ({"steps": []}, "s.toml: strategy.size: is missing and has no default"),
    ],
)
def test_a_plugins_mistakes(table: dict[str, object], line: str) -> None:
    """A plug-in's table is refused in the same words as our own."""
    assert refusal(lambda: convert(table, Plugin, Path("s.toml"), "strategy")) == line


@given(
    text=st.text(max_size=30),
    speed=st.decimals(min_value=Decimal("0.01"), max_value=1000, places=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_rendering_round_trips(text: str, speed: Decimal, seed: int) -> None:
    """Whatever the values, the printed settings are TOML that says the same."""

    class Everything(msgspec.Struct, frozen=True):
        sim: SimSettings
        words: tuple[str, ...]
        flag: bool = True

    settings = Everything(sim=SimSettings(speed=speed, seed=seed), words=(text, "x"))
    table = tomli.loads(render(settings), parse_float=Decimal)
    assert convert(table, Everything, Path("x")) == settings


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_settings_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """No file makes anything but settings or a refusal of one line."""
    file = tmp_path_factory.getbasetemp() / "fuzz.toml"
    file.write_bytes(content)
    refusal(lambda: load_config(file, {}))


def test_the_shipped_folder_can_be_copied(tmp_path: Path) -> None:
    """The strategy's file is found from the main file, not from the working directory."""
    shutil.copytree(SHIPPED, tmp_path / "etc")
    _, _, file = load_strategy_table(load_config(tmp_path / "etc" / "mm-daemon.toml", {}))
    assert file == tmp_path / "etc" / "strategies" / "liquidity_provision.toml"
