"""Where the server reads books from: the venue's own, or a recording that is being replayed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from mm_daemon.core.units import TokenId
from mm_daemon.sim.marketdata import Frame
from mm_daemon.sim.model import Refusal
from mm_daemon.sim.venue import Venue


class Books(Protocol):
    """Public market data by token."""

    def rest_book(self, token: str) -> Frame:
        """The body of GET /book.

        Raises:
            Refusal: 404, no book for this token.
        """
        ...

    def snapshots(self, tokens: Iterable[str]) -> list[Frame]:
        """The `book` frames that answer a subscription; unknown tokens have none."""
        ...

    def subscribed(self, tokens: Iterable[str]) -> None:
        """Somebody has subscribed to these and was sent their snapshots."""
        ...


class VenueBooks:
    """The books that orders are matched on."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def rest_book(self, token: str) -> Frame:
        """The body of GET /book."""
        state = self._venue.by_token(token)
        return state.feed.rest_book(state.market.outcome(TokenId(token)))

    def snapshots(self, tokens: Iterable[str]) -> list[Frame]:
        """The `book` frames that answer a subscription."""
        frames = []
        for token in tokens:
            try:
                state = self._venue.by_token(token)
            except Refusal:
                continue
            frames.append(state.feed.snapshot(state.market.outcome(TokenId(token))))
        return frames

    def subscribed(self, tokens: Iterable[str]) -> None:
        """Nothing to start: these books live by themselves."""
