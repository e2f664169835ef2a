"""What the venue itself does to us: ticks, resolutions, withdrawals, dead-man switches, trades that do not settle."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mm_daemon.core.market import MarketStatus
from mm_daemon.core.units import Outcome, Price
from mm_daemon.sim.faults.schedule import Fault, Kind
from mm_daemon.sim.model import Trade, TradeStatus
from mm_daemon.sim.settlement import GOOD_PATH, Path
from mm_daemon.sim.venue import Venue

CENT, MILL = Price(100), Price(10)
_S = TradeStatus
FAILING: tuple[Path, ...] = ((_S.FAILED,), (_S.RETRYING, _S.FAILED), (_S.MINED, _S.FAILED))
RETRYING: tuple[Path, ...] = ((_S.RETRYING, _S.MINED, _S.CONFIRMED), (_S.RETRYING, _S.RETRYING, _S.CONFIRMED))


class VenueActs:
    """Acts on the venue, against one account."""

    def __init__(self, venue: Venue, account: str, seed: int, hit: Callable[[Kind], None]) -> None:
        self._venue = venue
        self._account = account
        self._rng = Random(f"acts:{seed}")
        self._hit = hit
        self._fates: list[Fault] = []
        venue.settlement.path_of = self._path_of

    def begin(self, fault: Fault) -> None:
        """Do what a fault says, if it is one of these."""
        match fault.kind:
            case Kind.TICK_CHANGED:
                self._change_tick(fault)
            case Kind.MARKET_RESOLVED:
                if self._venue.find(fault.on).market.status is not MarketStatus.RESOLVED:
                    self._hit(fault.kind)
                    self._venue.resolve(fault.on, self._rng.choice(list(Outcome)))
            case Kind.CASH_WITHDRAWN:
                self._hit(fault.kind)
                self._venue.withdraw(self._account, round(fault.amount))
            case Kind.HEARTBEAT_LOST:
                for key in self._venue.keys.of_wallet(self._account):
                    self._hit(fault.kind)
                    self._venue.lose_heartbeat(key.key)
            case Kind.TRADE_FAILED | Kind.TRADE_RETRYING:
                self._fates.append(fault)

    def end(self, fault: Fault) -> None:
        """End it, where it lasts."""
        if fault in self._fates:
            self._fates.remove(fault)

    def _change_tick(self, fault: Fault) -> None:
        market = self._venue.find(fault.on).market
        if market.status is MarketStatus.OPEN:
            self._hit(fault.kind)
            self._venue.set_tick(fault.on, MILL if market.tick == CENT else CENT)

    def _path_of(self, trade: Trade) -> Path:
        if any(order.maker == self._account for order in trade.orders):
            for fault in self._fates:
                if self._rng.random() < fault.share:
                    self._hit(fault.kind)
                    return self._rng.choice(FAILING if fault.kind is Kind.TRADE_FAILED else RETRYING)
        return GOOD_PATH
