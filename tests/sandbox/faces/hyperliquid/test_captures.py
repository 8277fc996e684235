"""Messages have the form of recorded ones; other dexes and other venues' rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from apps.sandbox.faces.hyperliquid.names import coin_of
from tests.sandbox.faces.hyperliquid.conftest import Starter, Venue
from tests.sandbox.faces.shapes import differences, document, lines

NOW_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("channel", "coin", "new"),
    [("trades", "BTC", ("users",)), ("activeAssetCtx", "BTC", ("dayBaseVlm",)), ("bbo", "BTC", ())],
)
async def test_pushes(
    start: Starter, captures_dir: Path, channel: str, coin: str, new: tuple[str, ...]
) -> None:
    recorded = next(
        one
        for one in lines(captures_dir / "hyperliquid/samples/mixed_frames.ndjson")
        if one["channel"] == channel
    )
    venue = await start()
    _, made = await venue.subscribe(await venue.socket(), type=channel, coin=coin)
    assert differences(made, recorded, new=new) == []


async def test_whole_books_are_twenty_levels_a_side(start: Starter, captures_dir: Path) -> None:
    book = "hyperliquid/book/btc_l2book_trades_20250126.ndjson.gz"
    recorded = next(one for one in lines(captures_dir / book) if one["channel"] == "l2Book")
    venue = await start()
    _, made = await venue.subscribe(await venue.socket(), type="l2Book", coin="BTC")
    # The recording's fields were sorted by its maker.
    assert orjson.dumps(_kinds(made), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        _kinds(recorded), option=orjson.OPT_SORT_KEYS
    )
    assert list(made["data"]) == ["coin", "time", "levels"]


def _kinds(message: dict[str, Any]) -> dict[str, Any]:
    data = message["data"]
    sides = [[sorted(level) for level in side] for side in data["levels"]]
    return {**message, "data": {**dict.fromkeys(data), "levels": sides}}


async def test_states_of_all_dexes(start: Starter, captures_dir: Path) -> None:
    recorded = document(captures_dir / "hyperliquid/ticker/ws_all_dexs_asset_ctxs.json.gz")
    venue = await start()
    _, made = await venue.subscribe(await venue.socket(), type="allDexsAssetCtxs")
    assert differences(made, recorded) == []
    ((main, own), (builder, theirs)) = made["data"]["ctxs"]
    assert (main, builder) == ("", "hyna")
    assert differences(own[0], recorded["data"]["ctxs"][0][1][0]) == []
    universe = (await venue.info(type="meta"))["universe"]
    assert len(own) == len(universe)
    assert len(theirs) == 2


async def test_documents(start: Starter, captures_dir: Path) -> None:
    venue, folder = await start(), captures_dir / "hyperliquid"
    meta = document(folder / "instruments/meta_full.json")
    made = await venue.info(type="meta")
    assert differences(made, meta) == []
    assert {"isDelisted"} == set(made["universe"][2]) - set(made["universe"][0])
    tables = {number for number, _ in made["marginTables"]}
    assert {coin["marginTableId"] for coin in made["universe"][:2]} <= tables
    assert differences(made["marginTables"][0][1], meta["marginTables"][0][1]) == []
    rows = await venue.info(type="fundingHistory", coin="BTC", startTime=NOW_MS)
    assert differences(rows, document(folder / "samples/http_funding_history.json")) == []
    trades = await venue.info(type="recentTrades", coin="BTC")
    recorded = document(folder / "samples/http_recent_trades_btc.json")
    assert sorted(trades[0]) == sorted(recorded[0])
    request = {"coin": "kPEPE", "interval": "1h", "startTime": NOW_MS, "endTime": NOW_MS + 10**9}
    candles = await venue.info(type="candleSnapshot", req=request)
    recorded = document(folder / "ohlcv/candleSnapshot_kPEPE_1h_2023.json")
    assert {name: type(value) for name, value in candles[0].items()} == {
        name: type(value) for name, value in recorded[0].items()
    }
    assert list(candles[0]) == ["t", "T", "s", "i", "o", "c", "h", "l", "v", "n"]


async def test_a_builders_dex_is_asked_for_by_name(start: Starter) -> None:
    venue: Venue = await start()
    meta, states = await venue.info(type="metaAndAssetCtxs", dex="hyna")
    assert [coin["name"] for coin in meta["universe"]] == ["hyna:BTC", "hyna:ETH"]
    own, _ = await venue.info(type="metaAndAssetCtxs")
    assert not any(":" in coin["name"] for coin in own["universe"])
    assert set(await venue.info(type="allMids", dex="hyna")) == {"hyna:BTC", "hyna:ETH"}
    assert float(states[0]["markPx"]) > 10_000
    _, book = await venue.subscribe(await venue.socket(), type="l2Book", coin="hyna:BTC", fast=True)
    assert (book["data"]["coin"], len(book["data"]["levels"][0])) == ("hyna:BTC", 5)
    trades = await venue.info(type="recentTrades", coin="hyna:BTC")
    main = await venue.info(type="recentTrades", coin="BTC")
    assert not {row["tid"] for row in trades} & {row["tid"] for row in main}


@pytest.mark.parametrize(
    ("channel", "coin"),
    [
        ("l2Book:BTC", "BTC"),
        ("l2Book:hyna:BTC:fast", "hyna:BTC"),
        ("candle:BTC:1m", "BTC"),
        ("candle:hyna:BTC:1m", "hyna:BTC"),
        ("trades:hyna:ETH", "hyna:ETH"),
    ],
)
def test_coins_of_channels(channel: str, coin: str) -> None:
    assert coin_of(channel) == coin
