"""The exchange's own records: orders, trades, keys, and the refusal that every rule raises.

Integers as everywhere: prices in 1/10,000 dollar, sizes in micro-shares, cash in micro-dollars, times in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import gcd

from mm_daemon.core.market import direction
from mm_daemon.core.units import DOLLAR, Cash, ConditionId, OrderId, Outcome, Price, Side, Size, TokenId

NO_CASH = Cash(0)
NO_SIZE = Size(0)
DUST = Size(10_000)
"""A remainder below a hundredth of a share is nothing: the order counts as filled."""


class Tif(StrEnum):
    """How long an order stays."""

    GTC = "GTC"
    GTD = "GTD"
    FOK = "FOK"
    FAK = "FAK"

    @property
    def rests(self) -> bool:
        """Whether what does not match at once stays on the book."""
        return self in (Tif.GTC, Tif.GTD)


class MatchKind(StrEnum):
    """How two orders meet: tokens change hands, a new pair is made, or a pair is dissolved."""

    NORMAL = "normal"
    MINT = "mint"
    MERGE = "merge"


class TradeStatus(StrEnum):
    """The steps of a trade's settlement, as the wire spells them."""

    MATCHED = "MATCHED"
    RETRYING = "RETRYING"
    MINED = "MINED"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"


class Refusal(Exception):
    """The exchange says no: `status` is the HTTP status and `text` the venue's wording."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


@dataclass(slots=True, eq=False)
class SimOrder:
    """One order, from its placement to its end.

    `budget` is what a FAK or FOK buy may spend in micro-dollars (zero: the order is counted in shares). `direction`
    and `yes_price` are the order seen on the YES axis, where the one book of the market lives.
    """

    id: OrderId
    maker: str
    owner: str
    market: ConditionId
    token: TokenId
    outcome: Outcome
    side: Side
    price: Price
    size: Size
    tif: Tif = Tif.GTC
    post_only: bool = False
    expiration: int = 0
    created_ms: int = 0
    signed_ms: int = 0
    """When its maker says that it was made."""
    budget: Cash = NO_CASH
    internal: bool = False
    matched: Size = NO_SIZE
    spent: Cash = NO_CASH
    status: str = "LIVE"
    trades: list[str] = field(default_factory=list)
    direction: Side = field(init=False)
    yes_price: Price = field(init=False)

    def __post_init__(self) -> None:
        self.direction = direction(self.outcome, self.side)
        self.yes_price = self.price_on(self.outcome, self.price)

    @staticmethod
    def price_on(outcome: Outcome, price: Price) -> Price:
        """`price` of `outcome` on the YES axis, and back: the map is its own inverse."""
        return price if outcome is Outcome.YES else Price(DOLLAR - price)

    @property
    def remaining(self) -> Size:
        """What is not matched yet."""
        return Size(self.size - self.matched)

    @property
    def is_live(self) -> bool:
        """Whether it rests."""
        return self.status == "LIVE"


@dataclass(frozen=True, slots=True)
class MakerPart:
    """What one resting order gave to a trade."""

    order: SimOrder
    size: Size
    kind: MatchKind


@dataclass(slots=True, eq=False)
class Trade:
    """One taker order against the resting orders of one price. `price` is the taker token's."""

    id: str
    taker: SimOrder
    price: Price
    size: Size
    makers: tuple[MakerPart, ...]
    matched_ms: int
    updated_ms: int
    fee: Cash
    status: TradeStatus = TradeStatus.MATCHED
    transaction_hash: str = ""

    @property
    def orders(self) -> list[SimOrder]:
        """The taker's and the makers' orders."""
        return [self.taker, *(part.order for part in self.makers)]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A wallet's key to the private calls. `eoa` is in lower case."""

    key: str
    secret: str
    passphrase: str
    eoa: str
    nonce: int


def size_step(price: Price) -> Size:
    """The least size whose cost at `price` is a whole number of micro-dollars, so that no match ever rounds."""
    return Size(DOLLAR // gcd(price, DOLLAR))
