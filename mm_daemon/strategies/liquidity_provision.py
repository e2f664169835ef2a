"""Quotes around the mid, both shifted against the position.

    half spread = mid x base_spread_pct / 2
    skew        = mid x inventory_skew_factor x (net position in dollars at risk / max_position_usd)
    bid, ask    = mid - half spread - skew, mid + half spread - skew

Long: both lower, so that we sell sooner; short: both higher. A symmetric spread with a linear inventory shift is the
first-order form of Avellaneda and Stoikov, "High-frequency trading in a limit order book" (2008). Everything is
computed in integers: a price falls on the grid where the exact fraction says, bids down and asks up.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

import msgspec

from mm_daemon.core.book import Touch
from mm_daemon.core.inventory import at_risk
from mm_daemon.core.market import Market, MarketStatus
from mm_daemon.core.quotes import TwoSidedQuote
from mm_daemon.core.units import DOLLAR, Cash, ConditionId, Price, Side
from mm_daemon.strategies.api import (
    CancelQuotes,
    Event,
    Filled,
    MarketView,
    QuoteMarket,
    Signal,
    TimerFired,
    View,
)

PPM = 1_000_000
HYSTERESIS_PCT = 20
"""Liquidity has to come back to this much above its minimum before quoting resumes, or quotes would flicker."""


class LiquidityProvisionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[strategy]` table. `_pct` are fractions: 0.02 is 2 %. Up to six decimals, all exact."""

    markets: tuple[str, ...]
    enabled: bool = True
    base_spread_pct: Decimal = Decimal("0.02")
    order_size_usd: Decimal = Decimal(25)
    max_position_usd: Decimal = Decimal(250)
    max_total_position_usd: Decimal = Decimal(1000)
    inventory_skew_factor: Decimal = Decimal("0.02")
    refresh_interval_secs: Decimal = Decimal(5)
    price_change_threshold_pct: Decimal = Decimal("0.005")
    stale_order_secs: Decimal = Decimal(60)
    min_liquidity_usd: Decimal = Decimal(100)
    liquidity_band_pct: Decimal = Decimal("0.05")
    min_profit_pct: Decimal = Decimal("0.005")
    cancel_on_fill: bool = True

    def __post_init__(self) -> None:
        """Refuse values that no market can be quoted with.

        Raises:
            ValueError: "key: reason".
        """
        if not self.markets:
            raise ValueError("markets: name at least one market")
        if len(set(self.markets)) != len(self.markets):
            raise ValueError("markets: a market is named twice")
        for key in ("base_spread_pct", "liquidity_band_pct", "price_change_threshold_pct", "min_profit_pct"):
            self._refuse_unless(key, 0 <= getattr(self, key) < 1, "must be a fraction, 0 or more and below 1")
        for key in ("base_spread_pct", "order_size_usd", "max_position_usd", "max_total_position_usd"):
            self._refuse_unless(key, getattr(self, key) > 0, "must be above zero")
        for key in ("inventory_skew_factor", "min_liquidity_usd"):
            self._refuse_unless(key, getattr(self, key) >= 0, "must not be negative")
        self._refuse_unless("inventory_skew_factor", self.inventory_skew_factor < 1, "must be below 1")
        self._refuse_unless(
            "refresh_interval_secs", self.refresh_interval_secs >= Decimal("0.1"), "must be 0.1 or more"
        )
        self._refuse_unless(
            "stale_order_secs",
            self.stale_order_secs >= self.refresh_interval_secs,
            "must be refresh_interval_secs or more",
        )
        self._refuse_unless(
            "max_position_usd", self.max_position_usd <= self.max_total_position_usd, "is above max_total_position_usd"
        )
        self._refuse_unless("order_size_usd", self.order_size_usd <= self.max_position_usd, "is above max_position_usd")
        for key in self.__struct_fields__:
            value = getattr(self, key)
            if isinstance(value, Decimal):
                exact = value.is_finite() and value.as_tuple().exponent >= -6  # type: ignore[operator]
                self._refuse_unless(key, exact, "must be a number with at most six decimals")

    def _refuse_unless(self, key: str, is_right: bool, reason: str) -> None:
        if not is_right:
            raise ValueError(f"{key}: {reason} (it is {getattr(self, key)})")


