"""A venue that does what a test says, when it says so, and the stage on which a task plays against it.

By default the venue takes every order, rests it, cancels what it is told to and shows what rests. A call named in
`held` waits until the test settles it; a call with an answer in `answers` gets that answer, or has it raised.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.events import BookSnapshot, OrderReport, OrderStatus, TradeReport
from mm_daemon.core.market import Market
from mm_daemon.core.quotes import Desired, Quote
from mm_daemon.core.units import OrderId, Price, Side, Size, TokenId, mirror
from mm_daemon.exchange.api import (
    Accepted,
    Balance,
    CancelOutcome,
    Complete,
    Placement,
    Read,
    SignedOrder,
    Unavailable,
)
from mm_daemon.tasks.order_manager import OrderManager

from ..given import a_desk, a_market, book_at, cents, order_id, shares

TURNS = 30


async def turns() -> None:
    """Let everything that can go on now go on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], what: str = "the condition", secs: float = 2.0) -> None:
    """Wait until `condition` holds.

    Raises:
        AssertionError: it did not in time.
    """
    deadline = asyncio.get_running_loop().time() + secs
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {secs:g} s: {what}")
        await asyncio.sleep(0.001)


class Clock:
    """A steady clock that a test sets."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def pass_secs(self, secs: float) -> None:
        """Let time pass."""
        self.now_ns += round(secs * 1e9)


class Call:
    """One call to the venue and the answer that it waits for."""

    def __init__(self, name: str, argument: Any) -> None:
        self.name = name
        self.argument = argument
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def settle(self, answer: Any) -> None:
        """Give the answer; an exception is raised at the caller."""
        if isinstance(answer, BaseException):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


class ScriptedVenue:
    """A `Venue`.

    Attributes:
        calls: every call so far.
        held: names of calls that wait for the test.
        answers: what a call gets instead of the default; an exception is raised, a list gives one answer a call.
        resting: what is on the book.
        orders_left, cancels_left: the rate limits' word.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.held: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.resting: dict[OrderId, OrderReport] = {}
        self.markets: dict[str, Market] = {}
        self.signed: dict[OrderId, tuple[Market, SignedOrder]] = {}
        self.orders_left = 1_000
        self.cancels_left = 10_000

    def called(self, name: str) -> list[Call]:
        """The calls of this name."""
        return [call for call in self.calls if call.name == name]

    def waiting(self, name: str) -> list[Call]:
        """The calls of this name that wait for an answer."""
        return [call for call in self.called(name) if not call.future.done()]

    async def _ask(self, name: str, default: Callable[[], Any], argument: Any = None) -> Any:
        call = Call(name, argument)
        self.calls.append(call)
        if name not in self.held:
            answer = self.answers.get(name)
            if isinstance(answer, list):
                answer = answer.pop(0) if answer else None
            call.settle(default() if answer is None else answer)
        return await call.future

    # What a test makes happen

    def rest(self, id: OrderId) -> None:
        """Put a signed order on the book."""
        market, order = self.signed[id]
        self.resting[id] = a_report(market, id, order.token, order.side, order.price, order.size)

    def accept(self, orders: Sequence[SignedOrder]) -> list[Placement]:
        """Rest these orders, and say so."""
        for order in orders:
            self.rest(order.id)
        return [Accepted(order.id) for order in orders]

    def take_off(self, ids: Sequence[OrderId]) -> dict[OrderId, CancelOutcome]:
        """Cancel these, and say so."""
        gone = {id: self.resting.pop(id, None) for id in ids}
        return {id: CancelOutcome.CANCELLED if report else CancelOutcome.NOT_CANCELLED for id, report in gone.items()}

    # Venue

    async def connect(self) -> object:
        return await self._ask("connect", object)

    async def server_secs(self) -> int:
        import time

        return int(await self._ask("server_secs", lambda: int(time.time())))

    async def is_closed_only(self) -> bool:
        return bool(await self._ask("is_closed_only", lambda: False))

    def sign(self, market: Market, token: TokenId, side: Side, price: Price, size: Size) -> SignedOrder:
        order = SignedOrder(order_id(len(self.signed) + 1), token, side, price, size, b"{}")
        self.signed[order.id] = (market, order)
        return order

    def sign_ahead(self, market: Market, token: TokenId, side: Side, price: Price, size: Size) -> None:
        pass

    def order_allowance(self) -> int:
        return self.orders_left

    def cancel_allowance(self, *, urgent: bool = False) -> int:
        return self.cancels_left

    async def place(self, orders: Sequence[SignedOrder]) -> list[Placement]:
        answer: list[Placement] = await self._ask("place", lambda: self.accept(orders), list(orders))
        return answer

    async def cancel(self, ids: Sequence[OrderId]) -> dict[OrderId, CancelOutcome]:
        answer: dict[OrderId, CancelOutcome] = await self._ask("cancel", lambda: self.take_off(ids), list(ids))
        return answer

    async def cancel_all(self) -> dict[OrderId, CancelOutcome]:
        answer: dict[OrderId, CancelOutcome] = await self._ask("cancel_all", lambda: self.take_off(list(self.resting)))
        return answer

    async def open_orders(self) -> Read[list[OrderReport]]:
        answer: Read[list[OrderReport]] = await self._ask("open_orders", lambda: Complete(list(self.resting.values())))
        return answer

    async def order(self, id: OrderId) -> Read[OrderReport | None]:
        answer: Read[OrderReport | None] = await self._ask("order", lambda: Complete(self.resting.get(id)), id)
        return answer

    async def trades(self, after_secs: int) -> Read[list[TradeReport]]:
        answer: Read[list[TradeReport]] = await self._ask("trades", lambda: Complete([]), after_secs)
        return answer

    async def collateral(self) -> Read[Balance]:
        answer: Read[Balance] = await self._ask("collateral", lambda: Complete(Balance(10_000_000_000, None)))
        return answer

    async def refresh_collateral(self) -> None:
        await self._ask("refresh_collateral", lambda: "done")

    async def holding(self, token: TokenId) -> Read[Balance]:
        answer: Read[Balance] = await self._ask("holding", lambda: Complete(Balance(0, None)), token)
        return answer

    async def book(self, token: TokenId) -> Read[BookSnapshot]:
        answer: Read[BookSnapshot] = await self._ask("book", lambda: Unavailable("not scripted"), token)
        return answer

    async def load_market(self, ref: str) -> Market:
        market: Market = await self._ask("load_market", lambda: self.markets[ref], ref)
        return market

    async def market_status(self, market: Market) -> Read[Market]:
        answer: Read[Market] = await self._ask("market_status", lambda: Complete(market), market)
        return answer

    async def heartbeat(self) -> None:
        await self._ask("heartbeat", lambda: True)

    async def close(self) -> None:
        await self._ask("close", lambda: True)


