"""The doctor's parts: how checks are run and printed, and what each looks at on this machine and in a market."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from mm_daemon.books import ledger_file
from mm_daemon.config import VenueSettings
from mm_daemon.core.market import MarketStatus
from mm_daemon.core.risk import Limits
from mm_daemon.doctor import machine, network, verdict
from mm_daemon.doctor.account import judge_approval, judge_wallet, needed_spenders
from mm_daemon.doctor.checks import Check, Finding, Seen, Verdict, fail, ok, run_checks, skip, warn
from mm_daemon.doctor.examination import exit_code
from mm_daemon.doctor.markets import judge_market
from mm_daemon.exchange.polymarket.approvals import PUSD, UNLIMITED, Permission
from mm_daemon.exchange.polymarket.contracts import load_contracts
from mm_daemon.journal import rows
from mm_daemon.journal.ledger import Ledger
from mm_daemon.journal.rows import Latch
from mm_daemon.ops.lock import wallet_lock
from mm_daemon.ops.logs import register_secret

from .given import a_market, a_snapshot, levels, usd

LIMITS = Limits(usd(250), usd(1_000), 100, usd(500), usd(100))
NOW = 1_790_000_000


async def seeing(seen: Seen) -> Seen:
    """A check that has nothing to wait for."""
    return seen


async def test_checks_run_side_by_side_and_in_order() -> None:
    """Findings stand in the order of the checks, whichever ended first; each waits for nothing but what it names."""
    first_may_end = asyncio.Event()

    async def slow() -> Seen:
        await first_may_end.wait()
        return ok("slow")

    async def quick() -> Seen:
        first_may_end.set()
        return ok("quick")

    findings = await run_checks([Check("slow", "", slow), Check("quick", "it", quick)])
    assert [(one.check, one.subject, one.detail) for one in findings] == [
        ("slow", "", "slow"),
        ("quick", "it", "quick"),
    ]


async def test_a_check_that_breaks_or_hangs_hides_no_other() -> None:
    """An error that nobody thought of, and one that never ends, are failures with the check's remedy."""

    async def broken() -> Seen:
        raise ZeroDivisionError("oh")

    async def hanging() -> Seen:
        await asyncio.Event().wait()
        return ok("never")

    findings = await run_checks(
        [
            Check("broken", "", broken, remedy="mend it"),
            Check("hanging", "", hanging, deadline_secs=0.05, remedy="wait"),
            Check("fine", "", lambda: seeing(ok("fine"))),
        ]
    )
    assert [(one.verdict, one.detail, one.remedy) for one in findings] == [
        (Verdict.FAIL, "ZeroDivisionError: oh", "mend it"),
        (Verdict.FAIL, "no answer within 0.05 s", "wait"),
        (Verdict.OK, "fine", ""),
    ]


async def test_what_stands_on_a_failure_is_skipped() -> None:
    """Down the whole chain, each naming what it stands on; a warning carries, and `after` does not mind a failure."""
    ground = Check("ground", "", lambda: seeing(fail("gone", "bring it back")))
    wall = Check("wall", "", lambda: seeing(ok("never seen")), needs=[ground])
    roof = Check("roof", "", lambda: seeing(ok("never seen")), needs=[wall])
    loose = Check("loose", "", lambda: seeing(warn("loose", "tie it")), after=[ground, roof])
    upon = Check("upon", "", lambda: seeing(ok("seen")), needs=[loose])
    findings = await run_checks([ground, wall, roof, loose, upon])
    assert [one.verdict for one in findings] == [
        Verdict.FAIL, Verdict.SKIP, Verdict.SKIP, Verdict.WARN, Verdict.OK
    ]  # fmt: skip
    assert [one.detail for one in findings[1:3]] == ["skipped because of: ground", "skipped because of: wall"]


