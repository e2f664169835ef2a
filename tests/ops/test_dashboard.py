"""The dashboard over real sockets: what a page is told, what it costs, and what its commands take."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from mm_daemon.core.units import Cash, Side
from mm_daemon.ops.control import Refused
from mm_daemon.ops.dashboard import clients as pages
from mm_daemon.ops.dashboard.clients import MAX_CLIENTS
from mm_daemon.ops.dashboard.history import DEPTH, History
from mm_daemon.ops.dashboard.payload import EVENTS, FillShown, events
from mm_daemon.ops.dashboard.server import static_files
from mm_daemon.ops.observation import Observation

from ..e2e.daemon import until
from ..given import a_desk, a_market, book_at, cents, shares, usd
from .seen import a_market_seen, an_observation
from .shown import BEARER, PATIENCE_SECS, TOKEN, Page, Shown, Site, served

Serve = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def shown() -> Shown:
    return Shown()


@pytest.fixture
def serve(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serves the dashboard, ten times as quick as usual."""
    monkeypatch.setattr(pages, "TICK_SECS", 0.1)
    monkeypatch.setattr(pages, "SHORTEST_TICK_SECS", 0.01)
    monkeypatch.setattr(pages, "FILLS_SECS", 0.05)

    def serve(token: str = "") -> AbstractAsyncContextManager[Site]:
        return served(shown, token)

    return serve


# The page


async def test_the_page_and_all_that_it_names_is_served(serve: Serve) -> None:
    """Every file of the page comes from the daemon itself, with its type; nothing else does."""
    async with serve() as site:
        async with site.client.get("/") as answer:
            page = await answer.text()
            assert answer.status == 200 and answer.content_type == "text/html"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        named = [part.split('"')[0] for part in page.replace('href="#', "").split('="/static/')[1:]]
        assert len(named) >= 6
        for path in [*named, *static_files()]:
            async with site.client.get(f"/static/{path}") as answer:
                assert answer.status == 200, path
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/static/nothing.js", "/static/../clients.py", "/static/%2e%2e/clients.py", "/static/js"):
            async with site.client.get(path) as answer:
                assert answer.status == 404, path


def test_no_page_holds_code_or_style_in_its_markup() -> None:
    """The content policy forbids it, and a page that needs it would be broken."""
    page = static_files()["index.html"].decode()
    assert "<style" not in page and "style=" not in page and "onclick" not in page
    assert all("src=" in part.split(">")[0] for part in page.split("<script")[1:])
    code = b"".join(content for path, content in static_files().items() if path.startswith("js/"))
    assert b"innerHTML" not in code and b"insertAdjacentHTML" not in code and b"http://" not in code


# What a page is told


async def test_a_new_page_is_told_everything_at_once(shown: Shown, serve: Serve) -> None:
    """Names, the whole state, every market's row, and the events, without a wait for the next second."""
    shown.events = [{"time": "2026-11-22T10:00:00Z", "level": "warning", "event": "order_refused", "market": "m"}]
    async with serve() as site, site.page() as page:
        hello = await page.hear("hello")
        assert hello["mode"] == "live" and hello["can_command"] is False
        names = await page.hear("names")
        assert names["markets"] == [[shown.market.condition_id, "market-1", "Will it happen?", 0]]
        overview = await page.hear("overview")
        assert overview["is_full"] and [row[0] for row in overview["rows"]] == [0]
        assert overview["seen"]["exposure"] == usd(50) and overview["not_ready"] == []
        assert (await page.hear("events"))["events"] == [
            ["2026-11-22T10:00:00Z", "warning", "order_refused", {"market": "m"}]
        ]