def a_report(
    market: Market,
    id: OrderId,
    token: TokenId,
    side: Side,
    price: Price,
    size: Size,
    *,
    matched: float = 0,
    status: OrderStatus = OrderStatus.LIVE,
) -> OrderReport:
    """The venue's word on an order."""
    return OrderReport(
        id=id,
        market=market.condition_id,
        token=token,
        side=side,
        price=price,
        size=size,
        matched=shares(matched),
        status=status,
    )


class Stage:
    """A desk with quoted markets, a scripted venue and an order manager between them."""

    def __init__(self, markets: int = 1, *, max_position: float = 250, max_total: float = 100_000) -> None:
        self.clock = Clock()
        self.venue = ScriptedVenue()
        self.market = a_market()
        self.desk: Desk = a_desk(
            self.market,
            *(a_market(number) for number in range(2, markets + 1)),
            max_position=max_position,
            max_total=max_total,
            cash=1_000_000,
        )
        for state in self.desk.markets.values():
            book_at(self.desk, state.market, 48, 52)
        self.manager = OrderManager(self.desk, self.venue, self.clock)
        self._run: asyncio.Task[None] | None = None

    @property
    def state(self) -> MarketState:
        """The first market's state."""
        return self.desk.markets[self.market.condition_id]

    def start(self) -> asyncio.Task[None]:
        """Let the order manager run."""
        self._run = asyncio.create_task(self.manager.run())
        return self._run

    async def stop(self) -> None:
        """End the order manager."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.gather(self._run, return_exceptions=True)

    def wish(
        self, bid: float | None = None, ask: float | None = None, size: float = 10, market: Market | None = None
    ) -> None:
        """Want these prices in cents, as BUYs of YES and NO; nothing at all if both are None."""
        market = market or self.market
        quotes = []
        if bid is not None:
            quotes.append(Quote(Side.BUY, market.yes, Side.BUY, cents(bid), shares(size)))
        if ask is not None:
            quotes.append(Quote(Side.SELL, market.no, Side.BUY, mirror(cents(ask)), shares(size)))
        self.desk.markets[market.condition_id].desired = Desired(
            market=market.condition_id, quotes=tuple(quotes), why="test", made_ns=self.clock()
        )
        self.manager.wake(market.condition_id)

    def posted(self) -> list[Price]:
        """YES prices of every order sent so far, in order."""
        return [
            mirror(order.price) if order.token == self.signed_market(order).no else order.price
            for call in self.venue.called("place")
            for order in call.argument
        ]

    def signed_market(self, order: SignedOrder) -> Market:
        """The market an order was signed for."""
        return self.venue.signed[order.id][0]

    def tell_cancelled(self, id: OrderId) -> None:
        """The user channel's word that an order is off the book for good."""
        order = self.desk.orders.get(id)
        assert order is not None
        report = a_report(
            self.market, id, order.token, order.side, order.price, order.size, status=OrderStatus.CANCELLED
        )
        self.desk.receive_report(report, self.clock())
        self.manager.wake(order.market)


class LogLines(list[dict[str, Any]]):
    """Captured log lines."""

    def named(self, event: str) -> list[dict[str, Any]]:
        """Lines of this name."""
        return [line for line in self if line["event"] == event]


@contextmanager
def logs() -> Iterator[LogLines]:
    """Gather what is logged in the block."""
    from structlog.testing import capture_logs

    lines = LogLines()
    with capture_logs() as captured:
        yield lines
        lines.extend(dict(line) for line in captured)


class Holder:
    """Remembers holds and releases, as the order manager would."""

    def __init__(self) -> None:
        self.holds: set[str] = set()
        self.history: list[tuple[str, str]] = []
        self.woken: defaultdict[str, int] = defaultdict(int)
        self.sent_now = 0

    def hold(self, reason: str) -> None:
        self.holds.add(reason)
        self.history.append(("hold", reason))

    def release(self, reason: str) -> None:
        self.holds.discard(reason)
        self.history.append(("release", reason))

    def wake(self, market: str) -> None:
        self.woken[market] += 1

    def send_now(self) -> None:
        self.sent_now += 1
