"""Metrics: their names, their values, and that Prometheus reads them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mm_daemon.core.latency import BOUNDS_NS, Latencies
from mm_daemon.ops.metrics import PREFIX, Exposition, names
from mm_daemon.ops.observation import Observation

from ..given import cents, shares, usd
from .seen import a_market_seen, a_result, an_observation

DOCS = Path(__file__).parent.parent.parent / "docs" / "metrics.md"
UNITS = ("_seconds", "_dollars", "_shares", "_total", "_info")

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(seen: Observation, latencies: Latencies | None = None) -> Samples:
    """What Prometheus has after a scrape: (name, labels) to value."""
    text = "".join(Exposition().parts(seen, latencies or Latencies()))
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "no sample comes twice"
    return found


def value(samples: Samples, name: str, **labels: str) -> float | None:
    """One sample of ours, None where there is none."""
    return samples.get((PREFIX + name, frozenset(labels.items())))


def test_money_is_in_dollars_sizes_in_shares_prices_in_dollars() -> None:
    """Integers of a millionth or a ten-thousandth become what a person reads, and keep their sign."""
    market = a_market_seen(net=shares(-12.5), exposure=usd(34.56), our_bid=cents(48.5), twice_mid=10_050)
    samples = scraped(an_observation(market, cash=usd(9_000.25), day_loss=usd(12)))
    assert value(samples, "cash_dollars") == 9_000.25
    assert value(samples, "day_loss_dollars") == 12
    assert value(samples, "market_net_shares", market="market-1") == -12.5
    assert value(samples, "market_exposure_dollars", market="market-1") == 34.56
    assert value(samples, "market_our_bid_dollars", market="market-1") == 0.485
    assert value(samples, "market_mid_dollars", market="market-1") == 0.5025


def test_what_is_unknown_has_no_sample() -> None:
    """No zero stands for a value that there is not: an empty side, no mid yet, a day without trades."""
    market = a_market_seen(bid=0, ask=10_000, our_bid=None, twice_mid=None, today=None)
    samples = scraped(an_observation(market, equity=None, reconciled_secs=None, counts={}))
    absent = (
        "equity_dollars", "reconciliation_age_seconds", "orders_posted_total", "market_bid_dollars",
        "market_ask_dollars", "market_our_bid_dollars", "market_mid_dollars", "market_day_pnl_dollars",
    )  # fmt: skip
    assert [name for name in absent if any(key == PREFIX + name for key, _ in samples)] == []


def test_the_parts_of_a_result_add_up() -> None:
    """Realised, unrealised, fees, rebates and rewards sum to the day's result: fees count negative."""
    result = a_result(total=usd(9), realised=usd(12), unrealised=usd(-2), fees=usd(3), rebates=usd(1), rewards=usd(1))
    samples = scraped(an_observation(a_market_seen(today=result), today=result))
    for prefix in ("day", "market_day"):
        parts = [value for (name, _), value in samples.items() if name == f"{PREFIX}{prefix}_pnl_part_dollars"]
        totals = [value for (name, _), value in samples.items() if name == f"{PREFIX}{prefix}_pnl_dollars"]
        assert sum(parts) == sum(totals) == 9


def test_markouts_have_their_horizons() -> None:
    """Five seconds, a minute, five minutes."""
    result = a_result(markouts=(usd(-1), usd(2), usd(3)))
    samples = scraped(an_observation(today=result))
    assert [value(samples, "day_markout_dollars", horizon=secs) for secs in ("5s", "60s", "300s")] == [-1, 2, 3]


def test_halts_are_counted_by_kind_and_their_words_stay_out_of_labels() -> None:
    """A reason that a person typed makes no series; a hold's name does."""
    seen = an_observation(
        a_market_seen(held="kill: daily loss of $101 is over $100"),
        halts=("kill: daily loss of $101 is over $100",),
        holds=("kill: daily loss of $101 is over $100", "user_channel_down"),
    )
    samples = scraped(seen)
    assert value(samples, "halted", kind="kill") == 1 and value(samples, "halted", kind="pause") == 0
    assert value(samples, "held", reason="user_channel_down") == 1
    assert value(samples, "markets", why="kill") == 1
    assert value(samples, "ready") == 0
    assert not any("101" in label for _, labels in samples for _, label in labels)


