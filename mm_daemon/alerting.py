"""Alerts of a running daemon: its webhook by the settings, a look every second, and a last word at the end."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Never

from mm_daemon.config import AlertSettings, Config
from mm_daemon.credentials import load_secret
from mm_daemon.observe import Observer
from mm_daemon.ops.alerts import LEVELS, Alert, Board, ended, summary
from mm_daemon.ops.courier import Courier, courier, offer, session_for_alerts
from mm_daemon.ops.logs import register_secret
from mm_daemon.ops.webhooks import Notice, Webhook
from mm_daemon.toml_tables import ConfigError

if TYPE_CHECKING:
    from mm_daemon.app import Daemon

FILE_VARIABLE = "MM_ALERT_URL_FILE"
CREDENTIAL_NAME = "alert_url"
LOOK_SECS = 1.0


def load_webhook(config: Config, environ: Mapping[str, str] = os.environ) -> Webhook | None:
    """The webhook of these settings, its address registered as a secret; None where they have none.

    Raises:
        ConfigError: the address cannot be read, or is none.
    """
    alerts = config.alerts
    setting = config.file.parent / alerts.url_file if alerts.url_file else None
    url = load_secret("the webhook's address", setting, FILE_VARIABLE, CREDENTIAL_NAME, environ)
    if url is None:
        return None
    try:
        webhook = Webhook(alerts.form, url, alerts.telegram_chat_id)
    except ValueError as error:
        raise ConfigError(setting or "environment", "webhook's address", str(error)) from None
    for secret in webhook.secrets():
        register_secret(secret)
    return webhook


@asynccontextmanager
async def alerting(daemon: Daemon, webhook: Webhook | None) -> AsyncIterator[None]:
    """Tell the webhook what happens to the daemon while the block lasts, and how it ended. Without one, nothing."""
    if webhook is None:
        yield
        return
    settings, instance = daemon.config.alerts, instance_name(daemon.config, daemon.connection.wallet)
    async with courier(webhook, daemon.alerts) as carrier:
        desk = AlertDesk(settings, instance, daemon.observer, carrier)
        watching = asyncio.create_task(daemon.guarded("alerts", desk.watch()), name="alerts")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait({watching})
            end = daemon.end
            desk.tell(ended(end.meaning, end.why, end.may_rest, time.time_ns() // 1_000_000))


class AlertDesk:
    """Looks every second, and gives to the courier what is bad enough."""

    def __init__(self, settings: AlertSettings, instance: str, observer: Observer, carrier: Courier) -> None:
        self._told = LEVELS[LEVELS.index(settings.min_level) :]
        self._instance = instance
        self._observer = observer
        self._carrier = carrier
        self._board = Board(settings.repeat_secs)
        self._values: dict[str, object] = {}

    async def watch(self) -> Never:
        """Look until cancelled."""
        while True:
            seen = await self._observer.watch()
            self._values = summary(seen)
            for alert in self._board.receive(seen):
                self.tell(alert)
            await asyncio.sleep(LOOK_SECS)

    def tell(self, alert: Alert | None) -> None:
        """Give an alert to the courier, if there is one and it is bad enough."""
        if alert is not None and alert.level in self._told:
            self._carrier.post(Notice(self._instance, alert, self._values))


def instance_name(config: Config, wallet: str) -> str:
    """How messages name the daemon: which machine, which mode, which wallet."""
    return f"{config.alerts.instance or socket.gethostname()} ({config.mode}, {wallet[:6]}...{wallet[-4:]})"


async def send_test(config: Config) -> str | None:
    """Send one alert for trial; why it did not arrive, None when it did.

    Raises:
        ConfigError: the settings have no webhook, or one that cannot be used.
    """
    webhook = load_webhook(config)
    if webhook is None:
        raise ConfigError(config.file, "alerts.url_file", f"names no webhook, and neither does {FILE_VARIABLE}")
    name = config.alerts.instance or socket.gethostname()
    trial = Alert("test", "warning", "Test of the alerts", "nothing is wrong", time.time_ns() // 1_000_000)
    async with session_for_alerts() as session:
        verdict = await offer(session, webhook, Notice(f"{name} ({config.mode})", trial))
    return verdict.why if verdict is not None else None
