"""No secret leaves the daemon: a live run with trades, failures and a reload, and then everything that it wrote, served
or showed is searched for everything that is secret, in every form in which it could have slipped through.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from mm_daemon.core.units import Outcome
from mm_daemon.sim.model import Tif

from ..given import cents, shares
from ..ops.receiver import Receiver, running_receiver
from .commands import command, started
from .conftest import MARKET, Scene
from .daemon import DaemonProcess, Settings, until

LEAST_MESSAGES = 4
"""So many messages of the page's websocket are looked at: the whole, a market's ladder, and changes."""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """The webhook's far end."""
    async with running_receiver() as receiver:
        yield receiver


def forms(secret: str, *, is_hex: bool = False) -> set[bytes]:
    """A secret as text, and as what its bytes would look like in the encodings that people use."""
    raw = {secret.encode()}
    if is_hex:
        raw.add(bytes.fromhex(secret))
    else:
        padded = secret + "=" * (-len(secret) % 4)
        try:
            raw.add(base64.urlsafe_b64decode(padded))
        except ValueError:
            raw.add(secret.encode())
    found = set(raw)
    for content in raw:
        encoded = {base64.b64encode(content), base64.urlsafe_b64encode(content), content.hex().encode()}
        found |= encoded | {text.rstrip(b"=") for text in encoded}
    # Hexadecimal comes in either case; haystacks are searched in lower case as well.
    return {form for form in found if len(form) >= 8}


