"""The user channel: our own orders and trades over one socket. No socket, no clock.

The first frame carries the API secret in clear, so this object never shows what it sends. The venue sends no snapshot
and no replay: whoever reconnects has to read orders and trades anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from mm_daemon.core.events import UserEvent
from mm_daemon.core.units import OrderId
from mm_daemon.exchange.polymarket.auth import ApiCredentials
from mm_daemon.exchange.polymarket.channel import (
    ChannelStatistics,
    KeepAlive,
    count_kind,
    count_malformed,
    is_control,
)
from mm_daemon.exchange.polymarket.user_frames import (
    OrderBody,
    Ownership,
    TradeBody,
    nobody,
    order_report,
    trade_report,
)
from mm_daemon.exchange.polymarket.wire import UNREADABLE

_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_ORDER = msgspec.json.Decoder(OrderBody)
_TRADE = msgspec.json.Decoder(TradeBody)
_KINDS_OF_TYPE = {"TRADE": "trade", "PLACEMENT": "order", "UPDATE": "order", "CANCELLATION": "order"}


class _Head(msgspec.Struct):
    event_type: str | None = None
    type: str | None = None


_HEAD = msgspec.json.Decoder(_Head)


class PolymarketUserChannel:
    """Our orders and trades in all markets.

    Args:
        url: where the socket connects.
        credentials: the API key triple; its owner's events are sent.
        wallet: the address that holds our funds.
        is_ours: whether an order id is one of ours; asked for every part of a trade.
    """

    def __init__(
        self,
        url: str,
        credentials: ApiCredentials,
        wallet: str,
        is_ours: Callable[[OrderId], bool] = nobody,
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._ownership = Ownership(credentials.key, wallet, is_ours)
        self._keep_alive = KeepAlive()
        self._statistics = ChannelStatistics()

    def __repr__(self) -> str:
        return f"PolymarketUserChannel({self._url})"

    @property
    def url(self) -> str:
        """Where to connect."""
        return self._url

    def statistics(self) -> ChannelStatistics:
        """Live counts; read, do not change."""
        return self._statistics

    def malformed(self) -> Mapping[str, str]:
        """The beginning of the first malformed frame of each kind."""
        return self._statistics.samples

    def connected(self, now_ns: int) -> list[str]:
        """A socket is open: the authentication to send first. It holds secrets: never log it.

        There is no `markets` key: an empty list there would mute trades.
        """
        self._keep_alive.connected(now_ns)
        auth = {
            "apiKey": self._credentials.key,
            "secret": self._credentials.secret,
            "passphrase": self._credentials.passphrase,
        }
        return [msgspec.json.encode({"type": "user", "auth": auth}).decode()]

    def tick(self, now_ns: int) -> list[str]:
        """Time has passed: PING, if one is due."""
        return self._keep_alive.texts_due(now_ns)

    def is_dead(self, now_ns: int) -> bool:
        """Whether nothing came for 5 s after a PING."""
        return self._keep_alive.is_dead(now_ns)

    def receive(self, text: str | bytes, now_ns: int) -> list[UserEvent]:
        """Turn one frame into events; what cannot be read is counted in `statistics().malformed` and dropped."""
        self._keep_alive.heard()
        if is_control(text):
            self._receive_control(text)
            return []
        try:
            encoded = text if isinstance(text, bytes) else text.encode()
            elements = _ELEMENTS.decode(encoded) if encoded.lstrip()[:1] == b"[" else [msgspec.Raw(encoded)]
        except UNREADABLE:
            self._count_malformed("json", text)
            return []
        events: list[UserEvent] = []
        for element in elements:
            self._add_event(events, element)
        return events

    def _receive_control(self, text: str | bytes) -> None:
        word = text.strip()
        if word in ("PONG", b"PONG"):
            self._statistics.pongs += 1
        elif word:
            self._count_malformed("text", text)

    def _add_event(self, events: list[UserEvent], element: msgspec.Raw) -> None:
        kind = "json"
        try:
            head = _HEAD.decode(element)
            kind = head.event_type or _KINDS_OF_TYPE.get(head.type or "", "without event_type")
            event: UserEvent | None = None
            if kind == "order":
                event = order_report(_ORDER.decode(element))
            elif kind == "trade":
                event = trade_report(_TRADE.decode(element), self._ownership)
            else:
                count_kind(self._statistics.unknown, kind)
        except UNREADABLE:
            self._count_malformed(kind, bytes(element))
            return
        if event is not None:
            events.append(event)

    def _count_malformed(self, kind: str, sample: str | bytes) -> None:
        text = sample if isinstance(sample, str) else sample.decode(errors="replace")
        for secret in (self._credentials.key, self._credentials.secret, self._credentials.passphrase):
            text = text.replace(secret, "…") if secret else text
        count_malformed(self._statistics, kind, text)
