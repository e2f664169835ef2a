"""The REST API over a real socket: shapes, authentication, refusals."""

from __future__ import annotations

import json
import time
from typing import Any

import aiohttp
import pytest

from mm_daemon.core.units import Outcome, Price, Side
from mm_daemon.sim.main import Exchange
from mm_daemon.sim.model import SimOrder
from tests.sim.conftest import DEPOSIT_WALLET, Wallet, recording, shares

ALLOWANCES = 3


async def get(exchange: Exchange, path: str, **query: str) -> Any:
    """A public GET."""
    async with aiohttp.ClientSession(exchange.url) as session, session.get(path, params=query) as response:
        return await response.json()


def fill(exchange: Exchange) -> None:
    """A hundred shares at 0.48 and at 0.52."""
    maker = exchange.trader("maker")
    maker.buy("demo-1", Outcome.YES, Price(4800), shares(100))
    maker.sell("demo-1", Outcome.YES, Price(5200), shares(100))


async def test_public_reads(exchange: Exchange) -> None:
    """Every public read answers in the protocol's shape."""
    fill(exchange)
    market = exchange.venue.find("demo-1").market
    token = market.yes
    assert await get(exchange, "/ok") == "OK"
    assert abs(await get(exchange, "/time") - time.time()) < 5
    assert await get(exchange, "/version") == {"version": 2}
    assert await get(exchange, "/midpoint", token_id=token) == {"mid": "0.5"}
    assert await get(exchange, "/price", token_id=token, side="BUY") == {"price": "0.48"}
    assert await get(exchange, "/price", token_id=market.no, side="SELL") == {"price": "0.52"}
    assert await get(exchange, "/spread", token_id=token) == {"spread": "0.04"}
    assert await get(exchange, "/last-trade-price", token_id=token) == {"price": "0.5", "side": ""}
    assert await get(exchange, "/tick-size", token_id=token) == {"minimum_tick_size": 0.01}
    assert await get(exchange, "/neg-risk", token_id=token) == {"neg_risk": False}
    assert await get(exchange, "/fee-rate", token_id=token) == {"base_fee": 1000}
    assert (await get(exchange, f"/markets-by-token/{token}"))["condition_id"] == market.condition_id
    assert (await get(exchange, "/book", token_id=token))["asset_id"] == token
    assert await get(exchange, "/book", token_id="1") == {"error": "No orderbook exists for the requested token id"}


async def test_markets_have_the_recorded_keys(exchange: Exchange) -> None:
    """A market, a simplified market and its tokens carry every key of the recorded ones."""
    condition = exchange.venue.find("demo-1").market.condition_id
    market = await get(exchange, f"/markets/{condition}")
    recorded = recording("rest/clob_market_closed_binary_accepting_true.json")
    assert set(market) == set(recorded)
    assert set(market["tokens"][0]) == set(recorded["tokens"][0])
    simplified = await get(exchange, "/simplified-markets")
    recorded = recording("rest/simplified_markets_1000.json")
    assert set(simplified) == set(recorded)
    assert set(simplified["data"][0]) == set(recorded["data"][0])


async def test_gamma_markets_are_like_recorded_ones(exchange: Exchange) -> None:
    """Every key of ours is one of Gamma's with a value of the same kind; lists are JSON text in a string."""
    recorded = recording("gamma/tinli_0x16b3e96f.json")
    [market] = await get(exchange, "/gamma/markets", slug="demo-1")
    kinds = {key: type(value) for key, value in market.items() if key in recorded}
    same = {int: (int, float), float: (int, float)}
    assert set(market) <= set(recorded)
    assert [key for key, kind in kinds.items() if not isinstance(recorded[key], same.get(kind, kind))] == []
    listed = exchange.venue.find("demo-1").market
    assert json.loads(market["clobTokenIds"]) == [listed.yes, listed.no]
    by_id = await get(exchange, "/gamma/markets/keyset", condition_ids=listed.condition_id)
    assert by_id["markets"] == [market]
    assert await get(exchange, "/gamma/markets", slug="nothing") == []


