"""Where log lines go and what never gets into them.

One pipeline for our own events (structlog) and for the libraries' (logging, from WARNING up): level, repeats, time,
redaction, then a line for people or one JSON object for machines, on standard error; where that is systemd's journal,
each line begins with its priority. Secrets are kept out twice: values under keys with a telling name are replaced, and
every registered secret is cut from the finished line, wherever it came from. The last events stay in memory, for the
page.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import deque
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from mm_daemon.ops.log_repeats import RepeatLimit

Format = Literal["auto", "console", "json"]

REDACTED = "[redacted]"
MIN_SECRET_LENGTH = 8

_TELLING_KEY = re.compile(
    r"(^|[_\-. ])(secret|passphrase|password|private[_-]?key|mnemonic|seed[_-]?phrase|api[_-]?key|apikey|signature|auth"
    r"|authorization|cookie)s?($|[_\-. ])|^poly[_-]",
    re.IGNORECASE,
)
_HARMLESS_KEYS = frozenset({"signature_type", "signature_types"})
_MAX_DEPTH = 6
_PLAIN = frozenset({str, int, float, bool, type(None)})
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""What syslog, and so the journal, calls each level."""

EVENTS_KEPT = 200
LONGEST_SHOWN = 500

_secrets: set[str] = set()
_secret_pattern: re.Pattern[str] | None = None
_recent: deque[EventDict] = deque(maxlen=EVENTS_KEPT)
_repeats: RepeatLimit | None = None
_lost_lines = 0


def register_secret(value: str) -> None:
    """Keep `value` out of every line logged from now on, whatever key, text or traceback it turns up in.

    Letter case is ignored, and a hexadecimal secret is found with and without 0x.

    Raises:
        ValueError: shorter than 8 characters, which would blot out half of every line.
    """
    global _secret_pattern
    bare = value.strip().removeprefix("0x")
    if len(bare) < MIN_SECRET_LENGTH:
        raise ValueError(f"a secret of fewer than {MIN_SECRET_LENGTH} characters cannot be kept out of logs")
    # The renderers quote: as JSON does, with and without escapes for other alphabets, or as repr does.
    _secrets.update({bare, json.dumps(bare)[1:-1], json.dumps(bare, ensure_ascii=False)[1:-1], repr(bare)[1:-1]})
    longest_first = sorted(_secrets, key=len, reverse=True)
    _secret_pattern = re.compile("|".join(re.escape(secret) for secret in longest_first), re.IGNORECASE)


def redact_text(text: str) -> str:
    """`text` without any registered secret."""
    return _secret_pattern.sub(REDACTED, text) if _secret_pattern else text


