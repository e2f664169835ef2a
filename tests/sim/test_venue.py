"""The venue's rules and what it tells its owners, without a wire."""

from __future__ import annotations

from typing import Any

import pytest

from mm_daemon.core.units import USD, Outcome, Price, Side
from mm_daemon.sim.keys import WrongHeartbeat
from mm_daemon.sim.model import Refusal, Tif
from tests.sim.conftest import START_MS, Watched, shares


def events(watched: Watched, owner: str = "key") -> list[tuple[str, str, str]]:
    """Kind, type and status of the private events of one key."""
    return [
        (frame.payload["event_type"], frame.payload["type"], frame.payload["status"])
        for frame in watched.user_frames
        if frame.owner == owner
    ]


def test_post_only_that_crosses_is_refused(watched: Watched) -> None:
    """The venue's words, and nothing rests."""
    watched.trader("other").sell("demo-1", Outcome.YES, Price(5000), shares(50))
    with pytest.raises(Refusal, match="invalid post-only order: order crosses book"):
        watched.outside_order(Side.BUY, 5000, shares(50), post_only=True)
    with pytest.raises(Refusal, match="crosses book"):
        watched.outside_order(Side.SELL, 5000, shares(50), Outcome.NO, post_only=True, maker=watched_seller(watched))
    assert not watched.venue.live_orders("key")


def watched_seller(watched: Watched) -> str:
    """A wallet that holds tokens of both outcomes."""
    watched.venue.deposit("0xholder", 10_000)
    watched.venue.ledger.split("0xholder", watched.market, shares(1_000))
    return "0xholder"


def test_fok_is_filled_whole_or_not_at_all(watched: Watched) -> None:
    """Too little on the book: refused, and the book is untouched."""
    watched.trader("other").sell("demo-1", Outcome.YES, Price(5000), shares(50))
    with pytest.raises(Refusal, match="FOK orders are fully filled or killed"):
        watched.outside_order(Side.BUY, 5000, shares(51), tif=Tif.FOK)
    assert watched.outside_order(Side.BUY, 5000, shares(50), tif=Tif.FOK).status == "MATCHED"


def test_fak_takes_what_is_there_and_rests_nothing(watched: Watched) -> None:
    """The rest of a FAK order is gone; with nothing to match it is refused."""
    watched.trader("other").sell("demo-1", Outcome.YES, Price(5000), shares(50))
    assert watched.outside_order(Side.BUY, 5000, shares(80), tif=Tif.FAK).matched == shares(50)
    with pytest.raises(Refusal, match="no orders found to match with FAK order"):
        watched.outside_order(Side.BUY, 5000, shares(80), tif=Tif.FAK)
    assert not watched.venue.live_orders("key")


def test_a_marketable_order_is_worth_a_dollar(watched: Watched) -> None:
    """Five shares at a cent may rest, but not match."""
    watched.outside_order(Side.BUY, 100, shares(5))
    with pytest.raises(Refusal, match=r"invalid amount for a marketable SELL order \(\$0\.05\), min size: \$1"):
        watched.outside_order(Side.SELL, 100, shares(5), maker=watched_seller(watched))


def test_equal_signed_bytes_are_a_duplicate(watched: Watched) -> None:
    """An id is taken once, also after its order was cancelled."""
    order = watched.outside_order(Side.BUY, 4000, shares(50))
    watched.venue.cancel([order.id], "key")
    with pytest.raises(Refusal, match=f"order {order.id} is invalid. Duplicated."):
        watched.venue.submit(order)


def test_cancels_act_on_the_own_key_only(watched: Watched) -> None:
    """Other people's and finished orders are named in not_canceled; a repeated id counts once."""
    order = watched.outside_order(Side.BUY, 4000, shares(50))
    gone = "order can't be found - already canceled or matched"
    assert watched.venue.cancel([order.id], "thief") == {"canceled": [], "not_canceled": {order.id: gone}}
    assert watched.venue.cancel([order.id, order.id], "key") == {"canceled": [order.id], "not_canceled": {}}
    assert watched.venue.cancel([order.id], "key") == {"canceled": [], "not_canceled": {order.id: gone}}


def test_the_owner_hears_of_every_step(watched: Watched) -> None:
    """Placement, a maker's fill with its trade from MATCHED over MINED to CONFIRMED, and the cancel of the rest."""
    order = watched.outside_order(Side.BUY, 4900, shares(50))
    watched.trader("other").sell("demo-1", Outcome.YES, Price(4900), shares(20))
    watched.after(10_000)
    watched.venue.cancel([order.id], "key")
    assert events(watched) == [
        ("order", "PLACEMENT", "LIVE"),
        ("trade", "TRADE", "MATCHED"),
        ("order", "UPDATE", "LIVE"),
        ("trade", "TRADE", "MINED"),
        ("trade", "TRADE", "CONFIRMED"),
        ("order", "CANCELLATION", "CANCELED"),
    ]


