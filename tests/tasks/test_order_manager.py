"""The order manager against a venue that answers late, little or badly."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any

import pytest
from structlog.testing import capture_logs

from mm_daemon.core.orders import OrderState
from mm_daemon.core.units import OrderId, Side
from mm_daemon.exchange.api import Accepted, AnswerLost, CancelOutcome, Placement, Refused, SignedOrder, Venue
from mm_daemon.exchange.errors import AuthError, Mode, RejectReason, Restricted, Throttled, Unreachable, VenueError
from mm_daemon.tasks import order_manager, retries
from mm_daemon.tasks.order_manager import VenueRefused

from ..given import cents, shares, usd
from .fakes import ScriptedVenue, Stage, turns, until


def test_the_scripted_venue_is_a_venue() -> None:
    """The fake has every call of the protocol, so that the tests are about the real one."""
    venue: Venue = ScriptedVenue()
    assert venue.order_allowance()


async def test_the_newest_wish_wins_while_a_post_is_in_flight(stage: Stage) -> None:
    """Wishes that come and go while the venue is slow are never sent; only the last is."""
    stage.venue.held.add("place")
    stage.wish(49, 51)
    await turns()
    [first] = stage.venue.waiting("place")
    stage.wish(48, 50)
    await turns()
    stage.wish(47, 50)
    await turns()
    assert stage.venue.called("place") == [first]
    stage.venue.held.clear()
    first.settle(stage.venue.accept(first.argument))
    await until(lambda: len(stage.posted()) == 4, "both sides posted anew")
    assert stage.posted() == [cents(49), cents(51), cents(47), cents(50)]
    assert {report.price for report in stage.venue.resting.values()} == {cents(47), cents(50)}


async def test_batches_are_cut_to_what_one_call_takes() -> None:
    """Posts go out fifteen a call, cancels a hundred a call."""
    stage = Stage(markets=60, max_position=1_000)
    stage.start()
    for state in stage.desk.markets.values():
        stage.wish(49, 51, market=state.market)
    await until(lambda: len(stage.venue.resting) == 120, "every quote rests")
    assert [len(call.argument) for call in stage.venue.called("place")] == [15] * 8
    for state in stage.desk.markets.values():
        stage.wish(market=state.market)
    await until(lambda: not stage.venue.resting, "every quote cancelled")
    assert [len(call.argument) for call in stage.venue.called("cancel")] == [100, 20]
    await stage.stop()


async def test_rate_limits_delay_and_lose_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one order and one cancel at a time everything still comes to be, one by one."""
    monkeypatch.setattr(order_manager, "BUDGET_RETRY_SECS", 0.005)
    stage.venue.orders_left = stage.venue.cancels_left = 1
    stage.wish(49, 51)
    await until(lambda: len(stage.venue.resting) == 2, "both sides rest")
    stage.wish()
    await until(lambda: not stage.venue.resting, "both sides gone")
    assert {len(call.argument) for call in stage.venue.calls if call.name in ("place", "cancel")} == {1}


async def test_a_post_waits_for_the_cancel_that_makes_room() -> None:
    """A quote that only fits once the old one is dead is sent after that, from the wish that stands then."""
    stage = Stage(max_position=6)
    stage.start()
    stage.wish(bid=49)
    await until(lambda: len(stage.venue.resting) == 1, "the first bid rests")
    [old] = stage.venue.resting
    stage.venue.held.add("cancel")
    stage.wish(bid=48)
    await turns()
    stage.wish(bid=47)
    await turns()
    [cancel] = stage.venue.waiting("cancel")
    assert stage.posted() == [cents(49)]
    cancel.settle(stage.venue.take_off(cancel.argument))
    await turns()
    # Off the book, but a fill that it had before may not have been told: it still counts.
    assert stage.posted() == [cents(49)]
    stage.tell_cancelled(old)
    await until(lambda: len(stage.posted()) == 2, "the new bid is sent")
    assert stage.posted() == [cents(49), cents(47)]
    await stage.stop()


async def test_orders_leave_before_the_cancels_and_before_they_are_told(stage: Stage) -> None:
    """A quote moves in one turn: counted, its POST, then the DELETE of the old ones, and only then the log lines."""
    stage.wish(49, 51)
    await until(lambda: len(stage.venue.resting) == 2, "both sides rest")
    steps: list[object] = []
    place, cancel = stage.venue.place, stage.venue.cancel

    def placing(orders: Sequence[SignedOrder]) -> Coroutine[Any, Any, list[Placement]]:
        steps.append(("POST", [order.id in stage.desk.orders for order in orders], len(captured)))
        return place(orders)

    def cancelling(ids: Sequence[OrderId]) -> Coroutine[Any, Any, dict[OrderId, CancelOutcome]]:
        states = [order.state for id in ids if (order := stage.desk.orders.get(id))]
        steps.append(("DELETE", states, len(captured)))
        return cancel(ids)

    stage.venue.place, stage.venue.cancel = placing, cancelling  # type: ignore[method-assign]
    with capture_logs() as captured:
        stage.wish(48, 52)
        stage.manager.send_now()
        assert steps == [("POST", [True, True], 0), ("DELETE", [OrderState.CANCELLING] * 2, 0)]
        assert [line["event"] for line in captured] == ["order_sent"] * 2 + ["cancel_sent"] * 2
    await until(lambda: {r.price for r in stage.venue.resting.values()} == {cents(48)}, "the new ones rest alone")


