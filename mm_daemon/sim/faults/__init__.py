"""Faults: everything a venue, its network and its chain can do to a client, on a schedule, from inside the exchange.

`schedule` says what a fault is and draws schedules from a seed; `rest`, `sockets` and `acts` do the damage; `play` runs
a schedule by the clock; `monitor` watches one account from the exchange's side. `python -m mm_daemon.sim.faults` is an
exchange with all of it.
"""
