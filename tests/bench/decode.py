"""Decode and apply recorded Binance book messages, against ccxt.pro's ``handle_message``.

Both sides get the same bytes in the same process, rounds interleaved: buffer, snapshot, continuity check,
every level applied. Both books are compared at the end of each round. The peer gets its best case: JSON
decoded by orjson as ccxt does, no waiting ``watch_order_book`` futures to resolve.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from apps.marketdata.books import BookState, BookSynchroniser
from apps.marketdata.events import BookDelta
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.binance.parse import BinanceParser, Market, depth_snapshot
from apps.venues.binance.stream import BOOK_RULES

ROUNDS: Final = 9
SINGLE_MESSAGES: Final = 10_000
GOAL, STRETCH = 5.0, 8.0
_SNAPSHOT: Final = b'"lastUpdateId"'


@dataclass(frozen=True)
class Recording:
    name: str
    market: Market
    symbol: str
    url: str


RECORDINGS: Final = (
    Recording(
        "usdm_btcusdt_20240808", Market.UM, "BTC/USDT:USDT", "wss://fstream.binance.com/public/ws"
    ),
    Recording("spot_btcusdt_20240808", Market.SPOT, "BTC/USDT", "wss://stream.binance.com:9443/ws"),
)


def run(captures: Path | None = None) -> dict[str, Any]:
    """Microseconds per message and ratios; empty with a note where the captures are not found."""
    folder = captures or settings.CAPTURES_DIR
    if folder is None:
        return {"name": "decode", "note": "captures not found, not measured"}
    results = {item.name: asyncio.run(_compare(item, folder)) for item in RECORDINGS}
    ratios = [result["book"]["ratio"] for result in results.values()]
    return {
        "name": "decode + apply book messages",
        "peer": "ccxt.pro handle_message",
        "ratio": min(ratios),
        "goal": GOAL,
        "stretch": STRETCH,
        "recordings": results,
    }


async def _compare(recording: Recording, folder: Path) -> dict[str, Any]:
    path = folder / "binance" / "book" / f"{recording.name}.ndjson.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines()
    depth = [line for line in lines if b'"depthUpdate"' in line or _SNAPSHOT in line[:40]]
    peer = Peer(recording)
    try:
        book = await _rounds(
            {
                "ours": lambda: _ours(recording, depth),
                "ours_with_best_prices": lambda: _ours(recording, depth, read_best=True),
                "peer": lambda: peer.play(depth),
            },
            len(depth),
        )
        if peer.levels() != _levels(_ours(recording, depth)):
            raise AssertionError(f"{recording.name}: the two books differ")
        singles = {
            "book_ticker": [line for line in lines if b"@bookTicker" in line[:60]],
            "trade": [line for line in lines if b"@trade" in line[:60]],
        }
        answer = {"messages": len(depth), "book": book}
        for kind, found in singles.items():
            chosen = found[:SINGLE_MESSAGES]
            answer[kind] = await _rounds(
                {
                    "ours": partial(_parse_all, recording, chosen),
                    "peer": partial(peer.handle_all, chosen),
                },
                len(chosen),
            )
        return answer
    finally:
        await peer.close()


async def _rounds(contestants: dict[str, Callable[[], Any]], messages: int) -> dict[str, float]:
    """Median microseconds of CPU per message of each, and the peer's time over ours.

    CPU time, so that other work on the machine changes neither; what was imported is frozen, as in our
    processes, so that neither pays for collecting Django's or ccxt's objects.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    gc.collect()
    gc.freeze()
    try:
        for _ in range(ROUNDS):
            for name, contestant in contestants.items():
                started = time.process_time()
                outcome = contestant()
                if asyncio.iscoroutine(outcome):
                    await outcome
                seconds[name].append(time.process_time() - started)
    finally:
        gc.unfreeze()
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    report = {f"{name}_us": round(taken / messages * 1e6, 2) for name, taken in median.items()}
    report["ratio"] = round(median["peer"] / median["ours"], 2)
    return report


def _listed(recording: Recording) -> Instrument:
    kind = InstrumentKind.SPOT if recording.market is Market.SPOT else InstrumentKind.PERP
    return Instrument(venue="binance", symbol="BTCUSDT", asset="BTC", kind=kind, quote="USDT")


