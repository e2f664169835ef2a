"""What systemd hears: over a real datagram socket, from observations as a daemon gives them."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from mm_daemon.ops import notify
from mm_daemon.ops.logs import register_secret
from mm_daemon.ops.notify import Systemd, status_line
from mm_daemon.ops.observation import Observation, SocketSeen, TaskSeen

from ..given import usd
from ..tasks.fakes import logs, until
from .seen import a_result, an_observation

Message = dict[str, str]


class Listener:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.heard: list[Message] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def hear(self) -> list[Message]:
        """Every message that came since the last time, as name -> value."""
        new: list[Message] = []
        with suppress(BlockingIOError):
            while True:
                lines = self._socket.recv(65_536).decode().split("\n")
                new.append(dict(line.split("=", 1) for line in lines))
        self.heard += new
        return new

    def last(self) -> Message:
        """The one message that came since the last time."""
        [message] = self.hear()
        return message

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A socket that systemd would listen at."""
    listener = Listener(str(tmp_path / "notify"))
    yield listener
    listener.close()


@pytest.fixture
def systemd(listener: Listener) -> Systemd:
    """The daemon's side, watched with a limit of 30 s."""
    return Systemd(listener.address, 30)


def seen(age_secs: float = 1.0, **changes: Any) -> Observation:
    """A daemon that is up, whose quoting loop turned `age_secs` ago and counts as stuck after 15."""
    up = an_observation(
        exposure=usd(51), open_orders=0, tasks=(TaskSeen("quoting", age_secs, 15), TaskSeen("audit", 1, 90))
    )
    return structs.replace(up, **{"markets": (), **changes})


STARTING: dict[str, Any] = {"is_started": False, "is_synchronised": False, "sockets": (), "tasks": ()}


def test_a_whole_life_is_told_in_order(listener: Listener, systemd: Systemd) -> None:
    """Starting, ready once, reloading and ready again, stopping: each state in one message and in this order."""
    systemd.tell(seen(**STARTING))
    for _ in range(2):
        systemd.tell(seen())
    systemd.reloading()
    systemd.reloaded(None)
    systemd.stopping("SIGTERM")
    systemd.tell(seen(is_stopping=True))
    systemd.ended("exit 0, stopped")
    states = [name for message in listener.hear() for name in message if name in ("READY", "RELOADING", "STOPPING")]
    assert states == ["READY", "RELOADING", "READY", "STOPPING"]
    assert listener.heard[-1] == {"STATUS": "exit 0, stopped"}


@pytest.mark.parametrize(
    "missing",
    [
        {"is_started": False},
        {"is_synchronised": False},
        {"sockets": (SocketSeen("market_0", True, 0, 1, 1), SocketSeen("user", False, 0, 0, 0))},
    ],
    ids=["checks", "orders and trades", "a socket"],
)
def test_ready_waits_for_the_whole_start(listener: Listener, systemd: Systemd, missing: dict[str, Any]) -> None:
    """Not before the checks are passed, all was read and every socket is open; until then time is asked for."""
    systemd.tell(seen(**missing))
    early = listener.last()
    assert "READY" not in early and int(early["EXTEND_TIMEOUT_USEC"]) == notify.EXTENSION_SECS * 1_000_000
    systemd.tell(seen())
    ready = listener.last()
    assert ready["READY"] == "1" and "EXTEND_TIMEOUT_USEC" not in ready


def test_a_halt_does_not_keep_it_from_being_ready(listener: Listener, systemd: Systemd) -> None:
    """A pause that a person set before survives the restart; the service starts all the same and says so."""
    systemd.tell(seen(halts=("pause: lunch",), holds=("pause: lunch", "venue_cancel_only")))
    message = listener.last()
    assert message["READY"] == "1" and message["STATUS"].startswith("halted, pause: lunch; held, venue_cancel_only; ")


@pytest.mark.parametrize("phase", [STARTING, {}], ids=["starting", "running"])
def test_a_quoting_loop_that_stands_still_is_not_kept_alive(
    listener: Listener, systemd: Systemd, phase: dict[str, Any]
) -> None:
    """No sign of life, and no more time to start, while the loop's timer does not turn; other tasks do not matter."""
    systemd.tell(seen(**phase | {"tasks": (TaskSeen("quoting", 14.9, 15), TaskSeen("audit", 91, 90))}))
    assert listener.last()["WATCHDOG"] == "1"
    systemd.tell(seen(**phase | {"tasks": (TaskSeen("quoting", 15.1, 15),)}))
    stuck = listener.last()
    assert "WATCHDOG" not in stuck and "EXTEND_TIMEOUT_USEC" not in stuck and "quoting task is stuck" in stuck["STATUS"]


def test_a_stop_is_seen_through(listener: Listener, systemd: Systemd) -> None:
    """While everything is taken down the loop may stand; the stop has its own deadline."""
    systemd.stopping("SIGTERM")
    listener.hear()
    systemd.tell(seen(age_secs=20, is_stopping=True))
    message = listener.last()
    assert message["WATCHDOG"] == "1" and "READY" not in message


