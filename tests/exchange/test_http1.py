"""Requests and answers as bytes: what is sent, what is read, and that nothing else is taken for an answer."""

from __future__ import annotations

from itertools import pairwise

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mm_daemon.exchange.errors import ProtocolError, Unknown, VenueError
from mm_daemon.exchange.polymarket.http1 import (
    LARGEST_ANSWER,
    LARGEST_HEAD,
    Answer,
    AnswerReader,
    header_lines,
    request_bytes,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

Outcome = tuple[int, bytes, list[tuple[str, str]]] | type[VenueError]


def outcome(wire: bytes, cuts: list[int] | None = None) -> Outcome:
    """What a reader makes of these bytes, cut at these places, when the connection is closed after them."""
    reader = AnswerReader()
    places = [0, *sorted({cut % (len(wire) + 1) for cut in cuts or ()}), len(wire)]
    try:
        for start, end in pairwise(places):
            if start == end:
                continue
            if (answer := reader.receive(wire[start:end])) is not None:
                return seen(answer)
        return seen(reader.receive_end())
    except VenueError as error:
        return type(error)


def seen(answer: Answer) -> Outcome:
    return answer.status, answer.body, sorted((name.lower(), value) for name, value in answer.headers.items())


def by_h11(wire: bytes) -> Outcome:
    """The same, read by a parser of other people."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/orders", headers=[("Host", "venue"), ("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(wire)
    status, fields, body = 0, [], b""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Response):
            status = event.status_code
            fields = sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, body, fields
        elif event is h11.NEED_DATA:
            connection.receive_data(b"")


token = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(lambda name: f"x-{name}")
value = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@st.composite
def answers(draw: st.DrawFn, framings: tuple[str, ...] = ("length", "chunks", "close")) -> bytes:
    """An answer as a server may send it: with interim answers, a length, chunks, or neither."""
    status = draw(st.sampled_from([200, 201, 400, 401, 425, 429, 500, 503]))
    fields = draw(st.lists(st.tuples(token, value), max_size=6))
    body = draw(st.binary(max_size=200))
    head = f"HTTP/1.1 {status} Some reason\r\n" + "".join(f"{name}: {text}\r\n" for name, text in fields)
    framing = draw(st.sampled_from(framings))
    if framing == "length":
        wire = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    elif framing == "chunks":
        size = draw(st.integers(1, 50))
        chunks = [body[start : start + size] for start in range(0, len(body), size)]
        coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        trailer = draw(st.sampled_from([b"", b"X-Trailer: 1\r\n"]))
        wire = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + coded + b"0\r\n" + trailer + b"\r\n"
    else:
        wire = f"{head}\r\n".encode() + body
    return draw(st.sampled_from([b"", INTERIM])) + wire


@given(wire=answers(), cuts=st.lists(st.integers(0, 1000), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_answer(wire: bytes, cuts: list[int]) -> None:
    """However the network cuts an answer, it is the one that h11 reads too."""
    assert outcome(wire, cuts) == outcome(wire, list(range(len(wire)))) == by_h11(wire)


@given(
    wire=answers(),
    at=st.integers(0, 2000),
    noise=st.binary(min_size=1, max_size=6),
    cuts=st.lists(st.integers(0, 1000), max_size=8),
)
@example(wire=OK, at=9, noise=b"20", cuts=[])
def test_damaged_answers_end_in_our_own_errors(wire: bytes, at: int, noise: bytes, cuts: list[int]) -> None:
    """Bytes overwritten anywhere give an answer or one of our errors, the same for every split, and no crash."""
    at %= len(wire)
    damaged = wire[:at] + noise + wire[at + len(noise) :]
    assert outcome(damaged, cuts) == outcome(damaged)


@given(wire=answers(framings=("length", "chunks")), length=st.integers(0, 2000))
def test_a_part_of_an_answer_is_never_an_answer(wire: bytes, length: int) -> None:
    """An answer that told its end and was cut before it is lost."""
    assert outcome(wire[: length % len(wire)]) is Unknown


@pytest.mark.parametrize(
    ("wire", "error"),
    [
        (b"", Unknown),
        (b"<html>oops</html>", Unknown),
        (b"\x16\x03\x01\x02\x00", Unknown),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", Unknown),
        (b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", Unknown),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", Unknown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", Unknown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", Unknown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Unknown),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Unknown),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok", Unknown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (LARGEST_ANSWER + 1), ProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Unknown),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * LARGEST_HEAD, ProtocolError),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4000, ProtocolError),
    ],
)
def test_what_is_no_answer(wire: bytes, error: type[VenueError]) -> None:
    """Other protocols, contradicting lengths, encodings we did not ask for and endless heads are refused."""
    assert outcome(wire) is error


def test_a_body_beyond_the_bound_is_refused() -> None:
    """Chunks without a length are counted as they come."""
    reader = AnswerReader()
    reader.receive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    with pytest.raises(ProtocolError):
        for _ in range(LARGEST_ANSWER // 0x100000 + 1):
            reader.receive(chunk)


@pytest.mark.parametrize(
    ("wire", "is_reusable"),
    [
        (OK, True),
        (INTERIM + OK, True),
        (OK.replace(b"1.1", b"1.0"), False),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), False),
        (OK + b"!", False),
        (OK + OK, False),
        (OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + OK, False),
    ],
)
def test_whether_a_connection_may_be_used_again(wire: bytes, is_reusable: bool) -> None:
    """Only after an answer that the server meant to be followed by another, and nothing after it; the answer stands."""
    reader = AnswerReader()
    answer = reader.receive(wire)
    assert answer is not None
    assert (answer.status, answer.body) == (200, b"ok")
    assert reader.is_reusable is is_reusable


def test_header_names_are_found_in_any_case() -> None:
    """Servers disagree about case."""
    answer = AnswerReader().receive(b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\nContent-Length: 0\r\n\r\n")
    assert answer is not None
    assert answer.headers["Retry-After"] == "3"
    assert not answer.is_ok


def test_a_request_is_what_h11_reads() -> None:
    """Method, target, headers and body arrive as they were given; a call without a body says so."""
    constant, lines = header_lines({"Host": "venue:1"}), header_lines({"POLY_ADDRESS": "0x1"})
    for method, body in (("POST", b'[{"a":1}]'), ("DELETE", b"")):
        server = h11.Connection(h11.SERVER)
        server.receive_data(request_bytes(method, "/orders", constant, lines, body))
        request = server.next_event()
        assert isinstance(request, h11.Request)
        assert (request.method, request.target) == (method.encode(), b"/orders")
        expected = [(b"host", b"venue:1"), (b"poly_address", b"0x1"), (b"content-length", str(len(body)).encode())]
        if body:
            expected.insert(2, (b"content-type", b"application/json"))
            data = server.next_event()
            assert isinstance(data, h11.Data)
            assert data.data == body
        assert list(request.headers) == expected
        assert isinstance(server.next_event(), h11.EndOfMessage)


@pytest.mark.parametrize("text", ["a\r\nHost: evil", "a\nb", "ü", "\0"])
def test_no_header_can_end_its_line(text: str) -> None:
    """A value with a line's end, or beyond ASCII, is refused and not repeated."""
    with pytest.raises(ValueError) as caught:
        header_lines({"POLY_PASSPHRASE": text})
    assert text not in str(caught.value)