async def test_gamma_comes_in_pages(exchange: Exchange) -> None:
    """after_cursor goes on where next_cursor pointed; the last page has none; nonsense is refused."""
    first = await get(exchange, "/gamma/markets/keyset", limit="3")
    second = await get(exchange, "/gamma/markets/keyset", limit="3", after_cursor=first["next_cursor"])
    slugs = [market["slug"] for page in (first, second) for market in page["markets"]]
    assert slugs == ["demo-1", "demo-2", "demo-3", "demo-4"]
    assert "next_cursor" not in second
    assert "error" in await get(exchange, "/gamma/markets/keyset", limit="many")


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("POST", "/order", "nonsense"),
        ("POST", "/order", "[1]"),
        ("POST", "/orders", "{}"),
        ("POST", "/orders", "[]"),
        ("DELETE", "/order", "[]"),
        ("DELETE", "/orders", "[1]"),
        ("DELETE", "/cancel-market-orders", "1"),
        ("POST", "/v1/heartbeats", "{}"),
        ("POST", "/orders-scoring", "{}"),
    ],
)
async def test_malformed_bodies_are_refused(
    exchange: Exchange, wallet: Wallet, method: str, path: str, text: str
) -> None:
    """What is not the expected JSON is a 400 with a reason, never a crash."""
    headers = wallet.headers(method, path, text)
    async with wallet.session.request(method, path, data=text, headers=headers) as response:
        assert response.status == 400
        assert (await response.json())["error"]


async def test_many_books_and_prices(exchange: Exchange) -> None:
    """The POST kinds answer for the tokens that have a book."""
    fill(exchange)
    market = exchange.venue.find("demo-1").market
    rows = [{"token_id": market.yes, "side": "SELL"}, {"token_id": market.no, "side": "BUY"}]
    answers = {}
    async with aiohttp.ClientSession(exchange.url) as session:
        for path in ("/books", "/midpoints", "/prices", "/spreads", "/last-trades-prices"):
            async with session.post(path, json=rows) as response:
                answers[path] = await response.json()
        async with session.post("/books", json=[{"token_id": "demo-1"}]) as response:
            assert await response.json() == []
    assert [book["asset_id"] for book in answers["/books"]] == [market.yes, market.no]
    assert answers["/midpoints"] == {market.yes: "0.5", market.no: "0.5"}
    assert answers["/prices"] == {market.yes: {"SELL": "0.52"}, market.no: {"BUY": "0.48"}}
    assert answers["/spreads"] == {market.yes: "0.04", market.no: "0.04"}
    assert [row["price"] for row in answers["/last-trades-prices"]] == ["0.5", "0.5"]


async def test_the_compact_market_has_the_protocols_keys(exchange: Exchange) -> None:
    """t, mos, mts, fd, nr and the others of /clob-markets."""
    market = exchange.venue.find("demo-3").market
    body = await get(exchange, f"/clob-markets/{market.condition_id}")
    assert body["t"] == [{"t": market.yes, "o": "Yes"}, {"t": market.no, "o": "No"}]
    assert (body["mos"], body["mts"], body["nr"], body["fd"]) == (5, 0.01, True, {"r": 0.04, "e": 1, "to": True})


async def test_an_order_lives_and_dies(exchange: Exchange, wallet: Wallet) -> None:
    """Posted, read back by list and id, cancelled, and still readable by its id."""
    market = exchange.venue.find("demo-1").market
    status, posted = await wallet.place(market, Side.BUY, 0.4, 20, post_only=True)
    assert status == 200
    id = posted["orderID"]
    assert posted == {
        "success": True,
        "errorMsg": "",
        "orderID": id,
        "status": "live",
        "makingAmount": "",
        "takingAmount": "",
        "tradeIDs": [],
        "transactionsHashes": [],
    }
    _, page = await wallet.call("GET", "/data/orders")
    recorded = recording("rest/http_open_orders_page.json")
    assert set(page["data"][0]) == set(recorded["data"][0])
    assert (page["count"], page["next_cursor"]) == (1, "LTE=")
    order = {"id": id, "status": "LIVE", "original_size": "20", "size_matched": "0", "price": "0.4", "side": "BUY"}
    assert order.items() <= page["data"][0].items()
    assert await wallet.call("DELETE", "/order", {"orderID": id}) == (200, {"canceled": [id], "not_canceled": {}})
    assert (await wallet.call("GET", "/data/orders"))[1]["data"] == []
    assert (await wallet.call("GET", f"/data/order/{id}"))[1]["status"] == "CANCELED"
    assert await wallet.call("GET", "/data/order/0x00") == (404, {"error": "order not found"})


