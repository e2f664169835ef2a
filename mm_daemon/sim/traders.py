"""Traders who live inside the exchange: no HTTP, no signature, the same book, rules and ledger as everybody."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

from mm_daemon.core.units import SHARE, USD, Cash, OrderId, Outcome, Price, Side, Size
from mm_daemon.sim.model import NO_CASH, SimOrder, Tif, Trade
from mm_daemon.sim.venue import Venue

FUNDS = Cash(20_000_000 * USD)
INVENTORY = Size(1_000_000 * SHARE)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an internal order."""

    order: SimOrder
    trades: list[Trade]


class Trader:
    """One internal wallet, rich in pUSD and in both tokens of every market it touches."""

    def __init__(self, venue: Venue, name: str) -> None:
        self.name = name
        self.address = "0x" + hashlib.sha256(name.encode()).hexdigest()[:40]
        self.owner = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        self._venue = venue
        if not venue.ledger.knows(self.address):
            venue.ledger.deposit(self.address, FUNDS)

    def buy(self, market: str, outcome: Outcome, price: Price, size: Size, tif: Tif = Tif.GTC) -> Receipt:
        """Buy shares of an outcome; `market` is a slug or condition id.

        Raises:
            Refusal: the exchange does not take it.
        """
        return self.place(market, outcome, Side.BUY, price, size, tif)

    def sell(self, market: str, outcome: Outcome, price: Price, size: Size, tif: Tif = Tif.GTC) -> Receipt:
        """Sell shares of an outcome.

        Raises:
            Refusal: the exchange does not take it.
        """
        return self.place(market, outcome, Side.SELL, price, size, tif)

    def place(
        self,
        market: str,
        outcome: Outcome,
        side: Side,
        price: Price,
        size: Size,
        tif: Tif = Tif.GTC,
        *,
        post_only: bool = False,
        budget: Cash = NO_CASH,
    ) -> Receipt:
        """Place an order; `budget` makes a FAK or FOK buy spend dollars instead of counting shares.

        Raises:
            Refusal: the exchange does not take it.
        """
        state = self._venue.find(market)
        token = state.market.token(outcome)
        if side is Side.SELL:
            self._stock(market, size)
        order = SimOrder(
            id=self._venue.next_internal_id(),
            maker=self.address,
            owner=self.owner,
            market=state.market.condition_id,
            token=token,
            outcome=outcome,
            side=side,
            price=price,
            size=size,
            tif=tif,
            post_only=post_only,
            budget=budget,
            internal=True,
        )
        return Receipt(order, self._venue.submit(order))

    def cancel(self, *ids: OrderId) -> None:
        """Cancel orders; those that are gone are passed over."""
        self._venue.cancel(ids, self.owner)

    def cancel_all(self) -> None:
        """Cancel every resting order."""
        self._venue.cancel([order.id for order in self._venue.live_orders(self.owner)], self.owner)

    def _stock(self, market: str, size: Size) -> None:
        """Split pUSD into tokens when the inventory does not cover a sale."""
        state = self._venue.find(market)
        ledger = self._venue.ledger
        spendable = min(ledger.balance(self.address, token).spendable for token in state.market.tokens)
        if spendable < size:
            ledger.split(self.address, state.market, Size(max(INVENTORY, size)))
