"""What can go wrong, as data: kinds of faults, single faults, and schedules drawn from a seed."""

from __future__ import annotations

from enum import StrEnum
from random import Random
from typing import NamedTuple

import msgspec


class Kind(StrEnum):
    """A way in which a venue, its network or its chain misbehaves."""

    MARKET_DROPPED = "market_dropped"
    MARKET_FROZEN = "market_frozen"
    """Open and silent, but PING is answered."""
    MARKET_DEAF = "market_deaf"
    """Open and silent, PING is not answered either."""
    MARKET_HALF_FRAME = "market_half_frame"
    MARKET_GARBAGE = "market_garbage"
    USER_DROPPED = "user_dropped"
    USER_FROZEN = "user_frozen"
    USER_DEAF = "user_deaf"
    USER_HALF_FRAME = "user_half_frame"
    USER_GARBAGE = "user_garbage"
    EVENTS_LOST = "events_lost"
    EVENTS_DOUBLED = "events_doubled"
    EVENTS_REORDERED = "events_reordered"
    EVENTS_LATE = "events_late"

    REST_DELAYED = "rest_delayed"
    """`amount` seconds, before or after the request takes effect."""
    RESTARTING_425 = "restarting_425"
    """Then post-only for as long again."""
    THROTTLED_429 = "throttled_429"
    """Retry-After is `amount`."""
    DISABLED_503 = "disabled_503"
    CANCEL_ONLY_503 = "cancel_only_503"
    POST_ONLY_503 = "post_only_503"
    ERROR_500 = "error_500"
    """Before or after the request took effect."""
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    """The request takes effect and its answer is lost."""
    SLOW_BODY = "slow_body"
    """The answer drips for `amount` seconds."""
    TRUNCATED_JSON = "truncated_json"
    CANCEL_ALL_FAILS = "cancel_all_fails"
    """The first `count` calls."""
    HEARTBEAT_LOST = "heartbeat_lost"
    """The dead-man switch goes off, and beats are refused for a while."""
    CLOCK_SKEWED = "clock_skewed"
    """GET /time is `amount` seconds off."""
    VENUE_GONE = "venue_gone"
    """Every connection is cut and every new one too."""

    TRADE_FAILED = "trade_failed"
    """Trades matched meanwhile end as FAILED."""
    TRADE_RETRYING = "trade_retrying"
    TICK_CHANGED = "tick_changed"
    MARKET_RESOLVED = "market_resolved"
    CASH_WITHDRAWN = "cash_withdrawn"
    """`amount` dollars leave the wallet."""


class Fault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One fault: `secs` long from `at` seconds after the schedule's start.

    Attributes:
        share: of the requests or events meanwhile that it hits.
        count: at most so many; 0 is any number.
        amount: what the kind says.
        on: hits only paths that begin with this; for acts, the market's slug.
    """

    kind: Kind
    at: float
    secs: float = 0.0
    share: float = 1.0
    count: int = 0
    amount: float = 0.0
    on: str = ""


class Recipe(NamedTuple):
    """From which ranges a kind's numbers are drawn."""

    secs: tuple[float, float] = (0.0, 0.0)
    share: tuple[float, float] = (1.0, 1.0)
    amount: tuple[float, float] = (0.0, 0.0)
    counts: tuple[int, int] = (0, 0)


