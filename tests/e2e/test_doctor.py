"""The doctor against the built-in exchange: each thing that can be wrong is one line, and hides no other."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

import pytest

from mm_daemon.core.market import MarketStatus

from .commands import command, doctor, ended, started, written
from .conftest import MARKET, Scene
from .daemon import DEPOSIT_WALLET, Addresses, Settings, new_key, until

OK, FAILED, CONFIG = 0, 1, 2
MAY_WARN = {"clock", "approval"}
"""The clock of the machine that runs the tests may be kept by nobody."""


async def test_a_healthy_account(scene: Scene) -> None:
    """Nothing fails, everything was looked at, the exit code is 0 and no order was placed or cancelled."""
    end = await doctor(scene)
    assert end.code == OK, end.out + end.err
    assert {one["check"] for one in end.findings if one["verdict"] != "ok"} <= MAY_WARN
    assert {
        "settings", "strategy", "key", "signer", "wallet", "lock", "disk", "state directory", "ledger", "host", "clock",
        "region", "credentials", "account", "rate limit", "market", "balance", "approval", "orders", "market channel",
        "user channel",
    } == {one["check"] for one in end.findings}  # fmt: skip
    assert end.finding("balance", "pUSD")["detail"].startswith("10000.00")
    assert scene.rest.calls["POST /orders"] + scene.rest.calls["DELETE /orders"] == 0
    assert scene.rest.calls["DELETE /cancel-all"] + scene.rest.calls["POST /v1/heartbeats"] == 0
    assert not (scene.folder / "state").exists()


async def test_no_secret_is_shown(scene: Scene) -> None:
    """Neither the private key nor anything of the API key but its owner's address."""
    plain = await command("doctor", "--config", str(written(scene)), MM_PRIVATE_KEY=scene.private_key)
    assert plain.code == OK
    shown = plain.out + plain.err + (await doctor(scene)).out
    [key] = scene.exchange.venue.keys.of_wallet(scene.account)
    assert not [secret for secret in (scene.private_key, key.secret, key.passphrase, key.key) if secret in shown]


async def test_the_venue_refuses_our_key(scene: Scene) -> None:
    """What needs the account is skipped and says why; markets and hosts are looked at all the same."""
    refusal = (401, {"error": "Invalid L1 Request headers"})
    scene.rest.answers |= {"POST /auth/api-key": refusal, "GET /auth/derive-api-key": refusal}
    end = await doctor(scene)
    assert end.code == FAILED
    assert end.verdict("credentials") == "fail"
    assert "private key" in end.finding("credentials")["remedy"]
    for skipped in ("account", "rate limit", "balance", "approval", "orders", "user channel"):
        assert (end.verdict(skipped), end.finding(skipped)["detail"]) == ("skip", "skipped because of: credentials")
    assert end.verdict("market") == end.verdict("market channel") == end.verdict("clock", "the venue") == "ok"


async def test_an_account_that_may_only_close(scene: Scene) -> None:
    """Closed-only fails."""
    scene.rest.answers["GET /auth/ban-status/closed-only"] = (200, {"closed_only": True})
    end = await doctor(scene)
    assert (end.code, end.verdict("account")) == (FAILED, "fail")


async def test_a_clock_that_is_off(scene: Scene) -> None:
    """A minute is too much, with NTP as the remedy."""
    scene.rest.answers["GET /time"] = (200, int(time.time()) + 60)
    end = await doctor(scene)
    assert (end.code, end.verdict("clock", "the venue")) == (FAILED, "fail")
    assert "NTP" in end.finding("clock", "the venue")["remedy"]


async def test_a_contract_without_approval(scene: Scene) -> None:
    """The contract that settles our market fails for bids and for sales; another contract is only worth knowing."""
    normal, neg_risk, _ = scene.exchange.venue.exchange_contracts
    scene.exchange.venue.revoke(scene.wallet, normal)
    scene.exchange.venue.revoke(scene.wallet, neg_risk)
    end = await doctor(scene)
    assert end.code == FAILED
    assert end.verdict("approval", "pUSD to CTF Exchange V2") == "fail"
    assert end.verdict("approval", "conditional tokens to CTF Exchange V2") == "fail"
    assert end.verdict("approval", "pUSD to Neg-risk Exchange V2") == "warn"
    assert end.verdict("approval", "pUSD, as the exchange counts it") == "fail"
    assert normal in end.finding("approval", "pUSD to CTF Exchange V2")["remedy"]


