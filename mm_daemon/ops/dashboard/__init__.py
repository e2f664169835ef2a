"""The dashboard: one page that shows the daemon while it trades, and lets a person with the token command it.

`history.py` samples what the charts draw, `payload.py` makes what is sent, `clients.py` sends it, `server.py` has the
routes. `static/` is the page as it is served: no build step, and uPlot as its authors released it.
"""
