"""Who holds what: pUSD and tokens by wallet, what open orders reserve, what matched trades still owe.

Pure. A balance has a settled part (what the chain would say), and what matched but unsettled trades will add and take.
Spendable is settled - outgoing - reserved: what was just bought cannot be sold before its trade is confirmed.
Bids on YES and on NO both reserve in full; nothing is netted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mm_daemon.core.market import Market
from mm_daemon.core.units import DOLLAR, Cash, ConditionId, OrderId, Side, Size, TokenId
from mm_daemon.sim.model import MakerPart, MatchKind, Refusal, SimOrder, Trade

COLLATERAL = TokenId("")
"""The asset key of pUSD."""


class ConservationError(AssertionError):
    """Money or tokens came from nowhere or went nowhere: a bug of the exchange."""


@dataclass(slots=True)
class Balance:
    """One asset of one wallet, in base units."""

    settled: int = 0
    incoming: int = 0
    outgoing: int = 0
    reserved: int = 0

    @property
    def spendable(self) -> int:
        """What a new order may use."""
        return self.settled - self.outgoing - self.reserved

    @property
    def total(self) -> int:
        """What there will be once every matched trade is settled."""
        return self.settled + self.incoming - self.outgoing


@dataclass(frozen=True, slots=True)
class Leg:
    """One change of one balance that a trade makes."""

    address: str
    asset: TokenId
    amount: int


@dataclass(slots=True)
class Ledger:
    """All balances of the exchange."""

    deposited: int = 0
    fees: int = 0
    locked: dict[ConditionId, int] = field(default_factory=dict)
    _accounts: dict[str, dict[TokenId, Balance]] = field(default_factory=dict)
    _reservations: dict[OrderId, int] = field(default_factory=dict)

    def addresses(self) -> list[str]:
        """Every wallet that holds or held something."""
        return list(self._accounts)

    def knows(self, address: str) -> bool:
        """Whether the wallet has an account."""
        return address in self._accounts

    def balance(self, address: str, asset: TokenId = COLLATERAL) -> Balance:
        """The balance of one asset; a wallet without it has an empty one."""
        return self._accounts.setdefault(address, {}).setdefault(asset, Balance())

    def holdings(self, address: str) -> dict[TokenId, Balance]:
        """Every token balance of a wallet, without its pUSD."""
        return {asset: held for asset, held in self._accounts.get(address, {}).items() if asset != COLLATERAL}

    def deposit(self, address: str, amount: Cash) -> None:
        """Add pUSD to a wallet."""
        self.balance(address).settled += amount
        self.deposited += amount

    def withdraw(self, address: str, amount: Cash) -> None:
        """Take pUSD out of a wallet, whatever its open orders have reserved."""
        self.balance(address).settled -= amount
        self.deposited -= amount

    def split(self, address: str, market: Market, size: Size) -> None:
        """Turn pUSD into the same number of YES and NO tokens."""
        self.balance(address).settled -= size
        for token in market.tokens:
            self.balance(address, token).settled += size
        self.locked[market.condition_id] = self.locked.get(market.condition_id, 0) + size

    def require(self, order: SimOrder, fee: int = 0) -> None:
        """Check that the wallet can pay for a new order.

        Raises:
            Refusal: not enough, with the venue's sums in base units.
        """
        held = self.balance(order.maker, _asset(order))
        needed = (order.budget or _reservation(order)) + fee
        if needed > held.spendable:
            raise Refusal(
                "not enough balance / allowance: the balance is not enough -> "
                f"balance: {held.settled}, sum of active orders: {held.reserved}, "
                f"sum of matched orders: {held.outgoing}, order amount (inc. fees): {needed}"
            )

    def reserve(self, order: SimOrder) -> None:
        """Make the reservation of `order` what its state asks for: its remainder while it rests, else nothing."""
        wanted = _reservation(order) if order.is_live else 0
        held = self._reservations.pop(order.id, 0)
        if wanted:
            self._reservations[order.id] = wanted
        self.balance(order.maker, _asset(order)).reserved += wanted - held

    def book(self, trade: Trade) -> list[Leg]:
        """Book a matched trade as owed; the legs are settled later by `settle`."""
        net: dict[tuple[str, TokenId], int] = {(trade.taker.maker, COLLATERAL): -trade.fee}
        self.fees += trade.fee
        for part in trade.makers:
            for leg in self._legs(trade, part):
                net[leg.address, leg.asset] = net.get((leg.address, leg.asset), 0) + leg.amount
        legs = [Leg(address, asset, amount) for (address, asset), amount in net.items()]
        for leg in legs:
            balance = self.balance(leg.address, leg.asset)
            if leg.amount >= 0:
                balance.incoming += leg.amount
            else:
                balance.outgoing -= leg.amount
        return legs

    def settle(self, legs: Iterable[Leg]) -> None:
        """Turn what a trade owes into settled balances."""
        for leg in legs:
            balance = self.balance(leg.address, leg.asset)
            balance.settled += leg.amount
            if leg.amount >= 0:
                balance.incoming -= leg.amount
            else:
                balance.outgoing += leg.amount

    def reverse(self, trade: Trade, legs: Iterable[Leg]) -> None:
        """Take a booked trade back: what it owed is owed no more, and the pairs it made or dissolved never were."""
        self.fees -= trade.fee
        for part in trade.makers:
            self._lock(part, back=True)
        for leg in legs:
            balance = self.balance(leg.address, leg.asset)
            if leg.amount >= 0:
                balance.incoming -= leg.amount
            else:
                balance.outgoing += leg.amount

    def check(self, market: Market) -> None:
        """Check that money is conserved, and that `market` has as many YES as NO tokens as dollars behind them.

        Raises:
            ConservationError: it does not add up, or a balance is overdrawn.
        """
        cash = sum(assets[COLLATERAL].total for assets in self._accounts.values() if COLLATERAL in assets)
        whole = cash + sum(self.locked.values()) + self.fees
        if whole != self.deposited:
            raise ConservationError(f"{whole} micro-dollars where {self.deposited} were deposited")
        supply = [
            sum(assets[token].total for assets in self._accounts.values() if token in assets) for token in market.tokens
        ]
        locked = self.locked.get(market.condition_id, 0)
        if supply != [locked, locked]:
            raise ConservationError(f"{market.slug}: YES and NO supply {supply} with {locked} locked")

    def check_solvent(self, orders: Iterable[SimOrder]) -> None:
        """Check that no balance behind `orders` is overdrawn.

        Raises:
            ConservationError: a wallet owes more than it has.
        """
        for order in orders:
            held = self.balance(order.maker, _asset(order))
            if held.spendable < 0:
                raise ConservationError(f"{order.maker} is overdrawn by {-held.spendable} of {_asset(order) or 'pUSD'}")

    def _legs(self, trade: Trade, part: MakerPart) -> list[Leg]:
        maker, taker, size = part.order, trade.taker, part.size
        value = maker.price * size // DOLLAR
        if part.kind is MatchKind.NORMAL:
            buyer, seller = (maker, taker) if maker.side is Side.BUY else (taker, maker)
            return [
                Leg(buyer.maker, COLLATERAL, -value),
                Leg(buyer.maker, buyer.token, size),
                Leg(seller.maker, seller.token, -size),
                Leg(seller.maker, COLLATERAL, value),
            ]
        sign = 1 if part.kind is MatchKind.MINT else -1
        self._lock(part)
        return [
            Leg(maker.maker, COLLATERAL, -sign * value),
            Leg(maker.maker, maker.token, sign * size),
            Leg(taker.maker, COLLATERAL, -sign * (size - value)),
            Leg(taker.maker, taker.token, sign * size),
        ]

    def _lock(self, part: MakerPart, *, back: bool = False) -> None:
        """Move the dollars behind a pair of tokens that a match made or dissolved, or move them back."""
        if part.kind is not MatchKind.NORMAL:
            way = 1 if (part.kind is MatchKind.MINT) is not back else -1
            market = part.order.market
            self.locked[market] = self.locked.get(market, 0) + way * part.size


def _asset(order: SimOrder) -> TokenId:
    return COLLATERAL if order.side is Side.BUY else order.token


def _reservation(order: SimOrder) -> int:
    """What the remainder of an order ties up: a buy its cost, rounded up, a sell its tokens."""
    if order.side is Side.SELL:
        return order.remaining
    return -(-order.price * order.remaining // DOLLAR)
