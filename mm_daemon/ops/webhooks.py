"""What an alert looks like to each service, and what their answers mean. Pure: `ops/courier.py` does the sending.

A webhook's address holds the right to write there, so it is a secret: it shows itself in no repr, and the parts of it
that are secret are known to the log, which keeps them out.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import unquote, urlsplit

import msgspec

from mm_daemon.ops.alerts import Alert
from mm_daemon.ops.logs import MIN_SECRET_LENGTH, redact_text

Form = Literal["generic", "slack", "discord", "telegram"]

MOST_CHARACTERS = {"slack": 3_000, "discord": 2_000, "telegram": 4_096}
"""The longest text each takes, in the UTF-16 units that they count."""
SECRET_PART_LENGTH = 16
"""Parts of an address from this length on are tokens, not words."""
LONGEST_WAIT_SECS = 300.0
"""A service that asks for more patience than this is asked again all the same."""


class Webhook:
    """Where alerts go, and in which form.

    Args:
        url: https, or http on this machine; Telegram's is https://api.telegram.org/bot<token>/sendMessage.
        chat_id: for Telegram, which chat.

    Raises:
        ValueError: not such an address. The message does not repeat it.
    """

    __slots__ = ("_url", "chat_id", "form")

    def __init__(self, form: Form, url: str, chat_id: str = "") -> None:
        self._url = _checked(url.strip())
        self.form = form
        self.chat_id = chat_id

    def reveal(self) -> str:
        """The address itself, for the request and nothing else."""
        return self._url

    def secrets(self) -> list[str]:
        """What of the address is to be kept out of logs: the whole, its path, and every part that is a token."""
        parts = urlsplit(self._url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        pieces = [piece for piece in path.replace("?", "/").replace("&", "/").replace("=", "/").split("/") if piece]
        found = {self._url, path.strip("/"), *(piece for piece in pieces if len(piece) >= SECRET_PART_LENGTH)}
        found |= {unquote(secret) for secret in found}
        return [secret for secret in found if len(secret) >= MIN_SECRET_LENGTH]

    def __repr__(self) -> str:
        return f"Webhook({self.form}, hidden)"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("is not an address") from None
    if not host or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError("is not an address such as https://host/path, on one line")
    if parts.username is not None or parts.fragment:
        raise ValueError("must not hold a user or a fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("must begin with https://; http:// is for this machine only")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Notice(msgspec.Struct, frozen=True):
    """An alert on its way: with the name of the daemon it is about, and some values for machines.

    Attributes:
        lost_before: alerts that could not be brought since the last one that could.
    """

    instance: str
    alert: Alert
    values: dict[str, object] = {}
    lost_before: int = 0


def body(webhook: Webhook, notice: Notice) -> dict[str, object]:
    """The JSON that the service of this webhook takes, free of registered secrets."""
    if webhook.form == "generic":
        return _generic(notice)
    text = redact_text(as_text(notice))
    cut = _cut(text, MOST_CHARACTERS[webhook.form])
    if webhook.form == "slack":
        return {"text": cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    if webhook.form == "discord":
        return {"content": cut, "allowed_mentions": {"parse": []}}
    return {"chat_id": webhook.chat_id, "text": cut, "disable_web_page_preview": True}


def as_text(notice: Notice) -> str:
    """The message for a person: what, how bad, where, and since when."""
    alert = notice.alert
    what = "RESOLVED" if alert.is_resolved else alert.level.upper()
    lines = [f"{what}: {alert.title}", alert.text, f"{notice.instance}, since {_iso(alert.since_ms)}"]
    if alert.count > 1:
        lines.append(f"{alert.count} times since then")
    if notice.lost_before:
        lines.append(f"{notice.lost_before} earlier alerts could not be delivered: see the log")
    return "\n".join(line for line in lines if line)


def _generic(notice: Notice) -> dict[str, object]:
    alert = notice.alert
    return {
        "instance": notice.instance,
        "key": alert.key,
        "level": alert.level,
        "title": redact_text(alert.title),
        "text": redact_text(alert.text),
        "since": _iso(alert.since_ms),
        "resolved": alert.is_resolved,
        "count": alert.count,
        "lost_before": notice.lost_before,
        "observation": notice.values,
    }


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def _cut(text: str, most: int) -> str:
    encoded = text.encode("utf-16-le", "replace")
    if len(encoded) <= 2 * most:
        return encoded.decode("utf-16-le")
    return encoded[: 2 * (most - 3)].decode("utf-16-le", "ignore") + "..."


class Again(msgspec.Struct, frozen=True):
    """Not taken now: ask again, not before `after_secs` where the service names a time."""

    why: str
    after_secs: float | None = None


class Refused(msgspec.Struct, frozen=True):
    """Not taken, and asking again does not help."""

    why: str


def judge(status: int, headers: Mapping[str, str], content: bytes, now: datetime) -> Again | Refused | None:
    """What the service's answer means; None when it took the alert.

    Args:
        headers: any Mapping that ignores letter case.
        content: the beginning of the body, whatever it is.
        now: for a Retry-After that is a date.
    """
    if 200 <= status < 300:
        return None
    why = f"HTTP {status}"
    if status in (408, 425, 429) or status >= 500:
        return Again(why, _wait_secs(headers, content, now))
    return Refused(why)


def _wait_secs(headers: Mapping[str, str], content: bytes, now: datetime) -> float | None:
    """The time that the service names: in a header, or in the body as Discord and Telegram do."""
    for given in (*_body_waits(content), headers.get("Retry-After")):
        secs = _secs(given, now)
        if secs is not None:
            return min(max(secs, 0.0), LONGEST_WAIT_SECS)
    return None


def _body_waits(content: bytes) -> list[object]:
    try:
        told = msgspec.json.decode(content)
    except msgspec.MsgspecError:
        return []
    if not isinstance(told, dict):
        return []
    parameters = told.get("parameters")
    return [told.get("retry_after"), parameters.get("retry_after") if isinstance(parameters, dict) else None]


def _secs(given: object, now: datetime) -> float | None:
    """A number of seconds, also as text, or a date; None for anything else."""
    if not isinstance(given, int | float | str) or isinstance(given, bool):
        return None
    try:
        secs = float(given)
    except ValueError:
        return _secs_until(str(given), now)
    return secs if math.isfinite(secs) else None


def _secs_until(date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (at - now).total_seconds() if at.tzinfo else None
