"""Brings alerts to a webhook, without ever being waited for.

Alerts go into a short queue and leave one after the other. What the service does not take is offered again, at the
times it names or with growing pauses, until it is too old to be of use; what was lost is counted, logged, and told with
the next alert that gets through. At the end the last ones get a moment to leave.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import msgspec
import structlog

from mm_daemon.ops.webhooks import Again, Notice, Refused, Webhook, body, judge

MOST_WAITING = 100
REQUEST_SECS = 10.0
FIRST_PAUSE_SECS = 1.0
LONGEST_PAUSE_SECS = 60.0
GIVE_UP_SECS = 600.0
"""An alert that could not be brought for so long is lost; the next one says so."""
FINISH_SECS = 2.0
"""What the last alerts get at the end; the process waits for nothing else then."""
LAST_PAUSE_SECS = 0.2
ANSWER_BYTES = 4_096
"""As much of an answer as is looked at."""

log = structlog.get_logger()


class CourierStatistics(msgspec.Struct):
    """Counts since the start."""

    delivered: int = 0
    retries: int = 0
    lost: int = 0


def session_for_alerts() -> aiohttp.ClientSession:
    """A session whose requests end in time. It takes no proxy from the environment: the address is a secret."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECS))


async def offer(session: aiohttp.ClientSession, webhook: Webhook, notice: Notice) -> Again | Refused | None:
    """One request; None when the service took the alert, else what is to be done."""
    content = msgspec.json.encode(body(webhook, notice), enc_hook=str)
    headers = {"Content-Type": "application/json"}
    try:
        # A redirect would carry the message to a host that nobody chose.
        async with session.post(webhook.reveal(), data=content, headers=headers, allow_redirects=False) as answer:
            start = await answer.content.read(ANSWER_BYTES)
            return judge(answer.status, answer.headers, start, datetime.now(UTC))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The name only: texts of these errors hold addresses.
        return Again(type(error).__name__)


class Courier:
    """Takes alerts at any time, brings them in order.

    Attributes:
        statistics: what became of them.
        patience_secs: how long one alert is offered.
    """

    def __init__(
        self, webhook: Webhook, statistics: CourierStatistics | None = None, patience_secs: float = GIVE_UP_SECS
    ) -> None:
        self._webhook = webhook
        self._waiting: deque[Notice] = deque()
        self._arrived = asyncio.Event()
        self._is_ending = asyncio.Event()
        self._lost_untold = 0
        self.patience_secs = patience_secs
        self.statistics = statistics or CourierStatistics()

    def post(self, notice: Notice) -> None:
        """Take an alert. Of more than fit the oldest is lost."""
        if len(self._waiting) >= MOST_WAITING:
            self._lose(self._waiting.popleft(), "too many wait")
        self._waiting.append(notice)
        self._arrived.set()

    async def run(self) -> None:
        """Bring alerts until told to `finish` and nothing waits."""
        async with session_for_alerts() as session:
            while self._waiting or not self._is_ending.is_set():
                if not self._waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                await self._bring(session, self._waiting[0])

    def finish(self) -> None:
        """Nothing more will be posted: retry quickly, and end when nothing waits."""
        self._is_ending.set()
        self._arrived.set()

    def give_up(self) -> None:
        """Count everything that still waits as lost."""
        while self._waiting:
            self._lose(self._waiting.popleft(), "the daemon ended")

    async def _bring(self, session: aiohttp.ClientSession, notice: Notice) -> None:
        """Offer one alert until it is taken, refused for good, or too old."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience_secs
        pause = FIRST_PAUSE_SECS
        while True:
            told = self._lost_untold
            verdict = await offer(session, self._webhook, msgspec.structs.replace(notice, lost_before=told))
            if self._waiting and self._waiting[0] is not notice:
                return  # it was pushed out meanwhile, and is counted
            if verdict is None:
                self._waiting.popleft()
                self._lost_untold -= told
                self.statistics.delivered += 1
                log.info("alert_delivered", key=notice.alert.key, resolved=notice.alert.is_resolved)
                return
            wait = pause if isinstance(verdict, Refused) or verdict.after_secs is None else verdict.after_secs
            if isinstance(verdict, Refused) or loop.time() + wait > deadline:
                self._lose(self._waiting.popleft(), verdict.why)
                return
            log.warning("alert_delayed", key=notice.alert.key, why=verdict.why, retry_secs=round(wait, 2))
            self.statistics.retries += 1
            await self._rest(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECS) * random.uniform(0.8, 1.0)

    async def _rest(self, secs: float) -> None:
        """A pause, cut short where the end is near."""
        if not self._is_ending.is_set():
            try:
                async with asyncio.timeout(secs):
                    await self._is_ending.wait()
            except TimeoutError:
                return
        await asyncio.sleep(min(secs, LAST_PAUSE_SECS))

    def _lose(self, notice: Notice, why: str) -> None:
        self.statistics.lost += 1
        self._lost_untold += 1
        log.error("alert_lost", key=notice.alert.key, title=notice.alert.title, why=why)


@asynccontextmanager
async def courier(webhook: Webhook, statistics: CourierStatistics | None = None) -> AsyncIterator[Courier]:
    """A courier while the block lasts, and a moment longer for what still waits."""
    carrier = Courier(webhook, statistics)
    running = asyncio.create_task(carrier.run(), name="alerts_courier")
    try:
        yield carrier
    finally:
        carrier.finish()
        await asyncio.wait({running}, timeout=FINISH_SECS)
        carrier.give_up()
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()
