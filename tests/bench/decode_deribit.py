"""Decode and apply Deribit book messages, against ccxt.pro's ``handle_message``.

Like :mod:`tests.bench.decode`: same bytes, same process, rounds interleaved, both books compared at the end.
The recording holds 46 small option books, so that it is played several times a round; books of a perpetual
were never recorded, so the emulator's BTC-PERPETUAL is measured beside it. ccxt.pro checks no continuity.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from pathlib import Path
from typing import Any, Final

import orjson
from django.conf import settings

from apps.marketdata.books import BookState, BookSynchroniser
from apps.marketdata.events import BookDelta, BookSnapshot
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.sandbox.faces.deribit.channels import parse_channel
from apps.sandbox.faces.deribit.listings import listings
from apps.sandbox.faces.deribit.model_source import ModelSource
from apps.sandbox.faces.deribit.publisher import Publisher
from apps.sandbox.faces.hub import Connection, Hub
from apps.sandbox.faults import Faults
from apps.sandbox.market.model import SeededMarket
from apps.venues.deribit.parse import DeribitParser
from apps.venues.deribit.stream import BOOK_RULES
from tests.bench.decode import GOAL, STRETCH, _rounds

RECORDING: Final = "ws_options_raw_20210722"
URL: Final = "wss://www.deribit.com/ws/api/v2"
REPEATS: Final = 40
EMULATED_CHANGES: Final = 1_500
_PERPETUAL: Final = "BTC-PERPETUAL"


def run(captures: Path | None = None) -> dict[str, Any]:
    """Microseconds per message and ratios; empty with a note where the captures are not found."""
    folder = captures or settings.CAPTURES_DIR
    if folder is None:
        return {"name": "decode deribit", "note": "captures not found, not measured"}
    results = asyncio.run(_compare(folder))
    return {
        "name": "decode + apply deribit book messages",
        "peer": "ccxt.pro handle_message",
        "ratio": min(result["book"]["ratio"] for result in results.values()),
        "goal": GOAL,
        "stretch": STRETCH,
        "recordings": results,
    }


async def _compare(folder: Path) -> dict[str, Any]:
    path = folder / "deribit" / "options" / f"{RECORDING}.ndjson.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines()
    recorded = [line for line in lines if b'"channel":"book.' in line[:80]]
    tickers = [line for line in lines if b'"channel":"ticker.' in line[:80]]
    names = sorted({orjson.loads(line)["params"]["data"]["instrument_name"] for line in recorded})
    peer = Peer([*names, _PERPETUAL])
    try:
        options = [_option(name) for name in names]
        return {
            RECORDING: {
                "messages": len(recorded),
                "book": await _books(peer, options, recorded, REPEATS),
                "ticker": await _tickers(peer, options, tickers),
            },
            "emulated BTC-PERPETUAL": {
                "messages": EMULATED_CHANGES + 1,
                "book": await _books(peer, [_perpetual()], emulated_book(), 1),
            },
        }
    finally:
        await peer.close()


async def _books(
    peer: Peer, instruments: list[Instrument], lines: list[bytes], repeats: int
) -> dict[str, float]:
    # One parser for all plays, as the peer is one exchange.
    parser = DeribitParser(instruments)
    rounds = await _rounds(
        {
            "ours": lambda: [_ours(parser, instruments, lines) for _ in range(repeats)],
            "ours_with_best_prices": lambda: [
                _ours(parser, instruments, lines, read_best=True) for _ in range(repeats)
            ],
            "peer": lambda: peer.play_again(lines, repeats),
        },
        len(lines) * repeats,
    )
    peer.play(lines)
    for synchroniser in _ours(parser, instruments, lines):
        if peer.levels(synchroniser.instrument) != _levels(synchroniser):
            raise AssertionError(f"{synchroniser.instrument.symbol}: the two books differ")
    return rounds


async def _tickers(
    peer: Peer, instruments: list[Instrument], lines: list[bytes]
) -> dict[str, float]:
    many = lines * REPEATS
    return await _rounds(
        {"ours": lambda: _parse_all(instruments, many), "peer": lambda: peer.play(many)}, len(many)
    )


def _option(name: str) -> Instrument:
    asset = name[:3]
    kind = InstrumentKind.OPTION
    return Instrument(
        venue="deribit", symbol=name, asset=asset, kind=kind, quote=asset, is_inverse=True
    )


def _perpetual() -> Instrument:
    return Instrument(
        venue="deribit", symbol=_PERPETUAL, asset="BTC", kind=InstrumentKind.PERP, quote="USD",
        contract_size=10.0, is_inverse=True,
    )  # fmt: skip


def emulated_book(changes: int = EMULATED_CHANGES) -> list[bytes]:
    """Frames of the emulator's BTC-PERPETUAL: a snapshot and its changes."""
    own = listings(("BTC",))
    clock = [1_763_719_200_000]
    faults = Faults(time.time)
    hub = Hub(faults)
    publisher = Publisher(
        ModelSource(SeededMarket(7, own), own, lambda: clock[0]), hub, lambda: clock[0]
    )
    channel = parse_channel(f"book.{_PERPETUAL}.100ms")
    if channel is None:
        raise AssertionError("the emulator does not know its own book channel")
    reader = _Reader()
    hub.add(reader)
    hub.subscribe(reader, [channel.channel], silent=False)
    frames = publisher.first_frames(channel)
    for _ in range(changes):
        clock[0] += 100
        publisher.tick(clock[0])
    return frames + reader.frames


