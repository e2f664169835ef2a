"""The control socket: a person's word to a running daemon."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mm_daemon.ops.control import NoDaemon, Refused, Reply, control_socket, send_command


async def pause(reason: str) -> str:
    return f"paused: {reason}"


async def flatten(reason: str) -> str:
    raise Refused("nothing to flatten")


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    async with control_socket(tmp_path / "control.sock", {"pause": pause, "flatten": flatten}):
        yield tmp_path / "control.sock"


async def test_a_command_is_carried_out_and_answered(path: Path) -> None:
    """The reason goes in, what was done comes back."""
    assert await send_command(path, "pause", "lunch") == Reply(True, "paused: lunch")


async def test_a_refusal_says_why(path: Path) -> None:
    """Not ok, with the reason."""
    assert await send_command(path, "flatten") == Reply(False, "nothing to flatten")


async def test_an_unknown_command_names_the_known_ones(path: Path) -> None:
    """Whoever mistypes sees what there is."""
    reply = await send_command(path, "puase")
    assert not reply.ok and "flatten, pause" in reply.text


async def test_the_socket_is_the_owners_alone(path: Path) -> None:
    """Mode 0600, and no trace of the umask left behind."""
    mask = os.umask(0o22)
    os.umask(mask)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and mask != 0o177  # noqa: PTH116


async def test_nonsense_is_answered_and_harms_nothing(path: Path) -> None:
    """Garbage, a line without end and a caller that hangs up leave the socket working."""
    for sent in (b"\xff\xfe\n", b"x" * 10_000, b"{}\n", b""):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(sent)
        writer.write_eof()
        await reader.read()
        writer.close()
    assert (await send_command(path, "pause", "x")).ok


async def test_without_a_daemon_the_answer_is_clear(tmp_path: Path) -> None:
    """Nobody listens: said so, with the path."""
    with pytest.raises(NoDaemon, match=r"nobody\.sock"):
        await send_command(tmp_path / "nobody.sock", "pause")


async def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    """A file left over by a kill -9 does not stop the next start."""
    path = tmp_path / "control.sock"
    path.touch()
    async with control_socket(path, {"pause": pause}):
        assert (await send_command(path, "pause")).ok
    assert not path.exists()
