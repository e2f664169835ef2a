"""The text of a scrape: every family of `ops/families.py` in Prometheus' text format.

It is made part by part, so that whoever serves it can let the event loop turn in between. A thread beside the loop
would hold the interpreter's lock for milliseconds at a time, and orders would wait for it; for the same reason
prometheus-client, whose samples cost many times as much, writes only what it knows better than we do: the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest

from mm_daemon.core.latency import BOUNDS_NS, Histogram, Latencies
from mm_daemon.ops.families import DAEMON, DURATIONS, MARKET_INFO, MARKETS, Durations, Family, Kind, MarketFamily
from mm_daemon.ops.observation import MarketSeen, Observation

PREFIX = "mm_daemon_"
SLICE = 200
FAMILIES = 16
"""How many markets, and how many families, a part holds."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_T = TypeVar("_T")


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
        """The text in parts, each some tenths of a millisecond of work however many markets there are."""
        yield generate_latest(self._process).decode()
        yield "".join(_durations(each, each.histogram(latencies)) for each in DURATIONS)
        for families in batched(DAEMON, FAMILIES):
            yield "".join(_family(family, seen) for family in families)
        markets = [(market, _escaped(market.slug)) for market in seen.markets]
        for family in (MARKET_INFO, *MARKETS):
            yield _head(family.name, "gauge", family.help)
            for some in batched(markets, SLICE):
                yield _market_samples(family, some)


def batched(things: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """`things` in runs of `size`, the last one shorter."""
    return (things[start : start + size] for start in range(0, len(things), size))


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


def _market_samples(family: MarketFamily, markets: Iterable[tuple[MarketSeen, str]]) -> str:
    name, value_of, lines = PREFIX + family.name, family.value, []
    for market, slug in markets:
        value = value_of(market)
        if isinstance(value, tuple):
            lines += [
                f'{name}{{market="{slug}",{family.label}="{split}"}} {_number(part)}\n'
                for split, part in zip(family.splits, value, strict=True)
                if part is not None
            ]
        elif isinstance(value, str):
            lines.append(f'{name}{{market="{slug}",{family.label}="{_escaped(value)}"}} 1\n')
        elif value is not None:
            lines.append(f'{name}{{market="{slug}"}} {_number(value)}\n')
    return "".join(lines)
