"""The floor: a bot that keeps no book and answers with the same signed orders. `python -m benchmarks.floor URL [TOKEN]`

It answers each frame; given a token it subscribes to it and answers only frames that hold the price 0.5, a *move* of
`load_venue`, so that it shows how many frames the libraries alone can take.

It uses what the daemon uses (uvloop, websockets, aiohttp) with the daemon's own batch of two orders, so the distance
between the two is what the daemon's own code costs.
"""

from __future__ import annotations

import sys

import aiohttp
import uvloop
from websockets.asyncio.client import connect
from yarl import URL

from benchmarks.given import CREDENTIALS, PRIVATE_KEY, market
from mm_daemon.core.units import Price, Side, Size
from mm_daemon.exchange.polymarket.auth import RequestSigner
from mm_daemon.exchange.polymarket.signing import batch_body
from mm_daemon.exchange.polymarket.venue import PolymarketVenue

MOVE = '"0.5"'


async def answer_frames(url: str, token: str = "") -> None:
    """Post for every frame after the first, which is the book, until the venue is gone; with a token, for moves."""
    of = market()
    venue = PolymarketVenue(url, "", private_key=PRIVATE_KEY, credentials=CREDENTIALS)
    size = Size(50_000_000)
    body = batch_body(
        [
            venue.sign(of, of.yes, Side.BUY, Price(4900), size),
            venue.sign(of, of.no, Side.BUY, Price(4900), size),
        ]
    )
    headers = RequestSigner(venue.account, CREDENTIALS).headers(1_790_000_000, "POST", "/orders", body)
    headers["Content-Type"] = "application/json"
    target = URL(f"{url}/orders")
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        connect(f"{url.replace('http', 'ws', 1)}/ws/market", compression=None, ping_interval=None) as socket,
    ):
        await socket.send(f'{{"assets_ids":["{token}"]}}' if token else "{}")
        await socket.recv()
        async for frame in socket:
            if token and MOVE not in str(frame):
                continue
            async with session.post(target, data=body, headers=headers) as response:
                await response.read()


if __name__ == "__main__":
    uvloop.run(answer_frames(*sys.argv[1:]))