def redact_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: the values under keys such as `secret`, `passphrase` or `POLY_SIGNATURE` are replaced."""
    return {key: _without_secrets(key, value, _MAX_DEPTH) for key, value in event.items()}


@lru_cache(maxsize=1_000)
def _is_telling(name: str) -> bool:
    return name.lower() not in _HARMLESS_KEYS and _TELLING_KEY.search(name) is not None


def _without_secrets(key: object, value: object, depth: int) -> object:
    if _is_telling(str(key)):
        return REDACTED
    if type(value) in _PLAIN:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        # Raw key material would come out in base64 or escapes, which no search for the secret's text finds.
        return f"<{len(value)} bytes>"
    if isinstance(value, Mapping):
        if not depth:
            return "..."
        return {inner: _without_secrets(inner, item, depth - 1) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets("", item, depth - 1) for item in value] if depth else "..."
    return value


class _Json:
    """Renders an event as one JSON object; anything without a JSON form is written as its text."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder(enc_hook=str)

    def __call__(self, _logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> str:
        try:
            return self._encoder.encode(event).decode()
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
            return json.dumps({str(key): repr(value) for key, value in event.items()})


class _CleanedLine:
    """The last processor: the inner renderer's line, without registered secrets."""

    def __init__(self, renderer: Processor) -> None:
        self._renderer = renderer

    def __call__(self, logger: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> str:
        return redact_text(str(self._renderer(logger, method, event)))


def _remember(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: the event is kept to be shown. Cleaning waits until somebody looks."""
    if event["level"] != "debug":
        _recent.append(dict(event))
    return event


def recent_events() -> list[dict[str, Any]]:
    """The last events from level info up, the oldest first: `time`, `level`, `event` and the fields, as plain values.

    Registered secrets are cut out; long texts are shortened.
    """
    events = []
    for event in list(_recent):
        shown = {"time": event.get("timestamp", ""), "level": event["level"], "event": event.get("event", "")}
        hidden = ("timestamp", "level", "event", "_record", "_from_structlog")
        shown |= {key: value for key, value in event.items() if key not in hidden}
        events.append({redact_text(str(key)): _shown(value) for key, value in shown.items()})
    return events


def _shown(value: object) -> str | int | float | bool | None:
    if isinstance(value, bool | int | float | None):
        return value
    return redact_text(str(value))[:LONGEST_SHOWN]


class LogStatistics(msgspec.Struct, frozen=True):
    """Counts since the process began.

    Attributes:
        lost_lines: could not be written.
        held_back: repeated what had just been written; their count was.
    """

    lost_lines: int
    held_back: int


def log_statistics() -> LogStatistics:
    """What became of lines that were not written."""
    return LogStatistics(_lost_lines, _repeats.held_back if _repeats else 0)


def flush_repeats() -> None:
    """Write the counts of repeated lines now, before the last word of the process."""
    if _repeats is not None:
        _repeats.flush()


class LineWriter:
    """Writes finished lines to a stream. A stream that is gone must not take the daemon with it: it counts lost lines.

    Args:
        with_priority: each line begins with its level as the journal reads it.

    Attributes:
        lost_lines: how many lines could not be written.
    """

    def __init__(self, stream: TextIO, *, with_priority: bool = False) -> None:
        self._stream = stream
        self._with_priority = with_priority
        self.lost_lines = 0

    def write(self, level: str, text: str) -> None:
        """Write one event's text, which is one line or, with a traceback for people, several, and flush it."""
        global _lost_lines
        if self._with_priority:
            mark = f"<{_PRIORITIES[level]}>"
            text = mark + text.replace("\n", "\n" + mark)
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.lost_lines += 1
            _lost_lines += 1

    # structlog calls the level's own name.

    def debug(self, text: str) -> None:
        """Write at this level, as do those below."""
        self.write("debug", text)

    def info(self, text: str) -> None:
        self.write("info", text)

    def warning(self, text: str) -> None:
        self.write("warning", text)

    def error(self, text: str) -> None:
        self.write("error", text)

    def critical(self, text: str) -> None:
        self.write("critical", text)

    msg = log = info
    warn = warning
    exception = error
    fatal = critical


def configure_logging(level: str, format: Format, stream: TextIO | None = None) -> LineWriter:
    """Set up structlog and the standard library's logging. May be called again, as a reload does.

    Args:
        level: the lowest level logged: "debug", "info", "warning" or "error". Libraries log from warning up, or from
            `level` where that is higher.
        format: "console" for people, with colours on a terminal only; "json" for one object a line; "auto": console
            on a terminal, else JSON.
        stream: standard error when left out.
    """
    global _repeats
    stream = stream or sys.stderr
    writer = LineWriter(stream, with_priority=_is_journal(stream, os.environ))
    lowest = getattr(logging, level.upper())
    _repeats = _repeats or RepeatLimit(_log_at)
    is_json = format == "json" or (format == "auto" and not stream.isatty())
    renderer = _CleanedLine(_Json() if is_json else _console(stream))
    after: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_keys,
        _remember,
    ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _repeats,
            *after,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    handler = _WriterHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.processors.add_log_level, *after],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(lowest, logging.WARNING))
    logging.captureWarnings(True)
    return writer


def _log_at(level: str, event: str, **fields: object) -> None:
    """Log at a level given by name, whatever pipeline is in force."""
    structlog.get_logger().log(getattr(logging, level.upper()), event, **fields)


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether systemd's journal reads this stream itself: it names the pipe that it gave us."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    if not inode:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def _console(stream: TextIO) -> Processor:
    colours = stream.isatty() and "NO_COLOR" not in os.environ
    # plain_traceback: the pretty ones print local variables, and a local variable may be a key.
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


class _WriterHandler(logging.Handler):
    """The standard library's end of the pipeline."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; one that cannot be formatted is written without its arguments, which may hold anything."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a library's bad format string must not reach the code that logged it
            record.msg, record.args, record.exc_info = f"unformattable log record: {record.msg!r}", None, None
            line = self.format(record)
        self._writer.write(_level_name(record.levelno), line)


def _level_name(number: int) -> str:
    """The nearest of our levels at or below a number of the standard library's."""
    for name in ("critical", "error", "warning", "info"):
        if number >= getattr(logging, name.upper()):
            return name
    return "debug"
