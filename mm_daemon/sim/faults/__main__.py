"""An exchange with faults, for a parent process: `python -m mm_daemon.sim.faults --account 0x… [--seed K | --file F]`.

It announces {"url": …} on standard output and stops when standard input is closed. POST /faults/start lets the
schedule begin; POST /faults/now plays the faults in its body at once; GET /faults/report tells how the account stands.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

import msgspec
import uvloop
from aiohttp import web

from mm_daemon.sim.faults.monitor import AccountLimits, Monitor
from mm_daemon.sim.faults.play import FaultPlay
from mm_daemon.sim.faults.schedule import Fault, random_schedule
from mm_daemon.sim.http import answer
from mm_daemon.sim.main import Exchange, ExchangeOptions, running_exchange

_FAULTS = msgspec.json.Decoder(list[Fault])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mm_daemon.sim.faults", description=__doc__)
    parser.add_argument("--account", required=True, help="address of the account that is watched, and robbed")
    parser.add_argument("--seed", type=int, default=1, help="of the order flow, and of the faults if there is no file")
    parser.add_argument("--file", type=Path, help="a schedule: JSON, a list of faults")
    parser.add_argument("--duration", type=float, default=8.0, help="seconds in which random faults begin")
    parser.add_argument("--markets", type=int, default=2)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--no-flow", action="store_true", help="no simulated traders")
    parser.add_argument("--max-position", type=float, default=1e9, help="dollars, for each market")
    parser.add_argument("--max-total", type=float, default=1e9, help="dollars, over all markets")
    parser.add_argument("--max-open-orders", type=int, default=10**9)
    return parser.parse_args()


class Control:
    """The endpoints by which a parent steers faults and reads reports."""

    def __init__(self, play: FaultPlay, schedule: list[Fault]) -> None:
        self._play = play
        self._schedule = schedule
        self.monitor: Monitor | None = None

    def routes(self) -> list[web.RouteDef]:
        """The routes."""
        return [
            web.post("/faults/start", self.start),
            web.post("/faults/now", self.now),
            web.get("/faults/report", self.report),
        ]

    async def start(self, request: web.Request) -> web.Response:
        """POST /faults/start."""
        self._play.start(self._schedule)
        return answer({"faults": len(self._schedule)})

    async def now(self, request: web.Request) -> web.Response:
        """POST /faults/now: a list of faults, whose `at` counts from now."""
        self._play.start(_FAULTS.decode(await request.read()))
        return answer({})

    async def report(self, request: web.Request) -> web.Response:
        """GET /faults/report."""
        return answer(self.monitor.report() if self.monitor else {})


def _read_schedule(arguments: argparse.Namespace) -> list[Fault]:
    if arguments.file is not None:
        return _FAULTS.decode(arguments.file.read_bytes())
    return random_schedule(arguments.seed, arguments.duration, arguments.markets)


async def _parent_is_gone() -> None:
    """Wait until the other end of standard input is closed."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            gone.set()

    loop.add_reader(0, read)
    await gone.wait()


def _watch(exchange: Exchange, arguments: argparse.Namespace, play: FaultPlay) -> Monitor:
    limits = AccountLimits(
        max_position=arguments.max_position,
        max_total=arguments.max_total,
        max_open_orders=arguments.max_open_orders,
    )
    play.attach(exchange, arguments.account)
    return Monitor(exchange.venue, arguments.account, limits, play)


async def _serve(arguments: argparse.Namespace) -> None:
    play = FaultPlay(arguments.seed)
    control = Control(play, _read_schedule(arguments))
    options = ExchangeOptions(
        markets=arguments.markets, seed=arguments.seed, speed=arguments.speed, flow=not arguments.no_flow
    )
    async with running_exchange(options, middlewares=[play.middleware], routes=control.routes()) as exchange:
        control.monitor = _watch(exchange, arguments, play)
        sys.stdout.write(json.dumps({"url": exchange.url}) + "\n")
        sys.stdout.flush()
        await _parent_is_gone()


if __name__ == "__main__":
    uvloop.run(_serve(_arguments()))
