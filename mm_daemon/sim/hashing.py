"""The hash of a book as the venue prints it, written from the recordings and not from the daemon's own code.

SHA-1 over the compact JSON of the book: keys in a fixed order, `hash` empty, bids ascending, asks descending, and the
last trade price with three decimals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from mm_daemon.core.units import DOLLAR, Price, format_price

TextLevel = tuple[str, str]
"""Price and size as they stand on the wire."""

price_text = cache(format_price)


@dataclass(frozen=True, slots=True)
class BookText:
    """A token's book in the words of the wire; bids ascend, asks descend, so the best level is the last of each."""

    market: str
    token: str
    timestamp: str
    bids: Sequence[TextLevel]
    asks: Sequence[TextLevel]
    min_order_size: str
    tick_size: str
    neg_risk: bool
    last_trade_price: str

    def hash(self) -> str:
        """The SHA-1 that the venue puts into `hash`."""
        text = (
            f'{{"market":"{self.market}","asset_id":"{self.token}","timestamp":"{self.timestamp}","hash":"",'
            f'"bids":[{_levels(self.bids)}],"asks":[{_levels(self.asks)}],'
            f'"min_order_size":"{self.min_order_size}","tick_size":"{self.tick_size}",'
            f'"neg_risk":{"true" if self.neg_risk else "false"},"last_trade_price":"{self.last_trade_price}"}}'
        )
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def last_trade_text(price: Price | None) -> str:
    """A last trade price as the venue writes it, "0.620"; empty if nothing traded."""
    return "" if price is None else f"{price / DOLLAR:.3f}"


def _levels(levels: Sequence[TextLevel]) -> str:
    return ",".join([f'{{"price":"{price}","size":"{size}"}}' for price, size in levels])
