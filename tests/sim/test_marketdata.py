"""Frames of the market channel: their order, mirror, touch and hashes, against the recordings and by themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_daemon.core.units import Outcome, Price, Side
from mm_daemon.sim.hashing import BookText
from mm_daemon.sim.listing import VenueRules
from mm_daemon.sim.markets import demo_listings
from mm_daemon.sim.model import Refusal
from mm_daemon.sim.traders import Trader
from mm_daemon.sim.venue import Venue
from tests.sim.conftest import RECORDINGS, HandClock, Watched, recording, shares

BOOKS = sorted(path.name for path in (RECORDINGS / "books").glob("*.json")) or ["absent.json"]


def text_of(body: dict[str, Any]) -> BookText:
    """A REST body of a book as the text that is hashed."""
    return BookText(
        market=body["market"],
        token=body["asset_id"],
        timestamp=body["timestamp"],
        bids=[(row["price"], row["size"]) for row in body["bids"]],
        asks=[(row["price"], row["size"]) for row in body["asks"]],
        min_order_size=body["min_order_size"],
        tick_size=body["tick_size"],
        neg_risk=body["neg_risk"],
        last_trade_price=body["last_trade_price"],
    )


@pytest.mark.parametrize("name", BOOKS)
def test_recorded_books_hash_as_the_venue_hashed_them(name: str) -> None:
    """Every recorded book, up to 415 levels, gives the hash that stands in it."""
    body = recording(f"books/{name}")
    if "hash" not in body:
        assert body == {"bids": [], "asks": []}
        return
    assert text_of(body).hash() == body["hash"]


def test_a_book_body_has_the_recorded_shape(watched: Watched) -> None:
    """The same keys in the same order, text levels, best level last."""
    recorded = recording("books/tinli_0x16b3e96f.json")
    fill(watched)
    body = watched.venue.find("demo-1").feed.rest_book(Outcome.YES)
    assert list(body) == list(recorded)
    assert body["bids"] == [{"price": "0.47", "size": "10"}, {"price": "0.48", "size": "10"}]
    assert body["asks"] == [{"price": "0.53", "size": "10"}, {"price": "0.52", "size": "10"}]
    assert body["last_trade_price"] == "0.500"
    assert text_of(body).hash() == body["hash"]


def test_frames_have_the_recorded_keys(watched: Watched) -> None:
    """Books, price changes and trades carry exactly the keys of the recorded ones."""
    frames = recording("market_ws/fed_negrisk_tick0.001_51s.json")
    recorded = {frame["event_type"]: frame for frame in frames[1:]}
    fill(watched)
    watched.trader("taker").buy("demo-1", Outcome.YES, Price(5200), shares(5))
    watched.after(1_000)
    sent = {frame.payload["event_type"]: frame.payload for frame in watched.market_frames if not frame.custom_only}
    assert {kind: set(frame) for kind, frame in sent.items()} == {kind: set(frame) for kind, frame in recorded.items()}
    entry, recorded_entry = (frames["price_change"]["price_changes"][0] for frames in (sent, recorded))
    assert list(entry) == list(recorded_entry)
    snapshot = watched.venue.find("demo-1").feed.snapshot(Outcome.YES)
    assert list(snapshot) == list(frames[0][0])


def test_the_no_book_is_the_mirror(watched: Watched) -> None:
    """A YES bid at p is a NO ask at 1 - p of the same size."""
    fill(watched)
    feed = watched.venue.find("demo-1").feed
    yes, no = feed.rest_book(Outcome.YES), feed.rest_book(Outcome.NO)
    mirrored = [{"price": f"{1 - float(row['price']):.2f}", "size": row["size"]} for row in yes["bids"]]
    assert mirrored == no["asks"]


def test_a_trade_is_announced_in_the_venues_order(watched: Watched) -> None:
    """price_change, then the books with the same hash and no grid, and the tape a moment later."""
    fill(watched)
    watched.market_frames.clear()
    watched.trader("taker").buy("demo-1", Outcome.YES, Price(5200), shares(4))
    kinds = [frame.payload["event_type"] for frame in watched.market_frames]
    assert kinds == ["price_change", "book", "book"]
    change, book, _ = (frame.payload for frame in watched.market_frames)
    assert change["price_changes"][0]["hash"] == book["hash"]
    assert change["price_changes"][0]["size"] == "6"
    assert "tick_size" not in book and "last_trade_price" not in book
    watched.after(100)
    tape = watched.market_frames[-1].payload
    assert (tape["event_type"], tape["price"], tape["size"], tape["side"]) == ("last_trade_price", "0.52", "4", "BUY")


def test_the_last_trade_price_is_the_markets(watched: Watched) -> None:
    """A trade of NO at 0.52 is the last price in the YES book, too, as in recorded books."""
    fill(watched)
    watched.trader("taker").buy("demo-1", Outcome.NO, Price(5300), shares(4))
    feed = watched.venue.find("demo-1").feed
    assert [feed.rest_book(outcome)["last_trade_price"] for outcome in Outcome] == ["0.520", "0.520"]


def test_a_tick_change_comes_with_new_books(watched: Watched) -> None:
    """One event a token, and then its book, under the new grid."""
    fill(watched)
    watched.market_frames.clear()
    watched.venue.set_tick("demo-1", Price(10))
    kinds = [frame.payload["event_type"] for frame in watched.market_frames]
    assert kinds == ["tick_size_change", "tick_size_change", "book", "book"]
    assert watched.market_frames[0].payload["new_tick_size"] == "0.001"
    assert watched.market_frames[2].payload["tick_size"] == "0.001"


def fill(watched: Watched) -> None:
    """Two bids and two asks of ten shares, around 0.50."""
    maker = watched.trader("maker")
    for price in (4700, 4800):
        maker.buy("demo-1", Outcome.YES, Price(price), shares(10))
    for price in (5300, 5200):
        maker.sell("demo-1", Outcome.YES, Price(price), shares(10))


class Follower:
    """A naive subscriber of one token: applies frames, checks each touch, and audits hashes at the end of a batch."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.token = body["asset_id"]
        self.body = body
        self.audited = 0

    def receive(self, frame: dict[str, Any]) -> None:
        """Apply one frame."""
        if frame["event_type"] == "book" and frame["asset_id"] == self.token:
            self.body.update(frame)
        for entry in frame.get("price_changes", ()):
            if entry["asset_id"] == self.token:
                self._change(entry)
                self.body.update(timestamp=frame["timestamp"], hash=entry["hash"])

    def audit(self, last_trade_price: str) -> None:
        """Check the hash of the book as it stands."""
        self.body["last_trade_price"] = last_trade_price
        assert text_of(self.body).hash() == self.body["hash"]
        self.audited += 1

    def _change(self, entry: dict[str, str]) -> None:
        side, sign = ("bids", 1) if entry["side"] == "BUY" else ("asks", -1)
        levels = {row["price"]: row["size"] for row in self.body[side]}
        levels[entry["price"]] = entry["size"]
        ordered = sorted((row for row in levels.items() if row[1] != "0"), key=lambda row: sign * float(row[0]))
        self.body[side] = [{"price": price, "size": size} for price, size in ordered]
        for name, edge, empty in (("bids", "best_bid", "0"), ("asks", "best_ask", "1")):
            best = self.body[name][-1]["price"] if self.body[name] else empty
            assert entry[edge] == best


