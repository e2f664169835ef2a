"""Alerts on their way: the forms of the services, and a webhook that works, fails, waits or says nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from mm_daemon.ops import courier as couriers
from mm_daemon.ops import logs
from mm_daemon.ops.alerts import Alert
from mm_daemon.ops.courier import MOST_WAITING, Courier, courier
from mm_daemon.ops.webhooks import MOST_CHARACTERS, Again, Form, Notice, Refused, Webhook, body, judge

from ..e2e.daemon import until
from .receiver import Receiver, running_receiver

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
URL = "https://hooks.example.org/services/T000/B000/XXXXXXXXXXXXXXXXXXXXXXXX"
KILLED = Alert("killed", "critical", "Killed", "daily loss of $101 is over $100", 1_700_000_000_000)


def notice(alert: Alert = KILLED, **values: object) -> Notice:
    """An alert on its way."""
    return Notice("host (live, 0x1234...abcd)", alert, dict(values))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook on this machine."""
    async with running_receiver() as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a test's length."""
    monkeypatch.setattr(couriers, "FIRST_PAUSE_SECS", 0.02)
    monkeypatch.setattr(couriers, "FINISH_SECS", 0.5)


# Forms


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org/x",
        "http://hooks.example.org/secret-token-0123456789",
        "ftp://hooks.example.org/secret-token-0123456789",
        "https://user:secret-token-0123456789@hooks.example.org/",
        "https://hooks.example.org/secret-token-0123456789#x",
        "https://hooks.example.org/secret-token\nsecond-line",
        "https://[::1/secret-token-0123456789",
        "https:///secret-token-0123456789",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    """Only https leaves this machine; the message never holds the token."""
    with pytest.raises(ValueError, match=r"^(is not|must)") as caught:
        Webhook("generic", url)
    assert "secret" not in str(caught.value)


def test_a_webhook_does_not_show_itself() -> None:
    """No repr holds the address, and its parts that are tokens are told to the log."""
    webhook = Webhook("slack", f" {URL}\n")
    assert repr(webhook) == "Webhook(slack, hidden)"
    assert webhook.reveal() == URL
    assert set(webhook.secrets()) == {URL, "services/T000/B000/" + "X" * 24, "X" * 24}
    telegram = Webhook("telegram", "https://api.telegram.org/bot12345:ABC-DEF1234ghIkl/sendMessage", "7")
    assert "bot12345:ABC-DEF1234ghIkl" in telegram.secrets()


def test_generic_json_has_every_value() -> None:
    """A machine gets the fields apart, the time in one form, and the observation's values."""
    sent = body(Webhook("generic", URL), notice(day_loss=101_000_000))
    assert sent == {
        "instance": "host (live, 0x1234...abcd)",
        "key": "killed",
        "level": "critical",
        "title": "Killed",
        "text": "daily loss of $101 is over $100",
        "since": "2023-11-14T22:13:20Z",
        "resolved": False,
        "count": 1,
        "lost_before": 0,
        "observation": {"day_loss": 101_000_000},
    }


def test_slack_gets_no_markup_of_ours_or_anybodys() -> None:
    """What a market's question holds cannot make a link or call everybody."""
    sent = body(Webhook("slack", URL), notice(Alert("k", "error", "a & b", "<!channel> <http://x|y>", 0)))
    assert "&amp;" in str(sent["text"])
    assert "&lt;!channel&gt;" in str(sent["text"])
    assert "<" not in str(sent["text"])


@pytest.mark.parametrize("form", ["slack", "discord", "telegram"])
def test_a_long_text_is_cut_to_what_the_service_takes(form: Form) -> None:
    """Counted as they count, in UTF-16; the beginning, which says what it is, stays."""
    sent = body(Webhook(form, URL, "7"), notice(Alert("k", "error", "Title", "\U0001f4a5" * 10_000, 0)))
    text = str(sent.get("text") or sent.get("content"))
    assert text.startswith("ERROR: Title")
    assert len(text.encode("utf-16-le")) // 2 <= MOST_CHARACTERS[form]
    assert text.endswith("...")


def test_discord_and_telegram_forms() -> None:
    """Discord pings nobody; Telegram gets the chat and plain text."""
    discord = body(Webhook("discord", URL), notice(Alert("k", "error", "T", "@everyone", 0)))
    assert discord["allowed_mentions"] == {"parse": []}
    telegram = body(Webhook("telegram", URL, "-100"), notice())
    assert telegram["chat_id"] == "-100"
    assert "parse_mode" not in telegram


