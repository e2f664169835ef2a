"""Logging: one pipeline, two formats, and no secret in any line."""

from __future__ import annotations

import ast
import base64
import io
import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from mm_daemon.core.fills import Step
from mm_daemon.ops import logs
from mm_daemon.ops.log_repeats import BURST, WINDOW_SECS, RepeatLimit
from mm_daemon.ops.logs import (
    EVENTS_KEPT,
    REDACTED,
    Format,
    configure_logging,
    flush_repeats,
    log_statistics,
    recent_events,
    redact_keys,
    redact_text,
    register_secret,
)

KEY = "c0ffee" * 10 + "c0de"
FORMATS = ["console", "json"]


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leaves structlog, logging and the known secrets as they were."""
    monkeypatch.setattr(logs, "_secrets", set())
    monkeypatch.setattr(logs, "_secret_pattern", None)
    monkeypatch.setattr(logs, "_repeats", None)
    logs._recent.clear()
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


@pytest.mark.parametrize("format", ["auto", "json", "console"])
def test_the_journal_gets_priorities(format: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line begins with syslog's number for its level, also every line of a traceback for people."""
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        configure_logging("debug", format, stream)
        log = structlog.get_logger()
        log.debug("detail")
        log.info("started")
        log.warning("slow")
        log.critical("killed")
        try:
            raise ValueError("x")
        except ValueError:
            log.exception("failed")
        logging.getLogger("aiohttp").error("late")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert [line[:3] for line in lines[:4]] == ["<7>", "<6>", "<4>", "<2>"]
    assert all(line.startswith("<3>") for line in lines[4:])
    if format != "console":
        assert [json.loads(line[3:])["event"] for line in lines[:2]] == ["detail", "started"]


