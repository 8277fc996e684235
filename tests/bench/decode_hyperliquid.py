"""Decode and apply recorded Hyperliquid book messages, against ccxt.pro's ``handle_message``.

Like :mod:`tests.bench.decode`: same bytes, same process, rounds interleaved, both books compared at the end.
The recording is short (46 books), so that it is played several times a round.
"""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from apps.marketdata.books import BookState, BookSynchroniser
from apps.marketdata.events import BookSnapshot
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.hyperliquid.parse import HyperliquidParser
from apps.venues.hyperliquid.stream import BOOK_RULES
from tests.bench.decode import GOAL, STRETCH, _rounds

RECORDING: Final = "btc_l2book_trades_20250126"
SYMBOL: Final = "BTC/USDC:USDC"
URL: Final = "wss://api.hyperliquid.xyz/ws"
REPEATS: Final = 40


def run(captures: Path | None = None) -> dict[str, Any]:
    """Microseconds per message and ratios; empty with a note where the captures are not found."""
    folder = captures or settings.CAPTURES_DIR
    if folder is None:
        return {"name": "decode hyperliquid", "note": "captures not found, not measured"}
    result = asyncio.run(_compare(folder))
    return {
        "name": "decode + apply hyperliquid book messages",
        "peer": "ccxt.pro handle_message",
        "ratio": result["book"]["ratio"],
        "goal": GOAL,
        "stretch": STRETCH,
        "recordings": {RECORDING: result},
    }


async def _compare(folder: Path) -> dict[str, Any]:
    path = folder / "hyperliquid" / "book" / f"{RECORDING}.ndjson.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines()
    books = [line for line in lines if b'"l2Book"' in line[:30]]
    trades = [line for line in lines if b'"trades"' in line[:30]]
    peer = Peer()
    try:
        book = await _rounds(
            {
                "ours": lambda: _ours(books * REPEATS),
                "ours_with_best_prices": lambda: _ours(books * REPEATS, read_best=True),
                "peer": lambda: peer.play(books * REPEATS),
            },
            len(books) * REPEATS,
        )
        ours = _ours(books).book
        if peer.levels() != (ours.bids, ours.asks):
            raise AssertionError("hyperliquid: the two books differ")
        trade = await _rounds(
            {
                "ours": lambda: _parse_all(trades * REPEATS),
                "peer": lambda: peer.play(trades * REPEATS),
            },
            len(trades) * REPEATS,
        )
        return {"messages": len(books), "book": book, "trade": trade}
    finally:
        await peer.close()


def _listed() -> Instrument:
    return Instrument(
        venue="hyperliquid", symbol="BTC", asset="BTC", kind=InstrumentKind.PERP, quote="USDC"
    )


def _ours(lines: list[bytes], *, read_best: bool = False) -> BookSynchroniser:
    """Each repetition is a book of its own: time does not go back in one."""
    instrument = _listed()
    parse = HyperliquidParser([instrument]).parse
    synchroniser = BookSynchroniser(instrument, BOOK_RULES[instrument.kind])
    first = lines[0]
    for line in lines:
        if line is first:
            synchroniser = BookSynchroniser(instrument, BOOK_RULES[instrument.kind])
        for event in parse(line, 1):
            if isinstance(event, BookSnapshot):
                synchroniser.on_snapshot(event)
                if read_best:
                    _ = synchroniser.book.best_bid, synchroniser.book.best_ask
    if synchroniser.state is not BookState.LIVE or synchroniser.gap_count:
        raise AssertionError(f"hyperliquid: our book ended {synchroniser.reason}")
    return synchroniser


def _parse_all(lines: list[bytes]) -> None:
    parse = HyperliquidParser([_listed()]).parse
    for line in lines:
        parse(line, 1)


class Peer:
    """ccxt.pro fed by hand, in its best case: JSON by orjson, nobody waiting."""

    def __init__(self) -> None:
        import ccxt.pro

        self._exchange = ccxt.pro.hyperliquid()
        listed = {"name": "BTC", "szDecimals": 5, "markPx": "105000.0", "baseId": 0}
        self._exchange.set_markets([self._exchange.parse_market(listed)])
        self._client = self._exchange.client(URL)

    def play(self, lines: list[bytes]) -> None:
        for line in lines:
            self._exchange.handle_message(self._client, orjson.loads(line))

    def levels(self) -> tuple[dict[float, float], dict[float, float]]:
        book = self._exchange.orderbooks[SYMBOL]
        bids, asks = ({level[0]: level[1] for level in book[side]} for side in ("bids", "asks"))
        return bids, asks

    async def close(self) -> None:
        await self._exchange.close()


if __name__ == "__main__":
    print(orjson.dumps(run(), option=orjson.OPT_INDENT_2).decode())
