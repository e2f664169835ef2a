"""The control socket: a person's commands to a running daemon, one JSON object a line, answered by one.

It is a unix socket in the state directory that only the daemon's own user can open.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import structlog

MAX_LINE = 4096
ANSWER_SECS = 15.0

log = structlog.get_logger()


def socket_path(state_directory: Path) -> Path:
    """Where the daemon that keeps its state there listens for commands."""
    return state_directory / "control.sock"


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked: the command's name and, for pause and kill, why."""

    command: str
    reason: str = ""


class Reply(msgspec.Struct):
    """What became of it."""

    ok: bool
    text: str


Handler = Callable[[str], Awaitable[str]]
"""Takes the reason given, returns what was done, in one line. Raises `Refused` if it cannot be done."""


class Refused(Exception):
    """The command cannot be carried out; the text says why."""


class NoDaemon(Exception):
    """No daemon listens at the socket."""


@asynccontextmanager
async def control_socket(path: Path, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Listen for commands while the block lasts; a socket left over by a dead daemon is replaced.

    Raises:
        OSError: the socket cannot be made.
    """
    _remove(path)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            reply = await _answer(await reader.readline(), handlers)
            writer.write(msgspec.json.encode(reply) + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError) as error:
            log.warning("control_connection_failed", why=str(error))
        finally:
            writer.close()

    before = os.umask(0o177)  # the socket is the owner's alone from its first moment
    try:
        server = await asyncio.start_unix_server(serve, path, limit=MAX_LINE)
    finally:
        os.umask(before)
    try:
        yield
    finally:
        server.close()
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _answer(line: bytes, handlers: Mapping[str, Handler]) -> Reply:
    try:
        command = msgspec.json.decode(line, type=Command)
    except msgspec.MsgspecError as error:
        return Reply(False, f"not a command: {error}")
    handler = handlers.get(command.command)
    if handler is None:
        return Reply(False, f"unknown command {command.command!r}; there are: {', '.join(sorted(handlers))}")
    log.info("control_command", command=command.command, reason=command.reason)
    try:
        return Reply(True, await handler(command.reason))
    except Refused as refusal:
        return Reply(False, str(refusal))


async def send_command(path: Path, command: str, reason: str = "") -> Reply:
    """Ask the daemon behind the socket.

    Raises:
        NoDaemon: nobody listens there, or the answer did not come.
    """
    try:
        async with asyncio.timeout(ANSWER_SECS):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(msgspec.json.encode(Command(command, reason)) + b"\n")
            line = await reader.readline()
            writer.close()
        return msgspec.json.decode(line, type=Reply)
    except (OSError, TimeoutError, msgspec.MsgspecError) as error:
        raise NoDaemon(f"no daemon answers at {path}: {error}") from error