async def test_open_orders_come_in_pages(exchange: Exchange, wallet: Wallet) -> None:
    """A hundred to a page; the last one has the end marker."""
    market = exchange.venue.find("demo-1").market
    for number in range(120):
        order = internal_order(exchange, wallet, number)
        exchange.venue.submit(order)
    first = (await wallet.call("GET", "/data/orders", market=market.condition_id))[1]
    second = (await wallet.call("GET", "/data/orders", next_cursor=first["next_cursor"]))[1]
    assert (first["count"], second["count"], second["next_cursor"]) == (100, 20, "LTE=")
    assert len({order["id"] for order in first["data"] + second["data"]}) == 120


def internal_order(exchange: Exchange, wallet: Wallet, number: int) -> SimOrder:
    """An order of the wallet's key, made without a signature."""
    market = exchange.venue.find("demo-1").market
    return SimOrder(
        id=exchange.venue.next_internal_id(),
        maker=wallet.address.lower(),
        owner=wallet.creds.api_key,
        market=market.condition_id,
        token=market.yes,
        outcome=Outcome.YES,
        side=Side.BUY,
        price=Price(100 * (1 + number % 40)),
        size=shares(5),
    )


async def test_a_batch_answers_for_each_order(exchange: Exchange, wallet: Wallet) -> None:
    """HTTP 200 for all; a refused element has a reason and no id; sixteen are too many."""
    market = exchange.venue.find("demo-1").market
    good = wallet.envelope(market, Side.BUY, 0.4, 20)
    bad = wallet.envelope(market, Side.SELL, 0.6, 20)
    status, [taken, refused] = await wallet.call("POST", "/orders", [good, bad])
    assert status == 200 and taken["status"] == "live"
    assert (refused["orderID"], refused["status"]) == ("", "")
    assert refused["errorMsg"].startswith("not enough balance / allowance")
    status, body = await wallet.call("POST", "/orders", [good] * 16)
    assert (status, body) == (400, {"error": "Too many orders in payload: 16, max allowed: 15"})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"owner": "somebody"}, "the order owner has to be the owner of the API KEY"),
        ({"signer": DEPOSIT_WALLET}, "the order signer address has to be the address of the API KEY"),
        ({"maker": DEPOSIT_WALLET}, "the order signer address has to be the address of the API KEY"),
        ({"signature_type": 3, "maker": DEPOSIT_WALLET}, "the order signer address has to be"),
        ({"sign_neg_risk": True}, "invalid signature"),
        ({"price": 0.405}, "breaks minimum tick size rule: 0.01"),
        ({"makerAmount": 8_000_001}, "breaks minimum tick size rule: 0.01"),
        ({"makerAmount": 0}, "invalid amounts, maker and taker amount must be higher than 0"),
        ({"size": 4.99}, "Size (4.99) lower than the minimum: 5"),
        ({"size": 100_000}, "not enough balance / allowance"),
        ({"token": "7" * 77}, "the orderbook does not exist"),
        ({"price": 0.55, "post_only": True}, "invalid post-only order: order crosses book"),
        ({"tif": "GTD", "expiration": 1}, "invalid expiration"),
        ({"tif": "FOK", "post_only": True}, "Invalid order payload"),
        ({"tif": "XYZ"}, "Invalid order payload"),
        ({"salt": "text"}, "Invalid order payload"),
        ({"price": 0.52, "size": 101, "tif": "FOK"}, "FOK orders are fully filled or killed."),
        ({"price": 0.4, "tif": "FAK"}, "no orders found to match with FAK order."),
    ],
)
async def test_refused_orders(exchange: Exchange, wallet: Wallet, change: dict[str, Any], text: str) -> None:
    """Each rule refuses with the venue's words, status 400, and nothing rests."""
    fill(exchange)
    market = exchange.venue.find("demo-1").market
    arguments = {"price": 0.4, "size": 20, **change}
    salt = arguments.pop("salt", 1)
    envelope = wallet.envelope(market, Side.BUY, arguments.pop("price"), arguments.pop("size"), **arguments)
    envelope["order"]["salt"] = salt
    status, body = await wallet.call("POST", "/order", envelope)
    assert status == 400
    assert text in body["error"]
    assert not exchange.venue.live_orders(wallet.creds.api_key)


