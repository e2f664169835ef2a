"""The daemon as systemd sees it: what it says on the notify socket from its start to its end."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from .conftest import Scene
from .daemon import Settings, until

STOPPED = 0
WATCHDOG_USEC = 600_000


class Ear:
    """systemd's end of the socket; gathers what it hears."""

    def __init__(self, path: Path) -> None:
        self._messages: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))

    @property
    def messages(self) -> list[dict[str, str]]:
        """Every message so far, as name -> value."""
        with suppress(BlockingIOError):
            while True:
                lines = self._socket.recv(65_536).decode().split("\n")
                self._messages.append(dict(line.split("=", 1) for line in lines))
        return self._messages

    def values(self, name: str) -> list[str]:
        """Every value that was told under this name."""
        return [message[name] for message in self.messages if name in message]

    @property
    def states(self) -> list[str]:
        """The changes of state, in order."""
        return [name for message in self.messages for name in message if name in ("READY", "RELOADING", "STOPPING")]

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    """What a daemon started by this test says."""
    ear = Ear(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(WATCHDOG_USEC))
    yield ear
    ear.close()


async def test_a_life_with_a_good_and_a_refused_reload(scene: Scene, ear: Ear) -> None:
    """Ready when everything was read, alive while it quotes, reloading, stopping; the last word is the exit code."""
    settings = Settings()
    async with scene.daemon(settings) as daemon:
        await until(lambda: ear.states == ["READY"], "ready", 10)
        assert daemon.events("started")
        await scene.quoted()
        await until(
            lambda: any("quoting 1 of 1 markets, 2 orders" in said for said in ear.values("STATUS")), "a status"
        )
        beats = len(ear.values("WATCHDOG"))
        await until(lambda: len(ear.values("WATCHDOG")) > beats + 2, "signs of life")
        daemon.send(signal.SIGHUP)
        await until(lambda: ear.states == ["READY", "RELOADING", "READY"], "a reload")
        settings.strategy = {"base_spread_pct": -1}
        settings.write(scene.folder)
        daemon.send(signal.SIGHUP)
        await until(lambda: ear.states[3:] == ["RELOADING", "READY"], "a second reload")
        assert any(said.startswith("reload refused: ") and "base_spread_pct" in said for said in ear.values("STATUS"))
        assert await daemon.stop() == STOPPED
    assert ear.states[5:] == ["STOPPING"] and ear.values("STATUS")[-1] == "exit 0, stopped"


async def test_it_is_not_ready_while_a_socket_is_down(scene: Scene, ear: Ear) -> None:
    """The checks pass, the sockets do not open: time is asked for, the status says why, and READY=1 comes after."""
    await scene.line.cut()
    async with scene.daemon() as daemon:
        await daemon.logged("started", 10)
        await until(lambda: any("socket is down" in said for said in ear.values("STATUS")), "the reason", 10)
        asked = len(ear.values("EXTEND_TIMEOUT_USEC"))
        await until(lambda: len(ear.values("EXTEND_TIMEOUT_USEC")) > asked, "more time is asked for")
        assert ear.states == []
        await scene.line.open()
        await until(lambda: ear.states == ["READY"], "ready", 15)
        assert await daemon.stop() == STOPPED


async def test_a_refused_start_leaves_its_reason(scene: Scene, ear: Ear) -> None:
    """What `systemctl status` shows of a start that failed is why."""
    async with scene.daemon(Settings(strategy={"markets": ["no-such-market"]})) as daemon:
        assert await daemon.exit_code(10) == 2
    assert ear.states == [] and "no such market: no-such-market" in ear.values("STATUS")[-1]
