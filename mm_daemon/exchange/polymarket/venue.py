"""Polymarket as a `Venue`: signing, placing, cancelling and reading, with the results in our own types.

What may have happened is never reported as a failure: a lost or unreadable answer to a placement is `AnswerLost` for
each of its orders, and their ids are known beforehand.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from mm_daemon.core.events import BookSnapshot, OrderReport, TradeReport
from mm_daemon.core.market import Market
from mm_daemon.core.units import SIZE_STEP, ConditionId, OrderId, Price, Side, Size, TokenId
from mm_daemon.exchange.api import (
    AnswerLost,
    Balance,
    CancelOutcome,
    Complete,
    Placement,
    Read,
    SignedOrder,
    Unavailable,
)
from mm_daemon.exchange.errors import ProtocolError, Rejected, Throttled, Unknown, VenueError
from mm_daemon.exchange.polymarket import account_reads, api_keys, private_reads, public_reads
from mm_daemon.exchange.polymarket.auth import ApiCredentials, RequestSigner
from mm_daemon.exchange.polymarket.bodies import cancel_outcomes, refused_all, verdicts
from mm_daemon.exchange.polymarket.contracts import asset_type
from mm_daemon.exchange.polymarket.discovery import is_condition_id
from mm_daemon.exchange.polymarket.heartbeat import Heartbeat
from mm_daemon.exchange.polymarket.http1 import Answer
from mm_daemon.exchange.polymarket.keys import PrivateKey
from mm_daemon.exchange.polymarket.rest import Rest, RestStatistics
from mm_daemon.exchange.polymarket.signed_ahead import SignedAhead, Terms
from mm_daemon.exchange.polymarket.signing import OrderSigner, batch_body
from mm_daemon.exchange.polymarket.throttle import MAX_CANCELS_PER_CALL, MAX_ORDERS_PER_CALL, RateLimits
from mm_daemon.exchange.polymarket.user_channel import PolymarketUserChannel
from mm_daemon.exchange.polymarket.user_frames import Ownership, nobody

T = TypeVar("T")


class VenueStatistics(msgspec.Struct, frozen=True):
    """Counts since start."""

    rest: RestStatistics
    orders_sent: int
    cancels_sent: int
    answers_lost: int
    heartbeats: int


class PolymarketVenue:
    """Polymarket's exchange for one wallet and one API key. Call `connect` before anything private.

    Args:
        clob_url: the exchange's REST service.
        gamma_url: the catalogue that knows slugs.
        private_key: of the account that owns the API key, 64 hexadecimal digits.
        funder: the wallet that holds the funds; "" for signature type 0.
        signature_type: 0 EOA, 1 proxy, 2 Safe, 3 deposit wallet.
        chain_id: 137 for Polygon.
        credentials: an API key triple, if there is one already.
        is_ours: whether an order id is one of ours, to tell our parts of a trade.
        read_deadline_secs: for one read with its retries.
        write_deadline_secs: for one request that changes something.
        unix_ns: the wall clock, for what is signed.
        monotonic: a steady clock in seconds, for rate limits.

    Raises:
        ValueError: key, funder, signature type or chain are impossible or contradict each other.
    """

    def __init__(
        self,
        clob_url: str,
        gamma_url: str,
        *,
        private_key: str,
        funder: str = "",
        signature_type: int = 0,
        chain_id: int = 137,
        credentials: ApiCredentials | None = None,
        is_ours: Callable[[OrderId], bool] = nobody,
        read_deadline_secs: float = 6.0,
        write_deadline_secs: float = 5.0,
        unix_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = PrivateKey(private_key)
        self._signer = OrderSigner(self._key, funder, signature_type, chain_id, now_ms=lambda: unix_ns() // 1_000_000)
        self._gamma_url = gamma_url
        self._chain_id = chain_id
        self._unix_secs = lambda: unix_ns() / 1e9
        self._monotonic = monotonic
        self._is_ours = is_ours
        self._limits = RateLimits.below_standard_tier()
        self._rest = Rest(
            clob_url,
            self._limits,
            read_deadline_secs=read_deadline_secs,
            write_deadline_secs=write_deadline_secs,
            unix_secs=self._unix_secs,
            monotonic=monotonic,
        )
        self._heartbeat = Heartbeat(self._rest)
        self._ahead = SignedAhead(self._unix_secs)
        self._spenders: dict[TokenId, str] = {}
        self._credentials: ApiCredentials | None = None
        self._orders_sent = self._cancels_sent = self._answers_lost = 0
        if credentials is not None:
            self._use(credentials)

    def __repr__(self) -> str:
        return f"PolymarketVenue(account={self.account}, wallet={self.wallet})"

    @property
    def account(self) -> str:
        """The checksummed address of the private key, which owns the API key."""
        return self._key.address

    @property
    def wallet(self) -> str:
        """The checksummed address that holds the funds."""
        return self._signer.maker

    @property
    def credentials(self) -> ApiCredentials:
        """The API key triple.

        Raises:
            RuntimeError: not connected yet.
        """
        if self._credentials is None:
            raise RuntimeError("no API credentials yet: connect first")
        return self._credentials

    def statistics(self) -> VenueStatistics:
        """Counts since start."""
        return VenueStatistics(
            self._rest.statistics(), self._orders_sent, self._cancels_sent, self._answers_lost, self._heartbeat.accepted
        )

    # Start-up

    async def connect(self) -> ApiCredentials:
        """Make or derive API credentials, unless they were given, and begin to keep connections open for orders.

        Raises:
            VenueError: the venue gave none.
        """
        if self._credentials is None:
            self._use(await api_keys.make_or_derive(self._rest, self._key, self._chain_id, self._unix_secs))
        self._rest.keep_open()
        return self.credentials

    def _use(self, credentials: ApiCredentials) -> None:
        self._rest.signer = RequestSigner(self._key.address, credentials)
        self._signer.owner = credentials.key
        self._ahead.clear()
        self._credentials = credentials

    async def server_secs(self) -> int:
        """The venue's clock in unix seconds.

        Raises:
            VenueError: it could not be read.
        """
        return await public_reads.server_secs(self._rest)

    async def is_closed_only(self) -> bool:
        """Whether the account may only close positions.

        Raises:
            VenueError: it could not be read.
        """
        return await api_keys.is_closed_only(self._rest)

    def user_channel(self, url: str) -> PolymarketUserChannel:
        """The protocol of the user channel for our account.

        Raises:
            RuntimeError: not connected yet.
        """
        return PolymarketUserChannel(url, self.credentials, self.wallet, self._is_ours)

    # Orders. The requests of `place` and `cancel` leave when they are called, not when they are awaited.

    def sign(self, market: Market, token: TokenId, side: Side, price: Price, size: Size) -> SignedOrder:
        """Build and sign a post-only GTC order, or take one that was signed ahead; nothing is sent.

        Raises:
            ValueError: price off the grid, size not a positive number of 0.01 shares, or a token of another market.
            RuntimeError: not connected yet.
        """
        _check_terms(market, token, price, size)
        ready = self._ahead.take(Terms(token, side, price, size, market.neg_risk))
        return ready or self._signer.sign(token, side, price, size, neg_risk=market.neg_risk)

    def sign_ahead(self, market: Market, token: TokenId, side: Side, price: Price, size: Size) -> None:
        """Have an order ready that may be wanted soon, a young one, if there is room for it.

        Raises:
            ValueError, RuntimeError: as `sign`.
        """
        _check_terms(market, token, price, size)
        terms = Terms(token, side, price, size, market.neg_risk)
        if self._ahead.wants(terms):
            self._ahead.keep(terms, self._signer.sign(token, side, price, size, neg_risk=market.neg_risk))

    def order_allowance(self) -> int:
        """How many orders may be sent now in one call."""
        return self._limits.order_allowance(self._monotonic())

    def cancel_allowance(self, *, urgent: bool = False) -> int:
        """How many cancels may be sent now in one call; `urgent` opens the reserve."""
        return self._limits.cancel_allowance(self._monotonic(), urgent=urgent)

    def place(self, orders: Sequence[SignedOrder]) -> Coroutine[Any, Any, list[Placement]]:
        """Send up to 15 orders; await one verdict for each, in order.

        Raises:
            Throttled, Restricted, Unreachable, AuthError: when awaited; nothing happened.
            ValueError: at once; more than 15 orders.
        """
        if len(orders) > MAX_ORDERS_PER_CALL:
            raise ValueError(f"{len(orders)} orders in one call, at most {MAX_ORDERS_PER_CALL}")
        return self._placed([order.id for order in orders], self._post(orders) if orders else None)

    def _post(self, orders: Sequence[SignedOrder]) -> Awaitable[Answer]:
        now = self._monotonic()
        if self._limits.orders.available(now) < len(orders):
            return _failed(Throttled(self._limits.orders.wait_secs(len(orders), now)))
        self._limits.orders.spend(len(orders), now)
        self._orders_sent += len(orders)
        return self._rest.send("POST", "/orders", batch_body(orders))

    async def _placed(self, ids: Sequence[OrderId], sent: Awaitable[Answer] | None) -> list[Placement]:
        if sent is None:
            return []
        try:
            placements = verdicts(self._rest.checked(await sent), ids)
        except Rejected as error:
            return refused_all(ids, error.reason, error.text)
        except (Unknown, ProtocolError) as error:
            placements = [AnswerLost(id, str(error)) for id in ids]
        self._answers_lost += sum(isinstance(placement, AnswerLost) for placement in placements)
        return placements

    def cancel(self, ids: Sequence[OrderId]) -> Coroutine[Any, Any, dict[OrderId, CancelOutcome]]:
        """Cancel up to 100 orders by id; await one outcome for each. Sent also when our own allowance is used up.

        Raises:
            Throttled, Restricted, Unreachable, AuthError: when awaited; nothing happened.
            ValueError: at once; more than 100 ids.
        """
        if len(ids) > MAX_CANCELS_PER_CALL:
            raise ValueError(f"{len(ids)} cancels in one call, at most {MAX_CANCELS_PER_CALL}")
        return self._cancelled(ids, self._delete(ids) if ids else None)

    def _delete(self, ids: Sequence[OrderId]) -> Awaitable[Answer]:
        now = self._monotonic()
        if wait := self._limits.cancels.closed_secs(now):
            return _failed(Throttled(wait))
        self._limits.cancels.spend(len(ids), now)
        self._cancels_sent += len(ids)
        return self._rest.send("DELETE", "/orders", msgspec.json.encode(list(ids)))

    async def _cancelled(self, ids: Sequence[OrderId], sent: Awaitable[Answer] | None) -> dict[OrderId, CancelOutcome]:
        if sent is None:
            return {}
        try:
            outcomes = cancel_outcomes(self._rest.checked(await sent))
        except Rejected:
            return dict.fromkeys(ids, CancelOutcome.NOT_CANCELLED)
        except (Unknown, ProtocolError):
            return dict.fromkeys(ids, CancelOutcome.ANSWER_LOST)
        return {id: outcomes.get(id, CancelOutcome.ANSWER_LOST) for id in ids}

    async def cancel_all(self) -> dict[OrderId, CancelOutcome]:
        """Cancel every order of our API key, whatever the rate limit says; outcomes of the orders the venue names.

        Raises:
            Unknown: no readable answer; it may have happened.
            Rejected, Throttled, Restricted, Unreachable, AuthError: nothing happened.
        """
        try:
            outcomes = cancel_outcomes(self._rest.checked(await self._rest.send("DELETE", "/cancel-all")))
        except ProtocolError as error:
            raise Unknown(str(error)) from error
        cancelled = sum(outcome is CancelOutcome.CANCELLED for outcome in outcomes.values())
        self._limits.cancels.spend(1 + cancelled, self._monotonic())
        self._cancels_sent += cancelled
        return outcomes

    async def heartbeat(self) -> None:
        """Tell the dead-man switch that we live.

        Raises:
            VenueError: it was not accepted, or the answer was lost.
        """
        await self._heartbeat.send()

    # Reads

    async def open_orders(self) -> Read[list[OrderReport]]:
        """Every order of ours that rests."""
        return await _read(private_reads.open_orders(self._rest))

    async def order(self, id: OrderId) -> Read[OrderReport | None]:
        """One order, finished or not; None: the venue knows no such order (any more)."""
        return await _read(private_reads.order(self._rest, id))

    async def trades(self, after_secs: int) -> Read[list[TradeReport]]:
        """Trades with fills of ours since a unix time, oldest first."""
        ownership = Ownership(self.credentials.key, self.wallet, self._is_ours)
        return await _read(private_reads.trades(self._rest, ownership, after_secs))

    async def collateral(self) -> Read[Balance]:
        """Our pUSD in micro-dollars; the allowance is the least over the contracts of the markets loaded."""
        contracts = self._signer.contracts
        spenders = set(self._spenders.values()) or {contracts.normal.address, contracts.neg_risk.address}
        return await _read(private_reads.balance(self._rest, self._asset_query(None), spenders))

    async def holding(self, token: TokenId) -> Read[Balance]:
        """Our settled balance of a token in micro-shares."""
        spender = self._spenders.get(token)
        return await _read(private_reads.balance(self._rest, self._asset_query(token), [spender] if spender else []))

    async def refresh_collateral(self) -> None:
        """Make the venue read our pUSD from the chain anew, which it has to be told for a new wallet.

        Raises:
            VenueError: it was not accepted.
        """
        await self._rest.get("/balance-allowance/update", self._asset_query(None), private=True)

    async def collateral_of_type(self, signature_type: int, spenders: Iterable[str] = ()) -> Read[Balance]:
        """The pUSD that our key would trade with under a signature type, with the least allowance over `spenders`."""
        query = {**self._asset_query(None), "signature_type": str(signature_type)}
        return await _read(private_reads.balance(self._rest, query, spenders))

    async def approvals(self, data_url: str) -> Read[Mapping[tuple[str, str], int]]:
        """What our wallet lets contracts move: {(token, spender), lower case: base units}."""
        return await _read(account_reads.approvals(self._rest, data_url, self.wallet, self._chain_id))

    async def rate_limit_tier(self) -> Read[str]:
        """The tier that our orders and cancels are limited by."""
        return await _read(account_reads.rate_limit_tier(self._rest))

    def _asset_query(self, token: TokenId | None) -> dict[str, str]:
        asset = {"asset_type": "COLLATERAL"} if token is None else {"asset_type": asset_type(token), "token_id": token}
        return {**asset, "signature_type": str(self._signer.signature_type)}

    async def book(self, token: TokenId) -> Read[BookSnapshot]:
        """A token's book over REST."""
        return await _read(public_reads.book(self._rest, token))

    async def load_market(self, ref: str) -> Market:
        """Find a market by slug or condition id and read its rules from the exchange itself.

        Raises:
            Rejected: NOT_FOUND: there is no such market, or it is not a binary market on the book.
            VenueError: it could not be read.
        """
        if is_condition_id(ref):
            return self._noted(await public_reads.market(self._rest, ConditionId(ref)))
        return self._noted(await public_reads.market_by_slug(self._rest, self._gamma_url, ref))

    async def market_status(self, market: Market) -> Read[Market]:
        """The market's present rules and status."""
        return await _read(self._market_again(market))

    async def _market_again(self, market: Market) -> Market:
        now = await public_reads.market(self._rest, market.condition_id)
        if now.tokens != market.tokens or now.neg_risk != market.neg_risk:
            raise ProtocolError(f"market {market.slug} changed its tokens or its contract")
        return msgspec.structs.replace(now, slug=market.slug)

    def _noted(self, market: Market) -> Market:
        """Remember which contract settles the market, for allowances."""
        for token in market.tokens:
            self._spenders[token] = self._signer.contracts.for_token(token, market.neg_risk).address
        return market

    async def close(self) -> None:
        """Close connections; no call after it."""
        await self._rest.close()


def _check_terms(market: Market, token: TokenId, price: Price, size: Size) -> None:
    if token not in market.tokens:
        raise ValueError(f"token {token} is not of market {market.slug}")
    if not market.is_on_grid(price):
        raise ValueError(f"price {price}/10000 is off the grid of {market.tick}/10000")
    if size <= 0 or size % SIZE_STEP:
        raise ValueError(f"size {size}/1000000 is not a positive number of 0.01 shares")


async def _failed(error: VenueError) -> Answer:
    raise error


async def _read(reading: Awaitable[T]) -> Read[T]:
    try:
        return Complete(await reading)
    except VenueError as error:
        return Unavailable(f"{type(error).__name__}: {error}")