def test_a_message_says_how_often_and_what_was_lost() -> None:
    """Resolved, repeated and lost are told in words."""
    alert = Alert("k", "error", "T", "x", 0, is_resolved=True, count=17)
    text = str(body(Webhook("discord", URL), Notice("host", alert, {}, 4))["content"])
    assert text.startswith("RESOLVED: T")
    assert "17 times" in text
    assert "4 earlier alerts" in text


@pytest.mark.parametrize("form", ["generic", "slack", "discord", "telegram"])
def test_registered_secrets_are_in_no_message(form: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the log may not hold, a chat may not either."""
    monkeypatch.setattr(logs, "_secrets", set())
    monkeypatch.setattr(logs, "_secret_pattern", None)
    logs.register_secret("c0ffee" * 8)
    sent = body(Webhook(form, URL, "7"), notice(Alert("k", "error", "T", f"why {'c0ffee' * 8}", 0)))
    assert "c0ffee" not in json.dumps(sent)


# Answers


@pytest.mark.parametrize(
    ("status", "headers", "content", "verdict"),
    [
        (200, {}, b"\xff garbage", None),
        (204, {}, b"", None),
        (500, {}, b"<html>", Again("HTTP 500")),
        (503, {"Retry-After": "7"}, b"", Again("HTTP 503", 7.0)),
        (429, {"Retry-After": "2.5"}, b"", Again("HTTP 429", 2.5)),
        (429, {"Retry-After": "Sun, 22 Nov 2026 12:00:30 GMT"}, b"", Again("HTTP 429", 30.0)),
        (429, {"Retry-After": "Sun, 22 Nov 2026 11:00:00 GMT"}, b"", Again("HTTP 429", 0.0)),
        (429, {"Retry-After": "1"}, b'{"retry_after": 0.65, "global": false}', Again("HTTP 429", 0.65)),
        (429, {}, b'{"ok":false,"parameters":{"retry_after":35}}', Again("HTTP 429", 35.0)),
        (429, {}, b'{"retry_after": "soon", "parameters": 3}', Again("HTTP 429")),
        (429, {"Retry-After": "nan"}, b"[1]", Again("HTTP 429")),
        (429, {"Retry-After": "99999999"}, b"", Again("HTTP 429", 300.0)),
        (429, {"Retry-After": "-5"}, b"", Again("HTTP 429", 0.0)),
        (408, {}, b"", Again("HTTP 408")),
        (302, {"Location": "https://elsewhere.example.org"}, b"", Refused("HTTP 302")),
        (404, {}, b"no_service", Refused("HTTP 404")),
        (401, {}, b"", Refused("HTTP 401")),
    ],
)
def test_what_an_answer_means(
    status: int, headers: dict[str, str], content: bytes, verdict: Again | Refused | None
) -> None:
    """Taken, to be offered again with the wait that the service names, or refused for good."""
    assert judge(status, headers, content, NOW) == verdict


# Delivery


async def test_alerts_arrive_in_order(receiver: Receiver) -> None:
    """One after the other, each as JSON."""
    async with courier(Webhook("generic", receiver.url)) as carrier:
        for number in range(20):
            carrier.post(notice(Alert(f"k{number}", "error", "T", "x", 0)))
        await receiver.received(20)
    assert [sent["key"] for sent in receiver.bodies] == [f"k{number}" for number in range(20)]
    assert carrier.statistics.delivered == 20


@pytest.mark.parametrize(
    ("status", "headers", "content"),
    [
        (500, {}, b""),
        (503, {}, b"\x00garbage"),
        (429, {"Retry-After": "0.05"}, b""),
        (429, {}, b'{"retry_after": 0.05}'),
        (429, {}, b'{"ok": false, "parameters": {"retry_after": 0.05}}'),
    ],
)
async def test_what_is_not_taken_now_is_offered_again(
    receiver: Receiver, status: int, headers: dict[str, str], content: bytes
) -> None:
    """Failures and limits pass; the alert arrives, once."""
    for _ in range(3):
        receiver.will_answer(status, headers, content)
    async with courier(Webhook("generic", receiver.url)) as carrier:
        carrier.post(notice())
        await until(lambda: carrier.statistics.delivered == 1, "delivered")
    assert carrier.statistics.retries == 3
    assert len(receiver.bodies) == 4


async def test_a_named_wait_is_kept(receiver: Receiver) -> None:
    """A service that asks for a pause gets it."""
    loop = asyncio.get_running_loop()
    async with courier(Webhook("generic", receiver.url)) as carrier:
        receiver.will_answer(429, {"Retry-After": "0.4"})
        began = loop.time()
        carrier.post(notice())
        await receiver.received(2)
    assert loop.time() - began >= 0.4


async def test_what_is_refused_for_good_is_lost_and_told_with_the_next(receiver: Receiver) -> None:
    """A wrong address is not hammered; the loss is logged, and stands in the next message."""
    receiver.will_answer(404)
    with capture_logs() as lines:
        async with courier(Webhook("generic", receiver.url)) as carrier:
            carrier.post(notice())
            await until(lambda: carrier.statistics.lost == 1, "lost")
            carrier.post(notice(Alert("next", "error", "T", "x", 0)))
            await receiver.received(2)
    assert receiver.bodies[1]["lost_before"] == 1
    [line] = [line for line in lines if line["event"] == "alert_lost"]
    assert (line["key"], line["why"]) == ("killed", "HTTP 404")


async def test_what_cannot_be_brought_for_long_is_given_up(receiver: Receiver) -> None:
    """A webhook that fails for good costs a bounded number of requests."""
    for _ in range(1_000):
        receiver.will_answer(500)
    carrier = Courier(Webhook("generic", receiver.url), patience_secs=0.3)
    running = asyncio.create_task(carrier.run())
    carrier.post(notice())
    await until(lambda: carrier.statistics.lost == 1, "given up")
    assert 1 < len(receiver.bodies) < 20
    carrier.finish()
    await running


async def test_nobody_there(unused_port: int) -> None:
    """A refused connection is retried, and at the end counted as lost; no line holds the address."""
    with capture_logs() as lines:
        async with courier(Webhook("generic", f"http://127.0.0.1:{unused_port}/secret-token-0123456789")) as carrier:
            carrier.post(notice())
            await until(lambda: carrier.statistics.retries >= 2, "retried")
    assert carrier.statistics.lost == 1
    assert "secret-token" not in str(lines)
    assert lines[-1]["event"] == "alert_lost"


async def test_garbage_instead_of_http() -> None:
    """A peer that does not speak HTTP is a failure like another."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"\x00\x01\x02 220 smtp ready\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with courier(Webhook("generic", f"http://127.0.0.1:{port}/x")) as carrier:
            carrier.post(notice())
            await until(lambda: carrier.statistics.retries >= 1, "retried")
    assert carrier.statistics.lost == 1


async def test_an_answer_without_end_is_not_read_to_the_end(receiver: Receiver) -> None:
    """Only the beginning of an answer is looked at."""
    receiver.will_answer(200, {}, b"x" * 5_000_000)
    async with courier(Webhook("generic", receiver.url)) as carrier:
        carrier.post(notice())
        await until(lambda: carrier.statistics.delivered == 1, "delivered")


async def test_a_deaf_webhook_ends_in_time_and_holds_up_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Posting never waits; each request has its deadline; of more than fit the oldest are lost."""
    monkeypatch.setattr(couriers, "REQUEST_SECS", 0.2)
    receiver.is_deaf = True
    loop = asyncio.get_running_loop()
    async with courier(Webhook("generic", receiver.url)) as carrier:
        began = loop.time()
        for number in range(MOST_WAITING + 50):
            carrier.post(notice(Alert(f"k{number}", "error", "T", "x", 0)))
        assert loop.time() - began < 0.2
        assert carrier.statistics.lost == 50
        await receiver.received(2)
        ending = loop.time()
    assert loop.time() - ending < 2
    assert carrier.statistics.lost == MOST_WAITING + 50


async def test_the_last_alert_leaves_although_the_one_before_waits(receiver: Receiver) -> None:
    """At the end a long pause that a service asked for is cut short: better too early than never."""
    receiver.will_answer(429, {"Retry-After": "60"})
    async with courier(Webhook("generic", receiver.url)) as carrier:
        carrier.post(notice())
        await until(lambda: carrier.statistics.retries == 1, "told to wait")
        carrier.post(notice(Alert("stop_unverified", "critical", "T", "x", 0)))
    assert [sent["key"] for sent in receiver.bodies] == ["killed", "killed", "stop_unverified"]
    assert carrier.statistics.lost == 0


async def test_redirects_are_not_followed(receiver: Receiver) -> None:
    """The message goes to the host that was named, or nowhere."""
    receiver.will_answer(302, {"Location": receiver.url})
    async with courier(Webhook("generic", receiver.url)) as carrier:
        carrier.post(notice())
        await until(lambda: carrier.statistics.lost == 1, "lost")
    assert len(receiver.bodies) == 1


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