_K = Kind
RECIPES: dict[Kind, Recipe] = {
    **dict.fromkeys((_K.MARKET_DROPPED, _K.USER_DROPPED, _K.MARKET_HALF_FRAME, _K.USER_HALF_FRAME), Recipe()),
    **dict.fromkeys((_K.MARKET_GARBAGE, _K.USER_GARBAGE), Recipe()),
    **dict.fromkeys((_K.MARKET_FROZEN, _K.MARKET_DEAF, _K.USER_FROZEN, _K.USER_DEAF), Recipe(secs=(1, 4))),
    _K.EVENTS_LOST: Recipe(secs=(1, 3), share=(0.2, 1.0)),
    _K.EVENTS_DOUBLED: Recipe(secs=(2, 5), share=(0.5, 1.0)),
    _K.EVENTS_REORDERED: Recipe(secs=(2, 5), amount=(0.1, 0.5)),
    _K.EVENTS_LATE: Recipe(secs=(2, 5), share=(0.5, 1.0), amount=(0.2, 1.5)),
    _K.REST_DELAYED: Recipe(secs=(1, 3), share=(0.3, 1.0), amount=(0.1, 2.0)),
    _K.RESTARTING_425: Recipe(secs=(1, 2)),
    _K.THROTTLED_429: Recipe(secs=(0.5, 2), share=(0.3, 1.0), amount=(1, 1)),
    **dict.fromkeys((_K.DISABLED_503, _K.CANCEL_ONLY_503, _K.POST_ONLY_503), Recipe(secs=(0.5, 2.5))),
    _K.ERROR_500: Recipe(secs=(0.5, 3), share=(0.2, 1.0)),
    _K.RESET_BEFORE: Recipe(secs=(0.5, 3), share=(0.2, 1.0)),
    _K.RESET_AFTER: Recipe(secs=(0.5, 3), share=(0.2, 1.0)),
    _K.SLOW_BODY: Recipe(secs=(0.5, 1.5), share=(0.2, 0.6), amount=(0.5, 6)),
    _K.TRUNCATED_JSON: Recipe(secs=(0.5, 3), share=(0.2, 1.0)),
    _K.CANCEL_ALL_FAILS: Recipe(secs=(60, 60), counts=(1, 4)),
    _K.HEARTBEAT_LOST: Recipe(secs=(0, 2)),
    _K.CLOCK_SKEWED: Recipe(secs=(1, 3), amount=(3, 40)),
    _K.VENUE_GONE: Recipe(secs=(0.3, 2)),
    _K.TRADE_FAILED: Recipe(secs=(1, 4), share=(0.3, 1.0)),
    _K.TRADE_RETRYING: Recipe(secs=(1, 4), share=(0.3, 1.0)),
    _K.TICK_CHANGED: Recipe(),
    _K.MARKET_RESOLVED: Recipe(),
    _K.CASH_WITHDRAWN: Recipe(amount=(20, 300)),
}
"""What random schedules are made of."""

ORDER_PATHS = ("/order", "/cancel-all", "/cancel-market-orders")


def random_schedule(seed: int, duration: float, markets: int) -> list[Fault]:
    """Three to seven faults within `duration` seconds, in order of time; the same seed gives the same schedule.

    One market at least is never resolved.
    """
    rng = Random(f"faults:{seed}")
    kinds = rng.sample(list(Kind), rng.randint(3, 7))
    if markets < 2:
        kinds = [kind for kind in kinds if kind is not Kind.MARKET_RESOLVED]
    return sorted((_draw(rng, kind, duration, markets) for kind in kinds), key=lambda fault: fault.at)


def _draw(rng: Random, kind: Kind, duration: float, markets: int) -> Fault:
    recipe = RECIPES[kind]
    on = ""
    if kind is Kind.MARKET_RESOLVED:
        on = f"demo-{markets}"
    elif kind is Kind.TICK_CHANGED:
        on = f"demo-{rng.randint(1, markets)}"
    elif kind in (Kind.RESET_BEFORE, Kind.RESET_AFTER, Kind.ERROR_500, Kind.REST_DELAYED, Kind.TRUNCATED_JSON):
        on = rng.choice(("", "", "/order", "/data", "/orders"))
    sign = rng.choice((-1, 1)) if kind is Kind.CLOCK_SKEWED else 1
    return Fault(
        kind=kind,
        at=round(rng.uniform(0.8, duration), 2),
        secs=round(rng.uniform(*recipe.secs), 2),
        share=round(rng.uniform(*recipe.share), 2),
        count=rng.randint(*recipe.counts),
        amount=round(sign * rng.uniform(*recipe.amount), 2),
        on=on,
    )