async def test_only_rows_that_changed_are_sent_again(shown: Shown, serve: Serve) -> None:
    """A thousand quiet markets cost nothing."""
    shown.seen = an_observation(*(a_market_seen(number) for number in range(1, 1_001)))
    async with serve() as site, site.page() as page:
        assert len((await page.hear("overview"))["rows"]) == 1_000
        assert (await page.hear("overview"))["rows"] == []
        markets = list(shown.seen.markets)
        markets[6] = a_market_seen(7, net=shares(5))
        shown.seen = an_observation(*markets)
        rows: list[list[Any]] = []
        while not rows:
            rows = (await page.hear("overview"))["rows"]
        assert [(row[0], row[9]) for row in rows] == [(6, shares(5))]


async def test_a_watched_market_has_its_ladder_with_our_orders(shown: Shown, serve: Serve) -> None:
    """Levels of everybody, ours beside them, our orders one by one, and the lines of the charts."""
    shown.rest(Side.BUY, cents(47), 20)
    shown.rest(Side.SELL, cents(53), 30)
    async with serve() as site, site.page() as page:
        await page.watch(shown.market.condition_id)
        lines = await page.hear("lines")
        assert lines["mids"][-1] == 10_000 and (lines["bids"][-1], lines["asks"][-1]) == (4_700, 5_300)
        market = await page.hear("market")
        assert market["bids"] == [[4_800, shares(1_000)]] and market["asks"] == [[5_200, shares(1_000)]]
        assert market["own_bids"] == [[4_700, shares(20)]] and market["own_asks"] == [[5_300, shares(30)]]
        assert [order[:5] for order in market["orders"]] == [
            ["BUY", "YES", 4_700, shares(20), "SENDING"],
            ["SELL", "YES", 5_300, shares(30), "SENDING"],
        ]
        assert market["orders"][0][5] == 5.0


async def test_fills_come_from_the_ledger_and_its_trouble_is_told(shown: Shown, serve: Serve) -> None:
    """New fills follow by themselves; a ledger that cannot be read is said, not shown as no fills."""
    fill = FillShown(1, "bid", "NO", 4_900, shares(5), True, "booked", 50_000, (None, None, None))
    shown.fills = [fill]
    async with serve() as site, site.page() as page:
        await page.watch(shown.market.condition_id)
        assert (await page.hear("fills"))["fills"] == [
            [1, "bid", "NO", 4_900, shares(5), True, "booked", 50_000, [None, None, None]]
        ]
        shown.unread = "the ledger is locked"
        assert (await page.hear("fills"))["unread"] == "the ledger is locked"


async def test_a_page_that_asks_nonsense_is_closed(serve: Serve) -> None:
    """Its socket takes one question and no other; the rest of the pages do not notice."""
    async with serve() as site, site.page() as quiet:
        for nonsense in ("{", '{"watch": 1}', '{"watch": null, "more": 1}', "x" * 1_000):
            async with site.client.ws_connect("/api/live") as ws:
                await ws.send_str(nonsense)
                assert await Page(ws).is_closed()
        await quiet.hear("overview")


async def test_an_unknown_market_is_no_trouble(shown: Shown, serve: Serve) -> None:
    """An old address of a market that is gone shows the overview alone."""
    async with serve() as site, site.page() as page:
        await page.watch("0xgone")
        for _ in range(3):
            await page.hear("overview")
        await page.watch(None)
        await page.hear("overview")


async def test_markets_that_appear_are_named(shown: Shown, serve: Serve) -> None:
    """A page that was open while the daemon started learns the markets when they are found."""
    shown.seen = an_observation(a_market_seen())
    async with serve() as site, site.page() as page:
        await page.hear("names")
        shown.seen = an_observation(a_market_seen(1), a_market_seen(2))
        assert [market[1] for market in (await page.hear("names"))["markets"]] == ["market-1", "market-2"]


def test_warnings_outlast_a_flood_of_news() -> None:
    """Orders are sent many times a second; the one refusal among them stays in sight."""
    refusal = {"time": "t", "level": "error", "event": "refused"}
    flood = [{"time": "t", "level": "info", "event": "order_sent", "n": number} for number in range(150)]
    shown = events([refusal, *flood])["events"]
    assert len(shown) == EVENTS + 1 and shown[0][2] == "refused" and shown[-1][3] == {"n": "149"}


