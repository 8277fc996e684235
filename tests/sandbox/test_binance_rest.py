"""The REST interface over loopback."""

from __future__ import annotations

import time
from itertools import pairwise

from tests.sandbox.conftest import FEW, Starter

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


async def test_exchange_info_lists_perpetuals_and_spot(start: Starter) -> None:
    client = await start()
    um = await client.get("um", "/fapi/v1/exchangeInfo")
    symbols = {row["symbol"]: row for row in um["symbols"]}
    perpetual = {name for name, one in symbols.items() if one["contractType"] == "PERPETUAL"}
    ours = {name for name in perpetual if symbols[name]["quoteAsset"] == "USDT"}
    assert ours == {"BTCUSDT", "ETHUSDT", "1000PEPEUSDT", "ARBUSDT"}
    assert perpetual - ours == {"BTCUSDC", "ETHUSDC"}
    quarterlies = [one for name, one in symbols.items() if name not in perpetual]
    assert {one["pair"] for one in quarterlies} == {"BTCUSDT", "ETHUSDT"}
    assert {one["contractType"] for one in quarterlies} == {"CURRENT_QUARTER", "NEXT_QUARTER"}
    btc = symbols["BTCUSDT"]
    assert (btc["contractType"], btc["status"], btc["baseAsset"]) == ("PERPETUAL", "TRADING", "BTC")
    filters = {row["filterType"]: row for row in btc["filters"]}
    assert float(filters["PRICE_FILTER"]["tickSize"]) == 0.1
    assert float(filters["LOT_SIZE"]["stepSize"]) == 0.001
    spot = await client.get("spot", "/api/v3/exchangeInfo")
    assert {row["symbol"] for row in spot["symbols"]} == {f"{asset}USDT" for asset in FEW}


async def test_klines_by_range_are_stable_and_end_now(start: Starter) -> None:
    client = await start()
    query = {"symbol": "BTCUSDT", "interval": "5m"}
    latest = await client.get("um", "/fapi/v1/klines", **query, limit=3)
    assert len(latest) == 3
    assert latest[-1][6] >= time.time() * 1000
    first = latest[0][0] - 100 * 300_000
    rows = await client.get(
        "um", "/fapi/v1/klines", **query, startTime=first, endTime=first + DAY_MS // 4, limit=20
    )
    assert [row[0] for row in rows] == [first + n * 300_000 for n in range(20)]
    again = await client.get("um", "/fapi/v1/klines", **query, startTime=first, limit=5)
    assert again == rows[:5]
    assert all(len(row) == 12 and float(row[2]) >= float(row[3]) for row in rows)
    assert all(0 < float(row[9]) < float(row[5]) for row in rows)
    newest = await client.get("um", "/fapi/v1/klines", **query, endTime=first + 600_000, limit=2)
    assert [row[0] for row in newest] == [first + 300_000, first + 600_000]
    mark = await client.get("um", "/fapi/v1/markPriceKlines", **query, startTime=first, limit=2)
    index = await client.get(
        "um", "/fapi/v1/indexPriceKlines", pair="BTCUSDT", interval="5m", startTime=first, limit=2
    )
    premium = await client.get(
        "um", "/fapi/v1/premiumIndexKlines", **query, startTime=first, limit=2
    )
    expected = float(index[0][1]) * (1 + float(premium[0][1]))
    assert abs(float(mark[0][1]) - expected) < 0.01
    spot = await client.get("spot", "/api/v3/klines", **query, limit=5000)
    assert len(spot) == 1000


async def test_funding_history_and_intervals(start: Starter) -> None:
    client = await start()
    info = await client.get("um", "/fapi/v1/fundingInfo")
    assert [(row["symbol"], row["fundingIntervalHours"]) for row in info] == [("1000PEPEUSDT", 4)]
    now = int(time.time() * 1000)
    month = await client.get(
        "um", "/fapi/v1/fundingRate", symbol="1000PEPEUSDT", startTime=now - 30 * DAY_MS, limit=1000
    )
    special = [row for row in month if row["rateType"] == "Special"]
    assert len(special) <= 8
    month = [row for row in month if row["rateType"] == "Normal"]
    assert len(month) in (180, 181)
    times = [row["fundingTime"] for row in month]
    assert all(0 <= at % (4 * HOUR_MS) < 50 for at in times)
    assert {round((b - a) / HOUR_MS, 3) for a, b in pairwise(times)} == {4.0}
    recent = await client.get("um", "/fapi/v1/fundingRate", symbol="1000PEPEUSDT", limit=3)
    assert recent == month[-3:]
    now_rate = await client.get("um", "/fapi/v1/premiumIndex", symbol="BTCUSDT")
    assert now_rate["nextFundingTime"] % (8 * HOUR_MS) == 0
    assert 0 < now_rate["nextFundingTime"] - now_rate["time"] <= 8 * HOUR_MS
    rows = await client.get("um", "/fapi/v1/premiumIndex")
    paid = [row for row in rows if row["lastFundingRate"] and row["symbol"].endswith("USDT")]
    assert len(paid) == len(FEW)


