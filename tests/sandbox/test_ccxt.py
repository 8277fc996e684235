"""Unmodified ccxt against the emulator: only its URLs point elsewhere."""

from __future__ import annotations

import time
from typing import Any

import ccxt.async_support as ccxt
import pytest

from tests.sandbox.conftest import Client, Starter


def pointed_at(exchange: Any, client: Client) -> Any:
    api = exchange.urls["api"]
    for name, url in api.items():
        base, _, path = url.partition("://")[2].partition("/")
        assert base
        face = "spot" if name in ("public", "private", "v1") else "um"
        api[name] = client.url(face, f"/{path}")
    return exchange


@pytest.fixture
async def client(start: Starter) -> Client:
    return await start()


async def test_futures(client: Client) -> None:
    exchange = pointed_at(ccxt.binanceusdm(), client)
    try:
        markets = await exchange.load_markets()
        swaps = {name for name, one in markets.items() if one["swap"]}
        assert {name for name in swaps if name.endswith(":USDT")} == {
            "BTC/USDT:USDT",
            "ETH/USDT:USDT",
            "1000PEPE/USDT:USDT",
            "ARB/USDT:USDT",
        }
        btc = markets["BTC/USDT:USDT"]
        assert (btc["swap"], btc["linear"], btc["precision"]["price"]) == (True, True, 0.1)
        await _prices(exchange)
        await _positions(exchange)
    finally:
        await exchange.close()


async def _prices(exchange: Any) -> None:
    symbol = "BTC/USDT:USDT"
    ticker = await exchange.fetch_ticker(symbol)
    assert 20_000 < ticker["last"] < 300_000
    assert ticker["quoteVolume"] > 1e9
    assert set(await exchange.fetch_tickers()) == set(exchange.markets)
    candles = await exchange.fetch_ohlcv(symbol, "1h", limit=24)
    assert len(candles) == 24
    assert candles[1][0] - candles[0][0] == 3_600_000
    since = candles[0][0]
    mark = await exchange.fetch_mark_ohlcv(symbol, "1h", since, 2)
    index = await exchange.fetch_index_ohlcv(symbol, "1h", since, 2)
    assert mark[0][0] == index[0][0] == since
    book = await exchange.fetch_order_book(symbol, 1000)
    assert book["bids"][0][0] < book["asks"][0][0]
    trades = await exchange.fetch_trades(symbol, limit=10)
    assert {one["side"] for one in trades} <= {"buy", "sell"}
    assert len(trades) == 10


async def _positions(exchange: Any) -> None:
    symbol = "1000PEPE/USDT:USDT"
    rate = await exchange.fetch_funding_rate(symbol)
    assert abs(rate["fundingRate"]) < 0.02
    assert rate["fundingTimestamp"] > time.time() * 1000
    rates = await exchange.fetch_funding_rates()
    assert len([name for name in rates if name.endswith(":USDT")]) == 4
    intervals = await exchange.fetch_funding_intervals()
    assert intervals[symbol]["interval"] == "4h"
    since = exchange.milliseconds() - 5 * 86_400_000
    history = await exchange.fetch_funding_rate_history(symbol, since, 100)
    assert len([row for row in history if row["info"]["rateType"] == "Normal"]) == 30
    interest = await exchange.fetch_open_interest(symbol)
    assert interest["openInterestAmount"] > 0
    rows = await exchange.fetch_open_interest_history(symbol, "5m", limit=12)
    assert len(rows) == 12
    assert rows[0]["openInterestValue"] > 1e6
    shares = await exchange.fetch_long_short_ratio_history(symbol, "1h", limit=5)
    assert len(shares) == 5
    assert shares[0]["longShortRatio"] > 0
    assert await exchange.fapiDataGetTakerlongshortRatio({"symbol": "1000PEPEUSDT", "period": "5m"})


async def test_spot(client: Client) -> None:
    exchange = pointed_at(ccxt.binance(), client)
    try:
        markets = await exchange.load_markets()
        assert {"BTC/USDT", "PEPE/USDT", "1000PEPE/USDT:USDT"} <= set(markets)
        assert (await exchange.fetch_ticker("PEPE/USDT"))["last"] < 0.001
        assert len(await exchange.fetch_ohlcv("ETH/USDT", "5m", limit=1000)) == 1000
        book = await exchange.fetch_order_book("ETH/USDT", 50)
        assert len(book["bids"]) == 50
        with pytest.raises(ccxt.BadSymbol):
            await exchange.publicGetKlines({"symbol": "NOPE", "interval": "1m"})
    finally:
        await exchange.close()
