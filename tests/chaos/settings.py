"""The daemon's settings in the fault suite: small limits that bind, quick refreshes, latches out of the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .plan import Plan


def write_settings(plan: Plan, url: str, folder: Path) -> Path:
    """Write both files; returns the main one."""
    sockets = url.replace("http", "ws", 1) + "/ws"
    strategy: dict[str, Any] = {
        "markets": [f"demo-{number}" for number in range(1, plan.markets + 1)],
        "base_spread_pct": 0.01,
        "order_size_usd": plan.limits.order,
        "max_position_usd": plan.limits.max_position,
        "max_total_position_usd": plan.limits.max_total,
        "inventory_skew_factor": 0.05,
        "min_profit_pct": 0.0,
        "min_liquidity_usd": 50,
        "refresh_interval_secs": 0.5,
        "stale_order_secs": 3,
    } | plan.strategy
    tables: dict[str, dict[str, Any]] = {
        "wallet": {"signature_type": 0},
        "risk": {
            "max_position_usd": plan.limits.max_position,
            "max_total_position_usd": plan.limits.max_total,
            "max_open_orders": plan.limits.max_open_orders,
            "max_event_position_usd": plan.limits.max_total,
            "max_order_errors": 10_000,
            "max_daily_loss_usd": 100_000,
        }
        | plan.risk,
        "state": {"directory": str(folder / "state")},
        "log": {"format": "json"},
        "http": {"port": 0},
        "venue": {
            "clob_url": url,
            "gamma_url": f"{url}/gamma",
            "market_ws_url": f"{sockets}/market",
            "user_ws_url": f"{sockets}/user",
        },
    }
    (folder / "strategy.toml").write_text(_toml({"name": "liquidity_provision"}, {"strategy": strategy}))
    file = folder / "mm-daemon.toml"
    file.write_text(_toml({"mode": "live", "strategy": "strategy.toml"}, tables))
    return file


def _toml(top: dict[str, Any], tables: dict[str, dict[str, Any]]) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"
