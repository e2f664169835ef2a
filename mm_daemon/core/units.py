"""Prices, sizes and cash as integers, and the text the venue writes them in.

A price is a whole number of 1/10,000 dollar, so every tick the venue knows (0.1 … 0.0001, 0.005, 0.0025) is whole and
the mirror of `p` is `10_000 - p`. Sizes are micro-shares and cash is micro-dollars, the venue's own base units.
Text becomes an integer without a float in between.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NewType

Price = NewType("Price", int)
"""1/10,000 dollar."""
Size = NewType("Size", int)
"""Micro-shares."""
Cash = NewType("Cash", int)
"""Micro-dollars."""
TokenId = NewType("TokenId", str)
"""The venue's asset id: a uint256 in decimal digits."""
ConditionId = NewType("ConditionId", str)
"""The venue's market id: 0x and hexadecimal digits."""
OrderId = NewType("OrderId", str)
"""The order's EIP-712 hash: 0x and 64 hexadecimal digits, lower case."""

DOLLAR = Price(10_000)
SHARE = Size(1_000_000)
USD = Cash(1_000_000)
SIZE_STEP = Size(10_000)
"""The venue takes sizes in hundredths of a share."""
LARGEST = 2**63 - 1
"""What books and the ledger can hold: nine trillion shares."""
_POWERS: tuple[int, ...] = tuple(10**exponent for exponent in range(19))


class Side(IntEnum):
    """The side of an order on the token it names; the numbers are the ones that are signed."""

    BUY = 0
    SELL = 1

    @property
    def opposite(self) -> Side:
        """BUY for SELL and SELL for BUY."""
        return Side.SELL if self is Side.BUY else Side.BUY


class Outcome(IntEnum):
    """The two tokens of a market. A short YES position is a long NO position."""

    YES = 0
    NO = 1

    @property
    def other(self) -> Outcome:
        """NO for YES and YES for NO."""
        return Outcome.NO if self is Outcome.YES else Outcome.YES


def parse_fixed(text: str, decimals: int) -> int:
    """Read a decimal number as an integer of 10**-decimals, exactly.

    Args:
        text: digits with at most one point and an optional leading sign, as the venue writes numbers ("0.52", "5").
        decimals: places kept; further places must be zeros.

    Raises:
        ValueError: not such a number, or not exact in that many places.
    """
    whole, _, fraction = text.partition(".")
    digits = whole + fraction
    missing = decimals - len(fraction)
    if missing >= 0 and digits.isdecimal() and digits.isascii():
        return int(digits) * _POWERS[missing]  # nearly every number; every level of every book comes by here
    if missing < 0:
        fraction, rest = fraction[:decimals], fraction[decimals:]
        if rest.strip("0"):
            raise ValueError(f"{text!r} has more than {decimals} decimal places")
        digits, missing = whole + fraction, 0
    if not (digits[1:] if digits[:1] == "-" else digits).isdecimal() or not digits.isascii():
        raise ValueError(f"{text!r} is not a decimal number")
    return int(digits) * _POWERS[missing]


def parse_price(text: str) -> Price:
    """Read a price in dollars, such as "0.52".

    Raises:
        ValueError: not a number, finer than 1/10,000 dollar, or outside 0 … 1.
    """
    price = parse_fixed(text, 4)
    if not 0 <= price <= DOLLAR:
        raise ValueError(f"price {text!r} is outside 0 … 1")
    return Price(price)


def parse_size(text: str) -> Size:
    """Read a number of shares, such as "21.42857".

    Raises:
        ValueError: not a number, finer than a micro-share, negative, or more than there can be.
    """
    size = parse_fixed(text, 6)
    if not 0 <= size <= LARGEST:
        raise ValueError(f"size {text[:40]!r} is negative" if size < 0 else f"size {text[:40]!r} is too large")
    return Size(size)


def format_fixed(value: int, decimals: int) -> str:
    """Write an integer of 10**-decimals as a decimal number without trailing zeros: (5200, 4) is "0.52"."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, fraction = divmod(value, 10**decimals)
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:0{decimals}d}".rstrip("0")


def format_price(price: Price) -> str:
    """Write a price in dollars: 5200 is "0.52"."""
    return format_fixed(price, 4)


def format_size(size: Size) -> str:
    """Write a size in shares: 21_040_000 is "21.04"."""
    return format_fixed(size, 6)


def format_usd(cash: Cash) -> str:
    """Write cash in dollars and cents, rounded half away from zero, for people: 1_005_000 is "1.01"."""
    cents = (abs(cash) + 5_000) // 10_000
    return f"{'-' if cash < 0 and cents else ''}{cents // 100}.{cents % 100:02d}"


def mirror(price: Price) -> Price:
    """The price of the other outcome: buying YES at p is selling NO at 1 - p."""
    return Price(DOLLAR - price)


def notional(price: Price, size: Size) -> Cash:
    """Cash that `size` is worth at `price`, rounded down; exact for sizes that are whole hundredths of a share."""
    return Cash(price * size // DOLLAR)


def size_for(cash: Cash, price: Price) -> Size:
    """The most shares, in whole hundredths, that `cash` pays for at `price` (which is above zero)."""
    return Size(cash * DOLLAR // price // SIZE_STEP * SIZE_STEP)


def floor_size(size: int) -> Size:
    """`size` cut to whole hundredths of a share, and to zero if negative."""
    return Size(max(size, 0) // SIZE_STEP * SIZE_STEP)