async def test_one_check_may_see_several_things() -> None:
    """Each with its own subject."""
    several = Check("thing", "all", lambda: seen_all())

    async def seen_all() -> list[Seen]:
        return [ok("a", "one"), fail("b", "c", "two")]

    assert [(one.check, one.subject) for one in await run_checks([several])] == [("thing", "one"), ("thing", "two")]


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([Finding("disk", "", Verdict.OK, ""), Finding("lock", "", Verdict.WARN, "")], 0),
        ([Finding("disk", "", Verdict.FAIL, ""), Finding("lock", "", Verdict.SKIP, "")], 1),
        ([Finding("strategy", "", Verdict.FAIL, ""), Finding("disk", "", Verdict.FAIL, "")], 2),
    ],
)
def test_exit_codes(findings: list[Finding], code: int) -> None:
    """Warnings pass; a failure is 1, one in the settings 2."""
    assert exit_code(findings) == code


def test_plain_lines_have_the_remedy_below() -> None:
    """Columns for a person without a terminal; what is fine needs no remedy; the last line counts."""
    findings = [Finding("disk", "/var", Verdict.OK, "9 GiB free"), Finding("key", "", Verdict.FAIL, "none", "give one")]
    assert verdict.show(findings, as_json=False).splitlines() == [
        "ok    disk /var  9 GiB free",
        "fail  key        none",
        "                 do: give one",
        "",
        "1 ok, 1 failed",
    ]


def test_json_and_secrets() -> None:
    """Five keys for each finding; a registered secret is in neither form."""
    register_secret("hush-hush-hush")
    findings = [Finding("key", "", Verdict.WARN, "hush-hush-hush came back", "ask hush-hush-hush")]
    [document] = json.loads(verdict.show(findings, as_json=True))
    assert sorted(document) == ["check", "detail", "remedy", "subject", "verdict"]
    assert document["verdict"] == "warn"
    assert "hush" not in str(document) + verdict.show(findings, as_json=False)


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words, drawn by rich."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    drawn = verdict.show([Finding("key", "", Verdict.FAIL, "none", "give one")], as_json=False)
    assert "\x1b[" in drawn
    assert "do: give one" in drawn


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://clob.polymarket.com", "https://polymarket.com"),
        ("https://clob.example.com:444", "https://example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://exchange:80", "http://exchange:80"),
    ],
)
def test_the_website_of_a_venue(url: str, site: str) -> None:
    """The domain that the exchange's host is in; an address is its own."""
    assert network.website_of(url) == site


def test_every_host_once() -> None:
    """Both channels of production share a host, and each URL finds its own."""
    venue = VenueSettings()
    hosts = network.hosts_of(venue)
    assert [host.title for host in hosts] == [
        "clob.polymarket.com:443",
        "gamma-api.polymarket.com:443",
        "data-api.polymarket.com:443",
        "ws-subscriptions-clob.polymarket.com:443",
        "polymarket.com:443",
    ]
    assert all(host.is_tls for host in hosts)
    assert network.host_of(hosts, venue.user_ws_url).services == "market channel, user channel"


async def test_a_name_that_does_not_exist() -> None:
    """DNS is the remedy."""
    seen = await network.look_at_host(network.Host("exchange", "no-such-host.invalid", 443, True))
    assert seen.verdict is Verdict.FAIL
    assert "DNS" in seen.remedy


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that signed itself; its key lies beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names, *files], check=True, capture_output=True, timeout=60)
    return certificate


@asynccontextmanager
async def host_with(certificate: Path) -> AsyncIterator[network.Host]:
    """A host of ours that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        yield network.Host("exchange", "localhost", server.sockets[0].getsockname()[1], True)


async def test_a_certificate_that_nobody_trusts(certificate: Path) -> None:
    """A host that is not who it says fails at its certificate; without TLS the same port is reached."""
    async with host_with(certificate) as host:
        seen = await network.look_at_host(host)
        assert (seen.verdict, "certificate" in seen.detail.lower()) == (Verdict.FAIL, True)
        assert (await network.look_at_host(host._replace(is_tls=False))).verdict is Verdict.OK


async def test_a_certificate_that_ends_soon(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trusted one is good, with the time of each step; its last days are worth knowing."""
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr("ssl.create_default_context", lambda: trusting)
    async with host_with(certificate) as host:
        seen = await network.look_at_host(host)
        assert (seen.verdict, "ends in" in seen.detail, "TLS" in seen.detail) == (Verdict.WARN, True, True)
        monkeypatch.setattr(network, "CERTIFICATE_SECS", 60)
        assert (await network.look_at_host(host)).verdict is Verdict.OK


