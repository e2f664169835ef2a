"""One order book for a market: YES and NO are one book, matched by price, then by time.

Every order stands on the YES axis: selling YES at p and buying NO at 1 - p are both an ask at p. Pure: no clock, no
accounts. A match is at the maker's price, so an improvement is the taker's.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

from mm_daemon.core.units import DOLLAR, Cash, OrderId, Price, Side, Size
from mm_daemon.sim.model import DUST, MatchKind, SimOrder, size_step


@dataclass(frozen=True, slots=True)
class Match:
    """One maker's part in a taker's order. `price` is on the YES axis."""

    maker: SimOrder
    price: Price
    size: Size
    kind: MatchKind


class _Ladder:
    """One side of the book: queues by price. The best price is the last of `_keys`, which sort from worst to best."""

    def __init__(self, side: Side) -> None:
        self._sign = 1 if side is Side.BUY else -1
        self._keys: list[int] = []
        self._queues: dict[Price, dict[OrderId, SimOrder]] = {}

    def best(self) -> Price | None:
        return Price(self._sign * self._keys[-1]) if self._keys else None

    def queue(self, price: Price) -> dict[OrderId, SimOrder]:
        return self._queues.get(price, {})

    def prices(self) -> list[Price]:
        """All prices from best to worst."""
        return [Price(self._sign * key) for key in reversed(self._keys)]

    def add(self, order: SimOrder) -> None:
        queue = self._queues.get(order.yes_price)
        if queue is None:
            queue = self._queues[order.yes_price] = {}
            insort(self._keys, self._sign * order.yes_price)
        queue[order.id] = order

    def remove(self, order: SimOrder) -> None:
        queue = self._queues[order.yes_price]
        del queue[order.id]
        if not queue:
            del self._queues[order.yes_price]
            del self._keys[bisect_left(self._keys, self._sign * order.yes_price)]


class OrderBook:
    """The resting orders of one market, both outcomes together."""

    def __init__(self) -> None:
        self._ladders = {side: _Ladder(side) for side in Side}
        self._orders: dict[OrderId, SimOrder] = {}

    def __contains__(self, id: OrderId) -> bool:
        return id in self._orders

    def __len__(self) -> int:
        return len(self._orders)

    def orders(self) -> list[SimOrder]:
        """Every resting order, oldest first."""
        return list(self._orders.values())

    def best(self, side: Side) -> Price | None:
        """The best price of one side of the YES axis."""
        return self._ladders[side].best()

    def best_without(self, side: Side, maker: str) -> Price | None:
        """The best price of one side at which somebody other than `maker` rests."""
        ladder = self._ladders[side]
        for price in ladder.prices():
            if any(order.maker != maker for order in ladder.queue(price).values()):
                return price
        return None

    def levels(self, side: Side) -> list[tuple[Price, Size]]:
        """Price and total size of one side of the YES axis, best first."""
        return [(price, self.level_size(side, price)) for price in self._ladders[side].prices()]

    def level_size(self, side: Side, price: Price) -> Size:
        """The total size that rests on one side at one price of the YES axis."""
        return Size(sum(order.remaining for order in self._ladders[side].queue(price).values()))

    def crosses(self, order: SimOrder) -> bool:
        """Whether `order` would match at once."""
        best = self.best(order.direction.opposite)
        return best is not None and _reaches(order, best)

    def fills_whole(self, taker: SimOrder) -> bool:
        """Whether the book holds enough within the limit to fill all of `taker`."""
        wanted: int = taker.budget or taker.remaining
        ladder = self._ladders[taker.direction.opposite]
        for price in ladder.prices():
            if not _reaches(taker, price):
                return False
            size: int = self.level_size(taker.direction.opposite, price)
            wanted -= SimOrder.price_on(taker.outcome, price) * size // DOLLAR if taker.budget else size
            if wanted <= 0:
                return True
        return False

    def match(self, taker: SimOrder) -> list[Match]:
        """Match `taker` against what rests, best price first and oldest first; both sides' `matched` grow.

        Makers that are filled (up to dust) leave the book with status MATCHED. The taker is not put on the book.
        """
        ladder = self._ladders[taker.direction.opposite]
        matches: list[Match] = []
        while (price := ladder.best()) is not None and _reaches(taker, price):
            maker = next(iter(ladder.queue(price).values()))
            taker_price = SimOrder.price_on(taker.outcome, price)
            size = min(_capacity(taker, taker_price), maker.remaining)
            size = Size(size - size % size_step(price))
            if size <= 0:
                break
            matches.append(Match(maker, price, size, _kind(taker, maker)))
            taker.matched = Size(taker.matched + size)
            taker.spent = Cash(taker.spent + taker_price * size // DOLLAR)
            maker.matched = Size(maker.matched + size)
            if maker.remaining < DUST:
                maker.status = "MATCHED"
                self._drop(maker)
        return matches

    def rest(self, order: SimOrder) -> None:
        """Put `order` at the end of its price's queue."""
        self._orders[order.id] = order
        self._ladders[order.direction].add(order)

    def cancel(self, id: OrderId) -> SimOrder | None:
        """Take an order off the book; None if it does not rest."""
        order = self._orders.get(id)
        if order is not None:
            self._drop(order)
        return order

    def _drop(self, order: SimOrder) -> None:
        del self._orders[order.id]
        self._ladders[order.direction].remove(order)


def _reaches(order: SimOrder, price: Price) -> bool:
    return order.yes_price >= price if order.direction is Side.BUY else order.yes_price <= price


def _capacity(taker: SimOrder, price: Price) -> Size:
    """How much `taker` can still take at `price` of its own token."""
    if taker.budget:
        return Size((taker.budget - taker.spent) * DOLLAR // price)
    return taker.remaining


def _kind(taker: SimOrder, maker: SimOrder) -> MatchKind:
    if taker.outcome is maker.outcome:
        return MatchKind.NORMAL
    return MatchKind.MINT if taker.side is Side.BUY else MatchKind.MERGE
