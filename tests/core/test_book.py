"""The order book against a model that is too simple to be wrong."""

from hypothesis import given
from hypothesis import strategies as st

from mm_daemon.core.book import Book, Ladder, Touch
from mm_daemon.core.events import BookSnapshot, LevelChanged
from mm_daemon.core.units import DOLLAR, Cash, ConditionId, Price, Side, Size
from tests.given import YES, a_market, a_snapshot, cents, levels, shares, usd

ticks = st.sampled_from((100, 10, 1))


def prices_on(tick: int) -> st.SearchStrategy[Price]:
    return st.integers(1, DOLLAR // tick - 1).map(lambda steps: Price(steps * tick))


prices = ticks.flatmap(prices_on)
sizes = st.integers(0, 10**12).map(Size)
sides = st.sampled_from(Side)
changes = ticks.flatmap(lambda tick: st.lists(st.tuples(sides, prices_on(tick), sizes), max_size=60))


def a_book() -> Book:
    book = Book(YES)
    book.receive_snapshot(a_snapshot(a_market(), levels((49, 100), (48, 50)), levels((51, 100), (52, 50))), now_ns=1)
    return book


@given(changes, changes)
def test_the_book_is_what_a_plain_dictionary_says(
    snapshot: list[tuple[Side, Price, Size]], after: list[tuple[Side, Price, Size]]
) -> None:
    """After any snapshot and changes, levels, touch and order of levels equal those of two dictionaries."""
    model: dict[Side, dict[Price, Size]] = {Side.BUY: {}, Side.SELL: {}}
    for side, price, size in snapshot:
        model[side][price] = size
    book = Book(YES)
    bids, asks = (list(model[side].items()) for side in Side)
    book.receive_snapshot(BookSnapshot(ConditionId("0x1"), YES, 5, bids, asks), now_ns=1)
    for side, price, size in after:
        book.receive_change(LevelChanged(YES, side, price, size), time_ms=5, now_ns=2)
        model[side][price] = size
    expected = {side: {p: s for p, s in model[side].items() if s} for side in Side}
    assert dict(book.bids.best_first()) == expected[Side.BUY]
    assert dict(book.asks.best_first()) == expected[Side.SELL]
    assert book.touch == (max(expected[Side.BUY], default=0), min(expected[Side.SELL], default=DOLLAR))
    assert [price for price, _ in book.bids.best_first()] == sorted(expected[Side.BUY], reverse=True)
    assert [price for price, _ in book.asks.best_first()] == sorted(expected[Side.SELL])


@given(changes, st.dictionaries(prices, sizes), sides)
def test_others_best_price_is_where_something_is_left_without_us(
    resting: list[tuple[Side, Price, Size]], own: dict[Price, Size], side: Side
) -> None:
    """Our own size is taken off each level before the best is looked for."""
    ladder = Ladder(side)
    for _, price, size in resting:
        ladder.set(price, size)
    left = [price for price, size in ladder.best_first() if size - own.get(price, 0) >= 10_000]
    best = (max(left) if side is Side.BUY else min(left)) if left else None
    assert ladder.best_without(own) == best


def test_a_book_is_unknown_until_its_snapshot() -> None:
    """Changes before the first snapshot are not applied to anything."""
    book = Book(YES)
    assert not book.receive_change(LevelChanged(YES, Side.BUY, cents(49), shares(5)), time_ms=1, now_ns=1)
    assert not book.is_known and book.touch == Touch(Price(0), DOLLAR)


def test_a_change_older_than_the_snapshot_is_dropped() -> None:
    """Deltas that were overtaken by a snapshot do not undo it."""
    book = a_book()
    assert not book.receive_change(LevelChanged(YES, Side.BUY, cents(50), shares(5)), time_ms=999, now_ns=2)
    assert book.touch == (cents(49), cents(51))


def test_a_snapshot_older_than_the_book_is_dropped() -> None:
    """Snapshots of one connection can come in the wrong order; the newest wins."""
    book = a_book()
    book.receive_change(LevelChanged(YES, Side.BUY, cents(50), shares(5)), time_ms=2_000, now_ns=2)
    assert not book.receive_snapshot(a_snapshot(a_market(), [], [], time_ms=1_500), now_ns=3)
    assert book.touch.bid == cents(50)


def test_after_forgetting_an_older_snapshot_is_taken() -> None:
    """A new connection starts from nothing, also if its snapshot carries an older time."""
    book = a_book()
    book.forget()
    assert not book.is_known and not book.touch.is_two_sided
    assert book.receive_snapshot(a_snapshot(a_market(), levels((40, 1)), levels((60, 1)), time_ms=10), now_ns=3)
    assert book.touch == (cents(40), cents(60))


def test_a_touch_that_contradicts_its_frame_is_noticed_and_healed() -> None:
    """The best prices that frames carry are the book's checksum."""
    book = a_book()
    wrong = LevelChanged(YES, Side.BUY, cents(48), shares(5), best_bid=cents(50), best_ask=cents(51))
    book.receive_change(wrong, time_ms=2_000, now_ns=7)
    assert book.disagrees_since_ns == 7
    right = LevelChanged(YES, Side.BUY, cents(50), shares(5), best_bid=cents(50), best_ask=cents(51))
    book.receive_change(right, time_ms=2_001, now_ns=9)
    assert book.disagrees_since_ns == 0


def test_depth_counts_others_dollars_up_to_a_price() -> None:
    """Dollars at each level's own price, our size taken off, levels beyond the limit left out."""
    book = a_book()
    assert book.bids.depth_to(cents(48), {cents(49): shares(60)}) == 49 * 400_000 + 48 * 500_000
    assert book.asks.depth_to(cents(51), {}) == 51_000_000


def test_depth_is_counted_only_until_there_is_enough() -> None:
    """With an amount that is enough the answer says no less than that, and deeper levels are not looked at."""
    book = a_book()
    assert book.bids.depth_to(cents(48), {}, enough=usd(49)) == usd(49)
    assert book.bids.depth_to(cents(48), {}, enough=usd(50)) == usd(49 + 24)


@given(changes, prices, st.dictionaries(prices, sizes), st.integers(0, 10**9).map(Cash), sides, changes)
def test_a_change_that_is_not_told_changes_no_look(
    resting: list[tuple[Side, Price, Size]],
    limit: Price,
    own: dict[Price, Size],
    enough: Cash,
    side: Side,
    after: list[tuple[Side, Price, Size]],
) -> None:
    """While no change is told, the same look sees the same: the best price without us, and whether depth is enough."""
    ladder = Ladder(side)
    for _, price, size in resting:
        ladder.set(price, size)

    def look() -> tuple[Price | None, bool]:
        return ladder.best_without(own), ladder.depth_to(limit, own, enough) >= enough

    ladder.forget_reads(all_read=False)
    seen = look()
    for _, price, size in after:
        if ladder.set(price, size):
            ladder.forget_reads(all_read=False)
            seen = look()
        else:
            assert look() == seen


def test_before_the_first_look_every_change_is_told() -> None:
    """Nobody has said yet what matters, and after something else outdated the last look nobody knows it any more."""
    book = a_book()
    deep = LevelChanged(YES, Side.BUY, cents(10), shares(5))
    deeper = LevelChanged(YES, Side.BUY, cents(9), shares(5))
    assert book.receive_change(deep, time_ms=2_000, now_ns=1)
    book.begin_look()
    assert book.touch_without({}, {}) == (cents(49), cents(51))
    assert not book.receive_change(deeper, time_ms=2_000, now_ns=1)
    book.outdate_look()
    assert book.receive_change(deep, time_ms=2_000, now_ns=1)
