"""Recordings served as live market data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from mm_daemon.sim.main import Exchange, ExchangeOptions, running_exchange
from tests.sim.conftest import RECORDINGS, recording
from tests.sim.test_marketdata import text_of

FED = "market_ws/fed_negrisk_tick0.001_51s.json"
TWO = "market_ws/two_markets_tick0.001_9s.json"


async def hear_all(exchange: Exchange, tokens: list[str], frames: int) -> list[Any]:
    """Subscribe and read that many frames."""
    async with connect(f"{exchange.ws_url}/market", max_size=None) as socket:
        await socket.send(json.dumps({"type": "market", "assets_ids": tokens}))
        return [json.loads(await socket.recv()) for _ in range(frames)]


@pytest.mark.parametrize("name", [FED, TWO])
async def test_a_recording_is_served_object_by_object(name: str) -> None:
    """The snapshots as an array, then every later frame, each key and text as recorded and in the same order."""
    frames = recording(name)
    async with running_exchange(ExchangeOptions(recording=RECORDINGS / name, speed=0)) as exchange:
        assert exchange.recording is not None
        heard = await hear_all(exchange, exchange.recording.tokens, len(frames))
        await exchange.recording.finished()
    assert [json.dumps(frame) for frame in heard] == [json.dumps(frame) for frame in frames]


async def test_the_book_over_rest_is_where_the_replay_is() -> None:
    """Before the replay the recorded snapshot, after it the last state; both verify by their hashes."""
    frames = recording(FED)
    async with (
        running_exchange(ExchangeOptions(recording=RECORDINGS / FED, speed=0)) as exchange,
        aiohttp.ClientSession(exchange.url) as session,
    ):
        assert exchange.recording is not None
        [token] = exchange.recording.tokens
        before = await book(session, token)
        assert (before["bids"], before["hash"]) == (frames[0][0]["bids"], frames[0][0]["hash"])
        assert text_of(before).hash() == before["hash"]
        await hear_all(exchange, [token], len(frames))
        await exchange.recording.finished()
        after = await book(session, token)
        assert after["hash"] == frames[-1]["price_changes"][0]["hash"]
        assert text_of(after).hash() == after["hash"]
        assert after["neg_risk"] is True


async def book(session: aiohttp.ClientSession, token: str) -> Any:
    """GET /book."""
    async with session.get("/book", params={"token_id": token}) as response:
        return await response.json()


async def test_recorded_markets_are_listed() -> None:
    """A recording's markets can be discovered, with both tokens, their tick and no others beside them."""
    frames = recording(FED)
    async with running_exchange(ExchangeOptions(recording=RECORDINGS / FED, speed=0)) as exchange:
        [state] = exchange.venue.markets.values()
        pair = {entry["asset_id"] for entry in frames[1]["price_changes"]}
        assert set(state.market.tokens) == pair
        assert (state.market.condition_id, state.market.tick) == (frames[0][0]["market"], 10)


@pytest.mark.parametrize("text", ["{", "[]", "[1]", '[{"event_type":"price_change"}]', "[[]]"])
async def test_what_is_not_a_recording_is_refused(tmp_path: Path, text: str) -> None:
    """A file that does not begin with books is an error at the start."""
    path = tmp_path / "recording.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"recording"):
        async with running_exchange(ExchangeOptions(recording=path)):
            pytest.fail("it started")
