"""Recorded OKX traffic: nothing is lost, nothing is invented, books end right.

The recording of 2022 predates ``seqId``: its CRC32 checksums prove each state, and a second, slow book of the
raw strings is compared with ours.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.marketdata.books import BookState, BookSynchroniser, Outcome
from apps.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Event,
    Liquidation,
    PositionSide,
    Side,
    Ticker,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.okx.checksum import ChecksumBook
from apps.venues.okx.errors import rows_of
from apps.venues.okx.parse import OkxParser
from apps.venues.okx.stream import BOOK_RULES, arg_of, channel_of
from apps.venues.okx.symbols import NotUsable, instrument_of, listed_instruments, swaps_of
from apps.venues.parsing import ParserStats

RECORDING = "ws_books_trades_tickers_20220513"
MS = 1_000_000


def text_of(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def lines_of(path: Path) -> list[bytes]:
    return text_of(path).splitlines()


def listed(folder: Path, name: str) -> dict[str, Instrument]:
    rows = rows_of(name, 200, {}, text_of(folder / "instruments" / name))
    found = {}
    for one in listed_instruments(rows):
        try:
            found[one.instId] = instrument_of(one)
        except NotUsable:
            continue
    return found


def spot(symbol: str) -> Instrument:
    base, _, quote = symbol.partition("-")
    return Instrument(venue="okx", symbol=symbol, asset=base, kind=InstrumentKind.SPOT, quote=quote)


def swap(symbol: str, contract_size: float = 1.0) -> Instrument:
    base, quote, _ = symbol.split("-")
    return Instrument(
        venue="okx",
        symbol=symbol,
        asset=base,
        kind=InstrumentKind.PERP,
        quote=quote,
        contract_size=contract_size,
    )


@pytest.fixture
def okx(captures_dir: Path) -> Path:
    return captures_dir / "okx"


@pytest.fixture
def recorded(okx: Path) -> list[bytes]:
    return lines_of(okx / "book" / f"{RECORDING}.ndjson.gz")


@pytest.fixture
def traded(okx: Path) -> dict[str, Instrument]:
    """The three instruments of the recording: an inverse future, an inverse swap, spot."""
    futures = listed(okx, "instruments_FUTURES_20220513.json")
    swaps = listed(okx, "instruments_SWAP_20220513.json")
    return {
        "BTC-USD-220527": futures["BTC-USD-220527"],
        "UNI-USD-SWAP": swaps["UNI-USD-SWAP"],
        "BTC-USDT": spot("BTC-USDT"),
    }


def rows_in(lines: list[bytes], channel: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(instrument, action, row) of a channel, read without the adapter."""
    for line in lines:
        message = json.loads(line)
        if "data" in message and message["arg"]["channel"] == channel:
            for row in message["data"]:
                yield message["arg"]["instId"], message.get("action", ""), row


def play(instruments: dict[str, Instrument], lines: list[bytes]) -> tuple[list[Event], ParserStats]:
    stats = ParserStats("okx")
    parser = OkxParser(instruments.values(), stats)
    return [event for line in lines for event in parser.parse(line, 1)], stats


# --- book/ws_books_trades_tickers_20220513.ndjson.gz, its .recv.gz and its .sent.ndjson -----------------


def test_the_recording_is_parsed_whole(
    recorded: list[bytes], traded: dict[str, Instrument]
) -> None:
    events, stats = play(traded, recorded)
    # The list of captures counts acknowledgements under their channels: 37 tickers are 28 and 9 acks,
    # 80 trades are 74 and 6 acks; three more acks are of books.
    assert len(recorded) == stats.messages == len(events) == 410
    assert stats.ok == {"books": 290, "trades": 74, "tickers": 28}
    assert stats.control == {"ack": 18}
    kinds = Counter(type(event).__name__ for event in events)
    assert kinds == {
        "BookSnapshot": 3, "BookDelta": 287, "Trade": 74, "Ticker": 28, "Control": 18,
    }  # fmt: skip
    for counter in (stats.ignored, stats.unknown, stats.malformed):
        assert not counter


def test_each_checksum_of_the_recording_is_right(recorded: list[bytes]) -> None:
    books: dict[str, ChecksumBook] = {}
    checked = 0
    for symbol, action, row in rows_in(recorded, "books"):
        book = books.setdefault(symbol, ChecksumBook())
        book.apply(action, row)
        assert book.checksum() == row["checksum"], (symbol, row["ts"])
        checked += 1
    assert checked == 290


