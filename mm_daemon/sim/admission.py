"""From the JSON of a POST to an order the venue can match: payload, owner, signer, signature, price and size.

Rules that depend on book and balance are the venue's; here is what can be told from the order and its market alone.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2  # type: ignore[import-untyped]

from mm_daemon.core.market import Market
from mm_daemon.core.units import DOLLAR, SIZE_STEP, Cash, Price, Side, Size, TokenId, format_price, format_size
from mm_daemon.sim.model import ApiKey, Refusal, SimOrder, Tif, Trade
from mm_daemon.sim.venue import Venue
from mm_daemon.sim.verify import POLY_1271, OrderVerifier, is_position_id

Address = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}$")]
Bytes32 = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{64}$")]
Digits = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,78}$")]
UINT256 = 1 << 256
GTD_LEAST_SECS = 180
"""A GTD order has to live at least this long."""


class OrderPayload(msgspec.Struct):
    """The `order` object of the envelope."""

    salt: Annotated[int, msgspec.Meta(ge=0)]
    maker: Address
    signer: Address
    tokenId: Digits
    makerAmount: Digits
    takerAmount: Digits
    side: Literal["BUY", "SELL"]
    expiration: Digits
    signatureType: Literal[0, 1, 2, 3]
    timestamp: Digits
    metadata: Bytes32
    builder: Bytes32
    signature: str


class Envelope(msgspec.Struct):
    """The body of POST /order."""

    order: OrderPayload
    owner: str
    orderType: Tif
    deferExec: bool = False
    postOnly: bool = False


class Admission:
    """Lets orders in, or says why not."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._verifier = OrderVerifier(venue.rules.chain_id)

    def admit(self, raw: object, key: ApiKey) -> tuple[SimOrder, list[Trade]]:
        """Check an envelope and place its order.

        Returns:
            The order and the trades it made at once.

        Raises:
            Refusal: with the venue's words; nothing changed.
        """
        envelope = _read(raw)
        payload = envelope.order
        if envelope.owner != key.key:
            raise Refusal("the order owner has to be the owner of the API KEY")
        _check_parties(payload, key)
        try:
            state = self._venue.by_token(payload.tokenId)
        except Refusal as refusal:
            raise Refusal("the orderbook does not exist") from refusal
        order = self._verified(envelope, key, state.market)
        _check_price(order, state.market, envelope)
        self._check_expiration(order)
        self._check_allowance(order, state.market)
        self._venue.keys.claim(key.eoa, payload.signatureType, payload.maker)
        return order, self._venue.submit(order)

    def _verified(self, envelope: Envelope, key: ApiKey, market: Market) -> SimOrder:
        """The order of an envelope, once its signature is checked."""
        payload = envelope.order
        official = OrderV2(
            salt=str(payload.salt),
            maker=payload.maker,
            signer=payload.signer,
            tokenId=payload.tokenId,
            makerAmount=payload.makerAmount,
            takerAmount=payload.takerAmount,
            side=int(Side[payload.side]),
            signatureType=payload.signatureType,
            timestamp=payload.timestamp,
            metadata=payload.metadata,
            builder=payload.builder,
        )
        self._verifier.check_signature(official, payload.signature, neg_risk=market.neg_risk, eoa=key.eoa)
        side, token = Side[payload.side], TokenId(payload.tokenId)
        gives, gets = int(payload.makerAmount), int(payload.takerAmount)
        if gives <= 0 or gets <= 0:
            raise Refusal("invalid amounts, maker and taker amount must be higher than 0")
        cash, size = (gives, gets) if side is Side.BUY else (gets, gives)
        is_market_buy = not envelope.orderType.rests and side is Side.BUY
        return SimOrder(
            id=self._verifier.order_id(official, neg_risk=market.neg_risk),
            maker=payload.maker.lower(),
            owner=key.key,
            market=market.condition_id,
            token=token,
            outcome=market.outcome(token),
            side=side,
            price=_limit(cash, size, market.tick, is_exact=envelope.orderType.rests),
            size=Size(size),
            tif=envelope.orderType,
            post_only=envelope.postOnly,
            expiration=int(payload.expiration),
            signed_ms=int(payload.timestamp),
            budget=Cash(cash) if is_market_buy else Cash(0),
        )

    def _check_allowance(self, order: SimOrder, market: Market) -> None:
        normal, neg_risk, positions = self._venue.exchange_contracts
        spender = positions if is_position_id(int(order.token)) else neg_risk if market.neg_risk else normal
        if not self._venue.allows(order.maker, spender):
            raise Refusal(
                f"not enough balance / allowance: the allowance is not enough -> spender: {spender}, allowance: 0"
            )

    def _check_expiration(self, order: SimOrder) -> None:
        if order.tif is not Tif.GTD:
            if order.expiration:
                raise Refusal("invalid expiration")
        elif order.expiration < self._venue.clock() // 1000 + GTD_LEAST_SECS:
            raise Refusal("invalid expiration")


def _read(raw: object) -> Envelope:
    if isinstance(raw, dict) and isinstance(order := raw.get("order"), dict) and "feeRateBps" in order:
        raise Refusal("order_version_mismatch")
    try:
        envelope = msgspec.convert(raw, Envelope)
    except msgspec.ValidationError as error:
        raise Refusal("Invalid order payload") from error
    order = envelope.order
    numbers = (order.salt, int(order.tokenId), int(order.makerAmount), int(order.takerAmount), int(order.timestamp))
    if max(numbers) >= UINT256 or (envelope.postOnly and not envelope.orderType.rests):
        raise Refusal("Invalid order payload")
    return envelope


def _check_parties(payload: OrderPayload, key: ApiKey) -> None:
    """Who may sign for whom: the EOA for itself and its proxies, a deposit wallet in its own name."""
    maker, signer = payload.maker.lower(), payload.signer.lower()
    if payload.signatureType == POLY_1271:
        if maker != signer:
            raise Refusal("the order signer address has to be the address of the API KEY")
        return
    if signer != key.eoa or (payload.signatureType == 0 and maker != key.eoa):
        raise Refusal("the order signer address has to be the address of the API KEY")


def _limit(cash: int, size: int, tick: Price, *, is_exact: bool) -> Price:
    """The limit price that two amounts mean, or 0 where they mean none on a price grid.

    A resting order's amounts divide exactly; a market buy's shares are rounded, so its limit is the nearest tick.
    """
    price, rest = divmod(cash * DOLLAR, size)
    if is_exact:
        return Price(0 if rest else price)
    nearest = (price + tick // 2 + (rest > 0)) // tick * tick
    return Price(nearest if abs(nearest * size - cash * DOLLAR) <= DOLLAR * 100 + size // 100 else 0)


def _check_price(order: SimOrder, market: Market, envelope: Envelope) -> None:
    payload = envelope.order
    if not market.is_on_grid(order.price):
        gives, gets = int(payload.makerAmount), int(payload.takerAmount)
        stated = gives / gets if order.side is Side.BUY else gets / gives
        tick = format_price(market.tick)
        raise Refusal(f"order {order.id} is invalid. Price ({stated:g}) breaks minimum tick size rule: {tick}")
    if order.tif.rests and order.size < market.min_size:
        size, least = format_size(order.size), format_size(market.min_size)
        raise Refusal(f"order {order.id} is invalid. Size ({size}) lower than the minimum: {least}")
    if order.size % SIZE_STEP and not order.budget:
        raise Refusal("Invalid order payload")