async def test_a_data_service_that_is_down(scene: Scene) -> None:
    """What the exchange itself counts with decides; the list of approvals is only missing."""
    scene.rest.answers["GET /data-api/v2/approvals"] = (500, {"error": "down"})
    end = await doctor(scene)
    assert end.code == OK, end.out
    assert (end.verdict("approval", "pUSD"), end.verdict("approval", "all others")) == ("ok", "warn")


@pytest.mark.parametrize(
    ("country", "verdict", "code"), [("US", "fail", FAILED), ("IE", "warn", OK), (None, "fail", FAILED)]
)
async def test_a_blocked_region(scene: Scene, country: str | None, verdict: str, code: int) -> None:
    """Blocked is blocked, but where only the website is closed the exchange has the word."""
    scene.rest.answers["GET /api/geoblock"] = (200, {"blocked": True, "country": country, "ip": "192.0.2.1"})
    end = await doctor(scene)
    assert (end.verdict("region"), end.code) == (verdict, code)


async def test_a_key_that_others_can_read(scene: Scene) -> None:
    """Mode 644 is refused with the cure; all that needs no key is looked at."""
    file = scene.folder / "key"
    file.write_text(scene.private_key)
    file.chmod(0o644)
    end = await doctor(scene, MM_PRIVATE_KEY_FILE=str(file))
    assert (end.code, end.verdict("key")) == (FAILED, "fail")
    assert "chmod 600" in end.finding("key")["detail"]
    assert end.verdict("signer") == end.verdict("credentials") == "skip"
    assert end.verdict("market") == end.verdict("region") == "ok"
    file.chmod(0o600)
    assert (await doctor(scene, MM_PRIVATE_KEY_FILE=str(file))).code == OK


async def test_markets_one_by_one(scene: Scene) -> None:
    """Each market has its own line: unknown, listed twice, closed, without a crowd, and good."""
    listed = scene.exchange.venue.find(MARKET).market
    end = await doctor(scene, Settings(strategy={"markets": [MARKET, "no-such-market", listed.condition_id]}))
    assert end.code == FAILED
    assert [end.verdict("market", ref) for ref in (MARKET, "no-such", "0x")] == ["ok", "fail", "fail"]
    scene.exchange.trader("crowd").cancel_all()
    end = await doctor(scene)
    assert (end.code, end.verdict("market")) == (OK, "warn")
    scene.exchange.venue.set_status(MARKET, MarketStatus.NOT_ACCEPTING)
    assert (await doctor(scene)).verdict("market") == "warn"
    scene.exchange.venue.set_status(MARKET, MarketStatus.CLOSED)
    assert (await doctor(scene)).verdict("market") == "fail"


async def test_limits_below_the_smallest_order(scene: Scene) -> None:
    """Five shares at 48 cents are more than a dollar: that market would never be quoted."""
    end = await doctor(scene, Settings(risk={"max_order_usd": 1}))
    assert (end.code, end.verdict("market")) == (FAILED, "fail")
    assert "max_order_usd" in end.finding("market")["detail"]


async def test_a_wallet_of_another_key(scene: Scene) -> None:
    """A funder that does not follow from the key is told with the wallets that do."""
    end = await doctor(scene, Settings(wallet={"signature_type": 3, "funder": DEPOSIT_WALLET}))
    assert end.verdict("wallet") == "warn"
    assert scene.account in end.finding("wallet")["detail"].lower()


async def test_a_wallet_of_another_type(scene: Scene) -> None:
    """The right wallet under the wrong signature type fails, with the right type as the remedy."""
    settings = Settings(wallet={"signature_type": 2, "funder": DEPOSIT_WALLET})
    end = await doctor(scene, settings, MM_PRIVATE_KEY="11" * 32)
    assert (end.code, end.verdict("wallet")) == (FAILED, "fail")
    assert "signature_type = 3" in end.finding("wallet")["remedy"]


