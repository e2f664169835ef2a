"""The one order of a smoke test: its steps, and its end whatever became of them.

It is signed once: after a lost answer it is looked up by its id. It counts as resting from before its bytes leave until
complete reads show that it does not; only it is ever cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import TypeVar

import typer

from mm_daemon.app import ExitCode
from mm_daemon.connection import Connection
from mm_daemon.core.events import BookSnapshot, OrderReport, OrderStatus
from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.units import (
    DOLLAR,
    OrderId,
    Outcome,
    Price,
    Side,
    Size,
    format_price,
    format_size,
    format_usd,
    notional,
)
from mm_daemon.exchange.api import Accepted, AnswerLost, CancelOutcome, Complete, Refused, SignedOrder, UserChannel
from mm_daemon.exchange.errors import (
    AuthError,
    Mode,
    Rejected,
    RejectReason,
    Restricted,
    Throttled,
    Unreachable,
    VenueError,
)
from mm_daemon.ops.logs import redact_text
from mm_daemon.tasks.shutdown import ABSENCE_NS, ABSENCE_READS
from mm_daemon.tasks.socket import keep_connected, quickest

FAR_FROM_TOUCH = Price(500)
"""Others' best bid has to be this much above ours, five cents."""
STEP_SECS = 10.0
CLEAN_UP_SECS = 10.0
PAUSE_SECS = 0.2

T = TypeVar("T")


