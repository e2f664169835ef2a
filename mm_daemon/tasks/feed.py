"""The market-data feed: frames of one socket become books, and each change is handed on at once, without a queue.

Every reconnect makes all books of the socket unknown until a new snapshot; so does a change of the tick. A token that
stays without a book, or whose touch contradicts its frames for a second, is subscribed anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec
import structlog

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.events import (
    BookSnapshot,
    LastTrade,
    LevelsChanged,
    MarketEvent,
    MarketResolved,
    TickChanged,
)
from mm_daemon.core.market import TICKS, MarketStatus
from mm_daemon.core.units import Price, TokenId
from mm_daemon.exchange.api import MarketChannel
from mm_daemon.tasks.socket import keep_connected, quickest

SILENCE_NS = 5_000_000_000
"""A book that is not there this long after subscribing is asked for again."""
DISAGREEMENT_NS = 1_000_000_000
"""How long a touch may differ from the one that frames carry; shorter crossings heal by themselves."""

log = structlog.get_logger()


class BookListener(Protocol):
    """Who acts on changes."""

    def book_changed(self, state: MarketState) -> None:
        """The book changed where the last look at it read, became known or became unknown."""
        ...

    def market_changed(self, state: MarketState) -> None:
        """The tick or the status changed."""
        ...


class Feed:
    """One market-data socket and the books it keeps.

    Attributes:
        frames, connections: counts since the start.
        is_open: whether the socket is connected now.
        heard_ns: monotonic time of the last frame, keep-alive answers included; of the start before there was one.
        complete: set when every book has come once.
        on_tape: called with each trade of our markets.
    """

    def __init__(self, desk: Desk, channel: MarketChannel, tokens: Iterable[TokenId], listener: BookListener) -> None:
        self._desk = desk
        self._channel = channel
        self._states = {token: state for token in tokens if (state := desk.of_token(token)) is not None}
        self._listener = listener
        self._asked_ns: dict[TokenId, int] = {}
        self.frames = 0
        self.connections = 0
        self.is_open = False
        self.heard_ns = time.monotonic_ns()
        self.complete = asyncio.Event()
        self.on_tape: Callable[[LastTrade], None] | None = None

    async def run(self) -> None:
        """Feed until cancelled."""
        await keep_connected("market", self._channel, self, quickest())

    def opened(self) -> None:
        """A new connection: every book is asked for, none is known."""
        self.connections += 1
        self.is_open = True
        self._asked_ns.clear()

    def lost(self) -> None:
        """The connection is gone, and with it what we knew."""
        self.is_open = False
        for state in self._states.values():
            self._forget(state)

    def distrust(self, state: MarketState, why: str) -> None:
        """A book was found wrong by other means: it is unknown from now on, and asked for anew."""
        log.warning("book_distrusted", market=state.market.slug, why=why)
        self._forget(state)
        self._asked_ns[state.book.token] = 0

    def texts_to_send(self, now_ns: int) -> list[str]:
        """Ask again for books that do not come, and for those that contradict their frames."""
        missing = []
        for token, state in self._states.items():
            book = state.book
            if book.disagrees_since_ns and now_ns - book.disagrees_since_ns > DISAGREEMENT_NS:
                log.warning("book_disagrees", market=state.market.slug, touch=book.touch)
                self._forget(state)
                self._asked_ns.pop(token, None)
                missing.append(token)
            elif not book.is_known:
                asked = self._asked_ns.setdefault(token, now_ns)
                if now_ns - asked > SILENCE_NS:
                    log.warning("book_missing", market=state.market.slug)
                    missing.append(token)
        for token in missing:
            self._asked_ns[token] = now_ns
        return self._channel.resubscribe(missing) if missing else []

    def receive(self, text: str | bytes, now_ns: int) -> None:
        """One frame: update the books, then tell the listener once of each whose look is out of date."""
        self.frames += 1
        self.heard_ns = now_ns
        changed: dict[TokenId, MarketState] = {}
        states = self._states
        for event in self._channel.receive(text, now_ns):
            if type(event) is LevelsChanged:  # what nearly every frame is
                time_ms = event.time_ms
                for change in event.changes:
                    state = states.get(change.token)
                    if state is not None and state.book.receive_change(change, time_ms, now_ns):
                        changed[change.token] = state
            elif (state := self._apply(event, now_ns)) is not None:
                changed[state.book.token] = state
        for state in changed.values():
            self._listener.book_changed(state)

    def _apply(self, event: MarketEvent, now_ns: int) -> MarketState | None:
        """Apply one event; returns the market whose book it changed."""
        match event:
            case BookSnapshot():
                return self._take_snapshot(event, now_ns)
            case LastTrade():
                state = self._states.get(event.token)
                if state is not None:
                    state.book.last_trade = event.price
                    if self.on_tape is not None:
                        self.on_tape(event)
            case TickChanged():
                self._change_tick(self._desk.of_token(event.token), event.tick)
            case MarketResolved():
                resolved = self._desk.markets.get(event.market)
                if resolved is not None:
                    resolved.market = msgspec.structs.replace(resolved.market, status=MarketStatus.RESOLVED)
                    log.warning("market_resolved", market=resolved.market.slug)
                    self._listener.market_changed(resolved)
            case _:
                pass  # TopOfBook and NewMarket say nothing that the book does not
        return None

    def _take_snapshot(self, snapshot: BookSnapshot, now_ns: int) -> MarketState | None:
        """Replace a book; a snapshot on another grid than ours is a tick change that we missed."""
        state = self._states.get(snapshot.token)
        if state is None:
            return None
        if snapshot.tick is not None and snapshot.tick != state.market.tick:
            self._change_tick(state, snapshot.tick)
        if not state.book.receive_snapshot(snapshot, now_ns):
            return None
        self._asked_ns.pop(snapshot.token, None)
        if not self.complete.is_set() and all(state.book.is_known for state in self._states.values()):
            self.complete.set()
        return state

    def _change_tick(self, state: MarketState | None, tick: Price) -> None:
        """Start a new epoch: new grid, unknown book; the strategy pulls its quotes at once."""
        if state is None or state.market.tick == tick:
            return
        if tick not in TICKS:
            log.error("tick_unknown", market=state.market.slug, tick=tick)
            state.market = msgspec.structs.replace(state.market, status=MarketStatus.NOT_ACCEPTING)
        else:
            log.info("tick_changed", market=state.market.slug, old=state.market.tick, new=tick)
            state.market = msgspec.structs.replace(state.market, tick=tick)
        state.book.forget()
        self._asked_ns[state.book.token] = 0  # long ago: ask for a fresh book at the next tick of the timer
        self._listener.market_changed(state)

    def _forget(self, state: MarketState) -> None:
        if state.book.is_known:
            state.book.forget()
            self._listener.book_changed(state)
