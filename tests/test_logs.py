"""Logging: one pipeline, two formats, and no secret in any line."""

from __future__ import annotations

import base64
import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from mm_daemon.ops import logs
from mm_daemon.ops.logs import REDACTED, configure_logging, redact_keys, redact_text, register_secret

KEY = "c0ffee" * 10 + "c0de"
FORMATS = ["console", "json"]


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves structlog, logging and the known secrets as they were."""
    monkeypatch.setattr(logs, "_secrets", set())
    monkeypatch.setattr(logs, "_secret_pattern", None)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_json_is_one_object_a_line() -> None:
    """A machine reads event, level, time and every field, whatever its type."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    log = structlog.get_logger()
    log.info("quotes_placed", market="demo-1", bid=49, note="two\nlines", big=10**30, odd={1, 2}, keys={(1, 2): 3})
    log.info("quotes_pulled", why="stale", nan=float("nan"), text=b"\xff")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["quotes_placed", "quotes_pulled"]
    assert lines[1]["level"] == "info"
    assert lines[1]["timestamp"].endswith("Z")
    assert lines[1]["nan"] is None


@pytest.mark.parametrize("format", FORMATS)
def test_level(format: str) -> None:
    """Below the level nothing is written; a second call changes level and stream, also for loggers already made."""
    log = structlog.get_logger()
    first, second = io.StringIO(), io.StringIO()
    configure_logging("warning", "json" if format == "json" else "console", first)
    log.info("hidden")
    log.warning("seen")
    configure_logging("debug", "json" if format == "json" else "console", second)
    log.debug("detail")
    assert "hidden" not in first.getvalue()
    assert "seen" in first.getvalue()
    assert "detail" in second.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_libraries_log_from_warning_through_the_same_pipeline(format: str) -> None:
    """aiohttp's and websockets' lines look like ours; their chatter is left out."""
    stream = io.StringIO()
    configure_logging("debug", "json" if format == "json" else "console", stream)
    logging.getLogger("websockets.client").info("chatter")
    logging.getLogger("aiohttp.client").warning("slow %s", "host")
    logging.getLogger("asyncio").error("%d", "not a number")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old call", DeprecationWarning, stacklevel=1)
    lines = stream.getvalue().splitlines()
    assert "chatter" not in stream.getvalue()
    assert "slow host" in lines[0]
    assert "aiohttp.client" in lines[0]
    assert "unformattable log record" in lines[1]
    assert "old call" in lines[2]
    if format == "json":
        assert all(json.loads(line)["level"] in ("warning", "error") for line in lines)


@pytest.mark.parametrize(
    "key",
    [
        "secret",
        "api_secret",
        "passphrase",
        "private_key",
        "privateKey",
        "signature",
        "POLY_SIGNATURE",
        "poly_passphrase",
        "POLY-API-KEY",
        "auth",
        "Authorization",
        "apiKey",
        "api_key",
        "Set-Cookie",
        "password",
        "seed_phrase",
    ],
)
def test_values_under_telling_keys_are_replaced(key: str) -> None:
    """A header or credential logged by its name is not written, however deep it lies."""
    event = redact_keys(None, "info", {"event": "x", key: "value", "nested": [{"inner": ({key: "value"},)}]})
    assert "value" not in str(event)


@pytest.mark.parametrize("key", ["signature_type", "author", "token_id", "market", "seed", "order_id", "secretary"])
def test_harmless_keys_stay(key: str) -> None:
    """Redaction does not eat what an operator needs."""
    assert redact_keys(None, "info", {"event": "x", key: "value"})[key] == "value"


@pytest.mark.parametrize("format", FORMATS)
def test_registered_secrets_are_cut_from_everything(format: str) -> None:
    """Field, text, nested value, object's repr, traceback, library's line: the secret is in none of them."""

    class Holder:
        def __repr__(self) -> str:
            return f"Holder({KEY})"

    stream = io.StringIO()
    configure_logging("debug", "json" if format == "json" else "console", stream)
    register_secret("0x" + KEY)
    register_secret('pass"phrase\\ü')
    log = structlog.get_logger()
    log.info(f"text {KEY}", field=KEY.upper(), nested={"deep": [KEY]}, held=Holder(), phrase='pass"phrase\\ü')
    log.info("as_bytes", raw=KEY.encode(), keys={KEY: 1})
    try:
        local = KEY
        raise ValueError(local)
    except ValueError:
        log.exception("failed")
        logging.getLogger("aiohttp").exception("failed with %s", KEY)
    text = stream.getvalue()
    assert "failed with" in text
    assert KEY not in text.lower()
    assert "phrase\\" not in text
    assert base64.b64encode(KEY.encode()).decode() not in text
    assert REDACTED in text


def test_the_daemons_own_key_type_is_safe_to_log() -> None:
    """A private key that is logged by mistake shows as hidden."""
    from mm_daemon.credentials import PrivateKey

    stream = io.StringIO()
    configure_logging("info", "json", stream)
    structlog.get_logger().info("x", holder=PrivateKey(KEY))
    assert "PrivateKey(hidden)" in stream.getvalue()


def test_a_short_secret_is_refused() -> None:
    """A secret of a few characters would blot out half of every line."""
    with pytest.raises(ValueError, match="8 characters"):
        register_secret("0x12345")
    assert redact_text("12345") == "12345"


@pytest.mark.parametrize("format", FORMATS)
def test_a_traceback_has_no_local_variables(format: str) -> None:
    """Pretty tracebacks print locals, and a local may be a key that nobody registered."""
    stream = io.StringIO()
    configure_logging("info", "json" if format == "json" else "console", stream)
    try:
        hidden = "do-not-" + "print-me"
        raise ValueError(len(hidden))
    except ValueError:
        structlog.get_logger().exception("failed")
    assert "ValueError" in stream.getvalue()
    assert "do-not-print-me" not in stream.getvalue()


def test_no_colours_without_a_terminal() -> None:
    """A file or a pipe gets plain text."""
    stream = io.StringIO()
    configure_logging("info", "console", stream)
    structlog.get_logger().info("started", market="demo-1")
    assert "\x1b" not in stream.getvalue()


def test_a_stream_that_is_gone_does_not_stop_the_daemon() -> None:
    """A closed pipe costs log lines, which are counted, and nothing else."""
    stream = io.StringIO()
    writer = configure_logging("info", "json", stream)
    stream.close()
    structlog.get_logger().info("started")
    logging.getLogger("aiohttp").error("lost")
    assert writer.lost_lines == 2