async def test_an_old_order_struct_is_named(exchange: Exchange, wallet: Wallet) -> None:
    """A V1 order is refused with order_version_mismatch."""
    envelope = wallet.envelope(exchange.venue.find("demo-1").market, Side.BUY, 0.4, 20)
    envelope["order"]["feeRateBps"] = "0"
    assert await wallet.call("POST", "/order", envelope) == (400, {"error": "order_version_mismatch"})


async def test_the_same_bytes_twice_are_a_duplicate(exchange: Exchange, wallet: Wallet) -> None:
    """The second post of a signed order names its id."""
    envelope = wallet.envelope(exchange.venue.find("demo-1").market, Side.BUY, 0.4, 20)
    _, first = await wallet.call("POST", "/order", envelope)
    status, body = await wallet.call("POST", "/order", envelope)
    assert (status, body) == (400, {"error": f"order {first['orderID']} is invalid. Duplicated."})


@pytest.mark.parametrize("header", ["POLY_API_KEY", "POLY_PASSPHRASE", "POLY_SIGNATURE", "POLY_ADDRESS"])
async def test_every_l2_header_counts(exchange: Exchange, wallet: Wallet, header: str) -> None:
    """A wrong or missing header is 401 with the venue's words."""
    for value in ("wrong", None):
        headers = {**wallet.headers("GET", "/data/orders"), header: value}
        sent = {name: value for name, value in headers.items() if value is not None}
        async with wallet.session.get("/data/orders", headers=sent) as response:
            assert response.status == 401
            assert await response.json() == {"error": "Unauthorized/Invalid api key"}


async def test_the_signature_covers_body_and_time(exchange: Exchange, wallet: Wallet) -> None:
    """Another body, or a timestamp two minutes off, is 401."""
    for headers in (
        wallet.headers("DELETE", "/order", '{"orderID":"0x1"}'),
        wallet.headers("DELETE", "/order", '{"orderID":"0x2"}', int(time.time()) - 120),
    ):
        async with wallet.session.delete("/order", data='{"orderID":"0x2"}', headers=headers) as response:
            assert response.status == 401


async def test_keys_are_derived_again(exchange: Exchange, wallet: Wallet) -> None:
    """A second key for the same nonce is refused; deriving gives the same triple; deleting ends it."""
    from py_clob_client_v2.headers.headers import create_level_1_headers  # type: ignore[import-untyped]

    headers = create_level_1_headers(wallet.signer)
    async with wallet.session.post("/auth/api-key", headers=headers) as response:
        assert (response.status, await response.json()) == (400, {"error": "Could not create api key"})
    async with wallet.session.get("/auth/derive-api-key", headers=headers) as response:
        assert (await response.json())["secret"] == wallet.creds.api_secret
    assert await wallet.call("GET", "/auth/api-keys") == (200, {"apiKeys": [wallet.creds.api_key]})
    assert await wallet.call("GET", "/auth/ban-status/closed-only") == (200, {"closed_only": False})
    assert await wallet.call("DELETE", "/auth/api-key") == (200, "OK")
    assert (await wallet.call("GET", "/auth/api-keys"))[0] == 401


async def test_balances(exchange: Exchange, wallet: Wallet) -> None:
    """Base units, with an allowance for every exchange contract; an unknown signature type is refused."""
    status, body = await wallet.call("GET", "/balance-allowance", asset_type="COLLATERAL", signature_type="0")
    assert (status, body["balance"], len(body["allowances"])) == (200, "10000000000", ALLOWANCES)
    token = exchange.venue.find("demo-1").market.yes
    query = {"asset_type": "CONDITIONAL", "token_id": token, "signature_type": "3"}
    assert (await wallet.call("GET", "/balance-allowance/update", **query))[1]["balance"] == "0"
    assert (await wallet.call("GET", "/balance-allowance", asset_type="COLLATERAL"))[0] == 400


async def test_own_trades(exchange: Exchange, wallet: Wallet) -> None:
    """Newest first with the recorded keys; market filters look at the taker's leg; maker_address finds maker fills."""
    market = exchange.venue.find("demo-1").market
    await wallet.place(market, Side.BUY, 0.49, 20)
    exchange.trader("other").buy("demo-1", Outcome.NO, Price(5100), shares(12.5))
    _, page = await wallet.call("GET", "/data/trades", maker_address=wallet.address)
    [trade] = page["data"]
    recorded = recording("rest/http_trade_report.json")
    assert set(recorded) <= set(trade)
    assert set(recorded["maker_orders"][0]) <= set(trade["maker_orders"][0])
    assert (trade["trader_side"], trade["side"], trade["asset_id"]) == ("MAKER", "BUY", market.no)
    assert (await wallet.call("GET", "/data/trades", asset_id=market.yes))[1]["data"] == []
    later = str(int(time.time()) + 5)
    assert (await wallet.call("GET", "/data/trades", after=later))[1]["data"] == []
    _, positions = await wallet.call("GET", "/data-api/positions", user=wallet.address)
    assert positions == []


