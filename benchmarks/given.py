"""The inputs of all benchmarks: one key, markets, books and frames, the same in every run."""

from __future__ import annotations

import random

import msgspec

from mm_daemon.core.book import book_hash
from mm_daemon.core.market import Market
from mm_daemon.core.units import DOLLAR, ConditionId, Price, Side, Size, TokenId, format_price, format_size, mirror
from mm_daemon.exchange.polymarket.auth import ApiCredentials

PRIVATE_KEY = "11" * 32
"""A key that everybody knows; it owns nothing."""
CREDENTIALS = ApiCredentials(
    "11111111-2222-3333-4444-555555555555", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==", "f" * 64
)

_YES = 71321045679252212594626385532706912750332728571942532289631379312455583992563
_NO = 52114319501245915516055106046884209969926127482827954674443846427813813222426
Levels = dict[Price, Size]


def market(number: int = 0, tick: int = 100) -> Market:
    """A market; `tick` in 1/10,000 dollar."""
    return Market(
        condition_id=ConditionId(f"0x{number + 1:064x}"),
        slug=f"bench-{number}",
        question="",
        yes=TokenId(str(_YES + number)),
        no=TokenId(str(_NO + number)),
        tick=Price(tick),
        min_size=Size(5_000_000),
        neg_risk=False,
    )


def price_change(of: Market, changes: list[tuple[Side, Price, Size]], touch: tuple[int, int], time_ms: int) -> str:
    """A frame as the venue sends it: every change for YES and mirrored for NO, with the touch after it."""
    bid, ask = touch
    entries: list[dict[str, str]] = []
    for side, price, size in changes:
        for token, its_side, its_price, best_bid, best_ask in (
            (of.yes, side, price, bid, ask),
            (of.no, side.opposite, mirror(price), DOLLAR - ask, DOLLAR - bid),
        ):
            entries.append(
                {
                    "asset_id": token,
                    "price": format_price(its_price),
                    "size": format_size(size),
                    "side": its_side.name,
                    "hash": f"{time_ms:040x}",
                    "best_bid": format_price(Price(best_bid)),
                    "best_ask": format_price(Price(best_ask)),
                }
            )
    frame = {
        "market": of.condition_id,
        "price_changes": entries,
        "timestamp": str(time_ms),
        "event_type": "price_change",
    }
    return msgspec.json.encode(frame).decode()


def book(of: Market, bids: Levels, asks: Levels, time_ms: int) -> str:
    """A book frame of the YES token, best level last in both lists, with its true hash: the daemon audits books."""
    last_trade = Price(5000)
    frame = {
        "market": of.condition_id,
        "asset_id": of.yes,
        "timestamp": str(time_ms),
        "hash": book_hash(
            market=of.condition_id,
            token=of.yes,
            time_ms=time_ms,
            bids=bids.items(),
            asks=asks.items(),
            min_size=of.min_size,
            tick=of.tick,
            neg_risk=of.neg_risk,
            last_trade=last_trade,
        ),
        "bids": [{"price": format_price(p), "size": format_size(bids[p])} for p in sorted(bids)],
        "asks": [{"price": format_price(p), "size": format_size(asks[p])} for p in sorted(asks, reverse=True)],
        "tick_size": format_price(of.tick),
        "min_order_size": format_size(of.min_size),
        "neg_risk": of.neg_risk,
        "last_trade_price": f"{last_trade / DOLLAR:.3f}",
        "event_type": "book",
    }
    return msgspec.json.encode([frame]).decode()


class Tape:
    """A book around 0.50 and a stream of random level changes behind its touch, which never moves."""

    def __init__(self, of: Market, levels: int, seed: int) -> None:
        self.market = of
        self._random = random.Random(seed)
        self._time_ms = 1_790_000_000_000
        half = DOLLAR // 2
        steps = range(1, levels + 1)
        self.bids: Levels = {Price(half - step * of.tick): self._size() for step in steps}
        self.asks: Levels = {Price(half + step * of.tick): self._size() for step in steps}
        self._prices = {Side.BUY: sorted(self.bids)[:-1], Side.SELL: sorted(self.asks)[1:]}
        self.touch = (max(self.bids), min(self.asks))

    def _size(self) -> Size:
        return Size(self._random.randrange(100, 100_000) * 10_000)

    def snapshot(self) -> str:
        """The whole book."""
        self._time_ms += 1
        return book(self.market, self.bids, self.asks, self._time_ms)

    def change(self) -> str:
        """One level added, resized or removed, as often as not an old one made empty."""
        self._time_ms += 1
        side = self._random.choice((Side.BUY, Side.SELL))
        size = Size(0) if self._random.random() < 0.3 else self._size()
        return price_change(
            self.market, [(side, self._random.choice(self._prices[side]), size)], self.touch, self._time_ms
        )
