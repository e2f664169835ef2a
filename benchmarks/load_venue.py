"""The venue of the load benchmark: many markets, and as many frames as the bot can take.

    python -m benchmarks.load_venue --markets N

It prints {"url": ...} and obeys one command a line on standard input, with one answer a line. Frames are made before
the clock runs. All change levels behind the touch, which asks nothing of a bot but to keep its book; a *move* changes a
market's touch by one tick, which makes the daemon replace both its quotes. Moved markets get no other frames.

    quotes   wait until so many orders rest
    flood    frames as fast as the bot's sockets take them, then a move on each: done when the bot has answered them
    pace     frames at a steady rate, and a move every half second: how fast each was answered
    burst    a move of every market at once: how long until each was requoted, which were left out, and how
             many orders the one with most had
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

import msgspec

from benchmarks.given import Tape, market, price_change
from benchmarks.venue import SHARES, Venue
from benchmarks.wire import Connection, NotFound, Request, text_frame
from mm_daemon.core.market import Market
from mm_daemon.core.units import Price, Side, Size, TokenId

LEVELS = 40
CHUNK = 25
"""Frames in one write; TCP would join them anyway, and the venue's own time is not what is measured."""
DISTINCT_FRAMES = 20_000
MOVE_EVERY_SECS = 0.5
ANSWER_SECS = 30.0
BURST_SECS = 90.0


class _Subscription(msgspec.Struct):
    assets_ids: list[TokenId] = []


