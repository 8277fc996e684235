"""Recorded Binance traffic: nothing is lost, nothing is invented, books end right.

The expected side of each comparison is computed from the raw lines by the few lines of
:func:`independent_totals`, which share no code with the adapter.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from apps.marketdata.books import BookState, BookSynchroniser, Outcome
from apps.marketdata.events import BookDelta, Candle, MarkPrice, Side, Trade
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.binance.parse import BinanceParser, Market, depth_snapshot
from apps.venues.binance.stream import BOOK_RULES
from apps.venues.parsing import ParserStats

RECORDINGS = {
    "um 2023": (Market.UM, ["usdm_btcusdt_20230404", "usdm_btcusdt_20230405"], 1, 73_765),
    "um 2024": (Market.UM, ["usdm_btcusdt_20240808"], 1, 93_954),
    "spot 2024": (Market.SPOT, ["spot_btcusdt_20240808"], 1, 41_249),
}


def lines_of(captures_dir: Path, names: list[str]) -> Iterator[bytes]:
    for name in names:
        with gzip.open(captures_dir / "binance" / "book" / f"{name}.ndjson.gz") as file:
            yield from (line.rstrip(b"\n") for line in file)


def instrument(symbol: str, market: Market) -> Instrument:
    kind = InstrumentKind.SPOT if market is Market.SPOT else InstrumentKind.PERP
    asset = symbol.removesuffix("USDT")
    return Instrument(venue="binance", symbol=symbol, asset=asset, kind=kind, quote="USDT")


def independent_totals(lines: Iterator[bytes]) -> dict[str, Any]:
    book: dict[str, dict[float, float]] = {"b": {}, "a": {}}
    bought, sold, snapshot_id, kinds = Decimal(0), Decimal(0), -1, Counter[str]()
    waiting = []
    for line in lines:
        data = json.loads(line)
        data = data.get("data", data)
        kind = data.get("e") or ("depth body" if "lastUpdateId" in data else "bookTicker")
        kinds[kind] += 1
        if kind == "trade" and data.get("X", "MARKET") == "MARKET":
            quantity = Decimal(data["q"])
            bought, sold = (bought, sold + quantity) if data["m"] else (bought + quantity, sold)
        if kind == "depth body":
            snapshot_id = data["lastUpdateId"]
            book = {
                side: {float(p): float(q) for p, q in data[name]}
                for side, name in (("b", "bids"), ("a", "asks"))
            }
        if kind == "depthUpdate":
            waiting.append(data)
        if snapshot_id >= 0:
            for update in waiting:
                if update["u"] > snapshot_id:
                    for side in "ba":
                        for price, quantity_text in update[side]:
                            book[side][float(price)] = float(quantity_text)
            waiting = []
    clean = {side: {p: q for p, q in levels.items() if q} for side, levels in book.items()}
    return {"kinds": kinds, "bought": bought, "sold": sold, "book": clean}


@pytest.mark.parametrize("recording", RECORDINGS)
def test_recording_is_parsed_whole_and_its_book_ends_right(
    captures_dir: Path, recording: str
) -> None:
    market, names, snapshots, messages = RECORDINGS[recording]
    listed = instrument("BTCUSDT", market)
    stats = ParserStats("binance")
    parser = BinanceParser(market, [listed], stats)
    book = BookSynchroniser(listed, BOOK_RULES[listed.kind])
    outcomes: Counter[Outcome] = Counter()
    bought = sold = 0.0
    events_out = 0
    for line in lines_of(captures_dir, names):
        if b'"lastUpdateId"' in line[:40]:
            outcomes[book.on_snapshot(depth_snapshot(line, listed, 1))] += 1
        events = parser.parse(line, 1)
        events_out += len([event for event in events if not isinstance(event, MarkPrice)])
        for event in events:
            if isinstance(event, BookDelta):
                outcomes[book.on_delta(event)] += 1
            elif isinstance(event, Trade):
                if event.aggressor_side is Side.BUY:
                    bought += event.qty_base
                else:
                    sold += event.qty_base
    expected = independent_totals(lines_of(captures_dir, names))

    assert stats.messages == messages == expected["kinds"].total()
    assert events_out + stats.ignored.total() + stats.control.total() == messages
    assert not stats.unknown
    assert not stats.malformed
    assert stats.ignored["depth body"] == snapshots
    assert bought == pytest.approx(float(expected["bought"]), rel=1e-12)
    assert sold == pytest.approx(float(expected["sold"]), rel=1e-12)

    assert book.state is BookState.LIVE
    assert (book.gap_count, book.crossed_count, outcomes[Outcome.GAP]) == (0, 0, 0)
    assert book.book.bids == expected["book"]["b"]
    assert book.book.asks == expected["book"]["a"]
    assert book.book.best_bid == max(expected["book"]["b"])
    assert book.book.best_ask == min(expected["book"]["a"])


def test_recorded_altcoins(captures_dir: Path) -> None:
    folder = captures_dir / "binance" / "book"
    symbols = ["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"]
    listed = {symbol: instrument(symbol, Market.UM) for symbol in symbols}
    stats = ParserStats("binance")
    parser = BinanceParser(Market.UM, listed.values(), stats)
    books = {
        symbol: BookSynchroniser(item, BOOK_RULES[item.kind]) for symbol, item in listed.items()
    }
    events = [
        event
        for line in lines_of(captures_dir, ["usdm_alts_20210722"])
        for event in parser.parse(line, 1)
    ]
    assert len(events) == stats.messages == 1_535
    assert stats.ok == {"depthUpdate": 764, "bookTicker": 613, "aggTrade": 91, "kline": 67}
    assert sum(isinstance(event, Candle) for event in events) == 67

    # The bodies were fetched right after the stream began: hand each over once deltas are waiting.
    for event in events:
        if isinstance(event, BookDelta):
            symbol = event.instrument.symbol
            book = books[symbol]
            book.on_delta(event)
            body = (folder / f"usdm_alts_20210722_depth_{symbol}.json").read_bytes()
            snapshot = depth_snapshot(body, event.instrument, 1)
            if book.needs_snapshot and event.last_seq >= snapshot.seq:
                assert book.on_snapshot(snapshot) is Outcome.APPLIED
    for symbol, book in books.items():
        assert (book.state, book.gap_count) == (BookState.LIVE, 0), symbol
        body = json.loads((folder / f"usdm_alts_20210722_depth_{symbol}.json").read_bytes())
        lines = [
            line
            for line in lines_of(captures_dir, ["usdm_alts_20210722"])
            if f'"s":"{symbol}"'.encode() in line
        ]
        raw_book = independent_totals(iter([json.dumps(body).encode(), *lines]))["book"]
        assert (book.book.bids, book.book.asks) == (raw_book["b"], raw_book["a"]), symbol


def test_samples_of_other_recorders_parse(captures_dir: Path) -> None:
    stats = ParserStats("binance")
    symbols = ("BTCUSDT", "BNBUSDT", "ETHUSDT", "MANTAUSDT", "XRPUSDT", "ILVUSDT")
    parser = BinanceParser(Market.UM, [instrument(symbol, Market.UM) for symbol in symbols], stats)
    folder = captures_dir / "binance"
    for path in (folder / "samples").glob("usdm_*.json"):
        assert parser.parse(path.read_bytes(), 1), path.name
    for path in (folder / "liquidations" / "usdm_forceOrder_frames_2026.ndjson",):
        for line in path.read_bytes().splitlines():
            assert len(parser.parse(line, 1)) == 1
    for line in (folder / "samples" / "mixed_frames.ndjson").read_bytes().splitlines():
        parser.parse(line, 1)
    assert not stats.malformed
    assert not stats.unknown
