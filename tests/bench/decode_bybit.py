"""Decode and apply recorded Bybit book messages, against ccxt.pro's ``handle_message``.

Both sides get the same bytes in the same process, rounds interleaved. Both books are compared at the end.
ccxt does not check ``u``; we do.
"""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from apps.marketdata.books import BYBIT, BookState, BookSynchroniser
from apps.marketdata.events import BookDelta, BookSnapshot
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.bybit.parse import BybitParser
from tests.bench.decode import GOAL, STRETCH, _rounds

RECORDING: Final = "linear_stream_20260809"
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT")
URL: Final = "wss://stream.bybit.com/v5/public/linear"


def run(captures: Path | None = None) -> dict[str, Any]:
    """Microseconds per message and ratio; a note where the captures are not found."""
    folder = captures or settings.CAPTURES_DIR
    if folder is None:
        return {"name": "decode bybit", "note": "captures not found, not measured"}
    return asyncio.run(_compare(folder))


async def _compare(folder: Path) -> dict[str, Any]:
    path = folder / "bybit" / "book" / f"{RECORDING}.ndjson.gz"
    lines = [
        line
        for line in gzip.decompress(path.read_bytes()).splitlines()
        if line.startswith(b'{"topic":"orderbook.')
    ]
    peer = Peer()
    try:
        book = await _rounds(
            {"ours": lambda: _ours(lines), "peer": lambda: peer.play(lines)}, len(lines)
        )
        ours = {symbol: (one.book.bids, one.book.asks) for symbol, one in _ours(lines).items()}
        if peer.levels() != ours:
            raise AssertionError(f"{RECORDING}: the two books differ")
    finally:
        await peer.close()
    return {
        "name": "decode + apply Bybit book messages",
        "peer": "ccxt.pro handle_message",
        "ratio": book["ratio"],
        "goal": GOAL,
        "stretch": STRETCH,
        "recordings": {RECORDING: {"messages": len(lines), "book": book}},
    }


def _listed(symbol: str) -> Instrument:
    asset = symbol.removesuffix("USDT")
    return Instrument(
        venue="bybit", symbol=symbol, asset=asset, kind=InstrumentKind.PERP, quote="USDT"
    )


def _ours(lines: list[bytes]) -> dict[str, BookSynchroniser]:
    listed = [_listed(symbol) for symbol in SYMBOLS]
    parser = BybitParser(listed)
    books = {item.symbol: BookSynchroniser(item, BYBIT) for item in listed}
    parse = parser.parse
    for line in lines:
        for event in parse(line, 1):
            if isinstance(event, BookDelta):
                books[event.instrument.symbol].on_delta(event)
            elif isinstance(event, BookSnapshot):
                books[event.instrument.symbol].on_snapshot(event)
    for symbol, book in books.items():
        if book.state is not BookState.LIVE or book.gap_count:
            raise AssertionError(f"{symbol}: our book ended {book.reason}")
    return books


class Peer:
    """ccxt.pro fed by hand: no network."""

    def __init__(self) -> None:
        import ccxt.pro

        self._exchange = ccxt.pro.bybit()
        self._exchange.set_markets([_ccxt_market(self._exchange, symbol) for symbol in SYMBOLS])
        self._client = self._exchange.client(URL)

    async def play(self, lines: list[bytes]) -> None:
        self._exchange.orderbooks = {}
        # ccxt makes a book of this depth only after a subscription asked for it.
        self._exchange.options["watchOrderBook"] = {"limit": 200}
        handle, client = self._exchange.handle_message, self._client
        for line in lines:
            handle(client, orjson.loads(line))

    def levels(self) -> dict[str, tuple[dict[float, float], dict[float, float]]]:
        found = {}
        for symbol in SYMBOLS:
            book = self._exchange.orderbooks[f"{symbol.removesuffix('USDT')}/USDT:USDT"]
            bids, asks = ({level[0]: level[1] for level in book[side]} for side in ("bids", "asks"))
            found[symbol] = (bids, asks)
        return found

    async def close(self) -> None:
        await self._exchange.close()


def _ccxt_market(exchange: Any, symbol: str) -> Any:
    base = symbol.removesuffix("USDT")
    return exchange.safe_market_structure(
        {
            "id": symbol,
            "symbol": f"{base}/USDT:USDT",
            "base": base,
            "quote": "USDT",
            "settle": "USDT",
            "baseId": base,
            "quoteId": "USDT",
            "type": "swap",
            "spot": False,
            "swap": True,
            "future": False,
            "option": False,
            "contract": True,
            "linear": True,
            "inverse": False,
            "active": True,
        }
    )


if __name__ == "__main__":
    print(orjson.dumps(run(), option=orjson.OPT_INDENT_2).decode())