class Crowd(Venue):
    """A venue of many markets whose frames are made beforehand."""

    def __init__(self, markets: int) -> None:
        super().__init__([market(number) for number in range(markets)])
        self.tapes = {each.yes: Tape(each, LEVELS, seed=number) for number, each in enumerate(self.markets.values())}
        for tape in self.tapes.values():
            bid, ask = tape.touch
            tape.bids[bid] = tape.asks[ask] = SHARES  # more than our own order there, which is not on this book
        self.sockets: dict[TokenId, Connection] = {}
        self.posted: list[tuple[TokenId, int]] = []
        self._raised: set[TokenId] = set()

    def _subscribed(self, path: str, socket: Connection, text: bytes) -> None:
        if path == "/ws/user":
            self._user_socket = socket
            return
        for token in msgspec.json.decode(text, type=_Subscription).assets_ids:
            if token in self.tapes:
                self.sockets[token] = socket
                socket.send_text(text_frame(self.tapes[token].snapshot().encode()))
        self.changed.set()

    def _answer(self, request: Request) -> Any:
        if request.path == "/book":
            raise NotFound  # books move too fast here to be audited
        return super()._answer(request)

    def _post(self, request: Request) -> list[dict[str, object]]:
        verdicts = super()._post(request)
        ids = [str(verdict["orderID"]) for verdict in verdicts]
        self.posted += [(TokenId(self.resting[id]["asset_id"]), request.arrived_ns) for id in ids]
        return verdicts

    def move(self, of: Market) -> bytes:
        """The frame of a bid one tick better than the touch, or of its end."""
        tape = self.tapes[of.yes]
        bid, ask = tape.touch
        better = Price(bid + of.tick)
        self._raised ^= {of.yes}
        is_up = of.yes in self._raised
        self._time_ms += 1
        size, touch = (SHARES, (better, ask)) if is_up else (Size(0), (bid, ask))
        return text_frame(price_change(of, [(Side.BUY, better, size)], touch, self._time_ms).encode())

    @property
    def first_of_sockets(self) -> list[Market]:
        """The first market of each socket."""
        return list({self.sockets[of.yes]: of for of in reversed(self.markets.values())}.values())

    def chunks(self, quiet: int = 0) -> Iterator[tuple[Connection, bytes]]:
        """Writes of `CHUNK` frames without end, socket by socket; the first `quiet` markets are left out."""
        tapes: dict[Connection, list[Tape]] = {}
        for tape in list(self.tapes.values())[quiet:]:
            tapes.setdefault(self.sockets[tape.market.yes], []).append(tape)
        turns = random.Random(1)
        made = [
            (socket, b"".join(text_frame(turns.choice(of).change().encode()) for _ in range(CHUNK)))
            for (socket, of), _ in zip(cycle(tapes.items()), range(DISTINCT_FRAMES // CHUNK), strict=False)
        ]
        return cycle(made)

    async def answered(self, of: Market, since_ns: int, secs: float = ANSWER_SECS) -> int:
        """When the first order for a market came since then."""
        async with asyncio.timeout(secs):
            while True:
                for token, at_ns in self.posted:
                    if at_ns >= since_ns and token in of.tokens:
                        return at_ns
                self.changed.clear()
                await self.changed.wait()

    # Commands

    async def quotes(self, orders: int, secs: float) -> dict[str, float]:
        """Wait until so many orders rest."""
        async with asyncio.timeout(secs):
            while len(self.resting) < orders:
                self.changed.clear()
                await self.changed.wait()
        return {"first_ns": self.posted[0][1], "orders": len(self.resting)}

    async def flood(self, frames: int) -> dict[str, float]:
        """Frames as fast as they are taken; the clock stops when the bot has answered a move behind them on each.

        The moves are taken back, and that is answered too: two moves at once would be none.
        """
        moved = self.first_of_sockets
        chunks = self.chunks()
        began_ns = time.monotonic_ns()
        for _ in range(frames // CHUNK):
            socket, chunk = next(chunks)
            socket.send_text(chunk)
            if not socket.writable.is_set():
                await socket.writable.wait()
        last_ns = await self._move_all(moved)
        await self._move_all(moved)
        return {"frames": frames, "secs": (last_ns - began_ns) / 1e9}

    async def _move_all(self, moved: Sequence[Market]) -> int:
        """Move these; returns when the last was answered."""
        since_ns = time.monotonic_ns()
        for of in moved:
            self.sockets[of.yes].send_text(self.move(of))
        return max([await self.answered(of, since_ns) for of in moved])

    async def pace(self, per_sec: float, secs: float, moved: int) -> dict[str, object]:
        """Frames at a steady rate; the first `moved` markets take turns in being moved."""
        chunks, loop = self.chunks(quiet=moved), asyncio.get_running_loop()
        movable = cycle(list(self.markets.values())[:moved])
        began, sent, reactions = loop.time(), 0, []
        next_move = began + MOVE_EVERY_SECS
        waiting: list[asyncio.Task[int]] = []
        while loop.time() - began < secs:
            while sent < (loop.time() - began) * per_sec:
                socket, chunk = next(chunks)
                socket.send_text(chunk)
                sent += CHUNK
            if moved and loop.time() >= next_move:
                next_move += MOVE_EVERY_SECS
                waiting.append(asyncio.create_task(self._time_move(next(movable))))
            await asyncio.sleep(0.005)
        reactions = [await task for task in waiting]
        return {"frames": sent, "secs": loop.time() - began, "reactions_ns": reactions}

    async def _time_move(self, of: Market) -> int:
        frame = self.move(of)
        sent_ns = time.monotonic_ns()
        self.sockets[of.yes].send_text(frame)
        return await self.answered(of, sent_ns) - sent_ns

    async def burst(self) -> dict[str, object]:
        """Every market's touch moves at once."""
        frames = [(self.sockets[of.yes], self.move(of)) for of in self.markets.values()]
        self.posted.clear()
        began_ns = time.monotonic_ns()
        for socket, frame in frames:
            socket.send_text(frame)
        wanted = set(self.markets)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BURST_SECS):
                while wanted - self._posted_markets():
                    self.changed.clear()
                    await self.changed.wait()
        orders = Counter(self.of_token[token].condition_id for token, _ in self.posted)
        last_ns = max(at_ns for _, at_ns in self.posted)
        return {
            "secs": (last_ns - began_ns) / 1e9,
            "most_orders_of_one": max(orders.values()),
            "left_out": sorted(self.markets[id].slug for id in wanted - self._posted_markets()),
        }

    def _posted_markets(self) -> set[str]:
        return {self.of_token[token].condition_id for token, _ in self.posted}


async def serve(markets: int) -> None:
    """Serve, and obey, until standard input is closed."""
    crowd = Crowd(markets)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(crowd.connection, "127.0.0.1", 0)
    _tell({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        command = msgspec.json.decode(line)
        _tell(await getattr(crowd, command.pop("do"))(**command))


def _tell(message: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--markets", type=int, required=True)
    asyncio.run(serve(parser.parse_args().markets))


if __name__ == "__main__":
    main()
