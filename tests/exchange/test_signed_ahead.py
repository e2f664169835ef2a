"""Orders signed ahead: used once, young, bounded, and the same as those signed when they are wanted."""

from __future__ import annotations

import json

from mm_daemon.core.units import Price, Side, Size, TokenId
from mm_daemon.exchange.api import SignedOrder
from mm_daemon.exchange.polymarket import signed_ahead
from mm_daemon.exchange.polymarket.auth import ApiCredentials
from mm_daemon.exchange.polymarket.signed_ahead import (
    LONGEST_KEPT_SECS,
    MOST_KEPT,
    RENEWED_AFTER_SECS,
    SignedAhead,
    Terms,
)
from mm_daemon.exchange.polymarket.venue import PolymarketVenue

from ..given import a_market, cents, order_id, shares
from .conftest import KEY

MARKET = a_market()


class Seconds:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def terms(number: int) -> Terms:
    return Terms(TokenId("1"), Side.BUY, Price(number), Size(1), False)


def an_order(number: int) -> SignedOrder:
    return SignedOrder(order_id(number), TokenId("1"), Side.BUY, Price(number), Size(1), b"{}")


def a_venue(unix_secs: Seconds) -> PolymarketVenue:
    return PolymarketVenue(
        "http://127.0.0.1:9",
        "",
        private_key=KEY,
        credentials=ApiCredentials("key", "c2VjcmV0", "pass"),
        unix_ns=lambda: int(unix_secs.now * 1e9),
    )


def test_an_order_is_taken_once() -> None:
    """An order that was signed ahead goes to one who asks, because its salt makes its id; the next is signed anew."""
    venue = a_venue(Seconds())
    ask = (MARKET, MARKET.yes, Side.BUY, cents(49), shares(50))
    venue.sign_ahead(*ask)
    venue.sign_ahead(*ask)
    ids = {venue.sign(*ask).id for _ in range(3)}
    assert len(ids) == 3


def test_only_an_order_of_the_same_terms_is_taken() -> None:
    """Token, side, price and size of what comes out are those asked for, whatever else is in stock."""
    venue = a_venue(Seconds())
    stock = [
        (token, side, cents(price), shares(size))
        for token in MARKET.tokens
        for side in Side
        for price in (48, 49)
        for size in (50, 51)
    ]
    for each in stock:
        venue.sign_ahead(MARKET, *each)
    for token, side, price, size in stock:
        signed = venue.sign(MARKET, token, side, price, size)
        order = json.loads(signed.body)["order"]
        cash, amount = str(price * size // 10_000), str(size)
        amounts = (cash, amount) if side is Side.BUY else (amount, cash)
        assert (signed.token, signed.side, signed.price, signed.size) == (token, side, price, size)
        assert (order["tokenId"], order["side"]) == (token, side.name)
        assert (order["makerAmount"], order["takerAmount"]) == amounts


def test_an_old_order_is_signed_anew() -> None:
    """The timestamp that is signed is never older than the longest time an order is kept."""
    clock = Seconds()
    venue = a_venue(clock)
    ask = (MARKET, MARKET.yes, Side.BUY, cents(49), shares(50))
    for waited, age in ((LONGEST_KEPT_SECS - 1, LONGEST_KEPT_SECS - 1), (LONGEST_KEPT_SECS + 1, 0)):
        venue.sign_ahead(*ask)
        clock.now += waited
        timestamp = int(json.loads(venue.sign(*ask).body)["order"]["timestamp"])
        assert timestamp == int((clock.now - age) * 1000)


def test_an_order_from_the_future_is_signed_anew() -> None:
    """After the wall clock was set back nothing is sent that was signed before."""
    clock = Seconds()
    venue = a_venue(clock)
    ask = (MARKET, MARKET.yes, Side.BUY, cents(49), shares(50))
    venue.sign_ahead(*ask)
    clock.now -= 50
    assert int(json.loads(venue.sign(*ask).body)["order"]["timestamp"]) == int(clock.now * 1000)


def test_another_api_key_forgets_what_was_signed_for_the_old_one() -> None:
    """No order is posted under an API key that is not in force any more."""
    venue = a_venue(Seconds())
    ask = (MARKET, MARKET.yes, Side.BUY, cents(49), shares(50))
    venue.sign_ahead(*ask)
    venue._use(ApiCredentials("other", "c2VjcmV0", "pass"))
    assert json.loads(venue.sign(*ask).body)["owner"] == "other"


def test_the_stock_is_renewed_before_it_is_too_old() -> None:
    """An order is wanted when there is none, not while one is young, and again some time before it is dropped."""
    clock = Seconds()
    ahead = SignedAhead(clock)
    assert ahead.wants(terms(1))
    ahead.keep(terms(1), an_order(1))
    clock.now += RENEWED_AFTER_SECS
    assert not ahead.wants(terms(1))
    clock.now += 0.1
    assert ahead.wants(terms(1))
    ahead.keep(terms(1), an_order(2))
    assert ahead.take(terms(1)) == an_order(2)
    assert ahead.take(terms(1)) is None


def test_the_stock_is_bounded() -> None:
    """A full stock wants nothing more until something in it is taken or too old."""
    clock = Seconds()
    ahead = SignedAhead(clock)
    for number in range(MOST_KEPT):
        assert ahead.wants(terms(number))
        ahead.keep(terms(number), an_order(number))
        clock.now += 0.001
    assert not ahead.wants(terms(MOST_KEPT))
    ahead.take(terms(7))
    assert ahead.wants(terms(MOST_KEPT))
    ahead.keep(terms(MOST_KEPT), an_order(MOST_KEPT))
    clock.now += signed_ahead.LONGEST_KEPT_SECS
    assert ahead.wants(terms(MOST_KEPT + 1))
    assert len(ahead) < MOST_KEPT
