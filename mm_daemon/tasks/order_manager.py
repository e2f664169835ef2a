"""The order manager: makes what rests equal what is desired.

Woken for a market, it compares the newest wish with the market's orders and sends the difference: cancels first, then
every post that the gate lets through. Requests run side by side; a post that has to wait for a cancel is planned again
when the cancel's outcome is known, from the wish that stands then. An order is registered before its bytes leave.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import structlog

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.diff import Cancel, plan
from mm_daemon.core.latency import Latencies
from mm_daemon.core.orders import OrderEvent, OrderState, new_order
from mm_daemon.core.quotes import Desired, Quote
from mm_daemon.core.risk import objection
from mm_daemon.core.units import DOLLAR, ConditionId, OrderId, Side, floor_size, format_price, format_size
from mm_daemon.exchange.api import Accepted, AnswerLost, CancelOutcome, Placement, Refused, SignedOrder, Venue
from mm_daemon.exchange.errors import AuthError, Mode, RejectReason, Restricted, Throttled, Unreachable

POST_CHUNK = 15
CANCEL_CHUNK = 100
FIRST_RETRY_SECS = 0.25
LONGEST_RETRY_SECS = 10.0
BUDGET_RETRY_SECS = 0.1
UNREACHABLE_RETRY_SECS = 1.0

log = structlog.get_logger()


class VenueRefused(Exception):
    """The venue will refuse every order of ours, for good; the daemon has to stop."""


class OrderManager:
    """Keeps the orders of every market as the slots say.

    Attributes:
        requote: called for a market whose wish is out of date because an order was refused or did not fit.
        on_refused: called with a market and the reason of a refusal that says our picture of the venue is wrong.
        on_error: called for each order refused or left without an answer, other than by an ordinary crossing.
        free: set while there is no hold.
        is_stopping: nothing is placed any more; set once, by the stop.
        statistics: orders posted, refused, lost; cancels sent.
        refusals: how many orders the venue refused, by reason.
        latencies: how long orders and cancels took.
    """

    def __init__(self, desk: Desk, venue: Venue, clock_ns: Callable[[], int]) -> None:
        self._desk = desk
        self._venue = venue
        self._clock_ns = clock_ns
        self._dirty: dict[ConditionId, None] = {}
        self._woken = asyncio.Event()
        self._holds: dict[str, None] = {}
        self._market_holds: dict[ConditionId, dict[str, None]] = {}
        self._requests: set[asyncio.Task[None]] = set()
        self._retries: dict[ConditionId, float] = {}
        self._timers: dict[ConditionId, asyncio.TimerHandle] = {}
        self._posts_resume_at = 0.0
        self._cancels_resume_at = 0.0
        self._outdated: dict[ConditionId, None] = {}
        self._failure: BaseException | None = None
        self.free = asyncio.Event()
        self.free.set()
        self.is_stopping = False
        self.requote: Callable[[ConditionId], None] = lambda market: None
        self.on_refused: Callable[[ConditionId, RejectReason], None] = lambda market, reason: None
        self.on_error: Callable[[], None] = lambda: None
        self.statistics = dict.fromkeys(("posted", "accepted", "refused", "answer_lost", "cancels_sent"), 0)
        self.refusals: Counter[str] = Counter()
        self.latencies = Latencies()

    # What others tell

    def wake(self, market: ConditionId) -> None:
        """The wish or the orders of a market changed."""
        self._dirty[market] = None
        self._woken.set()

    def wake_all(self) -> None:
        """Look at every market again."""
        self._dirty.update(dict.fromkeys(self._desk.markets))
        self._woken.set()

    def hold(self, reason: str, market: ConditionId | None = None) -> None:
        """Pull the quotes of one market, or all, and place nothing there until `release` is called with the reason."""
        holds = self._market_holds.setdefault(market, {}) if market else self._holds
        if reason in holds or self.is_stopping:
            return
        holds[reason] = None
        log.warning("quoting_held", why=reason, market=self._slug(market) if market else "all")
        if market:
            self.wake(market)
        else:
            self.free.clear()
            self.wake_all()

    def release(self, reason: str, market: ConditionId | None = None) -> None:
        """Lift one hold; quoting resumes where none is left."""
        holds = self._market_holds.get(market, {}) if market else self._holds
        if reason not in holds:
            return
        del holds[reason]
        if not self._holds:
            self.free.set()
        log.info("quoting_released", why=reason, market=self._slug(market) if market else "all", still=list(holds))
        for each in [market] if market else list(self._desk.markets):
            self.requote(each)
            self.wake(each)

    @property
    def holds(self) -> tuple[str, ...]:
        """Why nothing is quoted at all; empty when quoting."""
        return tuple(self._holds)

    def held(self, market: ConditionId) -> str | None:
        """Why nothing is quoted in a market, None if nothing holds it."""
        return next(iter(self._holds), None) or next(iter(self._market_holds.get(market, ())), None)

    # The loop

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            VenueRefused: the venue refuses us for good.
            AuthError: it does not accept our key.
        """
        while True:
            await self._woken.wait()
            self._woken.clear()
            if self._failure is not None:
                raise self._failure
            outdated, self._outdated = self._outdated, {}
            for market in outdated:
                self.requote(market)
            dirty, self._dirty = self._dirty, {}
            self._send(list(dirty))

    def _send(self, markets: Sequence[ConditionId]) -> None:
        """Plan these markets and send what there is to send, within the rate limits."""
        if self.is_stopping:
            return
        states = [self._desk.markets[market] for market in markets]
        plans = [(state, plan(wish, self._working(state))) for state in states if (wish := self._wish(state))]
        self._send_cancels([cancel for _, p in plans for cancel in p.cancels])
        self._send_posts([(state, quote) for state, p in plans for quote in p.posts])

    def _working(self, state: MarketState) -> list[Any]:
        return list(self._desk.orders.working(state.market.condition_id))

    def _wish(self, state: MarketState) -> Desired | None:
        """What should rest: nothing at all while there is a hold; None before the strategy has said anything."""
        why = self.held(state.market.condition_id)
        if why is None or state.desired is None:
            return state.desired
        state.why = why
        return Desired(market=state.market.condition_id, quotes=(), why=why, made_ns=self._clock_ns())

    def _send_cancels(self, cancels: list[Cancel]) -> None:
        """Send as many cancels as the rate limit lets through; the rest is planned again shortly."""
        loop = asyncio.get_running_loop()
        if self._cancels_resume_at > loop.time():
            self._again([self._market_of(cancel.id) for cancel in cancels], self._cancels_resume_at - loop.time())
            return
        allowed = self._venue.cancel_allowance()
        self._again([self._market_of(cancel.id) for cancel in cancels[allowed:]], BUDGET_RETRY_SECS)
        now_ns = self._clock_ns()
        for start in range(0, min(allowed, len(cancels)), CANCEL_CHUNK):
            chunk = cancels[start : min(start + CANCEL_CHUNK, allowed)]
            for cancel in chunk:
                order = self._desk.apply(cancel.id, OrderEvent.CANCEL_SENT, now_ns)
                log.info("cancel_sent", order=cancel.id, market=self._slug(order.market), why=cancel.why)
            self.statistics["cancels_sent"] += len(chunk)
            self._spawn(self._cancel([cancel.id for cancel in chunk]))

    def _send_posts(self, posts: list[tuple[MarketState, Quote]]) -> None:
        """Register, sign and send the posts that the gate lets through now."""
        loop = asyncio.get_running_loop()
        if self._posts_resume_at > loop.time():
            self._again([state.market.condition_id for state, _ in posts], self._posts_resume_at - loop.time())
            return
        allowed = self._venue.order_allowance()
        batch: list[SignedOrder] = []
        for state, quote in posts:
            fitting = self._fit(state, quote)
            if fitting is None:
                continue
            if len(batch) == allowed:
                self._again([state.market.condition_id], BUDGET_RETRY_SECS)
                continue
            batch.append(self._prepare(state, fitting))
        for start in range(0, len(batch), POST_CHUNK):
            self._spawn(self._post(batch[start : start + POST_CHUNK]))

    def _fit(self, state: MarketState, quote: Quote) -> Quote | None:
        """The quote as it may be placed now, None if it has to wait for the market's other orders or be made anew."""
        if state.market.condition_id in self._timers:
            return None
        now = self._desk.situation(state)
        reason = objection(quote, now)
        if reason is None:
            return quote
        if any(order.state is not OrderState.LIVE for order in now.orders):
            return None  # their outcome wakes us
        if reason == "balance" and quote.side is Side.BUY:
            smaller = msgspec.structs.replace(quote, size=floor_size(now.free_cash * DOLLAR // quote.price))
            if objection(smaller, now) is None:
                return smaller
        state.why = f"{state.why}; {'bid' if quote.direction is Side.BUY else 'ask'} waits: {reason}"
        self._retry_later(state.market.condition_id)
        return None

    def _prepare(self, state: MarketState, quote: Quote) -> SignedOrder:
        """Sign an order and count it as exposure, before a byte of it leaves."""
        signed = self._venue.sign(state.market, quote.token, quote.side, quote.price, quote.size)
        order = new_order(
            state.market,
            signed.id,
            quote.token,
            quote.side,
            quote.price,
            quote.size,
            why=state.why,
            now_ns=self._clock_ns(),
        )
        self._desk.register(order)
        self.statistics["posted"] += 1
        log.info(
            "order_sent",
            order=signed.id,
            market=state.market.slug,
            side=f"{quote.side.name} {state.market.outcome(quote.token).name}",
            price=format_price(quote.price),
            size=format_size(quote.size),
            why=state.why,
        )
        return signed

    # Requests

    async def _post(self, batch: list[SignedOrder]) -> None:
        try:
            verdicts = await self._venue.place(batch)
        except (Throttled, Restricted, Unreachable) as error:
            self._never_were(batch)
            self._pause(error, posts=True)
            return
        except AuthError:
            self._never_were(batch)
            raise
        for verdict in verdicts:
            self._receive_verdict(verdict)
        for verdict in verdicts:
            if isinstance(verdict, Refused) and verdict.reason.is_fatal:
                raise VenueRefused(f"the venue refuses our orders: {verdict.reason.value}: {verdict.text}")

    def _never_were(self, batch: list[SignedOrder]) -> None:
        """Nothing happened: these orders were not taken, and are made anew when the venue takes orders again."""
        for signed in batch:
            order = self._desk.apply(signed.id, OrderEvent.REFUSED, self._clock_ns())
            self.wake(order.market)

    def _receive_verdict(self, verdict: Placement) -> None:
        now_ns = self._clock_ns()
        match verdict:
            case Accepted(may_match=False):
                order = self._desk.apply(verdict.id, OrderEvent.ACCEPTED, now_ns)
                self.statistics["accepted"] += 1
                self._retries.pop(order.market, None)
            case Accepted():
                # matched, delayed or unmatched: whether it rests is looked up
                order = self._desk.apply(verdict.id, OrderEvent.ANSWER_LOST, now_ns)
                log.info("order_undecided", order=verdict.id, market=self._slug(order.market))
            case AnswerLost():
                order = self._desk.apply(verdict.id, OrderEvent.ANSWER_LOST, now_ns)
                self.statistics["answer_lost"] += 1
                self.on_error()
                log.warning("order_unknown", order=verdict.id, market=self._slug(order.market), why=verdict.why)
            case Refused():
                order = self._desk.apply(verdict.id, OrderEvent.REFUSED, now_ns)
                self._receive_refusal(order.market, verdict)
        self.wake(order.market)

    def _receive_refusal(self, market: ConditionId, verdict: Refused) -> None:
        """A refused order's market is quoted anew after a back-off."""
        self.statistics["refused"] += 1
        self.refusals[verdict.reason.value] += 1
        log.warning(
            "order_refused",
            order=verdict.id,
            market=self._slug(market),
            reason=verdict.reason.value,
            text=verdict.text,
        )
        self._retry_later(market)
        self.on_refused(market, verdict.reason)
        if verdict.reason is not RejectReason.POST_ONLY_CROSSED:
            self.on_error()

    async def _cancel(self, ids: list[OrderId]) -> None:
        try:
            outcomes = await self._venue.cancel(ids)
        except (Throttled, Restricted, Unreachable) as error:
            self._pause(error, posts=False)
            for id in ids:
                self.wake(self._desk.apply(id, OrderEvent.CANCEL_UNSENT, self._clock_ns()).market)
            return
        self.receive_cancels(outcomes)

    def receive_cancels(self, outcomes: dict[OrderId, CancelOutcome]) -> None:
        """Take the venue's answer to cancels; orders that are not ours are passed over."""
        events = {
            CancelOutcome.CANCELLED: OrderEvent.CANCEL_CONFIRMED,
            CancelOutcome.NOT_CANCELLED: OrderEvent.CANCEL_REFUSED,
            CancelOutcome.ANSWER_LOST: OrderEvent.CANCEL_LOST,
        }
        for id, outcome in outcomes.items():
            if id in self._desk.orders:
                self.wake(self._desk.apply(id, events[outcome], self._clock_ns()).market)

    def _pause(self, error: Throttled | Restricted | Unreachable, *, posts: bool) -> None:
        """Obey the venue: send nothing of this kind before the time it names."""
        if isinstance(error, Restricted) and error.mode is Mode.REGION:
            raise VenueRefused(str(error))
        secs = UNREACHABLE_RETRY_SECS if isinstance(error, Unreachable) else error.retry_after_secs
        resume_at = asyncio.get_running_loop().time() + secs
        log.warning("venue_paused_us", sending="orders" if posts else "cancels", secs=secs, why=str(error))
        if posts:
            self._posts_resume_at = resume_at
        else:
            self._cancels_resume_at = resume_at

    def _spawn(self, request: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(request)
        self._requests.add(task)
        task.add_done_callback(self._request_done)

    def _request_done(self, task: asyncio.Task[None]) -> None:
        self._requests.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            self._woken.set()

    # Later

    def _retry_later(self, market: ConditionId) -> None:
        """Quote a market anew after a back-off that doubles until an order is accepted."""
        if market in self._timers:
            return
        delay = self._retries.get(market, FIRST_RETRY_SECS)
        self._retries[market] = min(delay * 2, LONGEST_RETRY_SECS)
        self._timers[market] = asyncio.get_running_loop().call_later(delay, self._retry, market)

    def _retry(self, market: ConditionId) -> None:
        del self._timers[market]
        self._outdated[market] = None
        self.wake(market)

    def _again(self, markets: Sequence[ConditionId], secs: float) -> None:
        """Plan these markets once more after a while."""
        if markets:
            asyncio.get_running_loop().call_later(secs, self._wake_these, markets)

    def _wake_these(self, markets: Sequence[ConditionId]) -> None:
        for market in markets:
            self.wake(market)

    def _market_of(self, id: OrderId) -> ConditionId:
        order = self._desk.orders.get(id)
        assert order is not None  # the plan was made from the table
        return order.market

    def _slug(self, market: ConditionId) -> str:
        return self._desk.markets[market].market.slug
