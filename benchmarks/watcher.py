"""Somebody who watches the daemon: `python -m benchmarks.watcher URL MARKET` scrapes /metrics each second and keeps the
page's websocket open with that market on it, until its standard input is closed. It prints how often it did what."""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import msgspec

EVERY_SECS = 1.0


class Watched(msgspec.Struct):
    """What came."""

    scrapes: int = 0
    messages: int = 0


async def scrape(session: aiohttp.ClientSession, url: str, seen: Watched) -> None:
    """Scrape until cancelled."""
    while True:
        async with session.get(f"{url}/metrics") as answer:
            await answer.read()
        seen.scrapes += 1
        await asyncio.sleep(EVERY_SECS)


async def look(session: aiohttp.ClientSession, url: str, market: str, seen: Watched) -> None:
    """Keep the page open until cancelled."""
    async with session.ws_connect(f"{url}/api/live", max_msg_size=0) as page:
        await page.send_json({"watch": market})
        async for _ in page:
            seen.messages += 1


async def watch(url: str, market: str) -> Watched:
    """Do both until standard input is closed."""
    seen = Watched()
    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(scrape(session, url, seen)), asyncio.create_task(look(session, url, market, seen))]
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
        for task in tasks:
            if task.done():
                task.result()
            task.cancel()
    return seen


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(watch(*sys.argv[1:]))))
