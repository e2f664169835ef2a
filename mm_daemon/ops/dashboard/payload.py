"""What the page is told: plain values for msgspec, integers in the units of `core.units`, formatted by the page alone.

An overview is the whole daemon and a compact row for each market, of which only the changed ones are sent; a market
that somebody looks at has its ladder, orders and result beside that. Nothing here holds a key or a credential.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.latency import Histogram, Latencies
from mm_daemon.core.orders import own_levels
from mm_daemon.core.pnl import HORIZONS_SECS
from mm_daemon.ops.dashboard.history import SAMPLE_SECS, History
from mm_daemon.ops.observation import MarketSeen, Observation

LEVELS = 10
"""Levels of each side that are sent."""
ORDERS = 40
EVENTS = 60
NOTABLE_EVENTS = 30
"""How many of the last warnings and errors are shown, however many others came after them."""
LONGEST_TEXT = 300
QUIET_LEVELS = frozenset({"debug", "info"})

Row = tuple[Any, ...]
Message = dict[str, Any]


class FillShown(msgspec.Struct, frozen=True, array_like=True):
    """One fill of a market, in the order in which the page reads it.

    `direction` is "bid" or "ask" on the YES axis, `outcome` "YES" or "NO"; `spread` and the markouts by horizon are
    micro-dollars, None where they are not known (yet); `state` is booked, settled or failed.
    """

    time_ms: int
    direction: str
    outcome: str
    yes_price: int
    size: int
    is_maker: bool
    state: str
    spread: int | None
    markouts: tuple[int | None, ...]


def hello(seen: Observation, can_command: bool) -> Message:
    """What does not change while the daemon runs."""
    return {
        "type": "hello",
        "version": seen.version,
        "mode": seen.mode,
        "strategy": seen.strategy,
        "wallet": seen.wallet,
        "can_command": can_command,
        "horizons": HORIZONS_SECS,
        "sample_secs": SAMPLE_SECS,
    }


def names(markets: Iterable[MarketSeen]) -> Message:
    """The markets by their index in every row."""
    return {
        "type": "names",
        "markets": [(market.id, market.slug, market.question[:LONGEST_TEXT], market.end_secs) for market in markets],
    }


def row(index: int, market: MarketSeen) -> Row:
    """A market's line in the list; the page knows the columns by their place."""
    today = market.today
    return (
        index,
        market.status,
        market.tick,
        market.is_book_known,
        market.bid,
        market.ask,
        market.twice_mid,
        market.our_bid,
        market.our_ask,
        market.net,
        market.at_risk,
        market.exposure,
        market.open_orders,
        today.total if today else 0,
        today.fills if today else 0,
        market.why[:LONGEST_TEXT],
        market.held,
    )


_WHOLE = tuple(
    name for name in Observation.__struct_fields__ if name not in ("markets", "version", "mode", "strategy", "wallet")
)


def overview(
    seen: Observation, latencies: Latencies, history: History, rows: Sequence[Row], *, is_full: bool
) -> Message:
    """The daemon as a whole, with rows of all markets or of those that changed."""
    return {
        "type": "overview",
        "is_full": is_full,
        "seen": {name: getattr(seen, name) for name in _WHOLE},
        "not_ready": seen.not_ready,
        "max_position": seen.markets[0].max_position if seen.markets else 0,
        "latencies": {name: quantiles(getattr(latencies, name)) for name in Latencies.__struct_fields__},
        "sample": history.totals(1),
        "rows": rows,
    }


def quantiles(histogram: Histogram) -> Message:
    """Count, median and 99th percentile in nanoseconds since the start."""
    return {"count": histogram.count, "p50": histogram.quantile_ns(0.5), "p99": histogram.quantile_ns(0.99)}


def totals(history: History) -> Message:
    """The whole of the totals' lines."""
    return {"type": "totals"} | history.totals()


def lines(state: MarketState, history: History) -> Message:
    """The whole of a market's lines."""
    id = state.market.condition_id
    return {"type": "lines", "id": id} | history.market(id)


def market(seen: MarketSeen, state: MarketState, desk: Desk, history: History, now_ns: int) -> Message:
    """A market that somebody looks at."""
    id, book = state.market.condition_id, state.book
    orders = [order for order in desk.orders.working(id) if order.may_rest]
    own_bids, own_asks = own_levels(orders)
    return {
        "type": "market",
        "id": id,
        "seen": {name: getattr(seen, name) for name in MarketSeen.__struct_fields__ if name != "question"},
        "is_wanted": state.desired is not None and bool(state.desired.quotes),
        "last_trade": book.last_trade,
        "bids": list(islice(book.bids.best_first(), LEVELS)),
        "asks": list(islice(book.asks.best_first(), LEVELS)),
        "own_bids": sorted(own_bids.items(), reverse=True)[:LEVELS],
        "own_asks": sorted(own_asks.items())[:LEVELS],
        "settled": (state.position.yes.settled, state.position.no.settled),
        "orders": [
            (
                order.direction.name,
                state.market.outcome(order.token).name,
                order.yes_price,
                order.remaining,
                order.state.name,
                (now_ns - order.created_ns) / 1e9 if order.created_ns else None,
                order.why[:LONGEST_TEXT],
            )
            for order in orders[:ORDERS]
        ],
        "sample": history.market(id, 1),
    }


def events(recent: Sequence[Mapping[str, object]]) -> Message:
    """The last events, and the last warnings among them, oldest first, each with its fields as short texts."""
    tail = recent[-EVENTS:]
    older = [event for event in recent[: len(recent) - len(tail)] if event.get("level") not in QUIET_LEVELS]
    return {"type": "events", "events": [_event(event) for event in (*older[-NOTABLE_EVENTS:], *tail)]}


def _event(event: Mapping[str, object]) -> tuple[str, str, str, dict[str, str]]:
    named = {"time", "timestamp", "level", "event"}
    fields = {str(key): _clipped(value) for key, value in event.items() if key not in named}
    time = event.get("time", event.get("timestamp", ""))
    return str(time), str(event.get("level", "")), _clipped(event.get("event", "")), fields


def _clipped(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
