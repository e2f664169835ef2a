"""The commands. Each imports what it needs when it is called, so that `check-config` starts without a network library.

Exit codes: 0 done, 2 wrong configuration or arguments (nothing was sent); `run` adds its own, see `mm_daemon.app`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mm_daemon import __version__
from mm_daemon.toml_tables import ConfigError

if TYPE_CHECKING:
    from mm_daemon.config import Config
    from mm_daemon.credentials import PrivateKey
    from mm_daemon.http_token import HttpToken
    from mm_daemon.sim.main import ExchangeOptions

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_UNVERIFIED = 3

app = typer.Typer(
    help="A market-making daemon for Polymarket's order book.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="The main settings file.")]
Markets = Annotated[int, typer.Option(min=1, max=1000, help="How many markets the exchange has.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed makes the same order flow.")]
Speed = Annotated[float, typer.Option(min=0.01, max=1000, help="Simulated seconds for each real one.")]


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the process's exit code.

    Args:
        arguments: without the program's name; those of the process when left out.
    """
    if arguments is None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end_before_anything)
    try:
        app(args=arguments, prog_name="mm-daemon")
    except ConfigError as error:
        typer.echo(str(error), err=True)
        return EXIT_CONFIG
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _end_before_anything(_number: int, _frame: object) -> None:
    """A signal while the command is still being loaded: nothing was sent, and live, nothing verified. As a container's
    first process we would not even get it without a handler. The event loops put their own in its place."""
    raise SystemExit(EXIT_UNVERIFIED if "--live" in sys.argv else 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mm-daemon {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: ConfigFile,
    live: Annotated[
        bool, typer.Option("--live", help='Trade with real money; the file says mode = "live" too.')
    ] = False,
) -> None:
    """Run the daemon until SIGTERM or SIGINT."""
    from mm_daemon.config import load_config
    from mm_daemon.loading import load_daemon

    settings = load_config(config)
    check_two_steps(settings, live)
    load_daemon()

    from mm_daemon.alerting import load_webhook
    from mm_daemon.ops.logs import configure_logging
    from mm_daemon.process import run_daemon

    configure_logging(settings.log.level, settings.log.format)
    private_key = _take_private_key() if live else None
    http_token = _take_http_token(settings)
    webhook = load_webhook(settings)
    raise typer.Exit(run_daemon(settings, private_key=private_key, http_token=http_token, webhook=webhook))


def check_two_steps(config: Config, live: bool) -> None:
    """Live trading takes the word in the file and the flag on the command line; one without the other is a mistake.

    Raises:
        ConfigError: only one of the two is there.
    """
    if config.mode == "live" and not live:
        raise ConfigError(
            config.file, "mode", 'is "live", but --live is not on the command line: trading real money takes both'
        )
    if live and config.mode != "live":
        raise ConfigError(
            config.file, "mode", f'is "{config.mode}", but --live is on the command line: trading real money takes both'
        )


def _take_private_key() -> PrivateKey:
    from mm_daemon.credentials import forbid_core_dumps, load_private_key
    from mm_daemon.ops.logs import register_secret

    forbid_core_dumps()
    private_key = load_private_key()
    register_secret(private_key.reveal_hex())
    return private_key


def _take_http_token(config: Config) -> HttpToken | None:
    from mm_daemon.http_token import load_http_token
    from mm_daemon.ops.logs import register_secret

    token = load_http_token(config)
    if token is not None:
        register_secret(token.reveal())
    return token


Reason = Annotated[str, typer.Option("--reason", help="Why; it is logged and kept.")]


@app.command()
def pause(config: ConfigFile, reason: Reason = "") -> None:
    """Pull every quote of the running daemon until `resume`; a restart does not lift it."""
    _tell_running(config, "pause", reason)


@app.command()
def resume(config: ConfigFile, reason: Reason = "") -> None:
    """Lift every pause and kill of the running daemon, and end flattening."""
    _tell_running(config, "resume", reason)


@app.command()
def flatten(config: ConfigFile, reason: Reason = "") -> None:
    """Let the running daemon only reduce its positions, until `resume`."""
    _tell_running(config, "flatten", reason)


@app.command()
def reconcile(config: ConfigFile, reason: Reason = "") -> None:
    """Let the running daemon compare orders, trades, cash and holdings with the venue now."""
    _tell_running(config, "reconcile", reason)


@app.command("cancel-all")
def cancel_all(config: ConfigFile, reason: Reason = "") -> None:
    """Pause the running daemon and cancel every order of the account; without a daemon, with the key, the same."""
    from mm_daemon.config import load_config
    from mm_daemon.ops.control import NoDaemon

    try:
        _tell(config, "cancel-all", reason)
    except NoDaemon as absent:
        settings = load_config(config)
        if settings.mode != "live":
            typer.echo(str(absent), err=True)
            raise typer.Exit(EXIT_FAILED) from None
        _cancel_directly(settings, _take_private_key())


def _tell_running(config: Path, command: str, reason: str) -> None:
    """Send a command to the daemon of these settings, which has to run."""
    from mm_daemon.ops.control import NoDaemon

    try:
        _tell(config, command, reason)
    except NoDaemon as absent:
        typer.echo(str(absent), err=True)
        raise typer.Exit(EXIT_FAILED) from None


def _tell(config: Path, command: str, reason: str) -> None:
    """Send a command to the daemon of these settings and print its answer.

    Raises:
        NoDaemon: it does not run.
    """
    import asyncio

    from mm_daemon.config import load_config
    from mm_daemon.ops.control import send_command, socket_path

    reply = asyncio.run(send_command(socket_path(load_config(config).state_directory), command, reason))
    typer.echo(reply.text, err=not reply.ok)
    if not reply.ok:
        raise typer.Exit(EXIT_FAILED)


def _cancel_directly(config: Config, private_key: PrivateKey) -> None:
    import asyncio

    from mm_daemon.controls import cancel_everything
    from mm_daemon.exchange.errors import VenueError

    try:
        verdict = asyncio.run(cancel_everything(config, private_key))
    except VenueError as error:
        typer.echo(f"the account could not be reached: {error}", err=True)
        raise typer.Exit(EXIT_UNVERIFIED) from None
    typer.echo("no order rests: verified" if verdict.is_verified else "open orders could not be verified")
    raise typer.Exit(0 if verdict.is_verified else EXIT_UNVERIFIED)


@app.command("alert-test")
def alert_test(config: ConfigFile) -> None:
    """Send one alert to the webhook of these settings, for trial."""
    import asyncio

    from mm_daemon.alerting import send_test
    from mm_daemon.config import load_config

    problem = asyncio.run(send_test(load_config(config)))
    if problem is not None:
        typer.echo(f"the alert was not delivered: {problem}", err=True)
        raise typer.Exit(EXIT_FAILED)
    typer.echo("the webhook took the alert")


@app.command("check-config")
def check_config(config: ConfigFile) -> None:
    """Check the settings, also the strategy's, and print those in force."""
    from mm_daemon.config import effective, load_config, render
    from mm_daemon.plugins import load_strategy_settings

    settings = load_config(config)
    _, strategy = load_strategy_settings(settings)
    typer.echo(f"# {settings.file}\n{effective(settings)}")
    typer.echo(f"# {settings.strategy_file}\n{render(strategy, 'strategy')}", nl=False)


@app.command()
def health(config: ConfigFile) -> None:
    """Ask the running daemon whether it is alive; exit code 0 if it is, 1 if not or if none answers."""
    from mm_daemon.config import load_config
    from mm_daemon.health import ask_health

    answer = ask_health(load_config(config).http)
    typer.echo(answer.text, err=not answer.is_alive)
    raise typer.Exit(0 if answer.is_alive else EXIT_FAILED)


Json = Annotated[bool, typer.Option("--json", help="One JSON document, every amount as an exact decimal string.")]


@app.command()
def doctor(config: ConfigFile, as_json: Json = False) -> None:
    """Look at everything that can keep the daemon from trading, and say what to do; nothing is changed at the venue."""
    from mm_daemon.doctor import run_doctor

    raise typer.Exit(run_doctor(config, as_json=as_json))


@app.command()
def smoke(
    config: ConfigFile,
    live: Annotated[
        bool, typer.Option("--live", help='Place an order with real money; the file says mode = "live" too.')
    ] = False,
    market: Annotated[str, typer.Option("--market", help="Slug or condition id; else one of the strategy's.")] = "",
) -> None:
    """Place one order that nobody should take, see it, cancel it and see it gone."""
    from mm_daemon.config import load_config

    settings = load_config(config)
    check_two_steps(settings, live)
    if not live:
        raise ConfigError(settings.file, "mode", f'is "{settings.mode}": a smoke test is of the live account')
    private_key = _take_private_key()

    from mm_daemon.smoke import run_smoke

    raise typer.Exit(run_smoke(settings, private_key, market))


@app.command()
def status(config: ConfigFile, as_json: Json = False) -> None:
    """Show positions, orders, today's result, pauses and kills as the ledger has them."""
    from mm_daemon.report import show_status

    _show_ledger(config, lambda ledger: show_status(ledger, as_json=as_json))


@app.command()
def pnl(
    config: ConfigFile,
    days: Annotated[int, typer.Option(min=1, max=36_500, help="How many UTC days, today included.")] = 7,
    as_json: Json = False,
) -> None:
    """Show profit and loss per market and day, and what it is made of."""
    from mm_daemon.report import show_pnl

    _show_ledger(config, lambda ledger: show_pnl(ledger, days=days, as_json=as_json))


def _show_ledger(config: Path, show: Callable[[Path], str]) -> None:
    """Print what is made of the ledger; one line and exit code 2 where there is none that can be read."""
    from mm_daemon.books import ledger_file
    from mm_daemon.config import load_config
    from mm_daemon.journal.errors import LedgerError

    try:
        typer.echo(show(ledger_file(load_config(config).state_directory)))
    except LedgerError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_CONFIG) from None


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop after so long; without it, at Ctrl-C.")] = None,
    markets: Markets = 3,
    seed: Seed = 1,
    speed: Speed = 1,
) -> None:
    """Run the daemon against an exchange of its own, with simulated traders, and show what happens."""
    from mm_daemon.demo import run_demo

    raise typer.Exit(run_demo(markets=markets, seed=seed, speed=speed, seconds=seconds))


