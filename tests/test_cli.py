"""The commands: what they start, what they refuse and with which exit code."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import types
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mm_daemon import __version__
from mm_daemon.cli import main

SHIPPED = str(Path(__file__).parent.parent / "config" / "mm-daemon.toml")
LIVE = 'mode = "live"\nstrategy = "s.toml"\n[wallet]\nsignature_type = 0\n'
HEAVY = {"aiohttp", "websockets", "py_clob_client_v2", "rich", "uvloop", "structlog", "coincurve", "eth_account"}


@pytest.fixture
def live_file(tmp_path: Path) -> Path:
    """A main file that asks for live trading."""
    file = tmp_path / "mm-daemon.toml"
    file.write_text(LIVE)
    return file


class Calls(list[dict[str, Any]]):
    """The keyword arguments of each call of a command's function."""

    exit_code = 0

    def record(self, *arguments: Any, **named: Any) -> int:
        """Stands in for the function."""
        self.append({"": arguments} | named)
        return self.exit_code


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Replaces the daemon and the demo by recorders."""
    calls = Calls()
    for module, function in (("mm_daemon.process", "run_daemon"), ("mm_daemon.demo", "run_demo")):
        stand_in = types.ModuleType(module)
        setattr(stand_in, function, calls.record)
        monkeypatch.setitem(sys.modules, module, stand_in)
    monkeypatch.setattr("mm_daemon.ops.logs.configure_logging", lambda *_: None)
    return calls


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of the person who runs the tests is ever read, and the test process keeps its core dumps."""
    for name in ("MM_PRIVATE_KEY", "MM_PRIVATE_KEY_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mm_daemon.credentials.forbid_core_dumps", lambda: None)
    monkeypatch.setattr("mm_daemon.ops.logs.register_secret", lambda _: None)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints one line."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mm-daemon {__version__}\n"


