"""What we hold: tokens and cash, provisional and settled, and the net position in every market.

A fill counts from the first word of it (risk and skew), but its tokens can be sold only once the trade is on chain.
Net position is YES minus NO; a YES and a NO together are worth one dollar whatever happens.
"""

from __future__ import annotations

import msgspec

from mm_daemon.core.fills import Step
from mm_daemon.core.units import DOLLAR, Cash, Outcome, Price, Side, Size


def worth(yes: int, no: int, twice_mid: int) -> Cash:
    """What micro-shares of the two tokens are worth at a mid given in 1/20,000 dollar."""
    return Cash((yes * twice_mid + no * (2 * DOLLAR - twice_mid)) // (2 * DOLLAR))


def at_risk(net: int, twice_mid: int | None) -> Cash:
    """Dollars that a net position can lose: net YES x mid when long, net NO x (1 - mid) when short, rounded up.

    Without a mid every share counts as a whole dollar.
    """
    if twice_mid is None:
        return Cash(abs(net))
    price_x2 = twice_mid if net > 0 else 2 * DOLLAR - twice_mid
    return Cash(-(-abs(net) * price_x2 // (2 * DOLLAR)))


class Holding(msgspec.Struct):
    """One token: `held` includes fills on their way to the chain, `settled` does not and is what can be sold."""

    held: Size = Size(0)
    settled: Size = Size(0)
    opening: Size = Size(0)
    """What was held when the daemon started."""


class Holdings(msgspec.Struct, frozen=True, gc=False):
    """A position's sizes at one moment, to read; `settled` is what could be sold."""

    yes: Size
    no: Size
    yes_settled: Size
    no_settled: Size

    @property
    def net(self) -> int:
        """Net YES in micro-shares: positive long, negative short."""
        return self.yes - self.no


class Position(msgspec.Struct):
    """Our position in one market; `cash` is what our fills brought in (negative: paid) since the start."""

    yes: Holding = msgspec.field(default_factory=Holding)
    no: Holding = msgspec.field(default_factory=Holding)
    cash: Cash = Cash(0)
    fills: int = 0
    bought: Size = Size(0)
    """Shares of fills that made us longer YES: our bids."""
    sold: Size = Size(0)
    """Shares of fills that made us shorter YES: our asks."""
    opening_value: Cash | None = None
    """Worth of what was held at the start, at the first mid seen."""

    def holding(self, outcome: Outcome) -> Holding:
        """The tokens of one outcome."""
        return self.no if outcome else self.yes

    @property
    def net(self) -> int:
        """Net YES in micro-shares: positive long, negative short."""
        return self.yes.held - self.no.held

    @property
    def holdings(self) -> Holdings:
        """What we hold now, as a value."""
        return Holdings(self.yes.held, self.no.held, self.yes.settled, self.no.settled)

    def open_with(self, outcome: Outcome, balance: Size) -> None:
        """Take what the venue says we hold at the start."""
        holding = self.holding(outcome)
        holding.held = holding.settled = holding.opening = balance

    def mark_opening(self, twice_mid: int) -> None:
        """Value the opening holdings at the first mid we see; later calls change nothing."""
        if self.opening_value is None:
            self.opening_value = worth(self.yes.opening, self.no.opening, twice_mid)

    def pnl(self, twice_mid: int) -> Cash:
        """Profit since the start: cash that came in, plus what we hold now, less what we held then, at mids."""
        return Cash(self.cash + worth(self.yes.held, self.no.held, twice_mid) - (self.opening_value or 0))

    def receive_fill(self, outcome: Outcome, side: Side, price: Price, size: Size, step: Step) -> Cash:
        """Book, settle or reverse a fill.

        Returns:
            The change of our cash in micro-dollars; what we pay is rounded up, what we get down.
        """
        holding = self.holding(outcome)
        is_buy = side is Side.BUY
        if step is Step.SETTLE:
            if is_buy:
                holding.settled = Size(holding.settled + size)
            return Cash(0)
        if step in (Step.NOTHING, Step.VOID):
            return Cash(0)
        way = -1 if step is Step.REVERSE else 1
        signed = way * size if is_buy else -way * size
        holding.held = Size(holding.held + signed)
        if not is_buy or step is Step.BOOK_SETTLED:
            holding.settled = Size(holding.settled + signed)
        paid = -(-price * size // DOLLAR) if is_buy else -(price * size // DOLLAR)
        cash = Cash(-way * paid)
        self.cash = Cash(self.cash + cash)
        self.fills += way
        if is_buy == (outcome is Outcome.YES):
            self.bought = Size(self.bought + way * size)
        else:
            self.sold = Size(self.sold + way * size)
        return cash
