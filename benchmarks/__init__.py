"""Measurements of the daemon's hot path: `python -m benchmarks`.

How each figure is made stands in `micro`, `end_to_end`, `venue` and `stages`.
"""
