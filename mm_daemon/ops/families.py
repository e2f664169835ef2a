"""What is measured: tables of metric families, each a name, a help text and a function to its samples.

Names and units follow Prometheus' conventions: base units, `_total` for what only grows, dollars and shares as floats,
which they become here and nowhere else. How they are written is the business of `ops/metrics.py`; what they are for
stands in `docs/metrics.md`, and a test holds the two together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from mm_daemon.core.latency import Histogram, Latencies
from mm_daemon.core.pnl import HORIZONS_SECS
from mm_daemon.core.units import DOLLAR
from mm_daemon.ops.observation import MarketSeen, Observation, Result

MOST_REASONS = 20
"""Markets are counted by at most so many reasons, whatever a strategy's own may say; the rest is "other"."""

MICRO = 1_000_000
HORIZONS = tuple(f"{secs}s" for secs in HORIZONS_SECS)

Kind = Literal["gauge", "counter", "histogram"]
Value = float | None
"""None: there is no value now, and no sample."""
Sample = tuple[tuple[str, ...], Value]


class Family(msgspec.Struct, frozen=True):
    """A metric of the daemon as a whole; `samples` gives label values and value."""

    name: str
    kind: Kind
    help: str
    samples: Callable[[Observation], Iterable[Sample]]
    labels: tuple[str, ...] = ()


class MarketFamily(msgspec.Struct, frozen=True):
    """A gauge of each market, labelled `market`.

    With `label` there is a sample for each of `splits`, or where the value is text, one of 1 with that text as label.
    """

    name: str
    help: str
    value: Callable[[MarketSeen], Value | tuple[Value, ...] | str]
    label: str = ""
    splits: tuple[str, ...] = ()


class Durations(msgspec.Struct, frozen=True):
    """A histogram of seconds."""

    name: str
    help: str
    histogram: Callable[[Latencies], Histogram]


def _one(name: str, help: str, value: Callable[[Observation], Value], kind: Kind = "gauge") -> Family:
    return Family(name, kind, help, lambda seen: [((), value(seen))])


def _count(name: str, help: str, key: str) -> Family:
    """A counter of `Observation.counts`; no sample before whoever counts it runs."""
    return _one(name, help, lambda seen: seen.counts.get(key), "counter")


def _by(name: str, label: str, help: str, values: Callable[[Observation], Mapping[str, int]], kind: Kind) -> Family:
    return Family(name, kind, help, lambda seen: [((key,), value) for key, value in values(seen).items()], (label,))


def _each(
    name: str, label: str, help: str, values: Callable[[Observation], Iterable[tuple[str, Value]]], kind: Kind = "gauge"
) -> Family:
    return Family(name, kind, help, lambda seen: [((key,), value) for key, value in values(seen)], (label,))


def _usd(micro_dollars: int | None) -> Value:
    return None if micro_dollars is None else micro_dollars / MICRO


def _price(price: int | None) -> Value:
    return None if price is None else price / DOLLAR


def _parts(result: Result) -> tuple[Value, ...]:
    return (
        _usd(result.realised),
        _usd(result.unrealised),
        _usd(-result.fees),
        _usd(result.rebates),
        _usd(result.rewards),
    )


PARTS = ("realised", "unrealised", "fees", "rebates", "rewards")
"""What a result is made of; they add up to it, so fees are negative."""


def _by_why(seen: Observation) -> Mapping[str, int]:
    """Markets by the first words of why they are quoted as they are."""
    whys: Counter[str] = Counter()
    for why, count in Counter(market.held or market.why for market in seen.markets).items():
        whys[re.split("[;:]", why, maxsplit=1)[0]] += count
    common = dict(whys.most_common(MOST_REASONS))
    if others := sum(whys.values()) - sum(common.values()):
        common["other"] = common.get("other", 0) + others
    return common