@pytest.mark.parametrize("journal", ["", "1:2", "nonsense", "8:"])
def test_anything_else_gets_plain_lines(journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, or a pipe that is not the journal's although a parent's journal stream is in the environment."""
    monkeypatch.setenv("JOURNAL_STREAM", journal)
    with (tmp_path / "file").open("w+") as stream:
        configure_logging("info", "auto", stream)
        structlog.get_logger().info("started")
        stream.seek(0)
        assert json.loads(stream.read())["event"] == "started"


def test_auto_writes_for_people_on_a_terminal() -> None:
    """A terminal gets the console's lines."""
    own, terminal = os.openpty()
    with open(terminal, "w") as stream, open(own, "rb", buffering=0) as screen:  # noqa: PTH123
        configure_logging("info", "auto", stream)
        structlog.get_logger().info("started", market="demo-1")
        assert not screen.read(4_096).startswith(b"{")


def repeating(now: list[float]) -> tuple[RepeatLimit, list[dict[str, Any]]]:
    """A limit with a clock that the test sets, and what it lets through."""
    written: list[dict[str, Any]] = []

    def log(level: str, event: str, **fields: Any) -> None:
        written.append(dict(limit(None, level, {"event": event, "level": level, **fields})))

    limit = RepeatLimit(log, lambda: now[0])
    return limit, written


def offer(limit: RepeatLimit, written: list[dict[str, Any]], level: str, event: str, **fields: Any) -> None:
    try:
        written.append(dict(limit(None, level, {"event": event, "level": level, **fields})))
    except structlog.DropEvent:
        return


def test_what_repeats_is_counted() -> None:
    """The first lines of a kind are written; after the window one line says how many more there were."""
    now = [0.0]
    limit, written = repeating(now)
    for _ in range(BURST + 37):
        offer(limit, written, "warning", "heartbeat_failed", why="no answer")
    assert len(written) == BURST
    now[0] = WINDOW_SECS + 1
    offer(limit, written, "info", "order_sent", order="0x1")
    assert [(line["event"], line.get("repeated")) for line in written[BURST:]] == [
        ("heartbeat_failed", 37),
        ("order_sent", None),
    ]
    assert limit.held_back == 37


def test_kinds_are_told_apart_by_what_they_are_about() -> None:
    """Another market, order or reason is another kind, and is written."""
    limit, written = repeating([0.0])
    for number in range(100):
        offer(limit, written, "warning", "order_refused", order=f"0x{number}", reason="post_only")
        offer(limit, written, "warning", "book_missing", market=f"demo-{number}")
    assert len(written) == 200


@pytest.mark.parametrize("level", ["critical", "info", "debug"])
def test_orders_fills_and_what_is_critical_are_never_held_back(level: str) -> None:
    """Only warnings and errors are counted; the story of the orders has no gap."""
    limit, written = repeating([0.0])
    for _ in range(100):
        offer(limit, written, level, "order_sent", market="demo-1")
    assert len(written) == 100


def test_the_limit_remembers_a_bounded_number_of_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons that never repeat cost no memory."""
    limit, written = repeating([0.0])
    for number in range(5_000):
        offer(limit, written, "error", "unreachable", why=f"attempt {number}")
    assert len(written) == 5_000
    assert len(limit._kinds) <= 1_000


def test_counts_are_told_before_the_end() -> None:
    """What was held back is written before the process ends, through the whole pipeline."""
    stream = io.StringIO()
    configure_logging("info", "json", stream)
    for _ in range(BURST + 3):
        structlog.get_logger().error("clock_unavailable", why="no answer")
    flush_repeats()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(lines) == BURST + 1
    assert lines[-1]["repeated"] == 3
    assert lines[-1]["level"] == "error"
    assert log_statistics().held_back == 3


def test_recent_events_are_kept_clean_and_few() -> None:
    """The page sees the last events as plain values, without secrets, debug lines or tracebacks' ends without bound."""
    configure_logging("debug", "console", io.StringIO())
    register_secret(KEY)
    log = structlog.get_logger()
    for number in range(EVENTS_KEPT + 50):
        log.info("order_sent", number=number)
    log.debug("detail")
    log.error("failed", api_secret="x" * 40, text=f"key {KEY}", market=["demo-1"], long="y" * 10_000)
    logging.getLogger("aiohttp").error("late %s", KEY)
    events = recent_events()
    assert len(events) == EVENTS_KEPT
    assert events[-3]["number"] == EVENTS_KEPT + 49
    failed, foreign = events[-2:]
    assert (failed["level"], failed["event"], failed["market"]) == ("error", "failed", "['demo-1']")
    assert failed["time"].endswith("Z")
    assert failed["api_secret"] == REDACTED
    assert failed["text"] == f"key {REDACTED}"
    assert len(failed["long"]) == 500
    assert foreign["event"] == f"late {REDACTED}"
    json.dumps(events)


PACKAGE = Path(logs.__file__).parent.parent
WRITTEN_AT_RUN_TIME = {
    "fill_{}": [f"fill_{step.name.lower()}" for step in Step if step is not Step.NOTHING],
    "{}_unavailable": ["open_orders_unavailable", "trades_unavailable"],
}
"""Event names that are put together, and what they can be."""


def logged_events() -> dict[str, set[str]]:
    """Every event name that the package logs, with its levels."""
    events: dict[str, set[str]] = {}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[ast.Constant(value=name)]
                ):
                    events.setdefault(str(name), set()).add(level)
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[ast.JoinedStr(values=parts)]
                ):
                    form = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
                    for name in WRITTEN_AT_RUN_TIME[form]:
                        events.setdefault(name, set()).add(level)
    return events


def test_the_runbook_has_every_event() -> None:
    """Whoever reads the log finds the event, and what to do; and no event is listed that nobody logs."""
    runbook = (PACKAGE.parent / "docs" / "runbook.md").read_text()
    listed = {
        name
        for row in re.findall(r"^\| (`[a-z_`, ]+`) \|", runbook.partition("## Events")[2], re.MULTILINE)
        for name in re.findall(r"`([a-z_]+)`", row)
    }
    assert set(logged_events()) == listed


def test_one_event_has_one_level() -> None:
    """The same thing is not a warning here and an error there."""
    assert {name: levels for name, levels in logged_events().items() if len(levels) > 1} == {}
