"""An exchange to run the daemon against: the venue's wire over loopback, a real book and real money rules.

Nothing is imported here: `child.py` is for the daemon, which has no use for the exchange's own modules.
"""