class Terms(msgspec.Struct, frozen=True):
    """The configuration in the integers that the arithmetic uses: parts per million, micro-dollars, nanoseconds."""

    spread: int
    skew: int
    threshold: int
    band: int
    min_profit: int
    order_size: Cash
    max_position: Cash
    max_total_position: Cash
    min_liquidity: Cash
    stale_ns: int

    @classmethod
    def of(cls, config: LiquidityProvisionConfig) -> Terms:
        """Convert, exactly."""
        return cls(
            spread=int(config.base_spread_pct * PPM),
            skew=int(config.inventory_skew_factor * PPM),
            threshold=int(config.price_change_threshold_pct * PPM),
            band=int(config.liquidity_band_pct * PPM),
            min_profit=int(config.min_profit_pct * PPM),
            order_size=Cash(int(config.order_size_usd * PPM)),
            max_position=Cash(int(config.max_position_usd * PPM)),
            max_total_position=Cash(int(config.max_total_position_usd * PPM)),
            min_liquidity=Cash(int(config.min_liquidity_usd * PPM)),
            stale_ns=int(config.stale_order_secs * 1_000_000_000),
        )


def signed_risk(net: int, twice_mid: int, limit: Cash) -> int:
    """Dollars at risk with the position's sign, in micro-dollars, kept within the limit either way."""
    dollars = min(at_risk(net, twice_mid), limit)
    return dollars if net > 0 else -dollars


