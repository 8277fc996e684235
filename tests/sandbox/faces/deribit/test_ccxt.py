"""Unmodified ccxt against the face: only its URL points elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import ccxt as sync_ccxt
import ccxt.async_support as ccxt
import ccxt.pro as ccxt_pro
import pytest

from tests.sandbox.faces.deribit.conftest import Served

BTC, SOL = "BTC/USD:BTC", "SOL/USDC:USDC"


@pytest.fixture
async def exchange(served: Served) -> AsyncIterator[Any]:
    made = ccxt.deribit()
    made.urls["api"]["rest"] = served.rest
    yield made
    await made.close()


async def test_markets_and_prices(exchange: Any) -> None:
    markets = await exchange.load_markets()
    perpetuals = {symbol for symbol, market in markets.items() if market["swap"]}
    main = {BTC, "ETH/USD:ETH", SOL, "XRP/USDC:USDC"}
    assert perpetuals - main == {"BTC/USDC:USDC", "ETH/USDC:USDC"}
    assert main < perpetuals
    assert (markets[BTC]["inverse"], markets[SOL]["linear"]) == (True, True)
    assert markets[BTC]["contractSize"] == 10
    options = [market for market in markets.values() if market["option"]]
    assert {market["base"] for market in options} == {"BTC", "ETH", "SOL", "XRP"}
    assert len(options) > 1_500
    ticker = await exchange.fetch_ticker(BTC)
    assert 20_000 < ticker["last"] < 300_000
    tickers = await exchange.fetch_tickers([BTC])
    assert set(tickers) == {BTC}
    book = await exchange.fetch_order_book(SOL, 20)
    assert book["bids"][0][0] < book["asks"][0][0]
    assert book["nonce"] > 0
    candles = await exchange.fetch_ohlcv(BTC, "1h", limit=24)
    assert 23 <= len(candles) <= 24
    assert candles[1][0] - candles[0][0] == 3_600_000
    trades = await exchange.fetch_trades(BTC, limit=10)
    assert len(trades) == 10


async def test_funding_open_interest_and_greeks(exchange: Any) -> None:
    await exchange.load_markets()
    rate = await exchange.fetch_funding_rate(BTC)
    assert abs(rate["fundingRate"]) < 0.01
    since = exchange.milliseconds() - 5 * 86_400_000
    history = await exchange.fetch_funding_rate_history(BTC, since, 200)
    assert len(history) == 120
    inverse = await exchange.fetch_open_interest(BTC)
    assert inverse["openInterestValue"] > 1e8
    linear = await exchange.fetch_open_interest(SOL)
    # ccxt calls every perpetual's figure a value; of linear ones it is coins.
    assert linear["openInterestValue"] > 1e4
    option = next(symbol for symbol, market in exchange.markets.items() if market["option"])
    greeks = await exchange.fetch_greeks(option)
    assert abs(greeks["delta"]) <= 1
    chain = await exchange.fetch_option_chain("ETH")
    assert len(chain) == sum(
        market["option"] and market["base"] == "ETH" for market in exchange.markets.values()
    )


async def test_refusals_become_ccxt_s_errors(exchange: Any) -> None:
    await exchange.load_markets()
    with pytest.raises(ccxt.ExchangeError):
        await exchange.publicGetTicker({"instrument_name": "NOPE-PERPETUAL"})


async def test_option_chains_greeks_and_volatility(exchange: Any) -> None:
    await exchange.load_markets()
    chain = await exchange.fetch_option_chain("USDC")
    assert {symbol.split("/")[0] for symbol in chain} == {"SOL", "XRP"}
    months = [
        market
        for market in exchange.markets.values()
        if market["option"]
        and market["base"] == "BTC"
        and market["info"]["settlement_period"] == "month"
    ]
    near = min(months, key=lambda one: abs(one["strike"] - 90_000))
    option = await exchange.fetch_option(near["symbol"])
    assert option["openInterest"] >= 0
    greeks = await exchange.fetch_greeks(near["symbol"])
    assert greeks["vega"] > 0 > greeks["theta"]
    assert 20 < greeks["markImpliedVolatility"] < 200
    history = await exchange.fetch_volatility_history("BTC")
    assert len(history) > 300
    assert all(5 < one["volatility"] < 300 for one in history)


async def test_the_synchronous_client_too(served: Served) -> None:
    made: Any = sync_ccxt.deribit()
    made.urls["api"]["rest"] = served.rest
    markets = await asyncio.to_thread(made.load_markets)
    assert sum(market["option"] for market in markets.values()) > 1_500
    assert (await asyncio.to_thread(made.fetch_ticker, BTC))["last"] > 0


async def test_books_are_watched(served: Served) -> None:
    made = ccxt_pro.deribit()
    made.urls["api"] |= {"rest": served.rest, "ws": f"{served.ws}/ws/api/v2"}
    try:
        await made.load_markets()
        for symbol in (BTC, SOL):
            for _ in range(3):
                book = await made.watch_order_book(symbol)
            assert book["bids"][0][0] < book["asks"][0][0]
            assert len(book["bids"]) >= 20
        trades = await made.watch_trades(BTC)
        assert trades[-1]["price"] > 0
        ticker = await made.watch_ticker(BTC)
        assert ticker["last"] > 0
    finally:
        await made.close()