async def test_after_a_failure_nothing_more_is_sent() -> None:
    """From the moment in which the venue refuses us for good, also while the task has not had its turn to say so."""
    stage = Stage()
    run = stage.start()
    stage.venue.answers["place"] = AuthError("no")
    stage.wish(bid=49)
    await turns()
    stage.wish(bid=48)
    stage.manager.send_now()
    assert len(stage.venue.called("place")) == 1
    with pytest.raises(AuthError):
        await asyncio.wait_for(run, 1)


PAUSES: list[VenueError] = [Throttled(0.1), Restricted(Mode.RESTARTING, 0.1), Unreachable("refused")]


@pytest.mark.parametrize("error", PAUSES, ids=["throttled", "restricted", "unreachable"])
async def test_posts_pause_and_resume(stage: Stage, monkeypatch: pytest.MonkeyPatch, error: VenueError) -> None:
    """What the venue did not take counts as exposure no more, and is sent anew not before the time it named."""
    monkeypatch.setattr(order_manager, "UNREACHABLE_RETRY_SECS", 0.1)
    monkeypatch.setattr(retries, "FIRST_RETRY_SECS", 0.01)
    stage.venue.answers["place"] = [error]
    loop = asyncio.get_running_loop()
    began = loop.time()
    stage.wish(49, 51)
    await until(lambda: stage.venue.called("place"), "a first try")
    await turns()
    assert stage.desk.exposure == 0
    await until(lambda: len(stage.venue.resting) == 2, "both sides rest")
    assert loop.time() - began >= 0.1
    assert len(stage.venue.called("place")) == 2


@pytest.mark.parametrize("error", PAUSES, ids=["throttled", "restricted", "unreachable"])
async def test_cancels_pause_and_resume(stage: Stage, monkeypatch: pytest.MonkeyPatch, error: VenueError) -> None:
    """A cancel that the venue did not take leaves the order live, and is sent again after the time it named."""
    monkeypatch.setattr(order_manager, "UNREACHABLE_RETRY_SECS", 0.1)
    stage.wish(49, 51)
    await until(lambda: len(stage.venue.resting) == 2, "both sides rest")
    stage.venue.answers["cancel"] = [error]
    stage.wish()
    await until(lambda: stage.venue.called("cancel"), "a first try")
    await turns()
    assert [order.state for order in stage.desk.orders.working()] == [OrderState.LIVE] * 2
    await until(lambda: not stage.venue.resting, "both cancelled")
    assert len(stage.venue.called("cancel")) == 2


@pytest.mark.parametrize("reason", [RejectReason.BANNED, RejectReason.BAD_SIGNATURE, RejectReason.CLOSED_ONLY])
async def test_a_refusal_for_good_ends_the_task(reason: RejectReason) -> None:
    """A reason that will not go away is the daemon's end, with the reason in the error."""
    stage = Stage()
    run = stage.start()
    stage.venue.held.add("place")
    stage.wish(49, 51)
    await turns()
    [post] = stage.venue.waiting("place")
    bid, ask = post.argument
    post.settle([Refused(bid.id, reason, "for good"), *stage.venue.accept([ask])])
    with pytest.raises(VenueRefused, match=reason.value):
        await asyncio.wait_for(run, 1)
    # What the venue said of the others in the batch is not lost.
    assert [(order.id, order.state) for order in stage.desk.orders.working()] == [(ask.id, OrderState.LIVE)]


@pytest.mark.parametrize(
    ("error", "raised"), [(Restricted(Mode.REGION, 5), VenueRefused), (AuthError("no"), AuthError)]
)
async def test_errors_that_end_the_task(error: VenueError, raised: type[Exception]) -> None:
    """Our region or our key refused: no order will ever be taken, and the task says so."""
    stage = Stage()
    run = stage.start()
    stage.venue.answers["place"] = error
    stage.wish(49, 51)
    with pytest.raises(raised):
        await asyncio.wait_for(run, 1)