class SmokeFailed(Exception):
    """A step failed; the text is for the person at the terminal."""

    def __init__(self, text: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(text)
        self.code = code


def say(text: str) -> None:
    """Print one line at once, without any secret. That nobody reads it is no reason to leave an order behind."""
    with suppress(BrokenPipeError):
        typer.echo(redact_text(text))


class Ear:
    """Who listens on the user channel.

    Attributes:
        is_open: set while the socket answers, and so has taken what we sent first.
        reports: the last word on each order.
    """

    def __init__(self, channel: UserChannel) -> None:
        self._channel = channel
        self._must_ask = False
        self._news = asyncio.Event()
        self.is_open = asyncio.Event()
        self.reports: dict[OrderId, OrderReport] = {}

    def opened(self) -> None:
        """A socket is up and knows who we are."""
        self._must_ask = True

    def lost(self) -> None:
        """It is gone."""
        self.is_open.clear()

    def texts_to_send(self, now_ns: int) -> list[str]:
        """PING, once a connection: the channel acknowledges nothing else."""
        asked, self._must_ask = self._must_ask, False
        return ["PING"] if asked else []

    def receive(self, text: str | bytes, now_ns: int) -> None:
        """One frame."""
        if text.strip() in ("PONG", b"PONG"):
            self.is_open.set()
        for event in self._channel.receive(text, now_ns):
            if isinstance(event, OrderReport):
                self.reports[event.id] = event
                self._news.set()

    async def hear(self, id: OrderId, statuses: frozenset[OrderStatus]) -> None:
        """Wait until the venue reported that an order has one of these statuses."""
        while (report := self.reports.get(id)) is None or report.status not in statuses:
            self._news.clear()
            await self._news.wait()


class Trial:
    """One order's short life."""

    def __init__(self, connection: Connection, refs: Sequence[str]) -> None:
        self._connection = connection
        self._venue = connection.venue
        self._refs = refs
        self._order: SignedOrder | None = None
        """Set before its bytes leave, and until it is verified that it does not rest."""
        self._sent_ns = 0
        self._absent = 0
        self._is_cancelled = False
        """The venue said that a cancel took it off the book."""
        self._matched = Size(0)

    @property
    def order_id(self) -> str:
        """Its id; "" while none may rest."""
        return self._order.id if self._order else ""

    async def run(self) -> None:
        """All steps.

        Raises:
            SmokeFailed: one of them failed; what may rest is for `clean_up`.
        """
        await self._step("API key", self._venue.connect())
        await self._step("account", self._check_account())
        market, outcome = await self._step("market", self._choose())
        ear = Ear(channel := self._connection.user_channel())
        listening = asyncio.create_task(keep_connected("user", channel, ear, quickest()))
        try:
            await self._step("user channel open", ear.is_open.wait())
            await self._live(market, outcome, ear)
        finally:
            listening.cancel()
            await asyncio.wait({listening})

    async def _live(self, market: Market, outcome: Outcome, ear: Ear) -> None:
        price, size = market.lowest, market.min_size
        order = self._venue.sign(market, market.token(outcome), Side.BUY, price, size)
        say(
            f"      {market.slug}: a bid for {format_size(size)} {outcome.name} at {format_price(price)}, "
            f"at most {format_usd(notional(price, size))} dollars, id {order.id}"
        )
        await self._step("placed", self._place(order))
        await self._step("seen on the user channel", ear.hear(order.id, frozenset(OrderStatus)))
        await self._step("seen in open orders", self._until_open(order.id))
        await self._step("cancelled", self._cancel(order.id))
        gone = frozenset({OrderStatus.CANCELLED, OrderStatus.MATCHED})
        await self._step("seen cancelled on the user channel", ear.hear(order.id, gone))
        await self._step("gone from open orders", self._until_gone())
        if self._matched:
            raise SmokeFailed(f"it was filled: {format_size(self._matched)} shares are held now")

    async def clean_up(self) -> bool:
        """Cancel what may rest, by id, until it is verified gone or time is up; True if nothing of ours rests."""
        if self._order is None:
            return True
        try:
            await self._step("cleaned up", self._until_gone(), CLEAN_UP_SECS)
        except SmokeFailed as error:
            say(f"fail  {error}")
        if self._matched:
            say(f"warn  it was filled: {format_size(self._matched)} shares are held now")
        return self._order is None

    async def _step(self, name: str, work: Awaitable[T], secs: float = STEP_SECS) -> T:
        """Do one step and say how long it took.

        Raises:
            SmokeFailed: it failed, or took too long.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(secs):
                result = await work
        except TimeoutError:
            raise SmokeFailed(f"{name}: not within {secs:g} s") from None
        except VenueError as error:
            raise SmokeFailed(f"{name}: {error}", _code_of(error)) from error
        except SmokeFailed as failed:
            raise SmokeFailed(f"{name}: {failed}", failed.code) from failed
        say(f"ok    {name:<36}{(time.monotonic() - started) * 1000:8.1f} ms")
        return result

    async def _check_account(self) -> None:
        if await self._venue.is_closed_only():
            raise SmokeFailed("is in closed-only mode: it may not open positions", ExitCode.REFUSED)

    async def _choose(self) -> tuple[Market, Outcome]:
        """The first market, and the outcome of it, in which the lowest price is far from everybody."""
        problems: list[str] = []
        for ref in self._refs:
            try:
                market = await self._venue.load_market(ref)
            except Rejected as error:
                if error.reason is not RejectReason.NOT_FOUND:
                    raise
                raise SmokeFailed(f"there is no {ref}: {error.text}", ExitCode.CONFIG) from error
            if market.status is not MarketStatus.OPEN:
                problems.append(f"{ref}: {market.status.value}")
                continue
            match await self._venue.book(market.yes):
                case Complete(book):
                    outcome = deep_side(market, book)
                    if outcome is not None:
                        return market, outcome
                    problems.append(f"{ref}: others' bids are missing or too near its lowest price")
                case unread:
                    problems.append(f"{ref}: {unread.reason}")
        raise SmokeFailed(f"none will do ({'; '.join(problems)}); name another with --market")

    async def _place(self, order: SignedOrder) -> None:
        self._order, self._sent_ns = order, time.monotonic_ns()
        try:
            [placement] = await self._venue.place([order])
        except (Throttled, Restricted, Unreachable, AuthError):
            self._order = None  # nothing happened
            raise
        match placement:
            case Accepted():
                pass
            case Refused(reason=reason, text=text):
                self._order = None
                raise SmokeFailed(f"refused: {reason.value}: {text}", ExitCode.REFUSED)
            case AnswerLost(why=why):
                say(f"      no answer ({why}): looking for it by its id")
                await self._look_for_it(order.id)

    async def _look_for_it(self, id: OrderId) -> None:
        """Find out whether an unanswered order exists; it is never signed or sent anew."""
        while True:
            match await self._venue.order(id):
                case Complete(None):
                    if self._is_absent():
                        self._order = None
                        raise SmokeFailed("it never arrived; nothing rests")
                case Complete(OrderReport()):
                    return
            await asyncio.sleep(PAUSE_SECS)

    def _is_absent(self) -> bool:
        """One more complete read without it: whether that is enough to believe that it is not there.

        Its bytes may still be on their way, so it takes several reads and some time.
        """
        self._absent += 1
        return self._absent >= ABSENCE_READS and time.monotonic_ns() - self._sent_ns > ABSENCE_NS

    async def _until_open(self, id: OrderId) -> None:
        while True:
            match await self._venue.open_orders():
                case Complete(reports) if any(report.id == id for report in reports):
                    return
            await asyncio.sleep(PAUSE_SECS)

    async def _cancel(self, id: OrderId) -> None:
        outcome = (await self._venue.cancel([id]))[id]
        self._is_cancelled = outcome is CancelOutcome.CANCELLED
        if not self._is_cancelled:
            say(f"      the cancel's answer: {outcome.value}; looking at the order itself")

    async def _until_gone(self) -> None:
        """Cancel and read until the order is verified gone. The cancel comes first: a read may lag behind."""
        while self._order is not None:
            try:
                if not self._is_cancelled:
                    await self._cancel(self._order.id)
            except VenueError as error:
                say(f"      cancel: {error}")
            if await self._is_gone(self._order.id):
                self._order = None
            else:
                await asyncio.sleep(PAUSE_SECS)

    async def _is_gone(self, id: OrderId) -> bool:
        """Whether complete reads show that it does not rest."""
        match await self._venue.open_orders():
            case Complete(reports) if all(report.id != id for report in reports):
                pass
            case _:
                return False
        match await self._venue.order(id):
            case Complete(OrderReport(matched=matched, status=status)):
                self._matched = matched
                return status is not OrderStatus.LIVE
            case Complete(None):
                return self._is_cancelled or self._is_absent()
            case _:
                return False


def deep_side(market: Market, book: BookSnapshot) -> Outcome | None:
    """The outcome whose best bid is highest, if the market's lowest price is far below it; None if it is not.

    Args:
        market: whose lowest price is meant.
        book: of its YES token.
    """
    bids = [price for price, size in book.bids if size]
    asks = [price for price, size in book.asks if size]
    touches = {
        Outcome.YES: max(bids, default=Price(0)),
        Outcome.NO: DOLLAR - min(asks, default=DOLLAR),
    }
    outcome = max(touches, key=lambda side: touches[side])
    return outcome if touches[outcome] >= market.lowest + FAR_FROM_TOUCH else None


def _code_of(error: VenueError) -> ExitCode:
    """What a refusal amounts to; everything else may pass."""
    is_region = isinstance(error, Restricted) and error.mode is Mode.REGION
    return ExitCode.REFUSED if is_region or isinstance(error, AuthError | Rejected) else ExitCode.FAILED
