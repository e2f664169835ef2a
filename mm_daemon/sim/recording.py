"""A recording of the market channel, served as if it happened now.

A recording is a JSON list of frames; each is an object or an array of objects. Objects go out as they stand, key by
key. The first subscriber of one of its tokens starts the replay, after the snapshots that he asked for; GET /book tells
the state the replay has reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from mm_daemon.core.market import Market
from mm_daemon.core.units import SHARE, ConditionId, Price, Size, TokenId, parse_price
from mm_daemon.sim.hashing import BookText
from mm_daemon.sim.marketdata import Frame, MarketFrame
from mm_daemon.sim.markets import Listing, token_id
from mm_daemon.sim.model import Refusal
from mm_daemon.sim.venue import Venue

MIN_SIZE = Size(5 * SHARE)


class ReplayedBook:
    """One token's book as the replay has left it."""

    def __init__(self, frame: Frame, neg_risk: bool) -> None:
        self._neg_risk = neg_risk
        self._meta = {"tick_size": "0.01", "last_trade_price": ""}
        self.frame = frame
        self._sides: dict[str, dict[str, str]] = {}
        self.replace(frame)

    def replace(self, frame: Frame) -> None:
        """Take a whole book; what the frame leaves out stays as it was."""
        self.frame = frame
        self._sides = {side: {row["price"]: row["size"] for row in frame[side]} for side in ("bids", "asks")}
        self._meta.update({key: frame[key] for key in self._meta if key in frame})
        self._timestamp, self._hash = frame["timestamp"], frame["hash"]

    def change(self, entry: Frame, timestamp: str) -> None:
        """Set one level."""
        levels = self._sides["bids" if entry["side"] == "BUY" else "asks"]
        if float(entry["size"]):
            levels[entry["price"]] = entry["size"]
        else:
            levels.pop(entry["price"], None)
        self._timestamp, self._hash = timestamp, entry["hash"]

    def traded(self, price: str) -> None:
        """Note the last traded price, with the three decimals it has in a book."""
        self._meta["last_trade_price"] = f"{float(price):.3f}"

    def text(self, market: str, token: str) -> BookText:
        """The book in the words of the wire, whose `hash()` can be computed."""
        bids = sorted(self._sides["bids"].items(), key=lambda level: float(level[0]))
        asks = sorted(self._sides["asks"].items(), key=lambda level: -float(level[0]))
        tick, last = self._meta["tick_size"], self._meta["last_trade_price"]
        return BookText(market, token, self._timestamp, bids, asks, "5", tick, self._neg_risk, last)

    def rest_body(self, market: str, token: str) -> Frame:
        """The body of GET /book."""
        book = self.text(market, token)
        return {
            "market": market,
            "asset_id": token,
            "timestamp": book.timestamp,
            "hash": self._hash,
            "bids": [{"price": price, "size": size} for price, size in book.bids],
            "asks": [{"price": price, "size": size} for price, size in book.asks],
            "min_order_size": book.min_order_size,
            "tick_size": book.tick_size,
            "neg_risk": book.neg_risk,
            "last_trade_price": book.last_trade_price,
        }