def skewed_prices(twice_mid: int, risk: int, terms: Terms, tick: Price) -> tuple[Price, Price]:
    """Bid and ask around the mid, both shifted against the position, on the grid: bid rounded down, ask up.

    Args:
        twice_mid: the mid in 1/20,000 dollar.
        risk: dollars at risk in micro-dollars, positive long, negative short; at most terms.max_position either way.
        terms: spread and skew factor in parts per million.
        tick: the grid.
    """
    limit = terms.max_position
    centre = 2 * PPM * limit - 2 * terms.skew * risk
    half = terms.spread * limit
    unit = 4 * PPM * limit * tick
    bid = twice_mid * (centre - half) // unit
    ask = -(-twice_mid * (centre + half) // unit)
    return Price(bid * tick), Price(ask * tick)


def within_touch(bid: Price, ask: Price, touch: Touch, market: Market) -> tuple[Price | None, Price | None]:
    """Keep both prices from crossing the touch and inside [tick, 1 - tick]; a side that cannot be is None."""
    tick = market.tick
    top = min(touch.ask - 1, market.highest)
    low = max(touch.bid + 1, market.lowest)
    bid = Price(min(bid, top // tick * tick))
    ask = Price(max(ask, -(-low // tick) * tick))
    return (bid if bid >= market.lowest else None), (ask if ask <= market.highest else None)


class _Quoted(msgspec.Struct):
    """What we last said about one market."""

    twice_mid: int = 0
    """The mid of the quotes that stand; 0: none stand."""
    why_not: str | None = None
    is_thin: bool = False


class LiquidityProvision:
    """The strategy. See the module's text for the formula and `LiquidityProvisionConfig` for its settings."""

    name: ClassVar[str] = "liquidity_provision"
    config_type: ClassVar[type[msgspec.Struct]] = LiquidityProvisionConfig

    def __init__(self, config: LiquidityProvisionConfig) -> None:
        self._take(config)

    def _take(self, config: LiquidityProvisionConfig) -> None:
        self._config = config
        self._terms = Terms.of(config)
        self._refresh_secs = float(config.refresh_interval_secs)
        self.enabled = config.enabled
        self._quoted: dict[ConditionId, _Quoted] = {}

    @property
    def config(self) -> LiquidityProvisionConfig:
        """The settings in force."""
        return self._config

    @property
    def markets(self) -> tuple[str, ...]:
        """Slugs or condition ids to quote."""
        return self._config.markets

    @property
    def max_position(self) -> Cash:
        """Dollars at risk in each market."""
        return self._terms.max_position

    @property
    def max_total_position(self) -> Cash:
        """Dollars at risk over all markets."""
        return self._terms.max_total_position

    @property
    def refresh_interval_secs(self) -> float:
        """How often quotes are made anew without any other reason."""
        return self._refresh_secs

    def initialize(self, view: View) -> Sequence[Signal]:
        """Look at every market once."""
        return [signal for market in view.markets for signal in self.on_event(TimerFired(market), view)]

    def reload(self, config: LiquidityProvisionConfig) -> None:
        """Take a new configuration; every market is quoted anew at its next event.

        Raises:
            ValueError: the markets differ: they are fixed while the daemon runs.
        """
        if config.markets != self._config.markets:
            raise ValueError("markets: changing them needs a restart")
        self._take(config)

    def on_event(self, event: Event, view: View) -> Sequence[Signal]:
        """Quote when the timer, a fill or a move of the mid says so; stop quoting as soon as a reason appears."""
        seen = view.markets[event.market]
        quoted = self._quoted.setdefault(event.market, _Quoted())
        touch = seen.touch if seen.book_is_known else None
        why_not = self._why_not(seen, touch, quoted)
        if why_not is not None or touch is None:
            return self._cancel(event.market, quoted, why_not or "book_unknown")
        why = self._why_now(event, touch, quoted)
        if why is None:
            return ()
        quote = self._quote(seen, touch)
        if isinstance(quote, str):
            return self._cancel(event.market, quoted, quote)
        quoted.twice_mid, quoted.why_not = touch.twice_mid, None
        replace: frozenset[Side] = frozenset()
        if isinstance(event, Filled) and self._config.cancel_on_fill:
            replace = frozenset({event.direction.opposite})
        return [QuoteMarket(event.market, quote, why, self._terms.stale_ns, replace)]

    def _cancel(self, market: ConditionId, quoted: _Quoted, why: str) -> Sequence[Signal]:
        """Say once that nothing is quoted, and again when the reason changes."""
        if quoted.why_not == why:
            return ()
        quoted.twice_mid, quoted.why_not = 0, why
        return [CancelQuotes(market, why)]

    def _why_not(self, seen: MarketView, touch: Touch | None, quoted: _Quoted) -> str | None:
        """The reason against quoting at all, None if there is none."""
        if not self.enabled:
            return "disabled"
        if seen.market.status is not MarketStatus.OPEN:
            return str(seen.market.status.value)
        if touch is None:
            return "book_unknown"
        if not touch.is_two_sided:
            return "book_one_sided"
        if touch.is_crossed:
            return "book_crossed"
        return "min_liquidity" if self._is_thin(seen, touch, quoted) else None

    def _is_thin(self, seen: MarketView, touch: Touch, quoted: _Quoted) -> bool:
        """Whether others' orders in the band around the mid are worth less than the minimum, with hysteresis."""
        lowest = Price(-(-touch.twice_mid * (PPM - self._terms.band) // (2 * PPM)))
        highest = Price(touch.twice_mid * (PPM + self._terms.band) // (2 * PPM))
        needed = self._terms.min_liquidity
        if quoted.is_thin:
            needed = Cash(needed * (100 + HYSTERESIS_PCT) // 100)
        quoted.is_thin = seen.others_depth(lowest, min(highest, DOLLAR), needed) < needed
        return quoted.is_thin

    def _why_now(self, event: Event, touch: Touch, quoted: _Quoted) -> str | None:
        """The reason to make quotes now, None to let those that stand be."""
        if isinstance(event, TimerFired):
            return "timer"
        if isinstance(event, Filled):
            return "fill"
        if not quoted.twice_mid:
            return "quotable"
        moved = abs(touch.twice_mid - quoted.twice_mid) * PPM
        return "mid_moved" if moved >= max(self._terms.threshold * quoted.twice_mid, 1) else None

    def _quote(self, seen: MarketView, touch: Touch) -> TwoSidedQuote | str:
        """The quote for the state we see, or the reason why there is none."""
        terms = self._terms
        risk = signed_risk(seen.holdings.net, touch.twice_mid, terms.max_position)
        raw_bid, raw_ask = skewed_prices(touch.twice_mid, risk, terms, seen.market.tick)
        bid, ask = within_touch(raw_bid, raw_ask, touch, seen.market)
        if bid is None and ask is None:
            return "outside_price_range"
        if bid is not None and ask is not None and (ask - bid) * 2 * PPM < terms.min_profit * touch.twice_mid:
            return "min_profit"
        return TwoSidedQuote(bid=bid, ask=ask, notional=terms.order_size)
