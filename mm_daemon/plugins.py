"""Strategies by name: the entry-point group through which our own and third parties' are found.

A plug-in is a class as `mm_daemon.strategies.api.Strategy` describes it; its settings are checked against its own
`config_type`.
"""

from __future__ import annotations

import difflib
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

import msgspec

from mm_daemon.config import Config, ConfigError, convert, load_strategy_table
from mm_daemon.strategies.api import Strategy

GROUP = "mm_daemon.strategies"


def find_strategy(name: str, file: Path) -> type[Strategy]:
    """The plug-in registered under `name`.

    Args:
        name: the entry point's name.
        file: the strategy's file, for the message.

    Raises:
        ConfigError: no such plug-in is installed, or it cannot be loaded or names no `config_type`.
    """
    known = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"installed: {', '.join(sorted(known)) or 'none'}"
        raise ConfigError(file, "name", f"no strategy of that name is installed, {hint}")
    try:
        plugin: Any = known[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(file, "name", f"the strategy {name} cannot be loaded: {error}") from error
    config_type = getattr(plugin, "config_type", None)
    if not (isinstance(config_type, type) and issubclass(config_type, msgspec.Struct)):
        raise ConfigError(file, "name", f"the strategy {name} names no struct type for its settings (config_type)")
    return cast(type[Strategy], plugin)


def load_strategy_settings(config: Config) -> tuple[type[Strategy], msgspec.Struct]:
    """The plug-in that the strategy's file names, and its settings, checked.

    Raises:
        ConfigError: the file, the plug-in or the settings are wrong.
    """
    name, table, file = load_strategy_table(config)
    plugin = find_strategy(name, file)
    settings = convert(table, plugin.config_type, file, "strategy")
    return plugin, settings