class Recording:
    """The market data of a recording; a `Books` for the server."""

    def __init__(self, frames: list[Any], venue: Venue, speed: float) -> None:
        objects = [[frame] if isinstance(frame, dict) else list(frame) for frame in frames]
        if not objects or not all(item.get("event_type") == "book" for item in objects[0]) or not objects[0]:
            raise ValueError("a recording has to begin with an array of book frames")
        self._first, self._later = objects[0], objects[1:]
        self._speed = speed
        self._listeners: list[Callable[[MarketFrame], None]] = []
        self._siblings = _siblings(objects)
        self._books: dict[str, ReplayedBook] = {}
        self._markets: dict[str, str] = {}
        self._replay: asyncio.Task[None] | None = None
        self._finished = asyncio.Event()
        for frame in self._first:
            self._open(frame, venue)

    @classmethod
    def load(cls, path: Path, venue: Venue, speed: float) -> Recording:
        """Read a recording and list its markets on `venue`.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not a recording.
        """
        try:
            frames = msgspec.json.decode(path.read_bytes(), type=list[dict[str, Any] | list[dict[str, Any]]])
        except msgspec.MsgspecError as error:
            raise ValueError(f"{path}: {error}") from error
        return cls(frames, venue, speed)

    @property
    def tokens(self) -> list[str]:
        """The tokens it has a first snapshot of."""
        return [frame["asset_id"] for frame in self._first]

    @property
    def is_finished(self) -> bool:
        """Whether the last frame is out."""
        return self._finished.is_set()

    async def finished(self) -> None:
        """Wait until the last frame is out."""
        await self._finished.wait()

    def on_frame(self, listener: Callable[[MarketFrame], None]) -> None:
        """Call `listener` with every frame after the snapshots."""
        self._listeners.append(listener)

    def rest_book(self, token: str) -> Frame:
        """The body of GET /book.

        Raises:
            Refusal: 404, the recording has no book of this token.
        """
        book = self._books.get(token)
        if book is None:
            raise Refusal("No orderbook exists for the requested token id", 404)
        return book.rest_body(self._markets[token], token)

    def snapshots(self, tokens: Iterable[str]) -> list[Frame]:
        """The recorded snapshots before the replay starts, and the state it has reached afterwards."""
        known = [token for token in self.tokens if token in set(tokens)]
        if self._replay is None:
            return [frame for frame in self._first if frame["asset_id"] in known]
        return [{**self.rest_book(token), "event_type": "book"} for token in known]

    def subscribed(self, tokens: Iterable[str]) -> None:
        """Start the replay with the first subscriber of one of its tokens."""
        if self._replay is None and any(token in self._books for token in tokens):
            self._replay = asyncio.get_running_loop().create_task(self._play())

    def stop(self) -> None:
        """End the replay."""
        if self._replay is not None:
            self._replay.cancel()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        began, first_ms = loop.time(), max(_time(frame) for frame in self._first)
        for group in self._later:
            if self._speed > 0:
                due = began + (max(_time(frame) for frame in group) - first_ms) / 1000 / self._speed
                await asyncio.sleep(max(0.0, due - loop.time()))
            for frame in group:
                self._apply(frame)
                for listener in self._listeners:
                    listener(MarketFrame(self._receivers(frame), frame))
            await asyncio.sleep(0)
        self._finished.set()

    def _apply(self, frame: Frame) -> None:
        kind = frame.get("event_type")
        if kind == "book" and frame["asset_id"] in self._books:
            self._books[frame["asset_id"]].replace(frame)
        elif kind == "price_change":
            for entry in frame["price_changes"]:
                if entry["asset_id"] in self._books:
                    self._books[entry["asset_id"]].change(entry, frame["timestamp"])
        elif kind == "last_trade_price":
            for token in (frame["asset_id"], self._siblings.get(frame["asset_id"], "")):
                if token in self._books:
                    self._books[token].traded(frame["price"])

    def _receivers(self, frame: Frame) -> tuple[TokenId, ...]:
        if "price_changes" in frame:
            return tuple(TokenId(entry["asset_id"]) for entry in frame["price_changes"])
        return (TokenId(frame["asset_id"]),) if "asset_id" in frame else ()

    def _open(self, frame: Frame, venue: Venue) -> None:
        """Register a snapshot's book, and its market if it is new; a recording does not tell its name."""
        token, condition = frame["asset_id"], frame["market"]
        neg_risk = _is_neg_risk(frame)
        self._books[token] = ReplayedBook(frame, neg_risk)
        self._markets[token] = condition
        if condition in venue.markets:
            return
        market = Market(
            condition_id=ConditionId(condition),
            slug=f"recorded-{condition[2:10]}",
            question=f"Recorded market {condition[:10]}",
            yes=TokenId(token),
            no=TokenId(self._siblings.get(token) or token_id(condition, "no")),
            tick=Price(parse_price(frame.get("tick_size", "0.01"))),
            min_size=MIN_SIZE,
            neg_risk=neg_risk,
        )
        last = parse_price(frame.get("last_trade_price") or "0.5")
        venue.list_market(Listing(market, fee_rate=0, fair=last))


def _siblings(groups: list[list[Frame]]) -> dict[str, str]:
    """The other outcome of each token, as price changes show them side by side."""
    pairs: dict[str, str] = {}
    by_market: dict[str, dict[str, None]] = {}
    for frame in (frame for group in groups for frame in group):
        tokens = [entry["asset_id"] for entry in frame.get("price_changes", ())] or [frame.get("asset_id")]
        by_market.setdefault(frame.get("market", ""), {}).update(dict.fromkeys(token for token in tokens if token))
    for tokens_of_market in by_market.values():
        if len(tokens_of_market) == 2:
            one, other = tokens_of_market
            pairs.update({one: other, other: one})
    return pairs


def _is_neg_risk(frame: Frame) -> bool:
    """Whether a snapshot is of a neg-risk market; where it does not say so, its hash does."""
    if "neg_risk" in frame:
        return frame["neg_risk"] is True
    return bool(ReplayedBook(frame, neg_risk=True).text(frame["market"], frame["asset_id"]).hash() == frame["hash"])


def _time(frame: Frame) -> int:
    return int(frame.get("timestamp", "0"))