def test_a_wrong_level_is_found_by_the_checksum(recorded: list[bytes]) -> None:
    symbol, action, row = next(rows_in(recorded, "books"))
    book = ChecksumBook()
    book.apply(action, {**row, "bids": row["bids"][1:]})
    assert book.checksum() != row["checksum"], symbol


def test_books_of_the_recording_end_as_a_slow_book_does(
    recorded: list[bytes], traded: dict[str, Instrument]
) -> None:
    books = {
        symbol: BookSynchroniser(item, BOOK_RULES[InstrumentKind.PERP])
        for symbol, item in traded.items()
    }
    outcomes: Counter[Outcome] = Counter()
    events, _ = play(traded, recorded)
    for event in events:
        if isinstance(event, BookSnapshot):
            outcomes[books[event.instrument.symbol].on_snapshot(event)] += 1
        elif isinstance(event, BookDelta):
            outcomes[books[event.instrument.symbol].on_delta(event)] += 1
    assert outcomes == {Outcome.APPLIED: 290}

    slow: dict[str, ChecksumBook] = {}
    for symbol, action, row in rows_in(recorded, "books"):
        slow.setdefault(symbol, ChecksumBook()).apply(action, row)
    for symbol, book in books.items():
        assert (book.state, book.gap_count, book.crossed_count) == (BookState.LIVE, 0, 0)
        for ours, theirs in (
            (book.book.bids, slow[symbol].bids),
            (book.book.asks, slow[symbol].asks),
        ):
            # USD contracts of 100 and 10, spot in coins.
            unit = {"BTC-USD-220527": 100.0, "UNI-USD-SWAP": 10.0}.get(symbol)
            expected = {
                float(price): float(size) * unit / float(price) if unit else float(size)
                for price, size in theirs.items()
            }
            assert ours == pytest.approx(expected, rel=1e-12), symbol
        assert book.book.best_bid == max(float(price) for price in slow[symbol].bids)


def test_trades_and_tickers_of_the_recording(
    recorded: list[bytes], traded: dict[str, Instrument]
) -> None:
    events, _ = play(traded, recorded)
    trades = [event for event in events if isinstance(event, Trade)]
    rows = [row for _, _, row in rows_in(recorded, "trades")]
    assert [trade.trade_id for trade in trades] == [row["tradeId"] for row in rows]
    units = {"BTC-USD-220527": 100.0, "UNI-USD-SWAP": 10.0}
    for trade, row in zip(trades, rows, strict=True):
        unit, price = units.get(row["instId"]), float(row["px"])
        size = float(row["sz"])
        assert trade.qty_base == pytest.approx(size * unit / price if unit else size)
        assert trade.aggressor_side is Side(row["side"])
        assert (trade.price, trade.ts_event) == (price, int(row["ts"]) * MS)
    tickers = [event for event in events if isinstance(event, Ticker)]
    last = next(one for one in reversed(tickers) if one.instrument.symbol == "BTC-USDT")
    row = [row for symbol, _, row in rows_in(recorded, "tickers") if symbol == "BTC-USDT"][-1]
    assert (last.last_price, last.volume_24h_base) == (float(row["last"]), float(row["vol24h"]))
    assert last.volume_24h_usd == float(row["volCcy24h"])


def test_the_receive_times_belong_to_the_recording(okx: Path, recorded: list[bytes]) -> None:
    times = [int(line) for line in lines_of(okx / "book" / f"{RECORDING}.recv.gz")]
    assert len(times) == len(recorded)
    assert times == sorted(times)
    for at, line in zip(times, recorded, strict=True):
        message = json.loads(line)
        if "data" in message:
            # The recorder's clock and the venue's agree within seconds: the unit is right.
            assert abs(at - int(message["data"][0]["ts"]) * MS) < 60_000_000_000


def test_what_the_recorder_asked_for_is_what_we_would_ask(okx: Path, recorded: list[bytes]) -> None:
    requests = [json.loads(line) for line in lines_of(okx / "book" / f"{RECORDING}.sent.ndjson")]
    assert [request["op"] for request in requests] == ["subscribe"] * 3
    asked = {f"{arg['channel']}:{arg['instId']}" for arg in requests[-1]["args"]}
    assert [arg_of(f"{arg['channel']}:{arg['instId']}") for arg in requests[-1]["args"]] == (
        requests[-1]["args"]
    )
    assert {channel_of(line) for line in recorded} - {None} == asked


