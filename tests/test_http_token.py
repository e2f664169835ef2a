"""The HTTP server's settings, its token, and `mm-daemon health`, which needs none."""

from __future__ import annotations

import copy
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mm_daemon.cli import main
from mm_daemon.config import Config, HttpSettings, load_config
from mm_daemon.health import ask_health
from mm_daemon.http_token import HttpToken, load_http_token
from mm_daemon.toml_tables import ConfigError

TOKEN = "correct-horse-battery-staple"

Write = Callable[[str], Config]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a main file with this [http] table and reads it."""

    def write(http: str) -> Config:
        file = tmp_path / "mm-daemon.toml"
        file.write_text(f'mode = "sim"\nstrategy = "s.toml"\n[http]\n{http}\n')
        return load_config(file, {})

    return write


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """A token's file as it should be: the owner's alone."""
    file = tmp_path / "http_token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    return file


def test_on_loopback_no_token_is_needed(write: Write) -> None:
    """What only this machine reaches may be read without one."""
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"):
        assert load_http_token(write(f'host = "{host}"'), {}) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "desk.example", "203.0.113.7"])
def test_other_machines_take_a_token(write: Write, token_file: Path, host: str) -> None:
    """A bind to anything but loopback without a token is refused before anything is sent."""
    with pytest.raises(ConfigError, match=r"http\.host: .* takes a token: .*http\.token_file, MM_HTTP_TOKEN_FILE"):
        load_http_token(write(f'host = "{host}"'), {})
    token = load_http_token(write(f'host = "{host}"'), {"MM_HTTP_TOKEN_FILE": str(token_file)})
    assert token is not None and token.matches(TOKEN)
    assert load_http_token(write(f'host = "{host}"\nenabled = false'), {}) is None


def test_run_refuses_before_anything_starts(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one line."""
    for name in ("MM_HTTP_TOKEN_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mm_daemon.ops.logs.configure_logging", lambda *_: None)
    config = write('host = "0.0.0.0"')
    assert main(["run", "--config", str(config.file)]) == 2
    assert "takes a token" in capsys.readouterr().err


def test_the_places_of_a_token(write: Write, token_file: Path) -> None:
    """The file that the settings name, relative to them, the variable's, or systemd's credential; and only one."""
    by_settings, by_name = write('token_file = "http_token"'), write("port = 1")
    credentials = {"CREDENTIALS_DIRECTORY": str(token_file.parent)}
    for config, environ in ((by_settings, {}), (by_name, credentials)):
        token = load_http_token(config, environ)
        assert token is not None and token.matches(TOKEN)
    with pytest.raises(ConfigError, match=r"several places, keep one: the settings and \$CREDENTIALS_DIRECTORY"):
        load_http_token(by_settings, credentials)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_open_to_others_is_refused(write: Write, token_file: Path, mode: int) -> None:
    """As the private key's."""
    token_file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"the HTTP token is open to other users \(mode {mode:03o}\)"):
        load_http_token(write('token_file = "http_token"'), {})


@pytest.mark.parametrize("text", ["", "hunter2", "a" * 15, "two words of some length", "a" * 513, "caf\x7f" * 5])
def test_not_a_token(write: Write, token_file: Path, text: str) -> None:
    """Too short to withstand guessing, or nothing that a header carries: refused, and not repeated."""
    token_file.write_text(text)
    with pytest.raises(ConfigError, match="the token must") as caught:
        load_http_token(write('token_file = "http_token"'), {})
    assert not text or text not in caught.value.reason


def test_a_missing_file_is_named(write: Write) -> None:
    """Which one, and why."""
    with pytest.raises(ConfigError, match="missing: the HTTP token cannot be read: No such file"):
        load_http_token(write('token_file = "missing"'), {})


def test_a_token_does_not_show_itself() -> None:
    """No repr or text holds it, and only the whole of it matches."""
    token = HttpToken(TOKEN)
    for shown in (repr(token), str(token), f"{[token]}", repr(copy.copy(token))):
        assert TOKEN not in shown
    assert token.matches(TOKEN)
    assert not any(token.matches(text) for text in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é\ud800"))


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers /healthz as the test says."""

    status = 200

    def do_GET(self) -> None:
        """One answer."""
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()
        self.wfile.write(b'{"status":"as told"}\n')

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def daemon_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of something that answers /healthz."""
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_says_what_the_daemon_says(
    write: Write, daemon_port: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    status: int, code: int,
) -> None:  # fmt: skip
    """Exit code 0 while it is alive, 1 when it is not; its words are printed."""
    monkeypatch.setattr(Answers, "status", status)
    config = write(f"port = {daemon_port}")
    assert main(["health", "--config", str(config.file)]) == code
    out, err = capfd.readouterr()
    assert "as told" in (err if code else out)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost"])
def test_health_asks_at_the_nearest_address(daemon_port: int, host: str) -> None:
    """A server on all addresses is asked on loopback."""
    assert ask_health(HttpSettings(host=host, port=daemon_port)).is_alive


def test_nobody_answers(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and the address that was tried."""
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        port = server.server_port
    assert main(["health", "--config", str(write(f"port = {port}").file)]) == 1
    assert f"no daemon answers at 127.0.0.1:{port}" in capfd.readouterr().err


@pytest.mark.parametrize("table", ["enabled = false", "port = 0"])
def test_nobody_can_be_asked(write: Write, table: str) -> None:
    """Without a server, or at a port that only the log knows, there is nothing to ask."""
    answer = ask_health(write(table).http)
    assert not answer.is_alive and "nobody can be asked" in answer.text