async def test_the_four_cancels(exchange: Exchange, wallet: Wallet) -> None:
    """By id, by ids, by market, all: each names what it cancelled."""
    one, other = (exchange.venue.find(slug).market for slug in ("demo-1", "demo-3"))
    ids = []
    for salt, market in enumerate((one, one, one, other)):
        _, body = await wallet.place(market, Side.BUY, 0.3, 20, salt=salt)
        ids.append(body["orderID"])
    unknown = "0x" + "ab" * 32
    _, body = await wallet.call("DELETE", "/orders", [ids[0], unknown])
    assert body["canceled"] == [ids[0]] and list(body["not_canceled"]) == [unknown]
    _, body = await wallet.call("DELETE", "/cancel-market-orders", {"market": one.condition_id})
    assert body["canceled"] == ids[1:3]
    _, body = await wallet.call("DELETE", "/cancel-all")
    assert body == {"canceled": ids[3:], "not_canceled": {}}
    assert (await wallet.call("DELETE", "/cancel-market-orders", {}))[0] == 400


async def test_heartbeats_over_the_wire(exchange: Exchange, wallet: Wallet) -> None:
    """The first with an empty id, the next with the id of the answer; a wrong one is told the right one."""
    _, first = await wallet.call("POST", "/v1/heartbeats", {"heartbeat_id": ""})
    _, second = await wallet.call("POST", "/v1/heartbeats", first)
    status, body = await wallet.call("POST", "/v1/heartbeats", first)
    assert status == 400
    assert body == {"error_msg": "Invalid Heartbeat ID", "heartbeat_id": second["heartbeat_id"]}
    assert await wallet.call("POST", "/heartbeats", {}) == (200, {"status": "ok"})


async def test_the_state_for_checks_outside(exchange: Exchange, wallet: Wallet) -> None:
    """/_sim/state names every wallet's open orders and balances, and says that money is conserved."""
    await wallet.place(exchange.venue.find("demo-1").market, Side.BUY, 0.4, 20)
    body = await get(exchange, "/_sim/state")
    mine = body["wallets"][wallet.address.lower()]
    assert body["conserved"] is True
    assert (mine["cash"], len(mine["open_orders"])) == (10_000, 1)


@pytest.mark.parametrize("signature_type", [1, 2])
async def test_a_proxy_wallet_pays_for_its_eoa(exchange: Exchange, wallet: Wallet, signature_type: int) -> None:
    """The first proxy an EOA signs for is tied to it: it holds the money, and no second one is taken."""
    market = exchange.venue.find("demo-1").market
    proxy, second = "0x75F00B003FBBBA193FABEB06284c3187a4C1232E", "0x6Cd089333445c89b55B7693c6009DCc229613738"
    status, _ = await wallet.place(market, Side.BUY, 0.4, 20, maker=proxy, signature_type=signature_type)
    assert status == 200
    assert exchange.venue.ledger.balance(proxy.lower()).reserved == 8_000_000
    assert len(exchange.venue.orders_of(proxy)) == 1
    status, body = await wallet.place(market, Side.BUY, 0.4, 20, maker=second, signature_type=signature_type)
    assert (status, body) == (400, {"error": "maker address not allowed, please use the deposit wallet flow"})


async def test_a_wallet_has_one_eoa(exchange: Exchange, wallet: Wallet) -> None:
    """Somebody else cannot trade from a proxy that an EOA already signs for."""
    market = exchange.venue.find("demo-1").market
    proxy = "0x75F00B003FBBBA193FABEB06284c3187a4C1232E"
    await wallet.place(market, Side.BUY, 0.4, 20, maker=proxy, signature_type=2)
    thief = Wallet(wallet.session, "0x" + "22" * 32)
    await thief.log_in()
    status, body = await thief.place(market, Side.BUY, 0.4, 20, maker=proxy, signature_type=2)
    assert (status, body) == (400, {"error": "the order signer address has to be the address of the API KEY"})