class _Reader(Connection):
    """Keeps payloads instead of sending them."""

    def __init__(self) -> None:
        super().__init__("public", False, asyncio.Transport())
        self.frames: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.frames.append(payload)


def _ours(
    parser: DeribitParser,
    instruments: list[Instrument],
    lines: list[bytes],
    *,
    read_best: bool = False,
) -> list[BookSynchroniser]:
    parse = parser.parse
    books = {id(item): BookSynchroniser(item, BOOK_RULES[item.kind]) for item in instruments}
    for line in lines:
        for event in parse(line, 1):
            if isinstance(event, BookDelta):
                book = books[id(event.instrument)]
                book.on_delta(event)
            elif isinstance(event, BookSnapshot):
                book = books[id(event.instrument)]
                book.on_snapshot(event)
            if read_best:
                _ = book.book.best_bid, book.book.best_ask
    for book in books.values():
        if book.state is not BookState.LIVE or book.gap_count:
            raise AssertionError(f"{book.instrument.symbol}: our book ended {book.reason}")
    return list(books.values())


def _levels(book: BookSynchroniser) -> tuple[dict[float, float], dict[float, float]]:
    return book.book.bids, book.book.asks


def _parse_all(instruments: list[Instrument], lines: list[bytes]) -> None:
    parse = DeribitParser(instruments).parse
    for line in lines:
        parse(line, 1)


class Peer:
    """ccxt.pro fed by hand, in its best case: JSON by orjson, nobody waiting."""

    def __init__(self, names: list[str]) -> None:
        import ccxt.pro

        self._exchange = ccxt.pro.deribit()
        self._exchange.set_markets(
            [_ccxt_market(self._exchange, name) for name in names],
        )
        self._client = self._exchange.client(URL)

    def play(self, lines: list[bytes]) -> None:
        self._exchange.orderbooks = {}
        handle = self._exchange.handle_message
        for line in lines:
            handle(self._client, orjson.loads(line))

    def play_again(self, lines: list[bytes], repeats: int) -> None:
        for _ in range(repeats):
            self.play(lines)

    def levels(self, instrument: Instrument) -> tuple[dict[float, float], dict[float, float]]:
        """Its books in our units: coins."""
        book = self._exchange.orderbooks[instrument.symbol]
        in_usd = instrument.kind is InstrumentKind.PERP
        bids, asks = (
            {level[0]: level[1] / level[0] if in_usd else level[1] for level in book[side]}
            for side in ("bids", "asks")
        )
        return bids, asks

    async def close(self) -> None:
        await self._exchange.close()


def _ccxt_market(exchange: Any, name: str) -> Any:
    is_option = name != _PERPETUAL
    return exchange.safe_market_structure(
        {
            "id": name,
            "symbol": name,
            "base": name[:3],
            "quote": "USD",
            "settle": name[:3],
            "type": "option" if is_option else "swap",
            "spot": False,
            "swap": not is_option,
            "future": False,
            "option": is_option,
            "contract": True,
            "linear": False,
            "inverse": True,
            "active": True,
        }
    )


if __name__ == "__main__":
    print(orjson.dumps(run(), option=orjson.OPT_INDENT_2).decode())
