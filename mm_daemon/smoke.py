"""`mm-daemon smoke --live`: one order that nobody should want, placed, seen, cancelled and seen gone.

A bid of the market's smallest size at its lowest price, post-only, far from everybody else's. It costs nothing unless
somebody sells for next to nothing. Whatever happens, a signal included, it is cancelled before the end, and the exit
code says what was verified. The wallet's lock keeps it away from a daemon.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import uvloop

from mm_daemon.app import ExitCode
from mm_daemon.config import Config, ConfigError
from mm_daemon.connection import Connection, polymarket
from mm_daemon.core.desk import Desk
from mm_daemon.core.units import Cash
from mm_daemon.credentials import PrivateKey
from mm_daemon.ops.lock import LockHeld, wallet_lock
from mm_daemon.ops.logs import configure_logging
from mm_daemon.plugins import load_strategy_settings
from mm_daemon.process import STOP_SIGNALS
from mm_daemon.trial import SmokeFailed, Trial, say

MARKETS_TRIED = 10


def run_smoke(config: Config, private_key: PrivateKey, market: str) -> int:
    """Run the test and print each step.

    Args:
        config: a live one.
        private_key: of the account.
        market: slug or condition id; "" takes the first of the strategy's markets that will do.

    Returns:
        0 done and verified gone; 1 a step failed or a signal came, verified that nothing rests; 2 no such market;
        3 the order may rest; 4 the venue refuses; 5 a daemon trades this wallet.

    Raises:
        ConfigError: the settings are wrong.
    """
    configure_logging("warning", config.log.format)
    if market:
        refs: Sequence[str] = [market]
    else:
        plugin, settings = load_strategy_settings(config)
        refs = plugin(settings).markets[:MARKETS_TRIED]
    return uvloop.run(_smoke(config, private_key, refs))


async def _smoke(config: Config, private_key: PrivateKey, refs: Sequence[str]) -> ExitCode:
    """Take the lock, connect, run the trial. Until something is sent, a signal just ends it."""
    begun = asyncio.current_task()
    assert begun is not None
    on_stop(begun.cancel)
    connection: Connection | None = None
    try:
        connection = _connect(config, private_key)
        with _lock(config, connection.wallet):
            return await _try(Trial(connection, refs))
    except asyncio.CancelledError:
        say("interrupted: nothing was sent")
        return ExitCode.FAILED
    except LockHeld as held:
        say(f"fail  {held}")
        return ExitCode.LOCKED
    finally:
        if connection is not None:
            await connection.venue.close()


def _connect(config: Config, private_key: PrivateKey) -> Connection:
    try:
        return polymarket(config, private_key, Desk(config.risk.limits(Cash(0), Cash(0))))
    except ValueError as error:
        raise ConfigError(config.file, "wallet", str(error)) from error


@contextmanager
def _lock(config: Config, wallet: str) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(wallet_lock(config.state_directory, wallet))
        except OSError as error:
            raise ConfigError(config.file, "state.directory", str(error)) from error
        yield


def on_stop(act: Callable[[], object]) -> None:
    """From now on a signal to stop does this."""
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, act)


async def _try(trial: Trial) -> ExitCode:
    """Run the steps, clean up whatever became of them, and say how it ended."""
    steps = asyncio.create_task(trial.run())
    on_stop(steps.cancel)
    await asyncio.wait({steps})
    on_stop(lambda: None)  # one signal is enough; what follows has a deadline
    is_gone = await trial.clean_up()
    if not is_gone:
        say(f"fail  order {trial.order_id} may rest: `mm-daemon cancel-all` cancels everything of this account")
        return ExitCode.UNVERIFIED
    if steps.cancelled():
        say("interrupted: verified that nothing rests")
        return ExitCode.FAILED
    error = steps.exception()
    if error is not None:
        if not isinstance(error, SmokeFailed):
            raise error
        say(f"fail  {error}")
        return error.code
    say("done: placed, seen, cancelled, gone")
    return ExitCode.STOPPED
