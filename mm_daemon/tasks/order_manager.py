"""The order manager: makes what rests equal what is desired.

Woken for a market, it compares the newest wish with the market's orders and sends the difference in one plain call:
every post that the gate lets through, then the cancels. The gate counts what is to be cancelled as if it stayed, so no
limit depends on which of them arrives first. A post that has to wait for a cancel is planned again when the cancel's
outcome is known, from the wish that stands then. An order is registered before its bytes leave, and logged after.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

import msgspec
import structlog

from mm_daemon.core.desk import Desk, MarketState
from mm_daemon.core.diff import Cancel, Plan, plan
from mm_daemon.core.orders import Order, OrderEvent, OrderState, new_order
from mm_daemon.core.quotes import Desired, Quote
from mm_daemon.core.risk import objection
from mm_daemon.core.units import DOLLAR, ConditionId, OrderId, Side, floor_size, format_price, format_size
from mm_daemon.exchange.api import Accepted, AnswerLost, CancelOutcome, Placement, Refused, SignedOrder, Venue
from mm_daemon.exchange.errors import AuthError, Mode, RejectReason, Restricted, Throttled, Unreachable
from mm_daemon.tasks.foresight import Foresight
from mm_daemon.tasks.holds import Holds
from mm_daemon.tasks.retries import Retries
from mm_daemon.tasks.stopwatch import Sent, Stopwatch

POST_CHUNK = 15
CANCEL_CHUNK = 100
BUDGET_RETRY_SECS = 0.1
UNREACHABLE_RETRY_SECS = 1.0
AFTER_CANCEL = {
    CancelOutcome.CANCELLED: OrderEvent.CANCEL_CONFIRMED,
    CancelOutcome.NOT_CANCELLED: OrderEvent.CANCEL_REFUSED,
    CancelOutcome.ANSWER_LOST: OrderEvent.CANCEL_LOST,
}

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
        self._holds = Holds()
        self._is_running = False
        self._stopwatch = Stopwatch(clock_ns)
        self._requests: set[asyncio.Task[None]] = set()
        self._retries = Retries(self._outdate)
        self._foresight = Foresight(desk, venue)
        self._posts_resume_at = 0.0
        self._cancels_resume_at = 0.0
        self._outdated: dict[ConditionId, None] = {}
        self._failure: BaseException | None = None
        self.free = self._holds.free
        self.is_stopping = False
        self.requote: Callable[[ConditionId], None] = lambda market: None
        self.on_refused: Callable[[ConditionId, RejectReason], None] = lambda market, reason: None
        self.on_error: Callable[[], None] = lambda: None
        self.statistics = dict.fromkeys(("posted", "accepted", "refused", "answer_lost", "cancels_sent"), 0)
        self.refusals: Counter[str] = Counter()
        self.latencies = self._stopwatch.latencies

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
        if self.is_stopping or not self._holds.add(reason, market):
            return
        log.warning("quoting_held", why=reason, market=self._slug(market) if market else "all")
        if market:
            self.wake(market)
        else:
            self.wake_all()

    def release(self, reason: str, market: ConditionId | None = None) -> None:
        """Lift one hold; quoting resumes where none is left."""
        if not self._holds.remove(reason, market):
            return
        still = list(self._holds.of(market))
        log.info("quoting_released", why=reason, market=self._slug(market) if market else "all", still=still)
        for each in [market] if market else list(self._desk.markets):
            self.requote(each)
            self.wake(each)

    @property
    def holds(self) -> tuple[str, ...]:
        """Why nothing is quoted at all; empty when quoting."""
        return self._holds.of(None)

    def held(self, market: ConditionId) -> str | None:
        """Why nothing is quoted in a market, None if nothing holds it."""
        return self._holds.why(market)

    # The loop

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            VenueRefused: the venue refuses us for good.
            AuthError: it does not accept our key.
        """
        self._is_running = True
        try:
            while True:
                await self._woken.wait()
                self._woken.clear()
                if self._failure is not None:
                    raise self._failure
                outdated, self._outdated = self._outdated, {}
                for market in outdated:
                    self.requote(market)
                self.send_now()
        finally:
            self._is_running = False

    def send_now(self) -> None:
        """Send what the markets woken so far call for; the task does it by itself, but only at its next turn."""
        if not self._is_running or self._failure is not None:
            return
        dirty, self._dirty = self._dirty, {}
        if dirty and not self.is_stopping:
            self._send(dirty)

    def _send(self, markets: Iterable[ConditionId]) -> None:
        """Plan these markets and send what there is to send, within the rate limits."""
        plans: list[tuple[MarketState, Desired, Plan]] = []
        for market in markets:
            state = self._desk.markets[market]
            wish = self._wish(state)
            if wish is not None:
                plans.append((state, wish, plan(wish, self._desk.orders.working(market))))
        posted = self._send_posts(plans)
        cancelled = self._send_cancels([cancel for _, _, planned in plans for cancel in planned.cancels])
        log_sent(self._desk, posted, cancelled)
        for _, wish, _ in plans:
            self._foresight.expect(wish)

    def _wish(self, state: MarketState) -> Desired | None:
        """What should rest: nothing at all while there is a hold; None before the strategy has said anything."""
        why = self._holds.why(state.market.condition_id)
        if why is None or state.desired is None:
            return state.desired
        state.why = why
        return Desired(market=state.market.condition_id, quotes=(), why=why, made_ns=self._clock_ns())

    def _send_posts(self, plans: Iterable[tuple[MarketState, Desired, Plan]]) -> list[Order]:
        """Register, sign and send the posts that the gate lets through now; the orders that they became."""
        posts = [(state, wish, planned, quote) for state, wish, planned in plans for quote in planned.posts]
        loop = asyncio.get_running_loop()
        if self._posts_resume_at > loop.time():
            self._again([state.market.condition_id for state, *_ in posts], self._posts_resume_at - loop.time())
            return []
        allowed = self._venue.order_allowance() if posts else 0
        orders: list[Order] = []
        signed: list[SignedOrder] = []
        arrivals_ns: list[int] = []
        waiting: list[ConditionId] = []
        for state, wish, planned, quote in posts:
            if len(signed) == allowed:
                waiting.append(state.market.condition_id)
                continue
            fitting = self._fit(state, quote, is_cancelling=bool(planned.cancels))
            if fitting is None:
                continue
            bytes_of, order = self._prepare(state, fitting)
            signed.append(bytes_of)
            orders.append(order)
            arrivals_ns.append(self._stopwatch.arrival_ns(wish, quote.direction))
        self._again(waiting, BUDGET_RETRY_SECS)
        for start in range(0, len(signed), POST_CHUNK):
            chunk = slice(start, start + POST_CHUNK)
            answer = self._venue.place(signed[chunk])
            sent = Sent(arrivals_ns[chunk], self._clock_ns())
            self._spawn(self._receive_verdicts(answer, signed[chunk], sent))
        self.statistics["posted"] += len(signed)
        return orders

    def _send_cancels(self, cancels: list[Cancel]) -> list[tuple[Cancel, Order]]:
        """Send as many cancels as the rate limit lets through; they and their orders. The rest is planned again."""
        if not cancels:
            return []
        loop = asyncio.get_running_loop()
        if self._cancels_resume_at > loop.time():
            self._again([self._market_of(cancel.id) for cancel in cancels], self._cancels_resume_at - loop.time())
            return []
        allowed = self._venue.cancel_allowance()
        self._again([self._market_of(cancel.id) for cancel in cancels[allowed:]], BUDGET_RETRY_SECS)
        sent: list[tuple[Cancel, Order]] = []
        for start in range(0, min(allowed, len(cancels)), CANCEL_CHUNK):
            chunk = cancels[start : min(start + CANCEL_CHUNK, allowed)]
            now_ns = self._clock_ns()
            sent += [(cancel, self._desk.apply(cancel.id, OrderEvent.CANCEL_SENT, now_ns)) for cancel in chunk]
            ids = [cancel.id for cancel in chunk]
            self._spawn(self._receive_outcomes(self._venue.cancel(ids), ids, self._clock_ns()))
        self.statistics["cancels_sent"] += len(sent)
        return sent

    def _fit(self, state: MarketState, quote: Quote, *, is_cancelling: bool) -> Quote | None:
        """The quote as it may be placed now, None if it has to wait for the market's other orders or be made anew.

        Args:
            is_cancelling: whether some of these are about to be cancelled.
        """
        if state.market.condition_id in self._retries:
            return None
        now = self._desk.situation(state)
        reason = objection(quote, now)
        if reason is None:
            return quote
        if is_cancelling or any(order.state is not OrderState.LIVE for order in now.orders):
            return None  # their outcome wakes us
        if reason == "balance" and quote.side is Side.BUY:
            smaller = msgspec.structs.replace(quote, size=floor_size(now.free_cash * DOLLAR // quote.price))
            if objection(smaller, now) is None:
                return smaller
        state.why = f"{state.why}; {'bid' if quote.direction is Side.BUY else 'ask'} waits: {reason}"
        self._retries.later(state.market.condition_id)
        return None

    def _prepare(self, state: MarketState, quote: Quote) -> tuple[SignedOrder, Order]:
        """Sign an order and count it as exposure, before a byte of it leaves."""
        token, side, price, size = quote.token, quote.side, quote.price, quote.size
        signed = self._venue.sign(state.market, token, side, price, size)
        order = new_order(state.market, signed.id, token, side, price, size, why=state.why, now_ns=self._clock_ns())
        self._desk.register(order)
        return signed, order

    # Answers

    async def _receive_verdicts(
        self, answer: Awaitable[list[Placement]], orders: Sequence[SignedOrder], sent: Sent
    ) -> None:
        try:
            verdicts = await answer
        except (Throttled, Restricted, Unreachable) as error:
            self._pause(error, posts=True)
            self._never_were(orders)
            return
        except AuthError as error:
            self._fail(error)
            self._never_were(orders)
            return
        self._stopwatch.placed(sent, verdicts)
        for verdict in verdicts:
            if isinstance(verdict, Refused) and verdict.reason.is_fatal:
                self._fail(VenueRefused(f"the venue refuses our orders: {verdict.reason.value}: {verdict.text}"))
        for verdict in verdicts:
            self._receive_verdict(verdict)

    def _never_were(self, orders: Sequence[SignedOrder]) -> None:
        """Nothing happened: these orders were not taken, and are made anew when the venue takes orders again."""
        for signed in orders:
            order = self._desk.apply(signed.id, OrderEvent.REFUSED, self._clock_ns())
            self.wake(order.market)

    def _receive_verdict(self, verdict: Placement) -> None:
        now_ns = self._clock_ns()
        match verdict:
            case Accepted(may_match=False):
                order = self._desk.apply(verdict.id, OrderEvent.ACCEPTED, now_ns)
                self.statistics["accepted"] += 1
                self._retries.succeeded(order.market)
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
        self._retries.later(market)
        self.on_refused(market, verdict.reason)
        if verdict.reason is not RejectReason.POST_ONLY_CROSSED:
            self.on_error()

    async def _receive_outcomes(
        self, answer: Awaitable[dict[OrderId, CancelOutcome]], ids: Sequence[OrderId], sent_ns: int
    ) -> None:
        try:
            outcomes = await answer
        except (Throttled, Restricted, Unreachable) as error:
            self._pause(error, posts=False)
            for id in ids:
                self.wake(self._desk.apply(id, OrderEvent.CANCEL_UNSENT, self._clock_ns()).market)
            return
        self._stopwatch.cancelled(sent_ns, outcomes.values())
        self.receive_cancels(outcomes)

    def receive_cancels(self, outcomes: dict[OrderId, CancelOutcome]) -> None:
        """Take the venue's answer to cancels; orders that are not ours are passed over."""
        for id, outcome in outcomes.items():
            if id in self._desk.orders:
                self.wake(self._desk.apply(id, AFTER_CANCEL[outcome], self._clock_ns()).market)

    def _pause(self, error: Throttled | Restricted | Unreachable, *, posts: bool) -> None:
        """Obey the venue: send nothing of this kind before the time it names."""
        if isinstance(error, Restricted) and error.mode is Mode.REGION:
            self._fail(VenueRefused(str(error)))
            return
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
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Send nothing any more, from this moment on, and let the task end with the first such error."""
        self._failure = self._failure or error
        self._woken.set()

    # Later

    def _outdate(self, market: ConditionId) -> None:
        """Have a market decided anew, and look at it."""
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


def log_sent(desk: Desk, posted: Iterable[Order], cancelled: Iterable[tuple[Cancel, Order]]) -> None:
    """Tell what was sent, now that it is."""
    for order in posted:
        market = desk.markets[order.market].market
        log.info(
            "order_sent",
            order=order.id,
            market=market.slug,
            side=f"{order.side.name} {market.outcome(order.token).name}",
            price=format_price(order.price),
            size=format_size(order.size),
            why=order.why,
        )
    for cancel, order in cancelled:
        log.info("cancel_sent", order=order.id, market=desk.markets[order.market].market.slug, why=cancel.why)
