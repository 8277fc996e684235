"""Messages have the form of recorded ones, frames and answers."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.conftest import Starter
from tests.sandbox.faces.binance.following import BEGIN, published
from tests.sandbox.faces.shapes import differences, document, lines

NEW = ("st", "ps")
"""Younger than most recordings."""


def first(path: Path, kind: str) -> Any:
    """The first recorded frame of a kind, without its wrapper."""
    for message in islice(lines(path), 6_000):
        data = message.get("data", message)
        if data.get("e") == kind:
            return data
    raise LookupError(kind)


@pytest.mark.parametrize(
    ("channel", "kind", "file"),
    [
        ("btcusdt@aggTrade", "aggTrade", "trades/usdm_aggTrade_frame_2026.ndjson"),
        ("btcusdt@trade", "trade", "book/usdm_btcusdt_20240808.ndjson.gz"),
        ("btcusdt@depth", "depthUpdate", "book/usdm_btcusdt_20240808.ndjson.gz"),
        ("btcusdt@bookTicker", "bookTicker", "book/usdm_btcusdt_20240808.ndjson.gz"),
        ("btcusdt@markPrice@1s", "markPriceUpdate", "book/usdm_btcusdt_20230404.ndjson.gz"),
        ("btcusdt@kline_1m", "kline", "book/usdm_alts_20210722.ndjson.gz"),
        ("!forceOrder@arr", "forceOrder", "liquidations/usdm_forceOrder_frames_2026.ndjson"),
    ],
)
def test_frames_of_futures(captures_dir: Path, channel: str, kind: str, file: str) -> None:
    recorded = first(captures_dir / "binance" / file, kind)
    span = 1_800_000 if kind == "forceOrder" else 3_000
    made = published([channel], BEGIN, BEGIN + span, 1_000)[0]
    assert made["stream"] == channel
    assert differences(made["data"], recorded, new=NEW) == []


def test_the_ticker_of_futures_is_the_documented_one(captures_dir: Path) -> None:
    recorded = document(captures_dir / "binance/samples/usdm_ticker_stream.json")
    made = published(["btcusdt@ticker"], BEGIN, BEGIN + 1_100)[0]["data"]
    assert differences(made, recorded) == []


@pytest.mark.parametrize(
    ("channel", "kind", "file"),
    [
        ("btcusdt@trade", "trade", "book/spot_btcusdt_20240808.ndjson.gz"),
        ("btcusdt@depth@100ms", "depthUpdate", "book/spot_btcusdt_20240808.ndjson.gz"),
        ("btcusdt@ticker", "24hrTicker", "samples/mixed_frames.ndjson"),
    ],
)
async def test_frames_of_spot(
    start: Starter, captures_dir: Path, channel: str, kind: str, file: str
) -> None:
    recorded = first(captures_dir / "binance" / file, kind)
    client = await start()
    ws = await client.socket("spot", "/ws", channel)
    made = await ws.receive_json(timeout=20)
    assert differences(made, recorded) == []


async def test_answers(start: Starter, captures_dir: Path) -> None:
    client, folder = await start(), captures_dir / "binance"
    one = {"symbol": "BTCUSDT"}
    for path, file, query in (
        ("/fapi/v1/openInterest", "open_interest/openInterest_BTCUSDT_20260908.json", one),
        (
            "/futures/data/openInterestHist",
            "open_interest/openInterestHist_1h_BTCUSDT_first3_20260907.json",
            {**one, "period": "1h"},
        ),
        (
            "/futures/data/globalLongShortAccountRatio",
            "long_short/globalLongShortAccountRatio_BTCUSDT_20260908.json",
            {**one, "period": "1h"},
        ),
        (
            "/futures/data/takerlongshortRatio",
            "long_short/takerlongshortRatio_20260908.json",
            {**one, "period": "1h"},
        ),
        ("/fapi/v1/fundingRate", "funding/BTCUSDT_fundingRate_2019_2026.json.gz", one),
    ):
        recorded = document(folder / file)
        assert differences(await client.get("um", path, **query), recorded, new=("rateType",)) == []
    recorded = document(folder / "instruments/usdm_exchangeInfo_20210722.json.gz")
    made = await client.get("um", "/fapi/v1/exchangeInfo")
    assert {"timezone", "serverTime", "rateLimits", "symbols"} <= set(made)
    own, theirs = made["symbols"][0], recorded["symbols"][0]
    filters = {row["filterType"]: set(row) for row in own.pop("filters")}
    for row in theirs.pop("filters"):
        assert set(row) <= filters.get(row["filterType"], set(row)) | {"limit"}
    # ``settlePlan`` went, ``maxMoveOrderLimit`` came.
    assert differences(own, theirs, optional=("settlePlan", "maxMoveOrderLimit")) == []


@pytest.mark.parametrize(
    ("face", "path", "file"),
    [
        ("um", "/fapi/v1/depth", "usdm_btcusdt_20240808"),
        ("spot", "/api/v3/depth", "spot_btcusdt_20240808"),
    ],
)
async def test_books(start: Starter, captures_dir: Path, face: str, path: str, file: str) -> None:
    recorded = next(
        one
        for one in lines(captures_dir / f"binance/book/{file}.ndjson.gz")
        if "lastUpdateId" in one
    )
    client = await start()
    assert differences(await client.get(face, path, symbol="BTCUSDT", limit=100), recorded) == []
