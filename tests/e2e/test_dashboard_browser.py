"""The dashboard in a real browser, in front of the real daemon and the built-in exchange."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from mm_daemon.core.units import Outcome, Side

from ..browser.browser import Browser, a_browser, missing
from ..given import cents, shares, usd
from ..ops.seen import a_market_seen, a_result, an_observation
from ..ops.shown import Shown, served
from .commands import command
from .conftest import MARKET, Scene
from .daemon import DaemonProcess, Settings, patience, until
from .test_watching import free_port

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "nothing is missing")

TOKEN = "correct-horse-battery-staple"
STOPPED = 0
LONGEST_PAUSE_SECS = 20
"""Between two of the page's tries to connect again."""
OUR_LEVELS = """[...document.querySelectorAll('#ladder tr[data-own]')].map((row) =>
    [row.className, row.cells[2].textContent, row.cells[row.className === 'bid' ? 0 : 4].textContent])"""
HAS_SIDEWAYS_SCROLL = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with a_browser() as browser:
        yield browser


def with_token(scene: Scene, **http: Any) -> Settings:
    """Settings with a token in a file of its owner's."""
    file = scene.folder / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    return Settings(http={"port": 0, "token_file": "token", **http})


async def opened(browser: Browser, daemon: DaemonProcess, *, logs_in: bool = False) -> str:
    """Open the daemon's page and wait until it shows it trading; returns its address."""
    url = str((await daemon.logged("http_listening", secs=20))["url"])
    await browser.do("open", url=url)
    if logs_in:
        await browser.do("fill", at="input[name=token]", text=TOKEN)
        await browser.do("click", at="button")
    await browser.until_text("#state-text", "quoting 1 of 1")
    return url


async def ask_for(browser: Browser, name: str, *, token: str = "", word: str = "", reason: str = "") -> None:
    """Open a command's dialogue and fill it in."""
    await browser.do("click", at=f'[data-command="{name}"]')
    if token:
        await browser.do("fill", at="#confirm-token", text=token)
    if word:
        await browser.do("fill", at="#confirm-word", text=word)
    if reason:
        await browser.do("fill", at="#confirm-reason", text=reason)


async def test_the_page_shows_the_market_as_the_exchange_has_it(scene: Scene, browser: Browser) -> None:
    """Our orders are marked in the book at the exchange's own prices; a fill appears; the console stays empty."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        await opened(browser, daemon)
        bid, ask = scene.order(Side.BUY), scene.order(Side.SELL)
        ours = [
            ["ask", f"{ask.yes_price / 10_000:.2f}", f"{ask.size / 1e6:g}"],
            ["bid", f"{bid.yes_price / 10_000:.2f}", f"{bid.size / 1e6:g}"],
        ]
        await browser.until(f"JSON.stringify({OUR_LEVELS}) === {_json(_json(ours))}")
        assert await browser.text("#market-title") == MARKET
        assert await browser.text("#mode") == "live"
        scene.exchange.trader("taker").sell(MARKET, Outcome.YES, cents(49), shares(40))
        await browser.until_text("#fills tbody", "40")
        await browser.until_text("#position", "+40")
        row = await browser.evaluate("[...document.querySelector('#fills tbody tr').cells].map((c) => c.textContent)")
        assert row[1:5] == ["bid", "0.49", "40", "+0.400"]
        await browser.until("document.querySelector('#price-chart canvas').width > 100")
        assert await browser.complaints() == []
        assert await daemon.stop() == STOPPED


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


async def test_a_market_cannot_write_the_page(scene: Scene, browser: Browser) -> None:
    """Markup in a market's question, or in a reason that ends up in the log, is shown as the text that it is."""
    attack = "<img src=x onerror=\"document.title='taken'\"><script>alert(1)</script>"
    listed = scene.exchange.venue.find(MARKET)
    listed.market = msgspec.structs.replace(listed.market, question=attack)
    async with scene.daemon() as daemon:
        await scene.quoted()
        await opened(browser, daemon)
        await browser.until_text("#market-question", "onerror")
        assert await browser.text("#market-question") == attack
        file = str(scene.folder / "mm-daemon.toml")
        assert (await command("pause", "--config", file, "--reason", attack)).code == 0
        await browser.until_text("#notice", "onerror")
        await browser.until_text("#events", "onerror")
        assert await browser.evaluate("document.querySelectorAll('main img, main script, .banner img').length") == 0
        assert await browser.evaluate("document.title") == "mm-daemon live"
        assert await browser.complaints() == []
        assert await daemon.stop() == STOPPED


async def test_themes_and_narrow_screens(scene: Scene, browser: Browser) -> None:
    """The system's colours unless others are chosen, which are kept; nothing hangs over the edge of a phone."""
    ground = "getComputedStyle(document.body).backgroundColor"
    async with scene.daemon() as daemon:
        await scene.quoted()
        url = await opened(browser, daemon)
        dark = await browser.evaluate(ground)
        await browser.do("scheme", scheme="light")
        await browser.until(f"{ground} !== {_json(dark)}")
        light = await browser.evaluate(ground)
        await browser.do("click", at="#theme")
        assert await browser.evaluate(ground) == dark and await browser.text("#theme") == "Dark"
        await browser.do("open", url=url)
        assert await browser.evaluate(ground) == dark
        await browser.do("click", at="#theme")
        assert await browser.evaluate(ground) == light and await browser.text("#theme") == "Light"
        for width in (320, 360, 390, 700, 800, 1_000, 1_200, 1_440):
            await browser.do("size", width=width, height=800)
            assert not await browser.evaluate(HAS_SIDEWAYS_SCROLL), width
        assert await browser.complaints() == []
        assert await daemon.stop() == STOPPED


