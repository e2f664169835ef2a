"""A strategy for the exercise: ours, until a file says that it hangs, as a bug in anybody's plug-in may."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from mm_daemon.strategies.api import Event, Signal, View
from mm_daemon.strategies.liquidity_provision import LiquidityProvision

TRIGGER = Path("/run/mm-exercise/hang")


class HangingStrategy(LiquidityProvision):
    """Quotes like its parent; while the trigger lies there, the next event is never answered."""

    name = "hanging_strategy"

    def on_event(self, event: Event, view: View) -> Sequence[Signal]:
        """Answer as usual, or never."""
        while TRIGGER.exists():
            time.sleep(1)
        return super().on_event(event, view)
