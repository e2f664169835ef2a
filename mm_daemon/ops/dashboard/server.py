"""The dashboard's routes: the page and its files, the websocket that feeds it, and the one address that commands.

Reading is guarded by the server's own gate. A command carries the token itself, which the page asks for in the dialogue
of a command and keeps in its memory at most: neither a cookie nor an open page is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

import msgspec
import structlog
from aiohttp import web

from mm_daemon.ops.control import Command, Handler, Refused, Reply
from mm_daemon.ops.dashboard.clients import Clients, Sources
from mm_daemon.ops.web import Token, has_token

COMMANDS = ("pause", "resume", "flatten", "cancel-all")
"""What the page may ask for; the control socket knows more."""
CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGE = "index.html"
LONGEST_REASON = 200

log = structlog.get_logger()


def static_files() -> dict[str, bytes]:
    """Every file of the page by its path below `static/`."""
    files: dict[str, bytes] = {}

    def collect(folder: Traversable, path: PurePosixPath) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                collect(entry, path / entry.name)
            elif PurePosixPath(entry.name).suffix in CONTENT_TYPES:
                files[str(path / entry.name)] = entry.read_bytes()

    collect(resources.files(__package__) / "static", PurePosixPath())
    return files


class Dashboard:
    """The page of one daemon.

    Args:
        sources: where its values come from.
        commands: what the daemon can be told now; empty until it trades.
        token: what a command has to carry; None: the page commands nothing.
    """

    def __init__(self, sources: Sources, commands: Mapping[str, Handler], token: Token | None) -> None:
        self._commands = commands
        self._token = token
        self._files = static_files()
        self.clients = Clients(sources, can_command=token is not None)

    async def run(self) -> None:
        """Sample the charts and feed the open pages until cancelled."""
        await self.clients.run()

    def routes(self) -> list[web.RouteDef]:
        """What the HTTP server serves for it."""
        return [
            web.get("/", self._page),
            web.get("/static/{path:[A-Za-z0-9._/-]+}", self._file),
            web.get("/api/live", self.clients.serve),
            web.post("/api/command", self._command),
        ]

    async def _page(self, _request: web.Request) -> web.Response:
        return self._answer_with(PAGE)

    async def _file(self, request: web.Request) -> web.Response:
        return self._answer_with(request.match_info["path"])

    def _answer_with(self, path: str) -> web.Response:
        content = self._files.get(path)
        if content is None:
            raise web.HTTPNotFound
        kind = CONTENT_TYPES[PurePosixPath(path).suffix]
        return web.Response(body=content, content_type=kind, charset=None if kind == "image/svg+xml" else "utf-8")

    async def _command(self, request: web.Request) -> web.Response:
        """Carry a command out; the answer says what became of it."""
        if self._token is None:
            return _reply(403, "no token configured: the page commands nothing")
        if not has_token(request, self._token):
            log.warning("dashboard_command_refused", remote=request.remote, why="wrong token")
            return _reply(401, "this is not the token")
        try:
            command = msgspec.json.decode(await request.read(), type=Command)
        except msgspec.MsgspecError as error:
            return _reply(400, f"not a command: {error}")
        handler = self._commands.get(command.command) if command.command in COMMANDS else None
        if handler is None:
            return _reply(409, "not a command of the page, or the daemon does not trade yet")
        reason = command.reason.strip()[:LONGEST_REASON] or "by the dashboard"
        log.info("dashboard_command", command=command.command, reason=reason, remote=request.remote)
        try:
            return _reply(200, await handler(reason))
        except Refused as refusal:
            return _reply(409, str(refusal))


def _reply(status: int, text: str) -> web.Response:
    body = msgspec.json.encode(Reply(status == 200, text))
    return web.Response(body=body, status=status, content_type="application/json")