async def test_without_a_token_the_page_commands_nothing(scene: Scene, browser: Browser) -> None:
    """The buttons are there, cannot be pressed, and say why."""
    async with scene.daemon() as daemon:
        await scene.quoted()
        await opened(browser, daemon)
        buttons = "[...document.querySelectorAll('[data-command]')]"
        assert await browser.evaluate(f"{buttons}.every((button) => button.disabled)")
        assert "no token configured" in await browser.evaluate(f"{buttons}[0].title")
        assert await browser.evaluate("document.querySelector('#commands').dataset.note") == "no token configured"
        assert await daemon.stop() == STOPPED


async def test_commands_take_the_token_and_a_confirmation(scene: Scene, browser: Browser) -> None:
    """Logged in is not enough: each command asks for the token; the dangerous ones for their name as well."""
    file = str(scene.folder / "mm-daemon.toml")
    is_disabled = "document.querySelector('#confirm-do').disabled"
    async with scene.daemon(with_token(scene)) as daemon:
        await scene.quoted()
        url = await opened(browser, daemon, logs_in=True)
        async with aiohttp.ClientSession() as stranger, stranger.post(f"{url}/api/command", json={}) as answer:
            assert answer.status == 401

        await ask_for(browser, "pause", reason="lunch")
        assert await browser.evaluate(is_disabled)
        await browser.do("fill", at="#confirm-token", text="wrong-token-wrong-token")
        await browser.do("click", at="#confirm-do")
        await browser.until_text("#confirm-answer", "not the token")
        assert scene.is_two_sided
        assert any("401" in complaint for complaint in await browser.complaints())

        await browser.do("fill", at="#confirm-token", text=TOKEN)
        await browser.do("fill", at="#confirm-reason", text="lunch")
        await browser.do("click", at="#confirm-do")
        await browser.until("document.querySelector('#confirm-answer').dataset.tone === 'good'")
        await until(lambda: not scene.orders, "nothing rests", 10)
        assert "lunch" in (await command("status", "--config", file)).out
        await browser.do("click", at="#confirm-cancel")
        await browser.until_text("#state-text", "halted")
        await browser.until_text("#notice", "lunch")

        await ask_for(browser, "resume")  # the token is remembered by the page
        await browser.do("click", at="#confirm-do")
        await browser.until("document.querySelector('#confirm-answer').dataset.tone === 'good'")
        await browser.do("click", at="#confirm-cancel")
        await scene.quoted(10)

        await ask_for(browser, "cancel-all", word="cancel")
        assert await browser.evaluate(is_disabled)
        await browser.do("fill", at="#confirm-word", text="cancel-all")
        await browser.do("click", at="#confirm-do")
        await browser.until_text("#confirm-answer", "0 orders rest")
        assert scene.orders == []
        kept = "JSON.stringify([localStorage, sessionStorage, document.cookie, document.documentElement.outerHTML])"
        assert TOKEN not in await browser.evaluate(kept)
        assert await browser.complaints() == []
        assert await daemon.stop() == STOPPED


async def test_the_page_says_when_it_is_old_and_comes_back(scene: Scene, browser: Browser) -> None:
    """A daemon that is gone is said to be after five seconds; the next one at the same address is shown by itself."""
    settings = Settings(http={"port": free_port()})
    async with scene.daemon(settings) as daemon:
        await scene.quoted()
        await opened(browser, daemon)
        assert await browser.evaluate("document.querySelector('#stale').hidden")
        assert await daemon.stop() == STOPPED
    await browser.until_text("#stale", "No data for")
    assert await browser.evaluate("document.body.classList.contains('is-stale')")
    refused = await browser.complaints()
    assert refused and all("ERR_CONNECTION" in complaint or "WebSocket" in complaint for complaint in refused)
    async with scene.daemon(settings) as daemon:
        await scene.quoted(10)
        await browser.until("document.querySelector('#stale').hidden", LONGEST_PAUSE_SECS + patience(10))
        await browser.until_text("#state-text", "quoting 1 of 1")
        assert await daemon.stop() == STOPPED


async def test_a_thousand_markets_are_searched_and_sorted_and_cost_no_more_to_draw(browser: Browser) -> None:
    """Only what is in sight is drawn; the largest result comes first when asked; arrow keys turn to the next market."""
    names = "[...document.querySelectorAll('#markets .market-name')].map((name) => name.textContent)"
    shown = Shown()
    shown.seen = an_observation(
        *(a_market_seen(number, today=a_result(total=usd(number % 777))) for number in range(1, 1_001))
    )
    async with served(shown) as site:
        await browser.do("open", url=site.url)
        await browser.until_text("#markets-count", "1000")
        assert await browser.evaluate(f"{names}.length") < 60
        await browser.evaluate("document.querySelector('#markets-scroll').scrollTop = 1e6")
        await browser.until(f"{names}.includes('market-1000')")
        assert await browser.evaluate(f"{names}.length") < 60

        await browser.do("click", at="#markets th:last-child button")
        await browser.evaluate("document.querySelector('#markets-scroll').scrollTop = 0")
        await browser.until(f"{names}[0] === 'market-776'")
        assert await browser.evaluate("document.querySelector('#markets th:last-child').ariaSort") == "descending"

        await browser.do("fill", at="#markets-search", text="market-99")
        await browser.until_text("#markets-count", "11 of 1000")
        await browser.do("click", at="#markets tbody tr:nth-child(2)")
        first = await browser.text("#market-title")
        await browser.do("press", at="#markets-scroll", key="ArrowDown")
        await browser.until(f"document.querySelector('#market-title').textContent !== {_json(first)}")
        assert not await browser.evaluate(HAS_SIDEWAYS_SCROLL)
        assert await browser.complaints() == []