def test_a_reload_tells_its_time_and_its_refusal(listener: Listener, systemd: Systemd) -> None:
    """RELOADING=1 carries the monotonic time as systemd wants it; a refusal stays in the status until a good reload."""
    systemd.tell(seen())
    listener.hear()
    before = time.monotonic_ns() // 1000
    systemd.reloading()
    reloading = listener.last()
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    systemd.reloaded("mm-daemon.toml: mode: changed,\nwhich needs a restart")
    refused = listener.last()
    assert refused["READY"] == "1"
    assert refused["STATUS"] == "reload refused: mm-daemon.toml: mode: changed, which needs a restart"
    systemd.tell(seen())
    assert "last reload refused: mm-daemon.toml" in listener.last()["STATUS"]
    systemd.reloaded(None)
    systemd.tell(seen())
    assert "refused" not in listener.hear()[-1]["STATUS"]


def test_a_reload_before_ready_makes_nothing_ready(listener: Listener, systemd: Systemd) -> None:
    """A SIGHUP during the start is no READY=1, and one during the stop does not take it back."""
    systemd.reloading()
    systemd.reloaded(None)
    assert listener.hear() == []
    systemd.stopping("SIGTERM")
    listener.hear()
    systemd.reloading()
    systemd.reloaded(None)
    assert listener.hear() == []


def test_a_state_that_was_lost_is_told_again(tmp_path: Path) -> None:
    """While systemd itself restarts nobody listens: no error, one warning, and the state comes with a later turn."""
    address = str(tmp_path / "notify")
    systemd = Systemd(address, 30)
    with logs() as lines:
        for _ in range(3):
            systemd.tell(seen())
    assert len(lines.named("systemd_not_told")) == 1
    listener = Listener(address)
    systemd.tell(seen())
    assert listener.last()["READY"] == "1"
    systemd.tell(seen())
    assert "READY" not in listener.last()
    listener.close()


def test_a_full_socket_blocks_nobody(listener: Listener, systemd: Systemd) -> None:
    """A systemd that does not read takes what fits; the rest is dropped at once."""
    began = time.monotonic()
    with logs() as lines:
        for _ in range(2_000):
            systemd.tell(seen())
    assert time.monotonic() - began < 5 and lines.named("systemd_not_told")


def test_an_abstract_address(listener: Listener) -> None:
    """A name after "@" is in the kernel's own name space."""
    abstract = Listener(f"@mm-daemon-test-{os.getpid()}")
    Systemd(abstract.address).tell(seen())
    assert abstract.last()["READY"] == "1"
    abstract.close()


def test_without_an_address_nothing_is_told() -> None:
    """Outside systemd every call does nothing."""
    systemd = Systemd.from_environ({})
    assert not systemd.is_listening
    systemd.tell(seen())
    systemd.reloading()
    systemd.reloaded("no")
    systemd.stopping("SIGTERM")
    systemd.ended("exit 0")


def test_the_environment_is_taken_and_cleared(listener: Listener) -> None:
    """No child process finds the socket or believes that it is the one that is watched."""
    environ = {
        "NOTIFY_SOCKET": listener.address,
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "A": "b",
    }
    Systemd.from_environ(environ).tell(seen())
    assert environ == {"A": "b"} and listener.last()["READY"] == "1"


@pytest.mark.parametrize(
    ("usec", "pid", "turn_secs"),
    [
        ("3000000", "", 1.0),
        ("30000000", "", notify.TURN_SECS),
        ("3000000", "1", notify.TURN_SECS),
        ("0", "", notify.TURN_SECS),
        ("soon", "", notify.TURN_SECS),
    ],
    ids=["short", "long", "another process is watched", "none", "nonsense"],
)
def test_the_watchdog_sets_the_pace(usec: str, pid: str, turn_secs: float) -> None:
    """A third of the limit that systemd sets this process, and never slower than the status line."""
    environ = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    assert Systemd.from_environ(environ).turn_secs == pytest.approx(turn_secs)


async def test_the_loop_turns_until_cancelled(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks and tells again and again, first quickly, to be ready without delay, then at the watchdog's pace."""
    monkeypatch.setattr(notify, "STARTING_TURN_SECS", 0.001)
    looks = iter([seen(**STARTING)] * 3 + [seen()] * 1_000)

    async def look() -> Observation:
        return next(looks)

    running = asyncio.create_task(Systemd(listener.address, 0.01).run(look))
    await until(lambda: bool(listener.hear()) and len(listener.heard) >= 6, "six messages")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert ["READY" in message for message in listener.heard[:6]] == [False, False, False, True, False, False]


def test_the_status_line_is_for_people() -> None:
    """Markets, orders, position, worst case and the day's result; what stands in the way comes first."""
    today = a_result(total=-1_230_000)
    line = status_line(seen(today=today, open_orders=2), None)
    assert line == (
        "live: quoting 0 of 0 markets, 2 orders, position $0.00, worst case $51.00 of $1000.00, today -$1.23"
    )
    assert status_line(seen(**STARTING), None) == "starting"
    down = (SocketSeen("user", False, 9, 0, 0),)
    assert status_line(seen(sockets=down), None).startswith("the user socket is down; live: ")


def test_no_secret_and_no_second_line_gets_out(listener: Listener, systemd: Systemd) -> None:
    """A registered secret is cut from the status, and a line break in it begins no message of its own."""
    register_secret("feedfacefeedface")
    systemd.stopping("because\nREADY=1 of feedfacefeedface")
    assert listener.last() == {"STOPPING": "1", "STATUS": "stopping: because READY=1 of [redacted]"}
