"""Unmodified ccxt 4.5.90 against the face: only its address points elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import ccxt.async_support as ccxt
import ccxt.pro as ccxt_pro
import pytest

from tests.sandbox.faces.okx.conftest import DAY_MS, START_MS, Running, Starter

BTC, PEPE, STRK = "BTC/USDT:USDT", "PEPE/USDT:USDT", "STRK/USDT:USDT"


@pytest.fixture
async def venue(start: Starter) -> Running:
    return await start(multiplier=100.0)


@pytest.fixture
async def exchange(venue: Running) -> AsyncIterator[Any]:
    client = ccxt.okx({"enableRateLimit": False})
    client.urls["api"]["rest"] = venue.url
    await client.load_markets()
    yield client
    await client.close()


async def test_markets_are_swaps_in_contracts(exchange: Any) -> None:
    assert {name for name, one in exchange.markets.items() if one["swap"]} == {BTC, PEPE, STRK}
    options = [one for one in exchange.markets.values() if one["option"]]
    assert len(options) > 300
    assert {(one["contractSize"], one["settle"]) for one in options} == {
        (1.0, "BTC")
    }  # ccxt leaves ctMult out
    btc, pepe = exchange.markets[BTC], exchange.markets[PEPE]
    assert (btc["swap"], btc["linear"], btc["contractSize"]) == (True, True, 0.01)
    assert (btc["precision"]["price"], btc["precision"]["amount"]) == (0.1, 0.01)
    assert pepe["contractSize"] == 10_000_000


async def test_tickers_books_trades_and_candles(exchange: Any) -> None:
    tickers = await exchange.fetch_tickers([BTC, PEPE])
    assert 20_000 < tickers[BTC]["last"] < 300_000
    assert tickers[PEPE]["last"] < 0.001
    ticker = await exchange.fetch_ticker(BTC)
    assert ticker["bid"] < ticker["ask"]
    book = await exchange.fetch_order_book(BTC, 400)
    assert book["bids"][0][0] < book["asks"][0][0]
    trades = await exchange.fetch_trades(BTC, limit=10)
    assert len(trades) == 10
    candles = await exchange.fetch_ohlcv(BTC, "1h", limit=24)
    assert len(candles) == 24
    assert candles[1][0] - candles[0][0] == 3_600_000
    since = START_MS // DAY_MS * DAY_MS - 20 * DAY_MS
    old = await exchange.fetch_ohlcv(BTC, "1h", since, 24)
    assert [row[0] for row in old] == [since + hour * 3_600_000 for hour in range(24)]
    mark = await exchange.fetch_mark_ohlcv(BTC, "1h", limit=5)
    index = await exchange.fetch_index_ohlcv(BTC, "1h", limit=5)
    assert [row[0] for row in mark] == [row[0] for row in index]


async def test_funding(exchange: Any) -> None:
    rate = await exchange.fetch_funding_rate(STRK)
    assert rate["interval"] == "1h"
    assert abs(rate["fundingRate"]) < 0.02
    assert set(await exchange.fetch_funding_rates()) == {BTC, PEPE, STRK}
    history = await exchange.fetch_funding_rate_history(STRK, limit=100)
    times = [row["timestamp"] for row in history]
    assert times == sorted(times)
    assert len(times) == 100
    assert times[-1] - times[0] == 99 * 3_600_000


async def test_greeks_of_options(exchange: Any) -> None:
    call = max(name for name, one in exchange.markets.items() if one["optionType"] == "call")
    greeks = await exchange.fetch_greeks(call)
    assert 0 < greeks["delta"] < 1
    assert greeks["markImpliedVolatility"] < 5
    assert greeks["bidImpliedVolatility"] < greeks["askImpliedVolatility"]
    everyone = await exchange.fetch_all_greeks(params={"uly": "BTC-USD"})
    assert len(everyone) > 300


async def test_open_interest_and_ratios(exchange: Any) -> None:
    interest = await exchange.fetch_open_interest(BTC)
    # ccxt's amount is contracts here.
    assert float(interest["info"]["oiCcy"]) == pytest.approx(interest["openInterestAmount"] * 0.01)
    assert interest["openInterestValue"] > 1e8
    assert set(await exchange.fetch_open_interests()) == {BTC, PEPE, STRK}
    rows = await exchange.fetch_open_interest_history(BTC, "5m", limit=12)
    assert len(rows) == 12
    assert rows[0]["openInterestValue"] > 1e8
    shares = await exchange.fetch_long_short_ratio_history(BTC, "1h", limit=5)
    assert len(shares) == 5
    taker = await exchange.publicGetRubikStatTakerVolumeContract({"instId": "BTC-USDT-SWAP"})
    assert len(taker["data"][0]) == 3


async def test_refusals_become_ccxts_errors(venue: Running, exchange: Any) -> None:
    with pytest.raises(ccxt.BadSymbol):
        await exchange.publicGetMarketCandles({"instId": "TON-USDT-SWAP"})
    venue.face.rest.windows._multiplier = 0.0
    with pytest.raises(ccxt.RateLimitExceeded):
        await exchange.publicGetPublicMarkPrice({"instType": "SWAP"})


async def test_ccxt_pro_keeps_the_book(venue: Running) -> None:
    client = ccxt_pro.okx({"enableRateLimit": False})
    client.urls["api"]["rest"] = venue.url
    client.urls["api"]["ws"] = f"{venue.ws_url}/ws/v5"
    try:
        book = await client.watch_order_book(BTC)
        assert book["bids"][0][0] < book["asks"][0][0]
        first = book["nonce"]
        venue.tick(1_000)
        book = await client.watch_order_book(BTC)
        assert book["nonce"] > first
    finally:
        await client.close()