DAEMON: tuple[Family, ...] = (
    Family(
        "build_info", "gauge", "What runs; always 1.",
        lambda seen: [((seen.version, seen.mode, seen.strategy, seen.wallet), 1)],
        ("version", "mode", "strategy", "wallet"),
    ),
    _one("uptime_seconds", "Since the process began to watch itself.", lambda seen: seen.uptime_secs),
    _one("ready", "1 while nothing keeps the daemon from trading, as /readyz says.", lambda seen: not seen.not_ready),
    _one("started", "1 when the start-up checks are done and the tasks run.", lambda seen: seen.is_started),
    _one("stopping", "1 once a stop was requested.", lambda seen: seen.is_stopping),
    _one("synchronised", "1 once orders and trades were read completely.", lambda seen: seen.is_synchronised),
    _each(
        "halted", "kind", "1 while a kill or a pause stands, which only a person lifts.",
        lambda seen: [(kind, any(halt.startswith(kind) for halt in seen.halts)) for kind in ("kill", "pause")],
    ),
    _one("holds", "Reasons, halts included, that pull the quotes of all markets now.", lambda seen: len(seen.holds)),
    _each(
        "held", "reason", "1 while this reason, which is not a halt, pulls the quotes of all markets.",
        lambda seen: [(hold, 1) for hold in seen.holds if hold not in seen.halts],
    ),
    _one("flattening", "1 while only orders that reduce positions are placed.", lambda seen: seen.is_flattening),
    # Feeds and the venue
    _each(
        "socket_up", "socket", "1 while the websocket is open.",
        lambda seen: [(s.name, s.is_open) for s in seen.sockets],
    ),
    _each(
        "socket_silence_seconds", "socket", "Since anything came from the websocket.",
        lambda seen: [(s.name, s.silent_secs) for s in seen.sockets],
    ),
    _each(
        "socket_frames_total", "socket", "Frames received.",
        lambda seen: [(s.name, s.frames) for s in seen.sockets], "counter",
    ),
    _each(
        "socket_connections_total", "socket", "Connections made; the first is no reconnect.",
        lambda seen: [(s.name, s.connections) for s in seen.sockets], "counter",
    ),
    _by(
        "requests_total", "endpoint", "Requests to the venue by method and path.",
        lambda seen: seen.requests, "counter",
    ),
    _by("request_errors_total", "kind", "Requests that failed, by kind.", lambda seen: seen.request_errors, "counter"),
    _one("heartbeat_age_seconds", "Since the last beat that the venue accepted.", lambda seen: seen.heartbeat_secs),
    # Tasks
    _each(
        "task_age_seconds", "task", "Since the task's loop last turned.",
        lambda seen: [(t.name, t.age_secs) for t in seen.tasks],
    ),
    _each(
        "task_stuck_after_seconds", "task", "The age from which the task counts as stuck.",
        lambda seen: [(t.name, t.stuck_after_secs) for t in seen.tasks],
    ),
    # Orders and fills
    _count("decisions_total", "Events that the strategy answered.", "decisions"),
    _count("orders_posted_total", "Orders sent.", "orders_posted"),
    _count("orders_accepted_total", "Orders that the venue took.", "orders_accepted"),
    _by(
        "orders_refused_total", "reason", "Orders that the venue refused, by reason.",
        lambda seen: seen.refusals, "counter",
    ),
    _count(
        "orders_answer_lost_total", "Orders whose answer was lost; each is looked up by its id.",
        "orders_answer_lost",
    ),
    _count("cancels_sent_total", "Orders whose cancel was sent.", "cancels_sent"),
    _one("open_orders", "Orders that may rest, in all markets.", lambda seen: seen.open_orders),
    _one("open_orders_limit", "The limit on them.", lambda seen: seen.max_open_orders),
    _one("undecided_orders", "Orders whose fate is unknown now.", lambda seen: seen.undecided),
    _one(
        "undecided_oldest_seconds", "How long the oldest of them has been; 0 without any.",
        lambda seen: seen.undecided_secs,
    ),
    _count("fills_total", "Fills booked.", "fills"),
    _one("fills_pending", "Fills on their way to the chain.", lambda seen: seen.pending_fills),
    _count("foreign_reports_total", "Reports about orders of this account that are not ours.", "foreign_reports"),
    # Money
    _one("cash_dollars", "Cash that can be spent, as far as we know.", lambda seen: _usd(seen.cash)),
    _one(
        "equity_dollars", "Cash and holdings at mids; no sample before the first mids.",
        lambda seen: _usd(seen.equity),
    ),
    _one("exposure_dollars", "At risk in the worst case over all markets.", lambda seen: _usd(seen.exposure)),
    _one("exposure_limit_dollars", "The limit on it.", lambda seen: _usd(seen.max_total_position)),
    _one("day_loss_dollars", "What this UTC day lost so far; 0 in a winning day.", lambda seen: _usd(seen.day_loss)),
    _one("day_loss_limit_dollars", "The loss that kills.", lambda seen: _usd(seen.max_daily_loss)),
    _one("day_worst_dollars", "The lowest result of this UTC day, never above 0.", lambda seen: _usd(seen.worst)),
    _one("day_pnl_dollars", "The result of this UTC day.", lambda seen: _usd(seen.today.total)),
    _each(
        "day_pnl_part_dollars", "part", "What the day's result is made of; the parts add up to it, fees are negative.",
        lambda seen: zip(PARTS, _parts(seen.today), strict=True),
    ),
    _one(
        "day_spread_dollars", "Spread captured at the mid of each fill of this UTC day.",
        lambda seen: _usd(seen.today.spread),
    ),
    _each(
        "day_markout_dollars", "horizon", "What the mid did after the day's fills; negative: it went against us.",
        lambda seen: zip(HORIZONS, map(_usd, seen.today.markouts), strict=True),
    ),
    _one(
        "day_volume_dollars", "Traded in this UTC day, at prices of the tokens traded.",
        lambda seen: _usd(seen.today.volume),
    ),
    _one("day_fills", "Fills of this UTC day.", lambda seen: seen.today.fills),
    # Is what we believe true?
    _count("reconciliations_total", "Complete reads of orders and trades.", "reconciliations"),
    _one(
        "reconciliation_age_seconds", "Since the last one; no sample before the first.",
        lambda seen: seen.reconciled_secs,
    ),
    _count("reconciler_repairs_total", "Differences of orders and trades put right.", "reconciler_repairs"),
    _count("balance_checks_total", "Comparisons of cash and holdings with the venue.", "balance_checks"),
    _count("balance_repairs_total", "Differences of cash and holdings put right.", "balance_repairs"),
    _each(
        "book_audits_total", "result", "Books compared with the venue, by what came out.",
        lambda seen: [
            (result, seen.counts[key])
            for key, result in (
                ("audit_hashes_equal", "hash_equal"), ("audit_touches_equal", "touch_equal"),
                ("audit_contradictions", "contradicted"), ("audits_unavailable", "unavailable"),
            )
            if key in seen.counts
        ],
        "counter",
    ),
    _count("books_distrusted_total", "Books thrown away after two contradictions.", "books_distrusted"),
    _one("ledger_writable", "1 while the ledger can be written.", lambda seen: seen.ledger_problem is None),
    _count("ledger_rows_written_total", "Rows written.", "ledger_rows_written"),
    _count("ledger_rows_lost_total", "Rows lost; more than none is an emergency.", "ledger_rows_lost"),
    _count("ledger_write_failures_total", "Batches that could not be written at once.", "ledger_write_failures"),
    _count("log_lines_lost_total", "Log lines that could not be written.", "log_lines_lost"),
    _count("log_lines_held_back_total", "Log lines that repeated others and were counted.", "log_lines_held_back"),
    _count("alerts_delivered_total", "Alerts that the webhook took.", "alerts_delivered"),
    _count("alerts_lost_total", "Alerts that could not be delivered.", "alerts_lost"),
    _by(
        "markets", "why", "Markets by the hold, or the strategy's reason, that they are quoted or not quoted for.",
        _by_why, "gauge",
    ),
)  # fmt: skip
"""What there is of the daemon as a whole."""