async def test_a_refused_order_is_tried_again_with_a_growing_pause(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passing refusals ask for a new quote after 10, 20, 40 ms; an accepted order ends the growth."""
    monkeypatch.setattr(retries, "FIRST_RETRY_SECS", 0.01)
    told: list[RejectReason] = []
    requoted: list[float] = []
    loop = asyncio.get_running_loop()
    stage.manager.on_refused = lambda market, reason: told.append(reason)
    stage.manager.requote = lambda market: requoted.append(loop.time())
    stage.venue.answers["place"] = [
        [Refused(OrderId(f"0x{number:064x}"), RejectReason.POST_ONLY_CROSSED, "crosses")] for number in (1, 2, 3)
    ]
    stage.wish(bid=49)
    began = loop.time()
    await until(lambda: len(stage.venue.resting) == 1, "the fourth try rests")
    assert told == [RejectReason.POST_ONLY_CROSSED] * 3
    gaps = [later - earlier for earlier, later in zip([began, *requoted], requoted, strict=False)]
    assert [gap >= least for gap, least in zip(gaps, (0.01, 0.02, 0.04), strict=True)] == [True] * 3


async def test_after_the_stop_flag_nothing_is_placed(stage: Stage) -> None:
    """Neither a new wish, nor a lifted hold, nor the answer to a request places anything once stopping."""
    stage.manager.hold("test")
    stage.manager.is_stopping = True
    stage.wish(49, 51)
    stage.manager.release("test")
    await turns()
    assert stage.venue.called("place") == []


async def test_a_hold_pulls_and_a_release_requotes(stage: Stage) -> None:
    """While any hold stands nothing rests; when the last is lifted the market is decided anew."""
    stage.wish(49, 51)
    await until(lambda: len(stage.venue.resting) == 2, "both sides rest")
    stage.manager.hold("one")
    stage.manager.hold("two")
    await until(lambda: not stage.venue.resting, "nothing rests")
    stage.manager.release("one")
    await turns()
    assert not stage.venue.resting
    assert stage.manager.holds == ("two",)
    asked: list[str] = []
    stage.manager.requote = asked.append
    stage.manager.release("two")
    assert asked == [stage.market.condition_id]
    await until(lambda: len(stage.venue.resting) == 2, "both sides rest again")


async def test_a_lost_answer_blocks_its_side_only(stage: Stage) -> None:
    """While an order's fate is open nothing joins it on its side, and the other side goes on."""
    stage.venue.held.add("place")
    stage.wish(49, 51)
    await turns()
    [post] = stage.venue.waiting("place")
    bid, ask = post.argument
    post.settle([AnswerLost(bid.id, "timeout"), *stage.venue.accept([ask])])
    stage.venue.held.clear()
    await turns()
    stage.wish(48, 50)
    await until(lambda: len(stage.posted()) == 3, "the ask follows")
    await turns()
    assert stage.posted() == [cents(49), cents(51), cents(50)]


async def test_an_undecided_acceptance_is_looked_up(stage: Stage) -> None:
    """An order that was taken but may have matched is not believed to rest."""
    stage.venue.held.add("place")
    stage.wish(bid=49)
    await turns()
    [post] = stage.venue.waiting("place")
    post.settle([Accepted(post.argument[0].id, may_match=True)])
    await turns()
    assert [order.state for order in stage.desk.orders.working()] == [OrderState.UNKNOWN]


@pytest.mark.parametrize("seed", range(5))
async def test_limits_hold_whatever_the_venue_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random wishes against a venue that answers late, loses answers and refuses: what can rest stays in the limits.

    An order counts from the moment its bytes leave until the venue has taken it off the book.
    """
    monkeypatch.setattr(retries, "FIRST_RETRY_SECS", 0)
    rng = Random(seed)
    stage = Stage(max_position=30)
    stage.start()
    venue = stage.venue
    venue.held |= {"place", "cancel"}
    possible: dict[OrderId, tuple[Side, int]] = {}
    seen = 0

    def count() -> None:
        nonlocal seen
        posts = venue.called("place")
        for call in posts[seen:]:
            for order in call.argument:
                direction = Side.BUY if order.token == stage.market.yes else Side.SELL
                possible[order.id] = (direction, order.size)
        seen = len(posts)
        for side in Side:
            assert sum(size for direction, size in possible.values() if direction is side) * 0.5 <= usd(30)

    for _ in range(300):
        match rng.randrange(4):
            case 0:
                bid = rng.randint(44, 48)
                stage.wish(bid, rng.randint(bid + 1, 53), size=rng.randint(5, 60))
            case 1 if waiting := venue.waiting("place"):
                call = rng.choice(waiting)
                answers: list[object] = []
                for order in call.argument:
                    match rng.randrange(4):
                        case 0:
                            del possible[order.id]
                            answers.append(Refused(order.id, RejectReason.POST_ONLY_CROSSED, "crosses"))
                        case 1:
                            venue.rest(order.id)
                            answers.append(AnswerLost(order.id, "timeout"))
                        case _:
                            answers += venue.accept([order])
                call.settle(answers)
            case 2 if waiting := venue.waiting("cancel"):
                call = rng.choice(waiting)
                if rng.random() < 0.2:
                    call.settle(dict.fromkeys(call.argument, CancelOutcome.ANSWER_LOST))
                else:
                    for id in call.argument:
                        possible.pop(id, None)
                    call.settle(venue.take_off(call.argument))
            case 3:
                for order in list(stage.desk.orders.working()):
                    if order.state is OrderState.UNKNOWN and order.id in venue.resting:
                        stage.desk.receive_report(venue.resting[order.id], stage.clock())
                    elif order.state in (OrderState.UNKNOWN, OrderState.GONE):
                        possible.pop(order.id, None)
                        stage.tell_cancelled(order.id)
                    stage.manager.wake(order.market)
        await turns()
        count()
    assert seen > 20, "the test has to place something"
    assert shares(0) <= stage.desk.exposure <= usd(30)
    await stage.stop()