async def test_an_empty_wallet(scene: Scene) -> None:
    """No pUSD, no tokens: fails, after the venue was asked to look at the chain again."""
    scene.exchange.venue.fund_new(scene.wallet)
    scene.exchange.venue.withdraw(scene.wallet, 10_000)
    scene.rest.answers["GET /balance-allowance"] = (200, {"balance": "0", "allowances": {}})
    end = await doctor(scene)
    assert (end.code, end.verdict("balance", "pUSD")) == (FAILED, "fail")
    assert scene.rest.calls["GET /balance-allowance/update"] == 1


async def test_a_venue_that_is_down(scene: Scene) -> None:
    """Everything about it fails or is skipped; this machine is looked at; it ends soon."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here, sockets = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/ws"
    down = Addresses(clob=here, gamma=f"{here}/gamma", market_ws=f"{sockets}/market", user_ws=f"{sockets}/user")
    end = await doctor(scene, Settings(addresses=down))
    assert (end.code, end.verdict("host")) == (FAILED, "fail")
    assert end.verdict("credentials") == end.verdict("market") == end.verdict("region") == "skip"
    assert end.verdict("disk") == end.verdict("lock") == end.verdict("signer") == "ok"


async def test_a_venue_that_is_deaf(scene: Scene) -> None:
    """It takes requests and never answers: each check has its own deadline, and they wait side by side."""
    scene.rest.is_deaf = True
    began = asyncio.get_running_loop().time()
    end = await doctor(scene)
    assert end.code == FAILED
    assert end.verdict("clock", "the venue") == end.verdict("credentials") == end.verdict("market") == "fail"
    assert {one["verdict"] for one in end.findings if one["check"] == "host"} == {"ok"}
    assert asyncio.get_running_loop().time() - began < 35


async def test_a_signal(scene: Scene) -> None:
    """It ends at once and says that it did not look to the end: exit code 1."""
    scene.rest.is_deaf = True
    process = await started("doctor", "--config", str(written(scene)), MM_PRIVATE_KEY=scene.private_key)
    await until(lambda: scene.rest.waiting["GET /time"], "the first request", 30)
    process.send_signal(signal.SIGINT)
    end = await ended(process)
    assert (end.code, "interrupted" in end.out) == (FAILED, True), end.out + end.err


async def test_beside_a_running_daemon(scene: Scene) -> None:
    """The lock's holder and the orders that rest are worth knowing; nothing of the daemon's is touched."""
    settings = Settings()
    async with scene.daemon(settings) as daemon:
        await scene.quoted()
        ids = scene.ids
        end = await doctor(scene, settings)
        assert end.code == OK, end.out
        assert (end.verdict("lock"), end.verdict("orders")) == ("warn", "warn")
        assert str(daemon.pid) in end.finding("lock")["detail"]
        assert scene.ids == ids
        assert await daemon.stop() == 0


async def test_wrong_settings(scene: Scene) -> None:
    """A mistake in either file is exit code 2; one in the strategy's hides nothing else."""
    end = await doctor(scene, Settings(risk={"max_positon_usd": 5}))
    assert (end.code, [one["check"] for one in end.findings]) == (CONFIG, ["settings"])
    end = await doctor(scene, Settings(strategy={"base_spread_pct": 2}))
    assert (end.code, end.verdict("strategy"), end.verdict("market")) == (CONFIG, "fail", "skip")
    assert end.verdict("credentials") == "ok"


async def test_simulated_mode(tmp_path: Path) -> None:
    """Without a venue this machine is looked at, and the rest is said to be for live mode."""
    end = await command("doctor", "--config", str(Settings(mode="sim").write(tmp_path)), "--json")
    assert end.code == OK, end.out + end.err
    assert {"settings", "strategy", "state directory", "disk", "ledger", "lock", "clock", "venue"} == {
        one["check"] for one in end.findings
    }
    assert end.verdict("venue") == "skip"


async def test_funder_that_contradicts_its_type(scene: Scene) -> None:
    """Type 0 trades from the key's own address: another funder is refused before anything is asked."""
    _, stranger = new_key()
    end = await doctor(scene, Settings(wallet={"signature_type": 0, "funder": stranger}))
    assert (end.code, end.verdict("signer"), end.verdict("lock")) == (FAILED, "fail", "skip")
    assert end.verdict("market") == "ok"