def test_markets_are_counted_by_few_reasons() -> None:
    """Whatever a strategy writes into its reasons, the number of series is bounded."""
    samples = scraped(an_observation(*(a_market_seen(n, why=f"reason {n % 100}") for n in range(1_000))))
    counts = {
        label: count for (name, labels), count in samples.items() if name == f"{PREFIX}markets" for _, label in labels
    }
    assert len(counts) == 21 and sum(counts.values()) == 1_000 and counts["other"] == 800


def test_a_market_waiting_counts_by_its_first_reason() -> None:
    """What is added after a semicolon is a detail."""
    samples = scraped(an_observation(a_market_seen(why="timer; bid waits: balance")))
    assert value(samples, "markets", why="timer") == 1


@pytest.mark.parametrize("slug", ['a"b', "a\\b", "a\nb", 'a\\"', "will-it-rain", "é"])
def test_any_slug_is_a_label(slug: str) -> None:
    """Quotes, backslashes and line ends are escaped, and come back as they were."""
    assert value(scraped(an_observation(a_market_seen(slug=slug))), "market_open", market=slug) == 1


def test_histograms_are_cumulative_and_in_seconds() -> None:
    """As Prometheus wants them: each bucket holds those before it, +Inf all, the sum in seconds."""
    latencies = Latencies()
    for duration_ns in (50_000, 200_000, 3_000_000, 60_000_000_000):
        latencies.frame_to_order.observe(duration_ns)
    samples = scraped(an_observation(), latencies)
    buckets = {
        float(dict(labels)["le"]): count
        for (name, labels), count in samples.items()
        if name == f"{PREFIX}frame_to_order_seconds_bucket"
    }
    assert len(buckets) == len(BOUNDS_NS) + 1
    assert [buckets[bound] for bound in (0.0001, 0.00025, 0.002, 0.003, 5.0, float("inf"))] == [1, 2, 2, 3, 3, 4]
    assert value(samples, "frame_to_order_seconds_count") == 4
    assert value(samples, "frame_to_order_seconds_sum") == pytest.approx(60.00325)
    assert value(samples, "cancel_to_ack_seconds_count") == 0


def test_the_process_is_measured() -> None:
    """CPU, memory and open files, by prometheus-client."""
    found = {name for name, _ in scraped(an_observation())}
    assert {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "python_info"} <= found


def test_names_follow_the_conventions() -> None:
    """Our prefix, base units, `_total` on counters and on nothing else."""
    for name, (kind, labels, help) in names().items():
        assert re.fullmatch(r"mm_daemon_[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert name.endswith("_seconds") or kind != "histogram"
        assert not re.search(r"_(ms|ns|millis|usd|cents|pct|percent)(_|$)", name)
        assert all(re.fullmatch(r"[a-z_]+", label) for label in labels)
        assert help.endswith(".") and "\n" not in help


def test_every_family_is_written_and_nothing_else() -> None:
    """What the tables name is what a scrape has, with the type they say."""
    text = "".join(Exposition().parts(an_observation(), Latencies()))
    types = dict(re.findall(r"^# TYPE (mm_daemon_\S+) (\S+)$", text, re.MULTILINE))
    assert types == {name: kind for name, (kind, _, _) in names().items()}


def test_the_document_lists_every_metric() -> None:
    """docs/metrics.md says name, type, labels and meaning as the code does, in its order."""
    rows = re.findall(r"^\| `(mm_daemon_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    assert [(name, kind, re.findall(r"`(\w+)`", labels), help) for name, kind, labels, help in rows] == [
        (name, kind, list(labels), help) for name, (kind, labels, help) in names().items()
    ]


def test_a_thousand_markets_are_written_in_small_parts() -> None:
    """The event loop may turn between parts; none of them is long."""
    result = a_result(total=1, volume=5)
    seen = an_observation(*(a_market_seen(n, today=result) for n in range(1_000)))
    longest_secs = []
    for _ in range(3):
        durations, began = [], time.thread_time()
        for _part in Exposition().parts(seen, Latencies()):
            durations.append(time.thread_time() - began)
            began = time.thread_time()
        longest_secs.append(max(durations))
    assert min(longest_secs) < 0.005
