"""Unmodified ccxt reads the emulated venues: only scheme, host and port of its addresses are changed.

With an emulator running (``make run``, or ``python manage.py sandbox``):

    python -m tests.sandbox.ccxt_tour [--port 18100] [venue …]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import ccxt.pro as ccxt_pro

SPOT_HOSTS: Final = ("api.binance.com", "stream.binance.com", "data-api.binance.vision")
DEFAULT_PORT: Final = 18100


@dataclass(frozen=True, slots=True)
class Venue:
    """How ccxt calls a venue and its bitcoin perpetual."""

    exchange: str
    symbol: str
    tickers: tuple[str, ...] | None = None
    """What must be named to be told of tickers; None: nothing."""
    params: tuple[tuple[str, str], ...] = ()


VENUES: Final[Mapping[str, Venue]] = {
    "binance": Venue("binanceusdm", "BTC/USDT:USDT"),
    "bybit": Venue("bybit", "BTC/USDT:USDT", params=(("category", "linear"),)),
    "okx": Venue("okx", "BTC/USDT:USDT", ("BTC/USDT:USDT",)),
    "deribit": Venue("deribit", "BTC/USD:BTC", ("BTC/USD:BTC",)),
    "hyperliquid": Venue("hyperliquid", "BTC/USDC:USDC"),
}


def emulator_urls(port: int) -> dict[str, Any]:
    """Of the emulator whose control face is on ``port``; as ``manage.py sandbox --print-urls``."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/manifest", timeout=5) as answer:
        urls: dict[str, Any] = json.load(answer)["urls"]
    return urls


def pointed_at(exchange: Any, own: Mapping[str, Any]) -> Any:
    """The exchange with every address moved to the emulator; paths stay."""

    def moved(address: Any) -> Any:
        if isinstance(address, dict):
            return {name: moved(one) for name, one in address.items()}
        if not isinstance(address, str):
            return address
        parts = urlsplit(address)
        target = own.get("spot", own) if parts.netloc.split(":")[0] in SPOT_HOSTS else own
        base: str = target["ws" if parts.scheme.startswith("ws") else "rest"]
        return base + parts.path

    exchange.urls["api"] = moved(exchange.urls["api"])
    return exchange


async def tour(name: str, own: Mapping[str, Any], updates: int = 5) -> dict[str, Any]:
    """Markets, tickers, funding, open interest, candles, book, and a book that is watched."""
    venue = VENUES[name]
    exchange = pointed_at(getattr(ccxt_pro, venue.exchange)(), own)
    try:
        markets = await exchange.load_markets()
        names = None if venue.tickers is None else list(venue.tickers)
        tickers = await exchange.fetch_tickers(names, dict(venue.params))
        funding = await exchange.fetch_funding_rate(venue.symbol)
        settled = await exchange.fetch_funding_rate_history(
            venue.symbol, exchange.milliseconds() - 5 * 86_400_000, 100
        )
        interest = await exchange.fetch_open_interest(venue.symbol)
        candles = await exchange.fetch_ohlcv(venue.symbol, "1h", limit=24)
        book = await exchange.fetch_order_book(venue.symbol, 20)
        watched = await _watch(exchange, venue.symbol, updates)
    finally:
        await exchange.close()
    ticker = tickers[venue.symbol]
    return {
        "markets": len(markets),
        "tickers": len(tickers),
        "last": ticker["last"] or ticker["close"],
        "funding": funding["fundingRate"],
        "settled": len(settled),
        "interest": interest["openInterestAmount"] or interest["openInterestValue"],
        "candles": [row[:5] for row in candles],
        "book": (book["bids"][0][0], book["asks"][0][0]),
        "watched": watched,
    }


async def _watch(exchange: Any, symbol: str, updates: int) -> list[tuple[float, float, int]]:
    """(best bid, best ask, time) after each update of the streamed book."""
    seen = []
    for _ in range(updates):
        book = await exchange.watch_order_book(symbol)
        seen.append((book["bids"][0][0], book["asks"][0][0], book["timestamp"] or 0))
    return seen


async def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox.ccxt_tour")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the control face")
    parser.add_argument("venues", nargs="*", help=f"which of {', '.join(VENUES)}; all if left out")
    chosen = parser.parse_args(arguments)
    urls = await asyncio.to_thread(emulator_urls, chosen.port)
    for name in chosen.venues or VENUES:
        found = await tour(name, urls[name])
        print(
            f"{name:12} {found['markets']:5} markets {found['tickers']:5} tickers   "
            f"BTC {found['last']:>10}   funding {found['funding']:+.6f}   "
            f"open interest {found['interest']:,.0f}   {len(found['candles'])} candles   "
            f"book {found['book'][0]} / {found['book'][1]}   watched {len(found['watched'])} updates"
        )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