MARKETS: tuple[MarketFamily, ...] = (
    MarketFamily("market_open", "1 while the venue takes orders.", lambda m: m.status == "open"),
    MarketFamily("market_held", "1 while a hold or halt pulls its quotes.", lambda m: m.held is not None),
    MarketFamily("market_book_known", "1 while the book is current.", lambda m: m.is_book_known),
    MarketFamily("market_book_age_seconds", "Since a frame last spoke of the book.", lambda m: m.book_age_secs),
    MarketFamily(
        "market_bid_dollars", "Best YES bid of everybody else; no sample where there is none.",
        lambda m: _price(m.bid) if m.bid > 0 else None,
    ),
    MarketFamily(
        "market_ask_dollars", "Best YES ask of everybody else; no sample where there is none.",
        lambda m: _price(m.ask) if m.ask < DOLLAR else None,
    ),
    MarketFamily(
        "market_mid_dollars", "The last mid; no sample before the first.",
        lambda m: None if m.twice_mid is None else m.twice_mid / (2 * DOLLAR),
    ),
    MarketFamily(
        "market_our_bid_dollars", "Our best bid as a YES price; no sample while none rests.",
        lambda m: _price(m.our_bid),
    ),
    MarketFamily(
        "market_our_ask_dollars", "Our best ask as a YES price; no sample while none rests.",
        lambda m: _price(m.our_ask),
    ),
    MarketFamily("market_open_orders", "Orders that may rest.", lambda m: m.open_orders),
    MarketFamily("market_net_shares", "YES less NO that we hold.", lambda m: m.net / MICRO),
    MarketFamily(
        "market_holding_shares", "What we hold of each token.",
        lambda m: (m.yes / MICRO, m.no / MICRO), "outcome", ("yes", "no")
    ),
    MarketFamily("market_at_risk_dollars", "What the net position can lose.", lambda m: _usd(m.at_risk)),
    MarketFamily("market_exposure_dollars", "At risk in the worst case.", lambda m: _usd(m.exposure)),
    MarketFamily("market_exposure_limit_dollars", "The limit on it.", lambda m: _usd(m.max_position)),
    MarketFamily(
        "market_day_pnl_dollars", "The result of this UTC day.",
        lambda m: _usd(m.today.total) if m.today else None,
    ),
    MarketFamily(
        "market_day_pnl_part_dollars", "What it is made of; the parts add up to it, fees are negative.",
        lambda m: _parts(m.today) if m.today else None, "part", PARTS,
    ),
    MarketFamily(
        "market_day_spread_dollars", "Spread captured in this UTC day.",
        lambda m: _usd(m.today.spread) if m.today else None,
    ),
    MarketFamily(
        "market_day_markout_dollars", "What the mid did after the day's fills; negative: it went against us.",
        lambda m: tuple(map(_usd, m.today.markouts)) if m.today else None, "horizon", HORIZONS,
    ),
    MarketFamily(
        "market_day_volume_dollars", "Traded in this UTC day.",
        lambda m: _usd(m.today.volume) if m.today else None,
    ),
    MarketFamily("market_day_fills", "Fills of this UTC day.", lambda m: m.today.fills if m.today else None),
)  # fmt: skip
"""What there is of each market; all are gauges."""

MARKET_INFO = MarketFamily("market_info", "The market's condition id; always 1.", lambda m: m.id, "condition_id")

DURATIONS: tuple[Durations, ...] = (
    Durations(
        "frame_to_order_seconds",
        "From the arrival of the frame that moved a quote to its order's bytes on the socket.",
        lambda latencies: latencies.frame_to_order,
    ),
    Durations(
        "frame_to_ack_seconds",
        "From the same frame to the venue's answer to the order.",
        lambda latencies: latencies.frame_to_ack,
    ),
    Durations(
        "order_to_ack_seconds",
        "From an order's bytes to the venue's answer.",
        lambda latencies: latencies.order_to_ack,
    ),
    Durations(
        "cancel_to_ack_seconds",
        "From a cancel's bytes to the venue's answer.",
        lambda latencies: latencies.cancel_to_ack,
    ),
)
