"""The stop against a venue that is slow, deaf, or lets a late POST land."""

from __future__ import annotations

import asyncio

import pytest

from mm_daemon.exchange.api import AnswerLost, Unavailable
from mm_daemon.exchange.errors import Throttled, Unknown
from mm_daemon.tasks.shutdown import ABSENCE_NS, Verdict, stop_trading

from .fakes import Stage, turns, until


def stopping(stage: Stage, budget_secs: float = 1.0) -> asyncio.Task[Verdict]:
    """The stop, begun."""
    return asyncio.create_task(stop_trading(stage.desk, stage.venue, stage.manager, budget_secs, stage.clock))


async def quoted(stage: Stage) -> None:
    """Both sides rest."""
    stage.wish(49, 51)
    await until(lambda: len(stage.venue.resting) == 2, "both sides rest")


async def test_everything_is_cancelled_and_read_empty(stage: Stage) -> None:
    """The verdict is verified once a complete read shows nothing, and placement ended with the call."""
    await quoted(stage)
    verdict = await stopping(stage)
    assert verdict.is_verified
    assert verdict.may_rest == 0
    assert stage.venue.resting == {}
    assert stage.venue.calls[-1].name == "open_orders"
    stage.wish(48, 52)
    await turns()
    assert len(stage.venue.called("place")) == 1


@pytest.mark.parametrize("when", [0.1, 0.7])
async def test_a_post_in_flight_is_cancelled_before_the_verdict(stage: Stage, when: float) -> None:
    """Whenever within the budget a POST lands, early or late, nothing rests after "verified"."""
    stage.venue.held.add("place")
    stage.wish(49, 51)
    await turns()
    [post] = stage.venue.waiting("place")
    stop = stopping(stage)
    await asyncio.wait({stop}, timeout=when)
    assert not stop.done(), "a POST is still on its way"
    post.settle(stage.venue.accept(post.argument))
    assert (await stop).is_verified
    assert stage.venue.resting == {}


async def test_what_rests_is_cancelled_while_a_post_hangs(stage: Stage) -> None:
    """The cancel does not wait for a slow POST."""
    await quoted(stage)
    stage.venue.held.add("place")
    stage.wish(49, 50)
    await until(lambda: stage.venue.waiting("place"), "a POST hangs")
    [post] = stage.venue.waiting("place")
    stop = stopping(stage)
    await until(lambda: not stage.venue.resting, "nothing rests", secs=0.2)
    assert not stop.done()
    post.settle(stage.venue.accept(post.argument))
    assert (await stop).is_verified


async def test_a_post_that_is_never_answered(stage: Stage) -> None:
    """With a POST on its way until the end the verdict is not verified, in time, and counts what may rest."""
    stage.venue.held.add("place")
    stage.wish(49, 51)
    await turns()
    verdict = await asyncio.wait_for(stopping(stage, 0.3), 0.5)
    assert verdict == (False, 2, verdict.secs)


async def test_a_lost_answer_is_looked_up_twice(stage: Stage) -> None:
    """An order whose POST was not answered is believed absent only when it is old and two reads did not find it."""
    stage.venue.held.add("place")
    stage.wish(bid=49)
    await turns()
    [post] = stage.venue.waiting("place")
    post.settle([AnswerLost(post.argument[0].id, "timeout")])
    await turns()
    young = await stopping(stage, 0.3)
    assert not young.is_verified, "its bytes may still be on their way"
    stage.clock.pass_secs(ABSENCE_NS / 1e9 + 1)
    [order] = stage.desk.orders.working()
    order.lookups = 0
    before = len(stage.venue.called("order"))
    assert (await stopping(stage)).is_verified
    assert len(stage.venue.called("order")) == before + 2


async def test_a_lost_answer_whose_order_rests(stage: Stage) -> None:
    """An order that landed although its POST was not answered is found by the read and cancelled."""
    stage.venue.held.add("place")
    stage.wish(bid=49)
    await turns()
    [post] = stage.venue.waiting("place")
    stage.venue.accept(post.argument)
    stage.venue.answers["cancel_all"] = [Unknown("timeout")]
    post.settle([AnswerLost(post.argument[0].id, "timeout")])
    assert (await stopping(stage)).is_verified
    assert stage.venue.resting == {}


async def test_an_unreadable_venue_is_never_verified(stage: Stage) -> None:
    """Cancels that are confirmed prove nothing while the orders cannot be read."""
    await quoted(stage)
    stage.venue.answers["open_orders"] = Unavailable("HTTP 500")
    verdict = await asyncio.wait_for(stopping(stage, 0.3), 0.5)
    assert not verdict.is_verified


async def test_an_unreadable_order_is_never_verified(stage: Stage) -> None:
    """An open fate that cannot be looked up stays open."""
    stage.venue.held.add("place")
    stage.wish(bid=49)
    await turns()
    [post] = stage.venue.waiting("place")
    post.settle([AnswerLost(post.argument[0].id, "timeout")])
    stage.venue.answers["order"] = Unavailable("HTTP 500")
    verdict = await asyncio.wait_for(stopping(stage, 0.3), 0.5)
    assert (verdict.is_verified, verdict.may_rest) == (False, 1)


async def test_failing_cancels_are_sent_again(stage: Stage) -> None:
    """A cancel that the venue does not take is followed by another, until the read is empty."""
    await quoted(stage)
    stage.venue.answers["cancel_all"] = [Throttled(0.01), Unknown("timeout")]
    stage.venue.answers["cancel"] = [Throttled(0.01)]
    assert (await stopping(stage)).is_verified
    assert stage.venue.resting == {}
