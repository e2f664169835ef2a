"""What a strategy is: a pure, synchronous object. Events in, signals out, state seen through a read-only view.

Anybody can add one: a class with these members, named in the entry-point group `mm_daemon.strategies`. It never sees a
socket, a key or an order id; the daemon turns its quotes into orders, cuts them to the limits and keeps them in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

import msgspec

from mm_daemon.core.book import Touch
from mm_daemon.core.inventory import Holdings
from mm_daemon.core.market import Market
from mm_daemon.core.orders import Order
from mm_daemon.core.quotes import TwoSidedQuote
from mm_daemon.core.units import Cash, ConditionId, Price, Side, Size


class MarketView(Protocol):
    """One market as a strategy sees it; reading it is all one can do."""

    @property
    def market(self) -> Market:
        """Its rules: grid, minimum size, status."""
        ...

    @property
    def book_is_known(self) -> bool:
        """Whether the book is current."""
        ...

    @property
    def touch(self) -> Touch:
        """Best bid and ask of everybody else, in YES prices."""
        ...

    def others_depth(self, lowest_bid: Price, highest_ask: Price, enough: Cash | None = None) -> Cash:
        """Dollars of others' orders between these prices, each at its own price, both sides together.

        With `enough` counting ends as soon as there is that much; name it where only that matters. What was not read
        cannot call for another look: see `BookChanged`.
        """
        ...

    @property
    def holdings(self) -> Holdings:
        """What we hold, provisional fills included."""
        ...

    @property
    def open_orders(self) -> Sequence[Order]:
        """Our orders that may rest. Copies."""
        ...


class View(Protocol):
    """All state, to read."""

    @property
    def now_ns(self) -> int:
        """Monotonic time."""
        ...

    @property
    def markets(self) -> Mapping[ConditionId, MarketView]:
        """The markets this strategy was given."""
        ...


class BookChanged(msgspec.Struct, frozen=True, gc=False):
    """The book of a market became known or unknown, or changed no deeper than the view was read at the last such event.

    Several changes that came together are one event, and a change beyond what was read is none.
    """

    market: ConditionId


class TimerFired(msgspec.Struct, frozen=True, gc=False):
    """The refresh interval of a market is over."""

    market: ConditionId


class Filled(msgspec.Struct, frozen=True, gc=False):
    """An order of ours was filled, wholly or in part; `direction` BUY made us longer YES."""

    market: ConditionId
    direction: Side
    yes_price: Price
    size: Size


class MarketChanged(msgspec.Struct, frozen=True, gc=False):
    """The rules or the status of a market changed."""

    market: ConditionId


Event: TypeAlias = BookChanged | TimerFired | Filled | MarketChanged


class QuoteMarket(msgspec.Struct, frozen=True):
    """Quote this market so. `replace` names the sides whose resting orders are replaced even where they are right."""

    market: ConditionId
    quote: TwoSidedQuote
    why: str
    stale_after_ns: int
    replace: frozenset[Side] = frozenset()


class CancelQuotes(msgspec.Struct, frozen=True):
    """Quote nothing in this market, and say why."""

    market: ConditionId
    why: str


Signal: TypeAlias = QuoteMarket | CancelQuotes


class Strategy(Protocol):
    """A strategy. One instance trades all markets of its configuration.

    `config_type` is a msgspec struct; the daemon reads the `[strategy]` table into it, refuses what does not fit, and
    hands the struct to the constructor and to `reload`.
    """

    name: ClassVar[str]
    config_type: ClassVar[type[msgspec.Struct]]

    def __init__(self, config: Any) -> None: ...

    @property
    def enabled(self) -> bool:
        """Whether it quotes; while disabled every event is answered with a cancel."""
        ...

    @enabled.setter
    def enabled(self, value: bool) -> None: ...

    @property
    def config(self) -> msgspec.Struct:
        """The settings in force."""
        ...

    @property
    def markets(self) -> tuple[str, ...]:
        """Slugs or condition ids of the markets it wants."""
        ...

    @property
    def max_position(self) -> Cash:
        """Its own limit for each market, in micro-dollars at risk."""
        ...

    @property
    def max_total_position(self) -> Cash:
        """Its own limit over all markets."""
        ...

    @property
    def refresh_interval_secs(self) -> float:
        """How often each market gets a `TimerFired`."""
        ...

    def initialize(self, view: View) -> Sequence[Signal]:
        """Start with what is known; called once, before any event."""
        ...

    def on_event(self, event: Event, view: View) -> Sequence[Signal]:
        """Answer an event. No signal: what was signalled before still holds."""
        ...

    def reload(self, config: Any) -> None:
        """Take a new configuration.

        Raises:
            ValueError: it does not fit; the old one stays in force, unchanged.
        """
        ...
