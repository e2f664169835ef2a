"""Order flow: deterministic, two-sided, deep enough, and it fills a maker on both sides."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import pairwise

import pytest

from mm_daemon.core.units import DOLLAR, Outcome, Price, Side
from mm_daemon.sim.flow import start_flow
from mm_daemon.sim.listing import VenueRules
from mm_daemon.sim.markets import demo_listings
from mm_daemon.sim.model import Refusal
from mm_daemon.sim.venue import Venue
from tests.sim.conftest import HandClock, Watched, shares

MINUTE = 60_000


def lively(markets: int, seed: int) -> Watched:
    """A venue with order flow on a hand clock."""
    clock = HandClock()
    watched = Watched(Venue(demo_listings(markets, seed), VenueRules(seed=seed), clock), clock)
    watched.venue.market_listeners.append(watched.market_frames.append)
    start_flow(watched.venue, seed, 1.0)
    return watched


def digest(seed: int) -> str:
    """A fingerprint of a minute of frames."""
    watched = lively(1, seed)
    watched.after(MINUTE)
    text = json.dumps([frame.payload for frame in watched.market_frames])
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_seed_gives_one_history() -> None:
    """The same seed and times: the same frames to the byte; another seed: others."""
    assert digest(7) == digest(7)
    assert digest(7) != digest(8)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_books_stay_two_sided_and_deep(seed: int) -> None:
    """Over ten minutes every book has both sides, and more than 500 dollars within 5 % of its mid nearly always."""
    watched = lively(4, seed)
    thin = samples = 0
    for _ in range(600):
        watched.after(1_000)
        for state in watched.venue.markets.values():
            bid, ask = state.feed.best(Outcome.YES)
            assert 0 < bid < ask < DOLLAR
            samples += 1
            thin += depth(watched, state.market.slug, (bid + ask) / 2) < 500
    assert thin < samples * 0.05
    assert watched.venue.conserves()


def depth(watched: Watched, slug: str, mid: float) -> float:
    """Dollars within 5 % of the mid of YES."""
    book = watched.venue.find(slug).book
    levels = [level for side in Side for level in book.levels(side)]
    return sum(price * size / 1e10 for price, size in levels if abs(price - mid) <= 0.05 * mid)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_maker_inside_the_spread_is_filled_on_both_sides(seed: int) -> None:
    """Quotes of 50 shares a tick inside the touch, renewed each second, trade on both sides within two minutes."""
    watched = lively(1, seed)
    fills: Counter[Side] = Counter()
    watched.venue.user_listeners.append(
        lambda frame: fills.update(
            Side[entry["side"]]
            for entry in frame.payload.get("maker_orders", [])
            if entry["owner"] == "key" and frame.payload["status"] == "MATCHED"
        )
    )
    watched.venue.deposit("0xoutside", 10_000)
    watched.venue.ledger.split("0xoutside", watched.market, shares(5_000))
    for _ in range(120):
        watched.venue.cancel([order.id for order in watched.venue.live_orders("key")], "key")
        bid, ask = watched.venue.find("demo-1").feed.best(Outcome.YES)
        for side, price in ((Side.BUY, bid + 100), (Side.SELL, ask - 100)):
            try:
                watched.outside_order(side, price, shares(50), post_only=True)
            except Refusal:
                continue
        watched.after(1_000)
    assert fills[Side.BUY] >= 2 and fills[Side.SELL] >= 2


def test_all_kinds_of_matches_happen() -> None:
    """Both outcomes are bought and sold, so pairs are made and dissolved: the locked collateral moves both ways."""
    watched = lively(1, 1)
    locked = []
    for _ in range(120):
        watched.after(1_000)
        locked.append(watched.venue.ledger.locked[watched.market.condition_id])
    moves = [later - earlier for earlier, later in pairwise(locked)]
    assert min(moves) < 0 < max(moves)


def test_a_paused_market_is_left_alone(watched: Watched) -> None:
    """Nobody trades a resolved market, and the rest goes on."""
    busy = lively(2, 1)
    busy.venue.resolve("demo-1", Outcome.YES)
    busy.market_frames.clear()
    busy.after(MINUTE)
    assert {frame.payload["market"] for frame in busy.market_frames} == {busy.venue.find("demo-2").market.condition_id}


def test_speed_has_to_be_positive(watched: Watched) -> None:
    """No flow at speed 0."""
    with pytest.raises(ValueError, match="above zero"):
        start_flow(watched.venue, 1, 0)


def test_demo_markets() -> None:
    """Realistic token ids of 77 digits, ticks of 0.01 and 0.001, one neg-risk pair, starting between 0.2 and 0.8."""
    listings = demo_listings(5, 1)
    assert [listing.market.slug for listing in listings] == [f"demo-{number}" for number in range(1, 6)]
    assert {listing.market.tick for listing in listings} == {Price(100), Price(10)}
    assert [listing.market.neg_risk for listing in listings] == [False, False, True, True, False]
    assert len({listing.market.event_id for listing in listings if listing.market.neg_risk}) == 1
    assert all(len(token) == 77 for listing in listings for token in listing.market.tokens)
    assert all(2000 <= listing.fair <= 8000 for listing in listings)
