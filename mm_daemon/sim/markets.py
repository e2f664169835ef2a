"""The markets the exchange lists by itself: demo-1 … demo-N, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from mm_daemon.core.market import Market
from mm_daemon.core.units import SHARE, ConditionId, Price, Size, TokenId

END_SECS = 1_924_905_600
"""The demo markets end on 2030-12-31."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A market with what the exchange keeps about it: the taker's fee rate in 1/10,000 and the starting fair price."""

    market: Market
    fee_rate: int
    fair: Price


def demo_listings(count: int, seed: int) -> Sequence[Listing]:
    """`count` markets with ticks of 0.01 and 0.001 in turn; the third and fourth share a neg-risk event."""
    return [_listing(number, seed) for number in range(1, count + 1)]


def token_id(*words: object) -> TokenId:
    """A realistic asset id, 77 digits long, made from `words`."""
    number = int.from_bytes(hashlib.sha256(repr(words).encode()).digest(), "big")
    return TokenId(str(10**76 + number % (9 * 10**76)))


def condition_id(*words: object) -> ConditionId:
    """A condition id made from `words`."""
    return ConditionId("0x" + hashlib.sha256(repr(("condition", *words)).encode()).hexdigest())


def _listing(number: int, seed: int) -> Listing:
    rng = Random(f"listing:{seed}:{number}")
    tick, fair = Price(100), Price(5000)
    if number % 2 == 0:
        tick, fair = Price(10), Price(rng.randrange(2000, 8000, 10))
    elif number > 1:
        fair = Price(rng.randrange(4600, 6900, 100))
    is_pair = number in (3, 4)
    if number == 4:
        fair = Price(rng.randrange(2000, 2900, 10))
    market = Market(
        condition_id=condition_id(seed, number),
        slug=f"demo-{number}",
        question=f"Will the demo event {number} happen?",
        yes=token_id(seed, number, "yes"),
        no=token_id(seed, number, "no"),
        tick=tick,
        min_size=Size(5 * SHARE),
        neg_risk=is_pair,
        event_id=condition_id(seed, "event") if is_pair else "",
        end_secs=END_SECS,
    )
    return Listing(market, fee_rate=400 if number % 2 else 0, fair=fair)