# What it costs


async def test_nothing_is_looked_at_while_no_page_is_open(shown: Shown, serve: Serve) -> None:
    """The daemon makes no payload for nobody, before the first page and after the last."""
    async with serve() as site:
        await asyncio.sleep(0.3)
        assert shown.looks == 0
        async with site.page() as page:
            await page.hear("overview")
            await page.hear("overview")
        await until(lambda: not len(site.dashboard.clients), "no page", PATIENCE_SECS)
        await asyncio.sleep(0.15)
        looks = shown.looks
        await asyncio.sleep(0.3)
        assert shown.looks == looks


async def test_all_pages_share_one_look(shown: Shown, serve: Serve) -> None:
    """Five pages cost what one costs."""
    async with serve() as site:
        opened = [await site.client.ws_connect("/api/live") for _ in range(5)]
        await asyncio.gather(*(Page(ws).hear("overview") for ws in opened))
        before, rounds = shown.looks, 5
        for _ in range(rounds):
            await asyncio.gather(*(Page(ws).hear("overview") for ws in opened))
        assert shown.looks - before <= 2 * rounds
        for ws in opened:
            await ws.close()


async def test_pages_are_bounded(serve: Serve) -> None:
    """One page too many is refused, and has its place when another closes."""
    async with serve() as site:
        opened = [await site.client.ws_connect("/api/live") for _ in range(MAX_CLIENTS)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.client.ws_connect("/api/live")
        assert refused.value.status == 503
        await opened.pop().close()
        await until(lambda: len(site.dashboard.clients) < MAX_CLIENTS, "a place", PATIENCE_SECS)
        async with site.page() as page:
            await page.hear("overview")
        for ws in opened:
            await ws.close()


async def test_a_page_that_takes_nothing_is_dropped(
    shown: Shown, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is queued for it, and the others are told as ever."""
    monkeypatch.setattr(pages, "SEND_SECS", 0.5)
    texts = iter(range(10**9))

    async def observe() -> Observation:
        why = f"{next(texts):06d}" * 40
        return an_observation(*(a_market_seen(number, why=why) for number in range(1, 1_001)))

    shown.observe = observe  # type: ignore[method-assign]
    async with serve() as site:
        stuck = await stuck_page(site.url)
        try:
            await until(lambda: len(site.dashboard.clients), "the stuck page", PATIENCE_SECS)
            async with site.page() as page:
                async with asyncio.timeout(3 * PATIENCE_SECS):
                    while len(site.dashboard.clients) > 1:
                        await page.hear("overview")
                await page.hear("overview")
        finally:
            stuck.close()


async def stuck_page(url: str) -> socket.socket:
    """A websocket that is opened and never read."""
    address = urlsplit(url)
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (address.hostname, address.port))
    request = (
        f"GET /api/live HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await loop.sock_sendall(raw, request.encode())
    return raw


async def test_a_look_that_fails_ends_no_more_than_the_pages(shown: Shown, serve: Serve) -> None:
    """What watches must not stop what trades: the pages are dropped, and come back to a dashboard that works."""
    async with serve() as site:
        async with site.page() as page:
            await page.hear("overview")
            shown.failures.append(RuntimeError("a look failed"))
            assert await page.is_closed()
        async with site.page() as page:
            await page.hear("overview")


# History


def test_history_keeps_the_last_fifteen_minutes() -> None:
    """Oldest first, never more than its depth, and the last rounds alone where only they are wanted."""
    market = a_market()
    desk = a_desk(market)
    state = desk.markets[market.condition_id]
    history = History()
    for number in range(DEPTH + 100):
        book_at(desk, market, 40 + number % 10, 60)
        history.sample(desk, state)
        history.end(1_000 * number, Cash(number), Cash(2 * number))
    totals, lines = history.totals(), history.market(market.condition_id)
    assert totals["times"] == [1_000 * number for number in range(100, DEPTH + 100)]
    assert totals["pnl"][-1] == DEPTH + 99 and totals["exposure"][0] == 200
    assert lines["times"] == totals["times"] and len(lines["mids"]) == DEPTH
    assert lines["mids"][-1] == cents(40 + (DEPTH + 99) % 10) + cents(60)
    assert history.totals(1)["times"] == totals["times"][-1:]


def test_a_round_under_way_is_not_seen() -> None:
    """Readers between two slices of a round see whole rounds, also where the newest overwrites the oldest."""
    market = a_market()
    desk = a_desk(market)
    state = book_at(desk, market, 48, 52)
    history = History(depth=3)
    for number in range(5):
        history.sample(desk, state)
        history.end(number, Cash(0), Cash(0))
    before = history.market(market.condition_id)
    book_at(desk, market, 40, 42)
    history.sample(desk, state)
    assert history.market(market.condition_id) == before
    assert before["mids"] == [10_000] * 3


def test_what_is_not_there_is_zero() -> None:
    """No book, no quote: the charts have a gap there, not an old value."""
    market = a_market()
    desk = a_desk(market)
    state = book_at(desk, market, 48, 52)
    state.book.forget()
    history = History()
    history.sample(desk, state)
    history.end(1, Cash(0), Cash(0))
    lines = history.market(market.condition_id)
    assert (lines["mids"], lines["bids"], lines["asks"], lines["nets"]) == ([0], [0], [0], [0])
    assert history.market(a_market(2).condition_id)["times"] == []


# Commands


async def test_without_a_token_nothing_is_commanded(shown: Shown, serve: Serve) -> None:
    """No token is configured: the page may look, and every command is refused with that reason."""
    shown.takes("pause")
    async with serve() as site:
        status, text = await site.command("pause")
        assert status == 403 and "no token configured" in text
    assert shown.told == []


async def test_a_command_carries_the_token_itself(shown: Shown, serve: Serve) -> None:
    """A wrong token, none, or the session of somebody who logged in are not enough."""
    shown.takes("pause")
    async with serve(TOKEN) as site:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(site.url, cookie_jar=jar) as browser:
            async with browser.post("/login", data={"token": TOKEN}) as answer:
                assert answer.status == 200 and answer.url.path == "/"
            for headers in ({}, {"Authorization": "Bearer wrong-token-wrong-token"}, {"Authorization": TOKEN}):
                body = {"command": "pause"}
                async with browser.post("/api/command", json=body, headers=headers) as answer:
                    assert answer.status == 401 and not (await answer.json())["ok"]
        assert shown.told == []
        assert await site.command("pause", reason="lunch") == (200, "pause done")
    assert shown.told == [("pause", "lunch")]


async def test_commands_from_another_site_are_refused(shown: Shown, serve: Serve) -> None:
    """Also with the token: a page elsewhere has no business here."""
    shown.takes("pause")
    async with serve(TOKEN) as site:
        headers = BEARER | {"Origin": "https://evil.example"}
        async with site.client.post("/api/command", json={"command": "pause"}, headers=headers) as answer:
            assert answer.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await site.client.ws_connect("/api/live", origin="https://evil.example")
    assert shown.told == []


async def test_what_cannot_be_done_says_why(shown: Shown, serve: Serve) -> None:
    """The daemon's own refusal, a daemon that does not trade yet, a command that is not the page's, and nonsense."""

    async def refuse(_reason: str) -> str:
        raise Refused("quoting is halted")

    shown.commands["flatten"] = refuse
    shown.takes("reconcile")
    async with serve(TOKEN) as site:
        assert await site.command("flatten") == (409, "quoting is halted")
        assert (await site.command("pause"))[0] == 409
        assert (await site.command("reconcile"))[0] == 409
        async with site.client.post("/api/command", data=b"\xff{") as answer:
            assert answer.status == 400
        async with site.client.get("/api/command") as answer:
            assert answer.status == 405
    assert shown.told == []
