"""The text of a scrape: every family of `ops/families.py` in Prometheus' text format.

It is made part by part, so that whoever serves it can let the event loop turn in between. A thread beside the loop
would hold the interpreter's lock for milliseconds at a time, and orders would wait for it; for the same reason
prometheus-client, whose samples cost many times as much, writes only what it knows better than we do: the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest

from mm_daemon.core.latency import BOUNDS_NS, Histogram, Latencies
from mm_daemon.ops.families import DAEMON, DURATIONS, MARKET_INFO, MARKETS, Durations, Family, Kind, MarketFamily
from mm_daemon.ops.observation import MarketSeen, Observation

PREFIX = "mm_daemon_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def names() -> dict[str, tuple[Kind, tuple[str, ...], str]]:
    """Every metric of ours as name -> (kind, labels, help)."""
    return {
        **{PREFIX + family.name: (family.kind, family.labels, family.help) for family in DAEMON},
        **{PREFIX + each.name: ("histogram", (), each.help) for each in DURATIONS},
        **{
            PREFIX + family.name: ("gauge", ("market", family.label) if family.label else ("market",), family.help)
            for family in (MARKET_INFO, *MARKETS)
        },
    }


class Exposition:
    """Makes the text of one scrape after another."""

    def __init__(self) -> None:
        self._process = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)

    def parts(self, seen: Observation, latencies: Latencies) -> Iterator[str]:
        """The text in parts of at most a few families each: a part costs less than a millisecond with 1,000 markets."""
        yield generate_latest(self._process).decode()
        yield "".join(map(_durations, DURATIONS, (each.histogram(latencies) for each in DURATIONS)))
        yield "".join(_family(family, seen) for family in DAEMON)
        yield _market_info(seen.markets)
        slugs = [_escaped(market.slug) for market in seen.markets]
        for family in MARKETS:
            yield _market_family(family, seen.markets, slugs)


def _head(name: str, kind: Kind, help: str) -> str:
    return f"# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}\n"


def _number(value: float) -> str:
    return repr(int(value)) if isinstance(value, bool) else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True)) + "}"


def _family(family: Family, seen: Observation) -> str:
    lines = [
        f"{PREFIX}{family.name}{_labels(family.labels, values)} {_number(value)}\n"
        for values, value in family.samples(seen)
        if value is not None
    ]
    return _head(family.name, family.kind, family.help) + "".join(lines)


def _durations(durations: Durations, histogram: Histogram) -> str:
    name = PREFIX + durations.name
    totals = list(accumulate(histogram.counts))
    lines = [f'{name}_bucket{{le="{bound / 1e9}"}} {total}\n' for bound, total in zip(BOUNDS_NS, totals, strict=False)]
    return (
        _head(durations.name, "histogram", durations.help)
        + "".join(lines)
        + f'{name}_bucket{{le="+Inf"}} {totals[-1]}\n{name}_sum {histogram.sum_ns / 1e9}\n{name}_count {totals[-1]}\n'
    )


def _market_info(markets: Iterable[MarketSeen]) -> str:
    labels = ("market", MARKET_INFO.label)
    lines = (f"{PREFIX}{MARKET_INFO.name}{_labels(labels, (m.slug, m.id))} 1\n" for m in markets)
    return _head(MARKET_INFO.name, "gauge", MARKET_INFO.help) + "".join(lines)


def _market_family(family: MarketFamily, markets: Iterable[MarketSeen], slugs: Iterable[str]) -> str:
    name, lines = PREFIX + family.name, []
    for market, slug in zip(markets, slugs, strict=True):
        value = family.value(market)
        if isinstance(value, tuple):
            lines += [
                f'{name}{{market="{slug}",{family.label}="{split}"}} {_number(part)}\n'
                for split, part in zip(family.splits, value, strict=True)
                if part is not None
            ]
        elif value is not None:
            lines.append(f'{name}{{market="{slug}"}} {_number(value)}\n')
    return _head(family.name, "gauge", family.help) + "".join(lines)