@app.command()
def exchange(
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes any free one.")] = 0,
    markets: Markets = 3,
    seed: Seed = 1,
    speed: Annotated[
        float,
        typer.Option(
            min=0, max=1000, help="Simulated seconds for each real one; a recording takes 0 as well: at once."
        ),
    ] = 1,
    starting_cash_usd: Annotated[int, typer.Option(min=1, max=10**9, help="What a new account holds.")] = 10_000,
    recording: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Serve this recording as the market data."),
    ] = None,
    no_flow: Annotated[bool, typer.Option("--no-flow", help="No simulated traders.")] = False,
    ready_json: Annotated[
        bool,
        typer.Option(
            "--ready-json", help='For a parent process: announce {"url": ...}, stop when standard input is closed.'
        ),
    ] = False,
) -> None:
    """Run the built-in exchange alone, on this machine only, until SIGTERM or SIGINT."""
    if not speed and recording is None:
        raise typer.BadParameter("0 is for a recording only", param_hint="--speed")

    import uvloop

    from mm_daemon.sim.main import ExchangeOptions

    options = ExchangeOptions(
        port=port,
        markets=markets,
        seed=seed,
        speed=speed,
        flow=not no_flow,
        recording=recording,
        starting_cash_usd=starting_cash_usd,
    )
    try:
        uvloop.run(_serve_until_told(options, for_parent=ready_json))
    except ValueError as error:
        raise ConfigError(str(recording or "exchange"), "", str(error)) from error
    except OSError as error:
        typer.echo(f"the exchange could not start on 127.0.0.1:{port}: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None


async def _serve_until_told(options: ExchangeOptions, *, for_parent: bool) -> None:
    """Serve until a signal, or until the parent's end of standard input is closed."""
    import asyncio
    import contextlib
    import json
    import os
    import signal

    from mm_daemon.sim.main import serve

    def announce(url: str) -> None:
        typer.echo(json.dumps({"url": url}) if for_parent else f"listening on {url}")

    def read_parent() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            serving.cancel()

    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(serve(options, announce))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    if for_parent:
        # Standard input that cannot be waited for, such as /dev/null, has no parent at its other end.
        with contextlib.suppress(OSError):
            loop.add_reader(0, read_parent)
    # wait() and not await: being cancelled is the ordinary end, and an error is raised as it was.
    await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()