def test_settings_that_others_can_change(tmp_path: Path) -> None:
    """Limits stand in them, so nobody else should write them."""
    file = tmp_path / "mm-daemon.toml"
    file.touch(0o644)
    file.chmod(0o644)
    assert machine.look_at_file(file, "valid").verdict is Verdict.OK
    file.chmod(0o666)
    assert machine.look_at_file(file, "valid").verdict is Verdict.WARN


def test_the_state_directory(tmp_path: Path) -> None:
    """Not made by looking; open to others is told; a file in its place fails."""
    directory = tmp_path / "state" / "live"
    assert machine.look_at_state(directory).verdict is Verdict.OK
    assert not directory.exists()
    directory.mkdir(parents=True, mode=0o700)
    assert machine.look_at_state(directory).verdict is Verdict.OK
    directory.chmod(0o755)
    assert machine.look_at_state(directory).verdict is Verdict.WARN
    (tmp_path / "file").touch()
    assert machine.look_at_state(tmp_path / "file" / "live").verdict is Verdict.FAIL


@pytest.mark.parametrize(("free", "expected"), [(10, Verdict.FAIL), (2**30, Verdict.WARN), (2**40, Verdict.OK)])
def test_room_on_the_disk(free: int, expected: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little room is told, hardly any fails; the directory need not exist."""
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": free}))
    assert machine.look_at_disk(tmp_path / "not" / "yet").verdict is expected


async def test_the_ledger(tmp_path: Path) -> None:
    """None yet is fine; a halt that a person has to lift is told; a file that is no ledger fails."""
    config = tmp_path / "mm-daemon.toml"
    assert machine.look_at_ledger(tmp_path, config).verdict is Verdict.OK
    ledger = Ledger.open(ledger_file(tmp_path))
    ledger.note(rows.latch_row(Latch(kind="kill", reason="daily loss", set_at_ms=1, set_by="guard", market="")))
    await ledger.close()
    seen = machine.look_at_ledger(tmp_path, config)
    assert (seen.verdict, "daily loss" in seen.detail, "resume" in seen.remedy) == (Verdict.WARN, True, True)
    ledger_file(tmp_path).write_bytes(b"not a database, but long enough to be read as the header of one" * 99)
    assert machine.look_at_ledger(tmp_path, config).verdict is Verdict.FAIL


def test_the_lock(tmp_path: Path) -> None:
    """Held by another process or free; looking makes no file, and asks for one wallet or for any."""
    assert machine.look_at_lock(tmp_path, "0xAB").verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []
    with wallet_lock(tmp_path, "0xAB"):
        assert machine.look_at_lock(tmp_path, "0xab").verdict is Verdict.WARN
        assert machine.look_at_lock(tmp_path, "").verdict is Verdict.WARN
        assert machine.look_at_lock(tmp_path, "0xCD").verdict is Verdict.OK
    assert machine.look_at_lock(tmp_path, "0xAB").verdict is Verdict.OK


def test_this_clock() -> None:
    """The kernel's word is taken as it is: kept, not kept, or untold, and never a failure."""
    assert machine.look_at_clock().verdict in (Verdict.OK, Verdict.WARN, Verdict.SKIP)


def test_where_the_key_comes_from() -> None:
    """The place is named, and nothing of the key."""
    assert machine.key_source({"MM_PRIVATE_KEY": "11" * 32}) == "from MM_PRIVATE_KEY"
    assert "/etc/key" in machine.key_source({"MM_PRIVATE_KEY_FILE": "/etc/key"})
    assert "private_key" in machine.key_source({"CREDENTIALS_DIRECTORY": "/run/x"})


def test_a_market_that_ends_soon() -> None:
    """Held as the guard would hold it."""
    market = a_market()
    book = a_snapshot(market, levels((48, 100)), levels((52, 100)))
    assert judge_market(market, book, LIMITS, 300, NOW).verdict is Verdict.OK
    ending = msgspec.structs.replace(market, end_secs=NOW + 200)
    assert judge_market(ending, book, LIMITS, 300, NOW).verdict is Verdict.WARN
    assert judge_market(ending, book, LIMITS, 100, NOW).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("bids", "asks"),
    [([], []), (levels((48, 100)), []), (levels((48, 0)), levels((52, 1))), (levels((52, 1)), levels((52, 1)))],
    ids=["empty", "one_sided", "level_without_size", "crossed"],
)
def test_a_book_that_nobody_can_quote_around(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> None:
    """A warning: it may be good again in a second."""
    market = a_market()
    assert judge_market(market, a_snapshot(market, bids, asks), LIMITS, 0, NOW).verdict is Verdict.WARN  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bid", "ask", "cap", "expected"),
    [(48, 52, 2.4, Verdict.OK), (48, 52, 2.39, Verdict.FAIL), (2, 10, 4.49, Verdict.FAIL), (90, 99, 4.5, Verdict.OK)],
)
def test_the_smallest_order_against_the_limits(bid: float, ask: float, cap: float, expected: Verdict) -> None:
    """Five shares of YES at the bid, or of NO at one minus the ask, have to fit."""
    market = a_market()
    book = a_snapshot(market, levels((bid, 100)), levels((ask, 100)))
    limits = Limits(usd(250), usd(1_000), 100, usd(500), usd(cap))
    assert judge_market(market, book, limits, 0, NOW).verdict is expected


