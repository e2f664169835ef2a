"""A person's commands to a daemon: through its control socket, or without a daemon straight to the venue."""

from __future__ import annotations

import time
from collections.abc import Mapping

from mm_daemon.config import Config
from mm_daemon.connection import polymarket
from mm_daemon.core.desk import Desk
from mm_daemon.core.units import Cash
from mm_daemon.credentials import PrivateKey
from mm_daemon.engine import Engine
from mm_daemon.exchange.api import Complete, Venue
from mm_daemon.exchange.errors import VenueError
from mm_daemon.ops.control import Handler, Refused
from mm_daemon.tasks.order_manager import OrderManager
from mm_daemon.tasks.shutdown import Verdict, stop_trading

CANCEL_SECS = 10.0


def handlers(engine: Engine, venue: Venue) -> Mapping[str, Handler]:
    """What a running daemon can be told."""
    guard, quoting, manager = engine.guard, engine.quoting, engine.manager

    async def resume(reason: str) -> str:
        quoting.flatten(False)
        return await guard.resume(reason)

    async def flatten(reason: str) -> str:
        if guard.halts:
            raise Refused(f"quoting is halted ({', '.join(guard.halts)}): resume first")
        quoting.flatten(True)
        return "flattening: only orders that reduce positions rest from now on; `resume` quotes again"

    async def cancel_all(reason: str) -> str:
        await guard.pause(reason or "cancel-all")
        try:
            manager.receive_cancels(await venue.cancel_all())
        except VenueError as error:
            raise Refused(f"paused, but not cancelled: {error}") from error
        match await venue.open_orders():
            case Complete(resting):
                return f"paused; {len(resting)} orders rest at the venue; `resume` quotes again"
            case unread:
                raise Refused(f"paused and cancelled, but what rests could not be read: {unread.reason}")

    async def reconcile(reason: str) -> str:
        before = engine.reconciler.repairs + engine.balances.repairs
        if not await engine.reconciler.read_once():
            raise Refused("orders or trades could not be read: nothing was changed")
        await engine.balances.check_all()
        repaired = engine.reconciler.repairs + engine.balances.repairs - before
        return f"orders, trades, cash and holdings were read; {repaired} differences were put right"

    return {
        "reconcile": reconcile,
        "pause": guard.pause,
        "resume": resume,
        "flatten": flatten,
        "cancel-all": cancel_all,
    }


async def cancel_everything(config: Config, private_key: PrivateKey) -> Verdict:
    """Cancel every order of the account and verify it, without a daemon.

    Raises:
        VenueError: the account could not be reached.
    """
    no_limits = config.risk.limits(Cash(0), Cash(0))
    desk = Desk(no_limits)
    venue = polymarket(config, private_key, desk).venue
    try:
        await venue.connect()
        manager = OrderManager(desk, venue, time.monotonic_ns)
        return await stop_trading(desk, venue, manager, CANCEL_SECS, time.monotonic_ns)
    finally:
        await venue.close()
