"""Unmodified ccxt against the face: only its address points elsewhere."""

from __future__ import annotations

import time

import ccxt.async_support as ccxt
import pytest

from tests.sandbox.faces.hyperliquid.conftest import Starter


async def test_ccxt_reads_markets_prices_and_positions(start: Starter) -> None:
    venue = await start()
    exchange = ccxt.hyperliquid()
    exchange.urls["api"]["public"] = venue.url
    try:
        markets = await exchange.load_markets()
        ours = {name for name, one in markets.items() if one["active"] and "-" not in name}
        assert set(markets) - ours == {
            "MATIC/USDC:USDC",
            "FTM/USDC:USDC",
            "HYNA-BTC/USDC:USDC",
            "HYNA-ETH/USDC:USDC",
        }
        assert ours == {
            "BTC/USDC:USDC",
            "ETH/USDC:USDC",
            "KPEPE/USDC:USDC",
            "ARB/USDC:USDC",
        }
        btc = markets["BTC/USDC:USDC"]
        assert (btc["swap"], btc["baseName"]) == (True, "BTC")
        assert (btc["precision"]["amount"], btc["precision"]["price"]) == (1e-5, 1.0)
        tickers = await exchange.fetch_tickers()
        assert ours <= set(tickers)
        assert 20_000 < tickers["BTC/USDC:USDC"]["close"] < 300_000
        assert tickers["BTC/USDC:USDC"]["quoteVolume"] > 1e8
        rates = await exchange.fetch_funding_rates()
        assert rates["KPEPE/USDC:USDC"]["interval"] == "1h"
        assert abs(rates["KPEPE/USDC:USDC"]["fundingRate"]) < 0.005
        interests = await exchange.fetch_open_interests()
        assert all(interests[name]["openInterestAmount"] > 0 for name in ours)
        candles = await exchange.fetch_ohlcv("ETH/USDC:USDC", "1h", limit=24)
        assert len(candles) in (24, 25)
        assert candles[1][0] - candles[0][0] == 3_600_000
        book = await exchange.fetch_order_book("KPEPE/USDC:USDC")
        assert len(book["bids"]) == len(book["asks"]) == 20
        assert book["bids"][0][0] < book["asks"][0][0]
        since = int(time.time() * 1000) - 5 * 86_400_000
        history = await exchange.fetch_funding_rate_history("BTC/USDC:USDC", since)
        assert len(history) in (119, 120)
        with pytest.raises(ccxt.BadSymbol):
            await exchange.fetch_order_book("NOPE/USDC:USDC")
    finally:
        await exchange.close()
