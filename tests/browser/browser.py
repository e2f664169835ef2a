"""A real browser for tests, driven over two pipes: `driver.mjs` in Node, Chromium behind it."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
ANSWER_SECS = 90.0
LONGEST_ANSWER = 1 << 22


def missing() -> str:
    """What a browser test lacks on this machine; empty where nothing is."""
    if _chromium() is None:
        return "Chromium is not installed"
    if shutil.which("node") is None:
        return "Node is not installed"
    if not (FOLDER / "node_modules" / "playwright-core").is_dir():
        return "playwright-core is not installed: npm ci in tests/browser"
    return ""


def _chromium() -> str | None:
    return next((path for name in CHROMIUMS if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def answer(self) -> Any:
        """The driver's next answer.

        Raises:
            AssertionError: what was asked could not be done.
        """
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_SECS):
            line = await self._process.stdout.readline()
        assert line, "the browser is gone"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    async def do(self, what: str, **how: Any) -> Any:
        """One of the driver's commands."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **how}).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.answer()

    async def text(self, at: str) -> str:
        """The text of an element."""
        return str(await self.do("text", at=at))

    async def until(self, script: str, secs: float | None = None) -> None:
        """Wait until an expression is true in the page, for as long as the driver waits for anything or as given."""
        await self.do("until", script=script, secs=secs)

    async def until_text(self, at: str, part: str) -> None:
        """Wait until an element's text contains this."""
        await self.until(f"document.querySelector({json.dumps(at)})?.textContent.includes({json.dumps(part)})")

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        return await self.do("evaluate", script=script)

    async def complaints(self) -> list[str]:
        """What the page wrote to its console as errors and warnings, or threw, since the last time."""
        return list(await self.do("complaints"))


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    """A browser while the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *("node", str(FOLDER / "driver.mjs"), str(_chromium())),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LONGEST_ANSWER,
    )
    browser = Browser(process)
    try:
        await browser.answer()
        yield browser
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(ANSWER_SECS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
