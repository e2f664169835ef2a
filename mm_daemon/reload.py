"""SIGHUP: both settings files are read again, checked, and applied as one. Files that do not fit change nothing.

Limits, the strategy's terms and the log change while the daemon runs; where it trades, as whom, and which markets need
a restart. Orders that are still right under the new terms keep their place.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import structlog

from mm_daemon.config import Config, ConfigError, load_config
from mm_daemon.plugins import load_strategy_settings
from mm_daemon.strategies.api import Strategy

FIXED = ("mode", "strategy_file", "state_directory", "venue", "wallet", "http", "alerts", "sim")

log = structlog.get_logger()


class ReloadRefused(Exception):
    """The files do not fit, and everything stayed as it was; the text says why, in one line."""


def read_again(config: Config, strategy: Strategy) -> Config:
    """Read the files of `config`, give the strategy its new settings, and return the new main settings.

    Args:
        config: the settings in force, as they were read from the file.
        strategy: is given its settings; keeps the old ones if they do not fit.

    Raises:
        ReloadRefused: the files do not fit.
    """
    try:
        fresh = load_config(config.file)
        plugin, settings = load_strategy_settings(fresh)
        for name in FIXED:
            if getattr(fresh, name) != getattr(config, name):
                raise ConfigError(config.file, name, "changed, which needs a restart")
        if not isinstance(strategy, plugin):
            raise ConfigError(fresh.strategy_file, "name", "another strategy needs a restart")
        before = strategy.config
        strategy.reload(settings)
    except (ConfigError, ValueError) as error:
        raise ReloadRefused(str(error)) from error
    for key, old, new in [*differences(config, fresh), *differences(before, settings, "strategy.")]:
        log.info("setting_changed", key=key, before=old, after=new)
    log.info("reloaded", file=str(config.file))
    return fresh


def differences(before: msgspec.Struct, after: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Every setting that differs, as (dotted key, before, after)."""
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        if isinstance(old, msgspec.Struct) and isinstance(new, msgspec.Struct):
            yield from differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}", str(old), str(new)