async def test_positioning_and_open_interest(start: Starter) -> None:
    client = await start()
    now = await client.get("um", "/fapi/v1/openInterest", symbol="BTCUSDT")
    query = {"symbol": "BTCUSDT", "period": "5m", "limit": 4}
    rows = await client.get("um", "/futures/data/openInterestHist", **query)
    assert len(rows) == 4
    assert abs(float(rows[-1]["sumOpenInterest"]) / float(now["openInterest"]) - 1.0) < 0.02
    mark = float((await client.get("um", "/fapi/v1/premiumIndex", symbol="BTCUSDT"))["markPrice"])
    value = float(rows[-1]["sumOpenInterestValue"]) / float(rows[-1]["sumOpenInterest"])
    assert abs(value / mark - 1.0) < 0.02
    for name in (
        "globalLongShortAccountRatio",
        "topLongShortAccountRatio",
        "topLongShortPositionRatio",
    ):
        (row,) = await client.get(
            "um", f"/futures/data/{name}", symbol="BTCUSDT", period="1h", limit=1
        )
        assert abs(float(row["longAccount"]) + float(row["shortAccount"]) - 1.0) < 1e-9
    taker = await client.get("um", "/futures/data/takerlongshortRatio", **query)
    start_ms = taker[0]["timestamp"]
    (candle,) = await client.get(
        "um", "/fapi/v1/klines", symbol="BTCUSDT", interval="5m", startTime=start_ms, limit=1
    )
    assert float(taker[0]["buyVol"]) == float(candle[9])
    assert abs(float(taker[0]["buyVol"]) + float(taker[0]["sellVol"]) - float(candle[5])) < 1e-6


async def test_tickers_trades_and_quotes_agree(start: Starter) -> None:
    client = await start()
    day = await client.get("um", "/fapi/v1/ticker/24hr", symbol="ETHUSDT")
    assert float(day["lowPrice"]) <= float(day["lastPrice"]) <= float(day["highPrice"])
    assert len(await client.get("spot", "/api/v3/ticker/24hr")) == len(FEW)
    quote = await client.get("um", "/fapi/v1/ticker/bookTicker", symbol="ETHUSDT")
    assert float(quote["bidPrice"]) < float(quote["askPrice"])
    rows = await client.get("um", "/fapi/v1/aggTrades", symbol="ETHUSDT", limit=50)
    assert [row["a"] for row in rows] == list(range(rows[0]["a"], rows[0]["a"] + 50))
    same = await client.get(
        "um", "/fapi/v1/aggTrades", symbol="ETHUSDT", fromId=rows[10]["a"], limit=5
    )
    assert same == rows[10:15]
    span = await client.get(
        "um", "/fapi/v1/aggTrades", symbol="ETHUSDT", startTime=rows[5]["T"], endTime=rows[9]["T"]
    )
    assert {row["a"] for row in rows[5:10]} <= {row["a"] for row in span}


async def test_it_refuses_what_the_venue_refuses(start: Starter) -> None:
    client = await start()
    klines = "/fapi/v1/klines"
    assert await client.refused("um", klines, symbol="NOPEUSDT", interval="1m") == (400, -1121)
    assert await client.refused("um", klines, symbol="btcusdt", interval="1m") == (400, -1121)
    assert await client.refused("um", klines, interval="1m") == (400, -1102)
    assert await client.refused("um", klines, symbol="BTCUSDT", interval="7m") == (400, -1120)
    base = {"symbol": "BTCUSDT", "interval": "1m"}
    assert await client.refused("um", klines, **base, limit=1501) == (400, -1130)
    assert await client.refused("um", klines, **base, limit="x") == (400, -1100)
    assert await client.refused("um", klines, **base, startTime=9, endTime=8) == (400, -1023)
    assert await client.refused("um", "/fapi/v1/depth", symbol="BTCUSDT", limit=7) == (400, -4021)
    data = "/futures/data/openInterestHist"
    assert await client.refused("um", data, symbol="BTCUSDT", period="1m") == (400, -1130)
    old = int(time.time() * 1000) - 40 * DAY_MS
    assert await client.refused("um", data, symbol="BTCUSDT", period="1h", startTime=old) == (
        400,
        -1130,
    )
    assert await client.get("um", klines, **base, startTime=int(time.time() * 1000) + DAY_MS) == []


async def test_weights_are_counted_and_exhausted(start: Starter) -> None:
    client = await start(limit_multiplier=1.0)
    url = client.url("um", "/fapi/v1/ticker/24hr")
    async with client.http.get(url) as response:
        assert response.headers["X-MBX-USED-WEIGHT-1M"] == "40"
    limits = client.binance("um").limits
    limits.weight.take(2_400)
    async with client.http.get(url) as response:
        assert response.status == 429
        assert (await response.json())["code"] == -1003
        assert 0 < int(response.headers["Retry-After"]) <= 60
    # Pools of their own are not touched by it.
    assert await client.get("um", "/fapi/v1/fundingInfo")
    for _ in range(40):
        async with client.http.get(url) as response:
            status = response.status
    assert status == 418


async def test_the_funding_pool_has_its_own_limit(start: Starter) -> None:
    client = await start(limit_multiplier=0.01)
    answers = []
    for _ in range(7):
        async with client.http.get(client.url("um", "/fapi/v1/fundingInfo")) as response:
            answers.append(response.status)
    assert answers == [200] * 5 + [429] * 2