@pytest.mark.parametrize("arguments", [["check-config", "--config", SHIPPED], ["--version"], ["run", "--help"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    """A command that talks to nobody starts without the libraries that talk."""
    program = (
        "import json, sys; from mm_daemon.cli import main; code = main(sys.argv[1:]);"
        "print(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    code, modules = json.loads(run.stderr)
    assert code == 0
    assert HEAVY & set(modules) == set()


def test_python_dash_m() -> None:
    """`python -m mm_daemon` is the same program, with the same exit codes."""
    run = subprocess.run(
        [sys.executable, "-m", "mm_daemon", "run", "--config", "/nonexistent.toml"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stdout, run.stderr) == (2, "", "/nonexistent.toml: no such file\n")


def test_check_config_prints_both_files(capsys: pytest.CaptureFixture[str]) -> None:
    """The effective settings of daemon and strategy, defaults included."""
    assert main(["check-config", "--config", SHIPPED]) == 0
    printed = capsys.readouterr().out
    assert 'clob_url = "https://clob.polymarket.com"' in printed
    assert "[strategy]" in printed
    assert "base_spread_pct = 0.02" in printed


def test_check_config_refuses_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake is one line on standard error and exit code 2."""
    file = tmp_path / "mm-daemon.toml"
    file.write_text('mode = "sim"\nstrategy = "s.toml"\n[risk]\nmax_open_order = 1\n')
    assert main(["check-config", "--config", str(file)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"{file}: risk.max_open_order: unknown key, did you mean max_open_orders?\n"


def test_check_config_checks_the_strategy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in the strategy's file is found before the daemon runs."""
    (tmp_path / "mm-daemon.toml").write_text('mode = "sim"\nstrategy = "s.toml"\n')
    (tmp_path / "s.toml").write_text('[strategy]\nmarkets = ["a"]\nbase_spread_pct = "wide"\n')
    assert main(["check-config", "--config", str(tmp_path / "mm-daemon.toml")]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path / 's.toml'}: strategy.base_spread_pct: must be a number")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["run"],
        ["run", "--config"],
        ["run", "--config", SHIPPED, "--fast"],
        ["demo", "--seconds", "0"],
        ["demo", "--seconds", "soon"],
        ["demo", "--markets", "0"],
        ["demo", "--seed", "-1"],
        ["demo", "--speed", "0"],
        ["exchange", "--port", "70000"],
        ["exchange", "--recording", "/nonexistent"],
        ["exchange", "--speed", "0"],
    ],
)
def test_wrong_arguments(arguments: list[str], calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that make no sense start nothing and give exit code 2."""
    assert main(arguments) == 2
    assert calls == []
    printed = "".join(capsys.readouterr())
    assert "Usage:" in printed or "Error:" in printed


def test_run_in_sim_mode_takes_no_key(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in exchange needs no key, and a key that is there is left alone."""
    monkeypatch.setenv("MM_PRIVATE_KEY", "1f" * 32)
    assert main(["run", "--config", SHIPPED]) == 0
    assert calls[0]["private_key"] is None
    assert calls[0][""][0].mode == "sim"


def test_run_returns_the_daemons_exit_code(calls: Calls) -> None:
    """What the daemon verified at its end is the process's exit code."""
    calls.exit_code = 5
    assert main(["run", "--config", SHIPPED]) == 5


def test_live_takes_both_steps(calls: Calls, live_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the word in the file and the flag, the daemon gets the key."""
    monkeypatch.setenv("MM_PRIVATE_KEY", "1f" * 32)
    assert main(["run", "--config", str(live_file), "--live"]) == 0
    assert calls[0]["private_key"].reveal_hex() == "1f" * 32
    assert calls[0][""][0].mode == "live"


def test_live_in_the_file_alone_is_refused(calls: Calls, live_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that says live does not trade real money by itself."""
    assert main(["run", "--config", str(live_file)]) == 2
    assert capsys.readouterr().err.startswith(f'{live_file}: mode: is "live", but --live is not on the command line')
    assert calls == []


def test_live_on_the_command_line_alone_is_refused(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor does the flag by itself."""
    assert main(["run", "--config", SHIPPED, "--live"]) == 2
    assert f'{SHIPPED}: mode: is "sim", but --live is on the command line' in capsys.readouterr().err
    assert calls == []


def test_live_without_a_key_is_refused(calls: Calls, live_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Live trading without a private key is wrong configuration."""
    assert main(["run", "--config", str(live_file), "--live"]) == 2
    assert capsys.readouterr().err.startswith("environment: live trading needs a private key")
    assert calls == []


def test_demo(calls: Calls) -> None:
    """The demo's options reach it, and all have defaults."""
    assert main(["demo"]) == 0
    assert main(["demo", "--seconds", "20", "--markets", "5", "--seed", "7", "--speed", "2.5"]) == 0
    assert calls == [
        {"": (), "markets": 3, "seed": 1, "speed": 1, "seconds": None},
        {"": (), "markets": 5, "seed": 7, "speed": 2.5, "seconds": 20},
    ]


@pytest.fixture
def exchange() -> Iterator[subprocess.Popen[str]]:
    """The built-in exchange as a child process that a parent talks to."""
    command = [sys.executable, "-m", "mm_daemon", "exchange", "--ready-json", "--no-flow", "--markets", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def announced_url(process: subprocess.Popen[str]) -> str:
    """The address in the child's first line."""
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    assert isinstance(url, str)
    return url


def test_exchange_announces_where_it_listens(exchange: subprocess.Popen[str]) -> None:
    """A parent process reads the address and finds somebody there."""
    url = announced_url(exchange)
    with urllib.request.urlopen(f"{url}/time", timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exchange_stops_at_a_signal(exchange: subprocess.Popen[str], number: signal.Signals) -> None:
    """SIGTERM and SIGINT are the ordinary end."""
    announced_url(exchange)
    exchange.send_signal(number)
    assert exchange.wait(timeout=10) == 0


def test_exchange_does_not_outlive_its_parent(exchange: subprocess.Popen[str]) -> None:
    """When the parent's end of standard input closes, however it died, the exchange stops."""
    announced_url(exchange)
    assert exchange.stdin is not None
    exchange.stdin.close()
    assert exchange.wait(timeout=10) == 0


def test_exchange_on_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["exchange", "--port", str(port), "--no-flow"]) == 1
    assert f"127.0.0.1:{port}" in capsys.readouterr().err


def test_exchange_with_a_recording_it_cannot_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no recording is named, exit code 2."""
    file = tmp_path / "x.jsonl"
    file.write_text("not a recording\n")
    assert main(["exchange", "--recording", str(file)]) == 2
    assert capsys.readouterr().err.startswith(f"{file}: ")