def _ours(recording: Recording, lines: list[bytes], *, read_best: bool = False) -> BookSynchroniser:
    instrument = _listed(recording)
    parser = BinanceParser(recording.market, [instrument])
    synchroniser = BookSynchroniser(instrument, BOOK_RULES[instrument.kind])
    parse, on_delta, book = parser.parse, synchroniser.on_delta, synchroniser.book
    for line in lines:
        if line.startswith(b'{"lastUpdateId"'):
            synchroniser.on_snapshot(depth_snapshot(line, instrument, 1))
            continue
        for event in parse(line, 1):
            if isinstance(event, BookDelta):
                on_delta(event)
                if read_best:
                    _ = book.best_bid, book.best_ask
    if synchroniser.state is not BookState.LIVE or synchroniser.gap_count:
        raise AssertionError(f"{recording.name}: our book ended {synchroniser.reason}")
    return synchroniser


def _levels(synchroniser: BookSynchroniser) -> tuple[dict[float, float], dict[float, float]]:
    return synchroniser.book.bids, synchroniser.book.asks


def _parse_all(recording: Recording, lines: list[bytes]) -> None:
    parser = BinanceParser(recording.market, [_listed(recording)])
    for line in lines:
        parser.parse(line, 1)


class Peer:
    """ccxt.pro fed by hand: no network, its own buffering, snapshot and continuity code."""

    def __init__(self, recording: Recording) -> None:
        import ccxt.pro

        self._recording = recording
        is_spot = recording.market is Market.SPOT
        self._exchange = ccxt.pro.binance() if is_spot else ccxt.pro.binanceusdm()
        self._exchange.set_markets([_ccxt_market(self._exchange, recording.symbol, is_spot)])
        self._client = self._exchange.client(recording.url)
        self._body = b""
        self._exchange.fetch_rest_order_book_safe = self._snapshot

    async def play(self, lines: list[bytes]) -> None:
        exchange, client, symbol = self._exchange, self._client, self._recording.symbol
        book = exchange.order_book({}, 1000)
        book["nonce"] = None
        book.cache = []
        exchange.orderbooks = {symbol: book}
        subscription = {
            "symbol": symbol,
            "type": "spot" if self._recording.market is Market.SPOT else "linear",
        }
        handle = exchange.handle_message
        for line in lines:
            if line.startswith(b'{"lastUpdateId"'):
                self._body = line
                await exchange.fetch_order_book_snapshot(client, {}, subscription)
            else:
                handle(client, orjson.loads(line))

    async def _snapshot(self, symbol: str, limit: int, params: dict[str, Any]) -> Any:
        # What ccxt's fetchOrderBook makes of the body.
        body = orjson.loads(self._body)
        book = self._exchange.parse_order_book(body, symbol, body.get("T"))
        book["nonce"] = body["lastUpdateId"]
        return book

    def handle_all(self, lines: list[bytes]) -> None:
        for line in lines:
            self._exchange.handle_message(self._client, orjson.loads(line))

    def levels(self) -> tuple[dict[float, float], dict[float, float]]:
        book = self._exchange.orderbooks[self._recording.symbol]
        bids, asks = ({level[0]: level[1] for level in book[side]} for side in ("bids", "asks"))
        return bids, asks

    async def close(self) -> None:
        await self._exchange.close()


def _ccxt_market(exchange: Any, symbol: str, is_spot: bool) -> Any:
    return exchange.safe_market_structure(
        {
            "id": "BTCUSDT",
            "symbol": symbol,
            "base": "BTC",
            "quote": "USDT",
            "settle": None if is_spot else "USDT",
            "baseId": "BTC",
            "quoteId": "USDT",
            "type": "spot" if is_spot else "swap",
            "spot": is_spot,
            "swap": not is_spot,
            "future": False,
            "option": False,
            "contract": not is_spot,
            "linear": None if is_spot else True,
            "inverse": None if is_spot else False,
            "active": True,
        }
    )


if __name__ == "__main__":
    print(orjson.dumps(run(), option=orjson.OPT_INDENT_2).decode())
