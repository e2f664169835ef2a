"""Numbers: text to integers without a float in between."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.units import (
    LARGEST,
    Cash,
    Price,
    Size,
    format_fixed,
    format_usd,
    mirror,
    notional,
    parse_fixed,
    parse_price,
    parse_size,
    size_for,
)


@given(st.integers(-(10**18), 10**18), st.integers(0, 8))
def test_a_number_written_and_read_is_the_same(value: int, decimals: int) -> None:
    """What we write as text, we read back exactly, whatever the size."""
    assert parse_fixed(format_fixed(value, decimals), decimals) == value


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_sizes_are_read_as_the_exact_decimal(number: Decimal) -> None:
    """A size's text becomes micro-shares without a rounding."""
    assert parse_size(f"{number:f}") == int(number * 1_000_000)


@pytest.mark.parametrize(
    "text", ["", ".", "-", "abc", "1e3", "1_000", "٣", " 1", "0x1", "1.2.3", "--1", "NaN", "inf", "+1"]
)
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    """Only digits, one point and a minus sign make a number."""
    with pytest.raises(ValueError, match="not a decimal number"):
        parse_fixed(text, 4)


@pytest.mark.parametrize("text", ["-1", "0.0000001", "9223372036854.775808", "9" * 5000])
def test_sizes_are_what_books_and_the_ledger_can_hold(text: str) -> None:
    """A negative size, one finer than a micro-share or one of more than 64 bits is refused where it is read."""
    with pytest.raises(ValueError):
        parse_size(text)
    assert parse_size("9223372036854.775807") == LARGEST


@pytest.mark.parametrize("text", ["0.00001", "1.0001", "-0.5", "2"])
def test_prices_are_dollars_between_nought_and_one(text: str) -> None:
    """A price finer than 1/10,000 dollar or outside 0 … 1 is no price."""
    with pytest.raises(ValueError):
        parse_price(text)


@given(st.integers(0, 10_000))
def test_the_mirror_of_the_mirror_is_the_price(price: int) -> None:
    """Buying YES at p is selling NO at 1 - p, and back."""
    assert mirror(mirror(Price(price))) == price


@given(st.integers(1, 9_999), st.integers(0, 10**9))
def test_notional_is_exact_for_hundredths_of_a_share(price: int, hundredths: int) -> None:
    """Sizes the venue accepts make whole micro-dollars at every price."""
    size = Size(hundredths * 10_000)
    assert notional(Price(price), size) * 10_000 == price * size


@given(st.integers(0, 10**12), st.integers(1, 9_999))
def test_a_size_bought_with_cash_never_costs_more_than_the_cash(cash: int, price: int) -> None:
    """Sizes are rounded down, and one step more would be too much."""
    size = size_for(Cash(cash), Price(price))
    assert notional(Price(price), size) <= cash < notional(Price(price), Size(size + 10_000)) + 1


def test_dollars_for_people_are_rounded_to_cents() -> None:
    """Half a cent goes away from zero, and there is no minus nought."""
    assert [format_usd(Cash(c)) for c in (1_005_000, -1_005_000, -4_999, 0)] == ["1.01", "-1.01", "0.00", "0.00"]