def test_a_cross_matched_maker_is_on_the_takers_side(watched: Watched) -> None:
    """In a mint the maker's entry says BUY like the taker's leg, with the maker's own token and price."""
    order = watched.outside_order(Side.BUY, 4900, shares(50))
    watched.trader("other").buy("demo-1", Outcome.NO, Price(5100), shares(20))
    trade = next(frame.payload for frame in watched.user_frames if frame.payload["event_type"] == "trade")
    assert (trade["side"], trade["price"], trade["asset_id"]) == ("BUY", "0.51", watched.market.no)
    assert (trade["trader_side"], trade["outcome"]) == ("MAKER", "No")
    [entry] = trade["maker_orders"]
    expected: dict[str, Any] = {"order_id": order.id, "side": "BUY", "price": "0.49", "matched_amount": "20"}
    assert expected.items() <= entry.items()
    assert (entry["asset_id"], entry["outcome"], entry["outcome_index"]) == (watched.market.yes, "Yes", 0)


def test_a_sweep_makes_one_trade_a_price(watched: Watched) -> None:
    """The taker's price of each trade is the price its makers rested at."""
    other = watched.trader("other")
    for price in (5000, 5000, 5100):
        other.sell("demo-1", Outcome.YES, Price(price), shares(10))
    order = watched.outside_order(Side.BUY, 5200, shares(30))
    trades = [watched.venue.settlement.trades[id] for id in order.trades]
    assert [(trade.price, trade.size, len(trade.makers)) for trade in trades] == [
        (5000, shares(20), 2),
        (5100, shares(10), 1),
    ]


def test_silence_after_a_heartbeat_cancels_everything(watched: Watched) -> None:
    """Ten seconds without an accepted heartbeat: every order of the key is cancelled, others stay."""
    watched.venue.beat("key", "")
    watched.outside_order(Side.BUY, 4000, shares(50))
    watched.outside_order(Side.BUY, 4100, shares(50), owner="other")
    watched.after(9_999)
    assert len(watched.venue.live_orders("key")) == 1
    watched.after(1)
    assert not watched.venue.live_orders("key")
    assert len(watched.venue.live_orders("other")) == 1
    assert events(watched)[-1] == ("order", "CANCELLATION", "CANCELED")


def test_heartbeats_in_time_keep_orders(watched: Watched) -> None:
    """A chain of ids moves the deadline; a wrong id is refused with the expected one and moves nothing."""
    beat = watched.venue.beat("key", "")
    watched.outside_order(Side.BUY, 4000, shares(50))
    watched.after(6_000)
    with pytest.raises(WrongHeartbeat) as wrong:
        watched.venue.beat("key", "nonsense")
    assert wrong.value.expected == beat.id
    beat = watched.venue.beat("key", beat.id)
    watched.after(6_000)
    assert watched.venue.live_orders("key")
    watched.after(4_000)
    assert not watched.venue.live_orders("key")
    with pytest.raises(WrongHeartbeat):
        watched.venue.beat("key", beat.id)
    assert watched.venue.beat("key", "").id


def test_no_heartbeat_no_switch(watched: Watched) -> None:
    """A key that never sent one keeps its orders."""
    watched.outside_order(Side.BUY, 4000, shares(50))
    watched.after(600_000)
    assert watched.venue.live_orders("key")


def test_gtd_dies_a_minute_before_its_time(watched: Watched) -> None:
    """The security margin of the venue; the owner hears the status."""
    watched.outside_order(Side.BUY, 4000, shares(50), tif=Tif.GTD, expiration=START_MS // 1000 + 200)
    watched.after(139_999)
    assert watched.venue.live_orders("key")
    watched.after(1)
    assert events(watched)[-1] == ("order", "CANCELLATION", "CANCELED_EXPIRED_ORDER")


def test_a_new_tick_cancels_what_is_off_the_grid(watched: Watched) -> None:
    """A coarser grid takes off the orders that do not fit; those that fit stay."""
    watched.venue.set_tick("demo-1", Price(10))
    watched.outside_order(Side.BUY, 4010, shares(50))
    stays = watched.outside_order(Side.BUY, 4000, shares(50))
    watched.venue.set_tick("demo-1", Price(100))
    assert watched.venue.live_orders("key") == [stays]


def test_a_resolved_market_is_empty_and_closed(watched: Watched) -> None:
    """Its orders are cancelled with their own status, its book is gone, and new orders are refused."""
    watched.outside_order(Side.BUY, 4000, shares(50))
    watched.venue.resolve("demo-1", Outcome.NO)
    assert events(watched)[-1] == ("order", "CANCELLATION", "CANCELED_MARKET_RESOLVED")
    with pytest.raises(Refusal, match="No orderbook exists"):
        watched.outside_order(Side.BUY, 4000, shares(50))
    assert watched.market_frames[-1].payload["winning_asset_id"] == watched.market.no


def test_a_wallet_is_funded_at_first_sight(watched: Watched) -> None:
    """10,000 dollars, once; deposits come on top."""
    watched.outside_order(Side.BUY, 4000, shares(50))
    watched.outside_order(Side.BUY, 4000, shares(50))
    watched.venue.deposit("0xoutside", 5)
    assert watched.venue.ledger.balance("0xoutside").total == 10_005 * USD