steps = st.tuples(
    st.sampled_from(list(Outcome)),
    st.sampled_from(list(Side)),
    st.integers(min_value=45, max_value=55).map(lambda cents: Price(cents * 100)),
    st.integers(min_value=500, max_value=9_000).map(lambda hundredths: shares(hundredths / 100)),
)


@settings(max_examples=60)
@given(st.lists(st.one_of(steps, st.none()), max_size=40))
def test_a_follower_of_our_frames_has_our_book(flow: list[Any]) -> None:
    """Every touch carried is right as frames are applied one by one, and after each operation every hash verifies."""
    clock = HandClock()
    watched = Watched(Venue(demo_listings(1, 1), VenueRules(), clock), clock)
    feed, trader = watched.venue.find("demo-1").feed, Trader(watched.venue, "anybody")
    followers = [Follower(feed.rest_book(outcome)) for outcome in Outcome]
    for follower in followers:
        watched.venue.market_listeners.append(lambda frame, to=follower: to.receive(frame.payload))  # type: ignore[misc]
    for step in flow:
        if step is None:
            trader.cancel_all()
        else:
            try:
                trader.place("demo-1", *step)
            except Refusal:
                continue
        for follower, outcome in zip(followers, Outcome, strict=True):
            follower.audit(feed.rest_book(outcome)["last_trade_price"])
            assert follower.body == {**follower.body, **feed.rest_book(outcome)}