# --- liquidations/liquidation_orders_frames_2026.ndjson ------------------------------------------------


def test_recorded_liquidations(okx: Path) -> None:
    lines = lines_of(okx / "liquidations" / "liquidation_orders_frames_2026.ndjson")
    instruments = {
        item.symbol: item
        for item in (
            swap("BTC-USDT-SWAP", 0.01),
            swap("MINA-USDT-SWAP"),
            swap("CELO-USDT-SWAP"),
        )
    }
    events, stats = play(instruments, lines)
    assert stats.ok == {"liquidation-orders": 3}
    assert all(isinstance(event, Liquidation) for event in events)
    found = {event.instrument.asset: event for event in events if isinstance(event, Liquidation)}
    btc, mina, celo = found["BTC"], found["MINA"], found["CELO"]
    assert (btc.position_side, btc.price) == (PositionSide.LONG, 82655.7)
    assert btc.qty_base == pytest.approx(0.0855)
    assert btc.notional_usd == pytest.approx(0.0855 * 82655.7)
    assert btc.ts_event == 1_791_565_600_771 * MS
    assert (mina.position_side, mina.qty_base) == (PositionSide.SHORT, 10975.0)
    assert mina.notional_usd == pytest.approx(10975 * 0.09859)
    assert (celo.position_side, celo.price) == (PositionSide.SHORT, 0.09583)
    assert {channel_of(line) for line in lines} == {"liquidation-orders:SWAP"}


# --- instruments/*.json --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("instruments_SWAP_20220513.json", InstrumentKind.PERP),
        ("instruments_FUTURES_20220513.json", InstrumentKind.FUTURE),
        ("instruments_OPTION_BTC-USD_20220513.json.gz", InstrumentKind.OPTION),
        ("instruments_OPTION_ETH-USD_20220513.json.gz", InstrumentKind.OPTION),
    ],
)
def test_recorded_instrument_lists(okx: Path, name: str, kind: InstrumentKind) -> None:
    rows = json.loads(text_of(okx / "instruments" / name))["data"]
    found = listed(okx, name)
    assert len(found) == len(rows) > 10
    for row in rows:
        item = found[row["instId"]]
        assert item.kind is kind
        assert item.contract_size == pytest.approx(float(row["ctVal"]) * float(row["ctMult"]))
        assert item.is_inverse is (row["ctType"] == "inverse")
        assert (item.asset, item.quote) == tuple(row["uly"].split("-"))
        assert (item.expiry_ms is None) is (kind is InstrumentKind.PERP)


def test_recorded_swaps_become_ours(okx: Path) -> None:
    rows = json.loads(text_of(okx / "instruments" / "instruments_SWAP_20220513.json"))["data"]
    found, drops = swaps_of(rows)
    by_asset = {item.asset: item for item in found}
    sizes = {
        asset: by_asset[asset].contract_size
        for asset in ("BTC", "ETH", "SOL", "XRP", "DOGE", "SHIB")
    }
    assert sizes == {
        "BTC": 0.01, "ETH": 0.1, "SOL": 1.0, "XRP": 100.0, "DOGE": 1000.0, "SHIB": 1_000_000.0,
    }  # fmt: skip
    assert {"PEPE", "GRAM", "HYPE"} <= {drop.asset for drop in drops}


# --- ohlcv/BTC-USDT-SWAP_4h_2022_2026.csv.gz ------------------------------------------------------------


def test_every_recorded_file_is_named_here(okx: Path) -> None:
    """ohlcv/BTC-USDT-SWAP_4h_2022_2026.csv.gz is derived: no wire format, nothing of ours decodes it."""
    folder = Path(__file__).parent
    here = "".join((folder / name).read_text() for name in ("test_captures.py", "test_samples.py"))
    derived = {"BTC-USDT-SWAP_4h_2022_2026.csv.gz"}
    for path in okx.rglob("*"):
        if path.is_file() and path.name not in derived:
            suffix = path.name.removeprefix(RECORDING)
            known = path.name in here or (suffix != path.name and "{RECORDING}" + suffix in here)
            assert known, path.name
