"""Open interest in USD is its coins at the mark price: the worst case of what venues and recordings say.

Where a venue says no USD, FOCSAL multiplies by the mark; where it does, the venue's own number counts. Both
stand in one sum, so they must mean the same.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.sandbox.conftest import Client, Starter, start

__all__ = ["start"]

FloatArray = npt.NDArray[np.float64]
TOLD_TOGETHER = 1e-5
"""Mark, coins and USD of one row: what rounding of the printed digits leaves of cheap coins."""


def worst(usd: Any, base: Any, mark: Any) -> float:
    """The greatest ``|usd / (base × mark) - 1|``."""
    usd, base, mark = (np.asarray(one, dtype=float) for one in (usd, base, mark))
    assert usd.size > 0
    return float(np.abs(usd / (base * mark) - 1).max())


async def asked(client: Client, venue: str, path: str, **query: str) -> Any:
    url = f"{client.sandbox.urls()[venue]['rest']}{path}"
    async with client.http.get(url, params=query) as answer:
        assert answer.status == 200
        return await answer.json()


async def test_bybit_of_the_emulator(start: Starter) -> None:
    client = await start()
    found = await asked(client, "bybit", "/v5/market/tickers", category="linear")
    rows = [row for row in found["result"]["list"] if float(row["openInterestValue"]) > 0]
    assert len(rows) >= 4
    usd, base, mark = (
        [float(row[name]) for row in rows]
        for name in ("openInterestValue", "openInterest", "markPrice")
    )
    assert worst(usd, base, mark) < TOLD_TOGETHER


async def test_okx_of_the_emulator(start: Starter) -> None:
    client = await start()
    interest = await asked(client, "okx", "/api/v5/public/open-interest", instType="SWAP")
    marks = await asked(client, "okx", "/api/v5/public/mark-price", instType="SWAP")
    mark = {row["instId"]: float(row["markPx"]) for row in marks["data"]}
    rows = [row for row in interest["data"] if row["instId"] in mark and float(row["oiCcy"]) > 0]
    assert len(rows) >= 4
    usd, base = ([float(row[name]) for row in rows] for name in ("oiUsd", "oiCcy"))
    # Two answers, so that the mark may be a moment apart.
    assert worst(usd, base, [mark[row["instId"]] for row in rows]) < 1e-3


async def test_binance_of_the_emulator(start: Starter) -> None:
    client = await start()
    query = {"symbol": "BTCUSDT", "limit": "200"}
    rows = await client.get("um", "/futures/data/openInterestHist", period="5m", **query)
    candles = await client.get("um", "/fapi/v1/markPriceKlines", interval="5m", **query)
    mark = {int(row[0]): float(row[1]) for row in candles}
    both = [row for row in rows if int(row["timestamp"]) in mark]
    assert len(both) > 150
    usd = [float(row["sumOpenInterestValue"]) for row in both]
    base = [float(row["sumOpenInterest"]) for row in both]
    assert worst(usd, base, [mark[int(row["timestamp"])] for row in both]) < 1e-9


def test_bybit_as_recorded(captures_dir: Path) -> None:
    path = captures_dir / "bybit" / "ticker" / "tickers_linear_BTCUSDT_20260908.json"
    (row,) = json.loads(path.read_bytes())["result"]["list"]
    for side in ("o", "singleO"):
        usd, base = float(row[f"{side}penInterestValue"]), float(row[f"{side}penInterest"])
        assert worst(usd, base, float(row["markPrice"])) < 1e-9


def _table(path: Path) -> dict[str, FloatArray]:
    with gzip.open(path, "rt") as lines:
        rows = list(csv.DictReader(lines))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def test_binance_as_recorded(captures_dir: Path) -> None:
    """Six days of rows: their price lies in the mark's candle of the time, each of them."""
    for symbol in ("BTCUSDT", "ETHUSDT"):
        folder = captures_dir / "binance"
        interest = _table(
            folder / "open_interest" / f"{symbol}_metrics_oi_5m_20251201_20260610.csv.gz"
        )
        marks = _table(folder / "ohlcv" / f"usdm_{symbol}_mark_8h_2023_2025.csv.gz")
        at = np.searchsorted(marks["open_time_ms"], interest["t"], side="right") - 1
        known = interest["t"] < marks["open_time_ms"][-1] + 8 * 3_600_000
        price, at = (interest["oi_usd"] / interest["oi"])[known], at[known]
        assert price.size > 1_400
        nearest = np.clip(price, marks["low"][at], marks["high"][at])
        assert float(np.abs(price / nearest - 1).max()) < 1e-6