def leaks(haystacks: Mapping[str, bytes], needles: Mapping[str, set[bytes]]) -> list[str]:
    """Which secret stands where."""
    return [
        f"{secret} in {place}"
        for place, content in haystacks.items()
        for secret, texts in needles.items()
        if any(text in content or text.lower() in content.lower() for text in texts)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    """Every ordinary file below a folder, the database's own journals too."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def shown_of(pid: int) -> dict[str, bytes]:
    """What the system shows of a process."""
    return {name: Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")}


class Life:
    """A daemon whose secrets all come by files, and what was seen of it."""

    def __init__(self, scene: Scene, receiver: Receiver) -> None:
        self.scene = scene
        self.receiver = receiver
        self.token = secrets.token_urlsafe(24)
        self.folder = scene.folder / "credentials"
        self.seen: dict[str, bytes] = {}
        self.folder.mkdir(mode=0o700)
        self._keep("key", f"0x{scene.private_key}")
        self._keep("token", self.token)
        self._keep("alert_url", receiver.url)
        self.settings = Settings(
            addresses=scene.by_proxy,
            http={"port": 0, "token_file": "credentials/token"},
            alerts={"url_file": "credentials/alert_url"},
            risk={"max_daily_loss_usd": 2},
        )
        self.file = self.write()

    def _keep(self, name: str, text: str) -> None:
        file = self.folder / name
        file.write_text(text)
        file.chmod(0o600)

    def write(self) -> Path:
        """The settings as files, with everything logged."""
        file = self.settings.write(self.scene.folder)
        file.write_text(file.read_text().replace('format = "json"', 'format = "json"\nlevel = "debug"'))
        return file

    @property
    def key_file(self) -> str:
        """Where the private key lies."""
        return str(self.folder / "key")

    def needles(self) -> dict[str, set[bytes]]:
        """Everything secret that there was, in all its forms."""
        keys = self.scene.exchange.venue.keys.derive(self.scene.account, 0)
        token = self.receiver.url.rsplit("/", 1)[1]
        return {
            "private key": forms(self.scene.private_key, is_hex=True),
            "API secret": forms(keys.secret),
            "API passphrase": forms(keys.passphrase, is_hex=True),
            "HTTP token": {self.token.encode(), base64.b64encode(self.token.encode())},
            "webhook": {token.encode(), self.receiver.url.encode()},
            "request signatures": {signature.encode() for signature in self.scene.rest.signatures},
        }

    async def look(self, daemon: DaemonProcess) -> None:
        """Ask for everything that the daemon shows, and for what the system shows of it."""
        url = (await daemon.logged("http_listening"))["url"]
        headers = {"Authorization": f"Bearer {self.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for path in ("/", "/metrics", "/healthz", "/readyz", "/api/unknown"):
                async with session.get(f"{url}{path}") as answer:
                    self.seen[path] = await answer.read() + str(answer.headers).encode()
            self.seen["page's websocket"] = await self._messages(session, f"{url}/api/live")
        async with aiohttp.ClientSession() as stranger, stranger.get(f"{url}/metrics") as answer:
            assert answer.status == 401
            self.seen["refusal"] = await answer.read() + str(answer.headers).encode()
        for words in (("status",), ("status", "--json"), ("pnl",), ("check-config",), ("reconcile",)):
            done = await command(*words, "--config", str(self.file))
            assert done.code == 0, done
            self.seen[" ".join(words)] = (done.out + done.err).encode()
        self.seen |= shown_of(daemon.pid)
        self.seen |= files_of(self.scene.folder / "state")

    async def _messages(self, session: aiohttp.ClientSession, url: str) -> bytes:
        seen: list[bytes] = []
        async with session.ws_connect(url) as socket:
            [market] = self.scene.exchange.venue.markets.values()
            await socket.send_json({"watch": market.market.condition_id})
            async with asyncio.timeout(30):
                while len(seen) < LEAST_MESSAGES:
                    seen.append((await socket.receive_str()).encode())
        return b"\n".join(seen)


async def test_nothing_secret_is_written_served_or_shown(scene: Scene, receiver: Receiver) -> None:
    """Logs, metrics, page, commands, files, alerts, process list: none of them holds a secret in any form."""
    life = Life(scene, receiver)
    process = await started("run", "--config", str(life.file), "--live", MM_PRIVATE_KEY_FILE=life.key_file)
    daemon = DaemonProcess(process)
    try:
        await scene.quoted(20)
        await trade_and_fail(life, daemon)
        await life.look(daemon)
        scene.crowd(30, 34)
        await receiver.told("killed")
        assert await daemon.stop() == 0
    finally:
        await daemon.end()
    life.seen["log"] = "\n".join(str(line) for line in daemon.log).encode()
    life.seen["alerts"] = str(receiver.bodies).encode()
    life.seen |= {f"{name} after the end": content for name, content in files_of(scene.folder / "state").items()}
    needles = life.needles()
    assert len(scene.rest.signatures) > 3
    assert {"ledger.sqlite", "order_sent"} <= {Path(name).name for name in life.seen} | {
        str(line.get("event")) for line in daemon.log
    }
    assert leaks(life.seen, needles) == []


async def trade_and_fail(life: Life, daemon: DaemonProcess) -> None:
    """A fill, a refused request, an order whose answer is lost, a reload that works and one that does not."""
    scene = life.scene
    scene.exchange.trader("taker").sell(MARKET, Outcome.YES, cents(49), shares(30), tif=Tif.FAK)
    await daemon.logged("fill_book")
    scene.rest.answers["POST /v1/heartbeats"] = (500, {"error": "internal"})
    await daemon.logged("heartbeat_failed", secs=20)
    del scene.rest.answers["POST /v1/heartbeats"]
    posts = {call: (400, {"error": "malformed"}) for call in ("POST /order", "POST /orders")}
    scene.rest.answers |= posts
    life.settings.strategy = {"base_spread_pct": 0.06}
    life.write()
    daemon.send(signal.SIGHUP)
    await daemon.logged("reloaded")
    await daemon.logged("order_refused", secs=20)
    for call in posts:
        del scene.rest.answers[call]
    life.settings.strategy = {"base_spread_pct": -1}
    life.write()
    daemon.send(signal.SIGHUP)
    await daemon.logged("reload_refused")
    life.settings.strategy = {"base_spread_pct": 0.06}
    life.write()
    await until(lambda: scene.orders, "quoting again", 20)


async def test_a_key_in_the_environment_is_no_childs_and_not_in_the_command_line(scene: Scene) -> None:
    """By variable the key is accepted too; it is in no command line, no log and no file."""
    async with scene.daemon() as daemon:
        await scene.quoted(20)
        seen = {"cmdline": shown_of(daemon.pid)["cmdline"], **files_of(scene.folder)}
        assert await daemon.stop() == 0
    seen["log"] = str(daemon.log).encode()
    assert leaks(seen, {"private key": forms(scene.private_key, is_hex=True)}) == []


def test_the_search_finds_what_it_should() -> None:
    """The test of the test: each form of a planted secret is found."""
    key = "ab12" * 16
    for planted in (
        f"key=0x{key.upper()}",
        base64.b64encode(bytes.fromhex(key)).decode(),
        base64.b64encode(key.encode()).decode(),
        key.encode().hex(),
    ):
        assert leaks({"log": f"x {planted} y".encode()}, {"key": forms(key, is_hex=True)}) == ["key in log"]
    assert leaks({"core": b"\0" + bytes.fromhex(key) + b"\0"}, {"key": forms(key, is_hex=True)}) == ["key in core"]
    assert leaks({"log": b"nothing"}, {"key": forms(key, is_hex=True)}) == []
