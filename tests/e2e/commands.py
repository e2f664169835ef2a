"""Commands of ours that run to their end beside a test: what they printed and the exit code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from .conftest import Scene
from .daemon import Settings, patience

ENDS_WITHIN_SECS = 40.0


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def findings(self) -> list[dict[str, str]]:
        """The JSON that it printed."""
        found: list[dict[str, str]] = json.loads(self.out)
        return found

    def verdict(self, check: str, subject: str = "") -> str:
        """How the one finding ended whose check has this name and whose subject begins so."""
        return self.finding(check, subject)["verdict"]

    def finding(self, check: str, subject: str = "") -> dict[str, str]:
        """The one finding of this name and a subject that begins so."""
        [found] = [one for one in self.findings if one["check"] == check and one["subject"].startswith(subject)]
        return found


def environment(**more: str) -> dict[str, str]:
    """Ours without any key of the person who runs the tests."""
    hidden = {"CREDENTIALS_DIRECTORY"}
    return {name: value for name, value in os.environ.items() if name[:3] != "MM_" and name not in hidden} | more


async def started(*words: str, **environ: str) -> asyncio.subprocess.Process:
    """A command that runs."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mm_daemon", *words),
        env=environment(**environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> Ended:
    """Wait for its end.

    Raises:
        AssertionError: it did not end.
    """
    try:
        async with asyncio.timeout(patience(ENDS_WITHIN_SECS)):
            out, err = await process.communicate()
    except TimeoutError as error:
        process.kill()
        raise AssertionError(f"still running after {ENDS_WITHIN_SECS:g} s") from error
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def command(*words: str, **environ: str) -> Ended:
    """Run a command to its end."""
    return await ended(await started(*words, **environ))


def written(scene: Scene, settings: Settings | None = None) -> Path:
    """The scene's settings as files, by its proxies, with the data API too."""
    settings = settings or Settings()
    settings.addresses = settings.addresses or scene.by_proxy
    file = settings.write(scene.folder)
    data = f'data_url = "{settings.addresses.clob}/data-api"'
    file.write_text(re.sub(r"^(gamma_url = .*)$", rf"\1\n{data}", file.read_text(), flags=re.MULTILINE))
    return file


async def doctor(scene: Scene, settings: Settings | None = None, **environ: Any) -> Ended:
    """`mm-daemon doctor --json` with the scene's settings, and its key unless another is given."""
    file = str(written(scene, settings))
    return await command("doctor", "--config", file, "--json", **(environ or {"MM_PRIVATE_KEY": scene.private_key}))
