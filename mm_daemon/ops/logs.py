"""Where log lines go and what never gets into them.

One pipeline for our own events (structlog) and for the libraries' (logging, from WARNING up): level, time, redaction,
then a line for people or one JSON object for machines, on standard error. Secrets are kept out twice: values under keys
with a telling name are replaced, and every registered secret is cut from the finished line, wherever it came from.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
MIN_SECRET_LENGTH = 8

_TELLING_KEY = re.compile(
    r"(^|[_\-. ])(secret|passphrase|password|private[_-]?key|mnemonic|seed[_-]?phrase|api[_-]?key|apikey|signature|auth"
    r"|authorization|cookie)s?($|[_\-. ])|^poly[_-]",
    re.IGNORECASE,
)
_HARMLESS_KEYS = frozenset({"signature_type", "signature_types"})
_MAX_DEPTH = 6

_secrets: set[str] = set()
_secret_pattern: re.Pattern[str] | None = None


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


def _without_secrets(key: object, value: object, depth: int) -> object:
    name = str(key)
    if name.lower() not in _HARMLESS_KEYS and _TELLING_KEY.search(name):
        return REDACTED
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


class LineWriter:
    """Writes finished lines to a stream. A stream that is gone must not take the daemon with it: it counts lost lines.

    Attributes:
        lost_lines: how many lines could not be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost_lines = 0

    def msg(self, line: str) -> None:
        """Write one line and flush it."""
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.lost_lines += 1

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


def configure_logging(level: str, format: Literal["console", "json"], stream: TextIO | None = None) -> LineWriter:
    """Set up structlog and the standard library's logging. May be called again, as a reload does.

    Args:
        level: the lowest level logged: "debug", "info", "warning" or "error". Libraries log from warning up, or from
            `level` where that is higher.
        format: "console" for people, with colours on a terminal only; "json" for one object a line.
        stream: standard error when left out.
    """
    stream = stream or sys.stderr
    writer = LineWriter(stream)
    lowest = getattr(logging, level.upper())
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact_keys,
    ]
    renderer = _CleanedLine(_Json() if format == "json" else _console(stream))
    structlog.configure(
        processors=[*first, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    handler = _WriterHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *first],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(lowest, logging.WARNING))
    logging.captureWarnings(True)
    return writer


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
        self._writer.msg(line)
