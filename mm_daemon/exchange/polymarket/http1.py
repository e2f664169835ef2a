"""HTTP/1.1 without a socket: the bytes of one request, and an answer read from bytes as they come.

The parser is llhttp, by httptools: 3 us for an answer. What it lets through and we do not is refused here: an answer
without end, of another version, of an encoding that we did not ask for, or one that goes on after its end.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

from mm_daemon.exchange.errors import ProtocolError, Unknown

LARGEST_ANSWER = 32 * 1024 * 1024
"""Bytes of a body."""
LARGEST_HEAD = 64 * 1024
"""Bytes before the body, interim answers (1xx) included."""

_JSON = b"Content-Type: application/json\r\n"


class Answer(msgspec.Struct, frozen=True):
    """An HTTP answer, whatever its status."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def is_ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


def header_lines(fields: Mapping[str, str]) -> bytes:
    """Header lines as they are sent.

    Raises:
        ValueError: a name or a value is not printable ASCII, so it could end its line; the text is not repeated.
    """
    for name, value in fields.items():
        text = f"{name}{value}"
        if not (text.isascii() and text.isprintable()):
            raise ValueError("a request's header is not printable ASCII")
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()


def request_bytes(method: str, target: str, constant_lines: bytes, lines: bytes, body: bytes) -> bytes:
    """A whole request, to be written at once.

    Args:
        method: as it is sent.
        target: the path, with the query if there is one.
        constant_lines: header lines that are the same in each request, Host among them.
        lines: header lines of this request.
        body: JSON, or nothing.
    """
    return b"%b %b HTTP/1.1\r\n%b%b%bContent-Length: %d\r\n\r\n%b" % (
        method.encode(),
        target.encode(),
        constant_lines,
        lines,
        _JSON if body else b"",
        len(body),
        body,
    )


class AnswerReader:
    """Reads one answer: bytes in, an `Answer` out. A new one for each request.

    Interim answers (1xx) are passed over. After an error or an answer nothing more may be received.
    """

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._received = self._length = 0
        self._is_head_done = self._is_framed = self._is_done = False
        self.is_reusable = False
        """Whether the connection may carry another request after this answer."""

    @property
    def has_begun(self) -> bool:
        """Whether any byte of an answer came."""
        return self._received > 0

    def receive(self, chunk: bytes) -> Answer | None:
        """Take bytes from the connection; the answer when it is whole.

        Raises:
            ProtocolError: the answer is too large.
            Unknown: the bytes are no answer that we can read.
        """
        self._received += len(chunk)
        try:
            self._parser.feed_data(chunk)
        except (HttpParserError, HttpParserUpgrade) as error:
            self.is_reusable = False
            if not self._is_done:
                raise _cause(error) from None
        if self._is_done:
            return self._answer()
        if not self._is_head_done and self._received > LARGEST_HEAD:
            raise ProtocolError(f"an answer with a head of more than {LARGEST_HEAD} bytes")
        return None

    def receive_end(self) -> Answer:
        """The server closed: that ends an answer that told neither its length nor that it comes in chunks.

        Raises:
            Unknown: there is no answer, or a part of one.
        """
        if not self._is_head_done:
            raise Unknown("closed within the answer's head" if self.has_begun else "closed without an answer")
        if self._is_framed:
            raise Unknown("closed within the answer's body")
        return self._answer()

    def _answer(self) -> Answer:
        fields = CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._fields)
        return Answer(self._status, b"".join(self._parts), fields)

    # What httptools calls

    def on_message_begin(self) -> None:
        """An answer begins: the one that we wait for, or one that nobody asked for."""
        if self._is_done:
            raise ProtocolError("bytes after the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; trailers, which come after the body, are passed over."""
        if not self._is_head_done:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._status = self._parser.get_status_code()
        if self._parser.get_http_version() not in ("1.1", "1.0"):
            raise Unknown("an answer of another version of HTTP")
        if self._status < 200:
            return
        for name, value in self._fields:
            self._check(name.lower(), value.strip().lower())
        self._is_head_done = True

    def _check(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._is_framed = True
            if int(value) > LARGEST_ANSWER:
                raise ProtocolError(f"an answer of {int(value)} bytes")
        elif name == b"transfer-encoding":
            self._is_framed = True
            if value != b"chunked":
                raise Unknown("an answer in an encoding that we did not ask for")
        elif name == b"content-encoding" and value not in (b"", b"identity"):
            raise Unknown("an answer in an encoding that we did not ask for")

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        self._length += len(part)
        if self._length > LARGEST_ANSWER:
            raise ProtocolError(f"an answer of more than {LARGEST_ANSWER} bytes")
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """The end of an answer, or of an interim one."""
        if self._status == 101:
            raise Unknown("an answer that changes the protocol")
        if self._status < 200:
            self._fields.clear()
            return
        self._is_done = True
        self.is_reusable = self._parser.should_keep_alive()


def _cause(error: Exception) -> ProtocolError | Unknown:
    """Our own refusal, if the parser stopped because of it."""
    if isinstance(error.__context__, (ProtocolError, Unknown)):
        return error.__context__
    return Unknown(f"an answer that is not HTTP: {type(error).__name__}")
