"""Profit and loss of one market on the YES axis, and what it is made of.

Every fill is a move of the net YES position at a YES price: BUY NO at q is SELL YES at 1 - q, because a YES and a NO
together are worth one dollar. The position has an average cost; what reduces it realises the difference.

Money inside an account is whole units of 1/20,000 micro-dollar (names end in `_x`), in which a price, a mid and a
product of either with a size are exact. `realised_x - cost_x` is then the cash of all moves to the last unit whatever
their order, and a division rounds only what is realised *now* against what is realised *later*.

    spread captured   (mid at the fill - price) x size for a bid, mirrored for an ask
    markout at t      (mid t after the fill - mid at the fill) x size x direction; negative is adverse selection
    realised + change of unrealised  =  what the day earned, before fees, rebates and rewards

The split is the usual one of a market maker's edge: half-spread earned less the move against it (Glosten and Milgrom
1985; "realized spread" in SEC Rule 605 is the sum of the two at 5 minutes and others).

A fill that fails is not erased: it is booked again the other way round at its own price. Net position, cash and total
profit at every mid are then as if it had not been; only how the total splits into realised and unrealised may differ.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mm_daemon.core.units import DOLLAR, Cash, Outcome, Price, Side, Size

SCALE = 2 * DOLLAR
"""Units of exact money in one micro-dollar."""
HORIZONS_SECS = (5, 60, 300)
"""When after a fill the mid is looked at again."""
DAY_MS = 86_400_000


def to_cash(amount_x: int) -> Cash:
    """Micro-dollars of exact money, rounded down: a profit is not made larger, nor a loss smaller."""
    return Cash(amount_x // SCALE)


def utc_day(time_ms: int) -> int:
    """The UTC day of a unix time, as days since 1970-01-01."""
    return time_ms // DAY_MS


def sign(direction: Side) -> int:
    """1 for what makes us longer YES, -1 for what makes us shorter."""
    return 1 if direction is Side.BUY else -1


def spread_captured_x(direction: Side, yes_price: Price, size: Size, twice_mid: int) -> int:
    """How much better than the mid (in 1/20,000 dollar) a fill's price was, in exact money."""
    return (twice_mid - 2 * yes_price) * size * sign(direction)


def markout_x(direction: Side, size: Size, twice_mid: int, twice_mid_after: int) -> int:
    """How far the mid went our way since a fill, in exact money; negative: it went against us."""
    return (twice_mid_after - twice_mid) * size * sign(direction)