def test_closed_markets() -> None:
    """One that is over fails; one that is not open now may open."""
    market = a_market()
    verdicts = {
        status: judge_market(
            msgspec.structs.replace(market, status=status),
            None, LIMITS, 0, NOW,
        ).verdict
        for status in (MarketStatus.NOT_ACCEPTING, MarketStatus.CLOSED, MarketStatus.RESOLVED)
    }  # fmt: skip
    assert list(verdicts.values()) == [Verdict.WARN, Verdict.FAIL, Verdict.FAIL]


def test_wallets() -> None:
    """The wallet that follows from the key under its type is good; on another chain nobody can tell."""
    account, deposit = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A", "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9"
    assert judge_wallet(account, deposit, 3, 137).verdict is Verdict.OK
    assert judge_wallet(account, deposit, 2, 137).verdict is Verdict.FAIL
    assert judge_wallet(account, "0x" + "77" * 20, 3, 137).verdict is Verdict.WARN
    assert judge_wallet(account, deposit, 3, 80002).verdict is Verdict.SKIP


def test_contracts_that_our_markets_need() -> None:
    """The one that settles them; both usual ones where no market could be read."""
    contracts = load_contracts(137)
    assert needed_spenders(contracts, [a_market()]) == {contracts.normal.address}
    assert needed_spenders(contracts, [a_market(neg_risk=True)]) == {contracts.neg_risk.address}
    assert needed_spenders(contracts, []) == {contracts.normal.address, contracts.neg_risk.address}


@pytest.mark.parametrize(
    ("amount", "is_needed", "expected"),
    [
        (UNLIMITED, True, Verdict.OK),
        (0, True, Verdict.FAIL),
        (0, False, Verdict.WARN),
        (None, True, Verdict.WARN),
    ],
)
def test_an_approval(amount: int | None, is_needed: bool, expected: Verdict) -> None:
    """Missing where orders need it fails; what the list does not know is only worth knowing."""
    wanted = Permission(PUSD, "0xEE", "an exchange", is_exchange=True)
    found = {} if amount is None else {(PUSD.lower(), "0xee"): amount}
    assert judge_approval(wanted, found, frozenset({"0xEE"} if is_needed else ())).verdict is expected


async def test_skip_is_no_failure() -> None:
    """A check may say itself that it does not apply."""
    [finding] = await run_checks([Check("venue", "", lambda: seeing(skip("no venue")))])
    assert (finding.verdict, exit_code([finding])) == (Verdict.SKIP, 0)
