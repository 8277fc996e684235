"""Decode and apply recorded OKX book messages, against ccxt.pro's ``handle_message``.

As :mod:`tests.bench.decode`: the same bytes in the same process, rounds interleaved, both books compared
at the end. The recording is of 2022: without ``seqId``, so neither side has a chain to check, and neither
computes checksums. Its messages are large: 51 levels on average, of four strings each, of which two are used.
"""

from __future__ import annotations

import asyncio
import gzip
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from apps.marketdata.books import OKX, BookState, BookSynchroniser
from apps.marketdata.events import BookDelta, BookSnapshot
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.okx.parse import OkxParser
from tests.bench.decode import GOAL, STRETCH, _rounds

RECORDING: Final = "ws_books_trades_tickers_20220513"
_SPOT: Final = Instrument(
    venue="okx", symbol="BTC-USDT", asset="BTC", kind=InstrumentKind.SPOT, quote="USDT"
)
_SYMBOL: Final = "BTC/USDT"


def run(captures: Path | None = None) -> dict[str, Any]:
    """Microseconds per message and ratios; a note where the captures are not found."""
    folder = captures or settings.CAPTURES_DIR
    if folder is None:
        return {"name": "decode okx", "note": "captures not found, not measured"}
    lines = gzip.decompress(
        (folder / "okx" / "book" / f"{RECORDING}.ndjson.gz").read_bytes()
    ).splitlines()
    books = [line for line in lines if b'"channel":"books"' in line and b'"action"' in line]
    spot = [line for line in books if b'"instId":"BTC-USDT"' in line]
    return asyncio.run(_compare(spot))


async def _compare(lines: list[bytes]) -> dict[str, Any]:
    peer = Peer()
    try:
        book = await _rounds(
            {
                "ours": partial(_ours, lines),
                "peer": partial(peer.play, lines),
            },
            len(lines),
        )
        if peer.levels() != _levels(_ours(lines)):
            raise AssertionError("okx: the two books differ")
    finally:
        await peer.close()
    return {
        "name": "decode + apply OKX book messages",
        "peer": "ccxt.pro handle_message",
        "ratio": book["ratio"],
        "goal": GOAL,
        "stretch": STRETCH,
        "recordings": {RECORDING: {"messages": len(lines), "book": book}},
    }


def _ours(lines: list[bytes]) -> BookSynchroniser:
    parser = OkxParser([_SPOT])
    synchroniser = BookSynchroniser(_SPOT, OKX)
    for line in lines:
        for event in parser.parse(line, 1):
            if isinstance(event, BookDelta):
                synchroniser.on_delta(event)
            elif isinstance(event, BookSnapshot):
                synchroniser.on_snapshot(event)
    if synchroniser.state is not BookState.LIVE or synchroniser.gap_count:
        raise AssertionError(f"okx: our book ended {synchroniser.reason}")
    return synchroniser


def _levels(synchroniser: BookSynchroniser) -> tuple[dict[float, float], dict[float, float]]:
    return synchroniser.book.bids, synchroniser.book.asks


class Peer:
    """ccxt.pro fed by hand: no network, its own book code."""

    def __init__(self) -> None:
        import ccxt.pro

        self._exchange = ccxt.pro.okx()
        self._exchange.set_markets([_ccxt_market(self._exchange)])
        self._client = self._exchange.client("wss://ws.okx.com/ws/v5/public")

    def play(self, lines: list[bytes]) -> None:
        exchange, client = self._exchange, self._client
        exchange.orderbooks = {}
        for line in lines:
            exchange.handle_message(client, orjson.loads(line))

    def levels(self) -> tuple[dict[float, float], dict[float, float]]:
        book = self._exchange.orderbooks[_SYMBOL]
        bids, asks = ({level[0]: level[1] for level in book[side]} for side in ("bids", "asks"))
        return bids, asks

    async def close(self) -> None:
        await self._exchange.close()


def _ccxt_market(exchange: Any) -> Any:
    return exchange.safe_market_structure(
        {
            "id": "BTC-USDT", "symbol": _SYMBOL, "base": "BTC", "quote": "USDT", "baseId": "BTC",
            "quoteId": "USDT", "type": "spot", "spot": True, "swap": False, "future": False,
            "option": False, "contract": False, "active": True,
        }
    )  # fmt: skip


if __name__ == "__main__":
    print(orjson.dumps(run(), option=orjson.OPT_INDENT_2).decode())
