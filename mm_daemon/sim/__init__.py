"""An exchange to run the daemon against: the venue's wire over loopback, a real book and real money rules."""

from mm_daemon.sim.main import Exchange, ExchangeOptions, make_venue, running_exchange, serve

__all__ = ["Exchange", "ExchangeOptions", "make_venue", "running_exchange", "serve"]
