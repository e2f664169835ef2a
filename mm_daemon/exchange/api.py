"""What a venue is to the rest of the daemon: typed calls in, typed results out, and channels without I/O.

Tasks know this file and nothing of any venue's wire. Reads answer `Complete` or `Unavailable`; only a complete read may
remove anything. Writes answer for each order alone, because a batch is never atomic.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from mm_daemon.core.events import BookSnapshot, MarketEvent, OrderReport, TradeReport, UserEvent
from mm_daemon.core.market import Market
from mm_daemon.core.units import OrderId, Price, Side, Size, TokenId
from mm_daemon.exchange.errors import RejectReason

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Complete(Generic[T_co]):
    """A read that saw everything."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A read that failed or saw only a part; it tells nothing about what exists."""

    reason: str


Read: TypeAlias = Complete[T_co] | Unavailable


class SignedOrder(msgspec.Struct, frozen=True, gc=False):
    """An order ready to send: its id is known before it leaves. `body` is the JSON of its POST envelope."""

    id: OrderId
    token: TokenId
    side: Side
    price: Price
    size: Size
    body: bytes

    def __repr__(self) -> str:
        return f"SignedOrder({self.id})"


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """The venue took the order. `may_match`: it was matched, delayed or unmatched at once, not plainly resting."""

    id: OrderId
    may_match: bool = False


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The venue refused the order: it never rested."""

    id: OrderId
    reason: RejectReason
    text: str


class AnswerLost(msgspec.Struct, frozen=True, gc=False):
    """No readable verdict for this order: it may rest, and is looked up by its id."""

    id: OrderId
    why: str


Placement: TypeAlias = Accepted | Refused | AnswerLost


class CancelOutcome(Enum):
    """What became of one cancel."""

    CANCELLED = "cancelled"
    """The venue says it took the order off the book."""
    NOT_CANCELLED = "not_cancelled"
    """Already gone, filled, delayed or not ours: the order's own state has to be looked up."""
    ANSWER_LOST = "answer_lost"


class Balance(msgspec.Struct, frozen=True):
    """What the venue lets us spend of one asset: micro-dollars of collateral or micro-shares of a token."""

    amount: int
    allowance: int | None
    """The least allowance over the exchange contracts; None where the answer names none."""


class Venue(Protocol):
    """A place to trade. Every call has a total deadline of its own.

    Calls that read return `Read`. Calls that write raise `Throttled`, `Restricted`, `Unreachable` or `AuthError` when
    nothing happened.
    """

    async def connect(self) -> object:
        """Get the credentials that private calls need.

        Raises:
            VenueError: the venue gave none.
        """
        ...

    async def server_secs(self) -> int:
        """The venue's clock in unix seconds.

        Raises:
            VenueError: it could not be read.
        """
        ...

    async def is_closed_only(self) -> bool:
        """Whether the account may only close positions.

        Raises:
            VenueError: it could not be read.
        """
        ...

    def sign(self, market: Market, token: TokenId, side: Side, price: Price, size: Size) -> SignedOrder:
        """Build and sign a post-only GTC order, or take one that is ready; pure computation, nothing is sent.

        Raises:
            ValueError: the price is off the market's grid or the size is not a positive number of 0.01 shares.
        """
        ...

    def sign_ahead(self, market: Market, token: TokenId, side: Side, price: Price, size: Size) -> None:
        """This order may be wanted soon: have it ready for `sign`, unless it is.

        Raises:
            ValueError: as `sign`.
        """
        ...

    def order_allowance(self) -> int:
        """How many orders may be sent now under the rate limit (and in one batch)."""
        ...

    def cancel_allowance(self, *, urgent: bool = False) -> int:
        """How many cancels may be sent now; `urgent` opens the reserve that is kept for a stop."""
        ...

    def place(self, orders: Sequence[SignedOrder]) -> Coroutine[Any, Any, list[Placement]]:
        """Send up to 15 orders; await one verdict for each, in order.

        Where a connection is free their bytes have left when the call returns. What goes wrong is raised when awaited.
        """
        ...

    def cancel(self, ids: Sequence[OrderId]) -> Coroutine[Any, Any, dict[OrderId, CancelOutcome]]:
        """Cancel up to 100 orders by id; await one outcome for each id given. Sent as `place` sends."""
        ...

    async def cancel_all(self) -> dict[OrderId, CancelOutcome]:
        """Cancel every order of our API key; outcomes of the orders the venue names.

        Raises:
            Unknown: no readable answer.
        """
        ...

    async def open_orders(self) -> Read[list[OrderReport]]:
        """Every order of ours that rests."""
        ...

    async def order(self, id: OrderId) -> Read[OrderReport | None]:
        """One order, finished or not; None: the venue knows no such order (any more)."""
        ...

    async def trades(self, after_secs: int) -> Read[list[TradeReport]]:
        """Trades with fills of ours since a unix time, oldest first."""
        ...

    async def collateral(self) -> Read[Balance]:
        """Our spendable pUSD in micro-dollars."""
        ...

    async def refresh_collateral(self) -> None:
        """Make the venue read our pUSD from the chain anew, which it has to be told for a new wallet.

        Raises:
            VenueError: it was not accepted.
        """
        ...

    async def holding(self, token: TokenId) -> Read[Balance]:
        """Our settled balance of a token in micro-shares."""
        ...

    async def book(self, token: TokenId) -> Read[BookSnapshot]:
        """A token's book over REST."""
        ...

    async def load_market(self, ref: str) -> Market:
        """Find a market by slug or condition id and read its rules from the exchange itself.

        Raises:
            Rejected: NOT_FOUND: there is no such market, or it is not a binary market on the book.
            Unknown, ProtocolError: it could not be read.
        """
        ...

    async def market_status(self, market: Market) -> Read[Market]:
        """The market's present rules and status."""
        ...

    async def heartbeat(self) -> None:
        """Tell the dead-man switch that we live; keeps the chain of heartbeat ids itself.

        Raises:
            VenueError: it was not accepted.
        """
        ...

    async def close(self) -> None:
        """Close connections; no call after it."""
        ...


class Channel(Protocol):
    """One websocket's protocol without the socket: text in, events and texts out. No frame makes it raise."""

    @property
    def url(self) -> str:
        """Where to connect."""
        ...

    def connected(self, now_ns: int) -> list[str]:
        """A socket is open: the texts to send first."""
        ...

    def tick(self, now_ns: int) -> list[str]:
        """Time has passed: the texts to send now (keep-alive)."""
        ...

    def is_dead(self, now_ns: int) -> bool:
        """Whether the socket stopped answering and has to be opened anew."""
        ...

    def malformed(self) -> Mapping[str, str]:
        """The beginning of the first frame of each kind that could not be read."""
        ...


class MarketChannel(Channel, Protocol):
    """Public market data of a set of tokens."""

    def receive(self, text: str | bytes, now_ns: int) -> Sequence[MarketEvent]:
        """Turn one frame into events; what cannot be read is counted in `malformed` and dropped."""
        ...

    def resubscribe(self, tokens: Sequence[TokenId]) -> list[str]:
        """The texts that make the venue send these tokens' books again."""
        ...


class UserChannel(Channel, Protocol):
    """Our own orders and trades."""

    def receive(self, text: str | bytes, now_ns: int) -> Sequence[UserEvent]:
        """Turn one frame into events; what cannot be read is counted in `malformed` and dropped."""
        ...
