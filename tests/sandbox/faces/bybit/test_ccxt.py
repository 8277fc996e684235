"""Unmodified ccxt against the face: only its address points elsewhere."""

from __future__ import annotations

import time

import ccxt.async_support as ccxt
import pytest

from tests.sandbox.faces.bybit.conftest import Starter


async def test_ccxt_reads_markets_prices_and_positions(start: Starter) -> None:
    venue = await start()
    exchange = ccxt.bybit()
    exchange.urls["api"]["public"] = venue.url
    try:
        markets = await exchange.load_markets()
        assert {name for name, one in markets.items() if one["swap"]} == {
            "BTC/USDT:USDT", "ETH/USDT:USDT", "1000PEPE/USDT:USDT", "ARB/USDT:USDT",
        }  # fmt: skip
        btc = markets["BTC/USDT:USDT"]
        assert (btc["swap"], btc["linear"], btc["contractSize"]) == (True, True, 1.0)
        assert (btc["precision"]["amount"], btc["precision"]["price"]) == (0.001, 0.1)
        tickers = await exchange.fetch_tickers(params={"category": "linear"})
        assert set(tickers) == {name for name, one in markets.items() if one["swap"]}
        assert 20_000 < tickers["BTC/USDT:USDT"]["last"] < 300_000
        rates = await exchange.fetch_funding_rates(list(tickers))
        assert rates["BTC/USDT:USDT"]["interval"] == "8h"
        assert abs(rates["BTC/USDT:USDT"]["fundingRate"]) < 0.005
        interest = await exchange.fetch_open_interest("BTC/USDT:USDT")
        assert interest["openInterestAmount"] > 0
        # ccxt gives the venue's figure of both sides.
        single = float(interest["info"]["singleOpenInterest"])
        assert interest["openInterestAmount"] == pytest.approx(2 * single)
        candles = await exchange.fetch_ohlcv("ETH/USDT:USDT", "1h", limit=24)
        assert len(candles) == 24
        assert candles[1][0] - candles[0][0] == 3_600_000
        book = await exchange.fetch_order_book("1000PEPE/USDT:USDT", 50)
        assert len(book["bids"]) == len(book["asks"]) == 50
        assert book["bids"][0][0] < book["asks"][0][0]
        trades = await exchange.fetch_trades("BTC/USDT:USDT", limit=20)
        assert len(trades) == 20
        now_ms = int(time.time() * 1000)
        history = await exchange.fetch_funding_rate_history(
            "BTC/USDT:USDT", now_ms - 5 * 86_400_000, params={"until": now_ms}
        )
        assert len(history) in (15, 16)
        ratios = await exchange.fetch_long_short_ratio_history("BTC/USDT:USDT", "1h", limit=5)
        assert len(ratios) == 5
        with pytest.raises(ccxt.BaseError):
            await exchange.public_get_v5_market_kline(
                {"category": "linear", "symbol": "NOPEUSDT", "interval": "1"}
            )
    finally:
        await exchange.close()