def cash_of_fill(side: Side, price: Price, size: Size) -> Cash:
    """The change of our cash by a fill on its own token, in micro-dollars: paid rounded up, received rounded down."""
    return Cash((-price if side is Side.BUY else price) * size // DOLLAR)


class Account(msgspec.Struct):
    """One market's account.

    Attributes:
        net: net YES in micro-shares, positive long, negative short.
        cost_x: net times its average YES price, with net's sign, in exact money.
        realised_x: profit of what was closed, in exact money; fees, rebates and rewards are not in it.
        yes, no: what we hold of each token in micro-shares, fills on their way to the chain included.
        cash: what fills brought in (negative: paid) in micro-dollars.
        fees, rebates, rewards: known amounts in micro-dollars, each positive.
        twice_mid: the last mid it was marked at, in 1/20,000 dollar; None: never.
    """

    net: int = 0
    cost_x: int = 0
    realised_x: int = 0
    yes: int = 0
    no: int = 0
    cash: Cash = Cash(0)
    fees: Cash = Cash(0)
    rebates: Cash = Cash(0)
    rewards: Cash = Cash(0)
    twice_mid: int | None = None

    def move(self, shares: int, twice_price: int) -> int:
        """Change the net position at a price; what reduces it realises profit at the average cost.

        Args:
            shares: micro-shares of YES, signed.
            twice_price: YES price in 1/20,000 dollar.

        Returns:
            The profit realised, in exact money.
        """
        realised = 0
        if self.net and (shares > 0) is not (self.net > 0):
            # The part of net that this closes, with net's sign; all of the cost goes with the last share.
            closed = self.net if abs(shares) >= abs(self.net) else -shares
            cost = self.cost_x * closed // self.net
            realised = closed * twice_price - cost
            self.cost_x -= cost
            self.net -= closed
            self.realised_x += realised
            shares += closed
        self.net += shares
        self.cost_x += shares * twice_price
        return realised

    def receive_fill(self, outcome: Outcome, side: Side, price: Price, size: Size, *, way: int = 1) -> int:
        """Book a fill of one of the two tokens at the token's own price.

        Args:
            way: 1 books it, -1 books it the other way round: the compensating entry of a fill that failed.

        Returns:
            The profit realised, in exact money.
        """
        bought = way * size if side is Side.BUY else -way * size
        self.cash = Cash(self.cash + way * cash_of_fill(side, price, size))
        if outcome is Outcome.YES:
            self.yes += bought
            return self.move(bought, 2 * price)
        self.no += bought
        return self.move(-bought, 2 * (DOLLAR - price))

    def take_in(self, yes: int, no: int, twice_mid: int) -> int:
        """Hold this much from now on; the difference from before comes or goes at the mid, without profit or loss.

        Returns:
            What it realised against the average cost (the unrealised part falls by as much), in exact money.
        """
        change = yes - no - self.net
        self.yes, self.no = yes, no
        if not change:
            return 0  # whole pairs are a dollar each at every mid
        self.twice_mid = twice_mid
        return self.move(change, twice_mid)

    @property
    def unrealised_x(self) -> int:
        """What the net position is worth over its cost at the last mid, in exact money; nothing without a mid."""
        return 0 if self.twice_mid is None else self.net * self.twice_mid - self.cost_x

    def unrealised(self, twice_mid: int) -> Cash:
        """What the net position is worth over its cost at a mid, in micro-dollars, rounded down."""
        return to_cash(self.net * twice_mid - self.cost_x)

    def total(self, twice_mid: int) -> Cash:
        """Realised and unrealised profit at a mid, rounded down once; fees, rebates and rewards are not in it."""
        return to_cash(self.realised_x + self.net * twice_mid - self.cost_x)

    @property
    def realised(self) -> Cash:
        """Realised profit in micro-dollars, rounded down."""
        return to_cash(self.realised_x)

    @property
    def entry(self) -> float | None:
        """The average YES price of the net position in dollars, to read; None when flat."""
        return self.cost_x / self.net / SCALE if self.net else None


class DayResult(msgspec.Struct):
    """What one market did in one UTC day. Everything counts on the day on which it became known, also a reversal.

    Attributes:
        opening_x: unrealised profit when the day began.
        unrealised_x: unrealised profit at the last mark.
        realised_x, spread_x: realised profit, and spread captured by fills whose mid was known.
        markouts_x: by horizon, of fills whose mid was known then and now.
        fees, rebates, rewards: known amounts in micro-dollars, each positive.
        volume: notional of fills on their own token, in micro-dollars.
        fills: how many.
    """

    opening_x: int = 0
    unrealised_x: int = 0
    realised_x: int = 0
    spread_x: int = 0
    markouts_x: list[int] = msgspec.field(default_factory=lambda: [0] * len(HORIZONS_SECS))
    fees: Cash = Cash(0)
    rebates: Cash = Cash(0)
    rewards: Cash = Cash(0)
    volume: Cash = Cash(0)
    fills: int = 0

    @property
    def pnl_x(self) -> int:
        """What the day earned so far in exact money: realised, change of unrealised, rebates and rewards, less fees."""
        return self.realised_x + self.unrealised_x - self.opening_x + (self.rebates + self.rewards - self.fees) * SCALE

    @property
    def pnl(self) -> Cash:
        """What the day earned so far in micro-dollars, rounded down."""
        return to_cash(self.pnl_x)


def together(days: Iterable[DayResult]) -> DayResult:
    """Several results as one: of all markets, or of several days."""
    total = DayResult()
    for day in days:
        total.opening_x += day.opening_x
        total.unrealised_x += day.unrealised_x
        total.realised_x += day.realised_x
        total.spread_x += day.spread_x
        total.markouts_x = [sum(pair) for pair in zip(total.markouts_x, day.markouts_x, strict=True)]
        total.fees = Cash(total.fees + day.fees)
        total.rebates = Cash(total.rebates + day.rebates)
        total.rewards = Cash(total.rewards + day.rewards)
        total.volume = Cash(total.volume + day.volume)
        total.fills += day.fills
    return total
