"""From matched to its end: trades, their fees, and the steps in which their money settles.

Tokens and proceeds count as settled at CONFIRMED; until then they cannot be spent. A trade that FAILED never was: what
it owed is owed no more, and the orders it filled stay filled.
"""

from __future__ import annotations

import hashlib
import uuid
from collections import OrderedDict
from collections.abc import Callable
from itertools import groupby

from mm_daemon.core.units import DOLLAR, Cash, Price, Size
from mm_daemon.sim.accounts import Ledger, Leg
from mm_daemon.sim.matching import Match
from mm_daemon.sim.model import MakerPart, SimOrder, Trade, TradeStatus

KEPT_TRADES = 50_000
"""Trades of API keys that can still be looked up."""
FEE_GRAIN = 10
"""Fees are rounded to five decimals, which is ten micro-dollars, and are at least that."""


Path = tuple[TradeStatus, ...]
"""The steps that are still before a trade."""
GOOD_PATH: Path = (TradeStatus.MINED, TradeStatus.CONFIRMED)


def taker_fee(price: Price, size: Size, rate: int) -> Cash:
    """What a taker pays: shares x rate x p x (1 - p). `rate` is in 1/10,000; makers pay nothing."""
    if not rate:
        return Cash(0)
    exact = size * rate * price * (DOLLAR - price)
    grains = (exact + DOLLAR**3 * FEE_GRAIN // 2) // (DOLLAR**3 * FEE_GRAIN)
    return Cash(max(grains, 1) * FEE_GRAIN)


def make_trades(taker: SimOrder, matches: list[Match], fee_rate: int, now_ms: int) -> list[Trade]:
    """The trades of a taker's order: one for each price it reached."""
    trades = []
    for number, (yes_price, group) in enumerate(groupby(matches, key=lambda match: match.price)):
        parts = tuple(MakerPart(match.maker, match.size, match.kind) for match in group)
        size = Size(sum(part.size for part in parts))
        price = SimOrder.price_on(taker.outcome, yes_price)
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{taker.id}:{number}"))
        trades.append(Trade(id, taker, price, size, parts, now_ms, now_ms, taker_fee(price, size, fee_rate)))
    return trades


def transaction_of(trade: Trade) -> str:
    """The hash of the transaction that a trade settles in."""
    return "0x" + hashlib.sha256(trade.id.encode()).hexdigest()


class Settlement:
    """The ledger of trades.

    Attributes:
        path_of: says, when a trade is matched, which steps it will take.
    """

    def __init__(self, ledger: Ledger, mined_after_ms: int, confirmed_after_ms: int) -> None:
        self.mined_after_ms = mined_after_ms
        self.confirmed_after_ms = confirmed_after_ms
        self.path_of: Callable[[Trade], Path] = lambda trade: GOOD_PATH
        self.trades: OrderedDict[str, Trade] = OrderedDict()
        self._ledger = ledger
        self._legs: dict[str, list[Leg]] = {}

    def open(self, trade: Trade) -> None:
        """Book a matched trade; trades between the exchange's own traders are not kept for look-ups."""
        self._legs[trade.id] = self._ledger.book(trade)
        if not all(order.internal for order in trade.orders):
            self.trades[trade.id] = trade
            while len(self.trades) > KEPT_TRADES:
                self.trades.popitem(last=False)

    def delay_before(self, status: TradeStatus) -> int:
        """How long a trade takes to the step `status`, in milliseconds."""
        return self.confirmed_after_ms if status is TradeStatus.CONFIRMED else self.mined_after_ms

    def advance(self, trade: Trade, status: TradeStatus, now_ms: int) -> None:
        """Take one step: into a block (MINED), to the good end (CONFIRMED), or to the bad one (FAILED)."""
        trade.status, trade.updated_ms = status, now_ms
        if status is TradeStatus.MINED:
            trade.transaction_hash = transaction_of(trade)
        elif status is TradeStatus.CONFIRMED:
            self._ledger.settle(self._legs.pop(trade.id))
        elif status is TradeStatus.FAILED:
            self._ledger.reverse(trade, self._legs.pop(trade.id))
