"""The market channel: what to send on its socket and what its frames mean. No socket, no clock.

Nearly every frame is one `price_change`, and the first decoder knows nothing else. What it refuses goes to one that
knows every frame; what that refuses is taken apart element by element, so that one odd element costs only itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from mm_daemon.core.events import MarketEvent
from mm_daemon.core.units import TokenId
from mm_daemon.exchange.polymarket.channel import (
    ChannelStatistics,
    KeepAlive,
    count_kind,
    count_malformed,
    is_control,
)
from mm_daemon.exchange.polymarket.market_frames import (
    BestFrame,
    BookFrame,
    LastTradeFrame,
    MarketFrame,
    NewMarketFrame,
    PriceChangeFrame,
    ResolvedFrame,
    TickSizeFrame,
    UsualChangeFrame,
    book_snapshot,
    last_trade,
    levels_changed,
    market_resolved,
    new_market,
    tick_changed,
    top_of_book,
)
from mm_daemon.exchange.polymarket.wire import UNREADABLE

_CHANGE = msgspec.json.Decoder(UsualChangeFrame, strict=False)
_FRAME = msgspec.json.Decoder(MarketFrame | list[MarketFrame])
_ELEMENT = msgspec.json.Decoder(MarketFrame)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])


class _Head(msgspec.Struct, gc=False):
    event_type: str = ""


_HEAD = msgspec.json.Decoder(_Head)
_KNOWN = frozenset(
    {
        "book",
        "price_change",
        "last_trade_price",
        "tick_size_change",
        "best_bid_ask",
        "market_resolved",
        "new_market",
    }
)


class PolymarketMarketChannel:
    """Market data of a set of tokens over one socket.

    Feed it with `receive`, send what `connected`, `tick` and `resubscribe` return. Events of other tokens are dropped.

    Args:
        url: where the socket connects.
        tokens: both tokens of every market wanted; at most a few hundred a socket.
    """

    def __init__(self, url: str, tokens: Sequence[TokenId]) -> None:
        self._url = url
        self._tokens = tuple(dict.fromkeys(tokens))
        self._wanted = frozenset(self._tokens)
        self._keep_alive = KeepAlive()
        self._statistics = ChannelStatistics()

    @property
    def url(self) -> str:
        """Where to connect."""
        return self._url

    @property
    def tokens(self) -> tuple[TokenId, ...]:
        """The tokens subscribed."""
        return self._tokens

    def statistics(self) -> ChannelStatistics:
        """Live counts; read, do not change."""
        return self._statistics

    def malformed(self) -> Mapping[str, str]:
        """The beginning of the first malformed frame of each kind."""
        return self._statistics.samples

    def connected(self, now_ns: int) -> list[str]:
        """A socket is open: the subscription to send first."""
        self._keep_alive.connected(now_ns)
        return [_text({"type": "market", "assets_ids": self._tokens, "custom_feature_enabled": True})]

    def tick(self, now_ns: int) -> list[str]:
        """Time has passed: PING, if one is due."""
        return self._keep_alive.texts_due(now_ns)

    def is_dead(self, now_ns: int) -> bool:
        """Whether nothing came for 5 s after a PING."""
        return self._keep_alive.is_dead(now_ns)

    def resubscribe(self, tokens: Sequence[TokenId]) -> list[str]:
        """Texts that ask for the books of `tokens` again, for tokens whose first book never came.

        The venue drops a subscription that it believes it has, so it is taken back first.
        """
        return [
            _text({"operation": "unsubscribe", "assets_ids": tokens}),
            _text({"operation": "subscribe", "assets_ids": tokens, "custom_feature_enabled": True}),
        ]

    def receive(self, text: str | bytes, now_ns: int) -> list[MarketEvent]:
        """Turn one frame into events; what cannot be read is counted in `statistics().malformed` and dropped."""
        self._keep_alive.heard()
        try:
            change = levels_changed(_CHANGE.decode(text), self._wanted)
        except UNREADABLE:
            return self._receive_any(text)
        return [] if change is None else [change]

    def _receive_any(self, text: str | bytes) -> list[MarketEvent]:
        try:
            frame = _FRAME.decode(text)
        except UNREADABLE:
            return self._receive_by_element(text)
        events: list[MarketEvent] = []
        for element in frame if isinstance(frame, list) else (frame,):
            self._add_event(events, element, text)
        return events

    def _receive_by_element(self, text: str | bytes) -> list[MarketEvent]:
        if is_control(text):
            self._receive_control(text)
            return []
        try:
            elements = _ELEMENTS.decode(text) if text.lstrip()[:1] in ("[", b"[") else [msgspec.Raw(_bytes(text))]
        except UNREADABLE:
            count_malformed(self._statistics, "json", text)
            return []
        events: list[MarketEvent] = []
        for element in elements:
            kind = "json"
            try:
                kind = _HEAD.decode(element).event_type
                if kind not in _KNOWN:
                    count_kind(self._statistics.unknown, kind or "without event_type")
                    continue
                frame = _ELEMENT.decode(element)
            except UNREADABLE:
                count_malformed(self._statistics, kind, bytes(element))
                continue
            self._add_event(events, frame, bytes(element))
        return events

    def _receive_control(self, text: str | bytes) -> None:
        word = text.strip()
        if word in ("PONG", b"PONG"):
            self._statistics.pongs += 1
        elif word:
            count_malformed(self._statistics, "text", text)

    def _add_event(self, events: list[MarketEvent], frame: MarketFrame, text: str | bytes) -> None:
        try:
            event = self._event(frame)
        except ValueError:
            count_malformed(self._statistics, str(frame.__struct_config__.tag), text)
            return
        if event is not None:
            events.append(event)

    def _event(self, frame: MarketFrame) -> MarketEvent | None:
        if isinstance(frame, PriceChangeFrame):
            return levels_changed(frame, self._wanted)
        if isinstance(frame, NewMarketFrame):
            return new_market(frame)
        if isinstance(frame, ResolvedFrame):
            return market_resolved(frame) if not self._wanted.isdisjoint(frame.assets_ids) else None
        if frame.asset_id not in self._wanted:
            return None
        if isinstance(frame, BookFrame):
            return book_snapshot(frame)
        return _quiet_event(frame)


def _quiet_event(frame: LastTradeFrame | TickSizeFrame | BestFrame) -> MarketEvent:
    if isinstance(frame, LastTradeFrame):
        return last_trade(frame)
    return tick_changed(frame) if isinstance(frame, TickSizeFrame) else top_of_book(frame)


def _text(message: object) -> str:
    return msgspec.json.encode(message).decode()


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
