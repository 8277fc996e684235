"""Every recorded wire file of Bybit: messages in = events out + counted control frames, values, books."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.marketdata.books import BYBIT, BookState, BookSynchroniser
from apps.marketdata.events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    Candle,
    Control,
    Event,
    FundingRate,
    Liquidation,
    MarkPrice,
    OpenInterest,
    PositionSide,
    Quality,
    Side,
    Ticker,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.bybit import rest_rows, tickers, wire
from apps.venues.bybit.errors import result_of
from apps.venues.bybit.parse import BybitParser
from apps.venues.bybit.symbols import interval_h, perpetuals_of
from apps.venues.rows import readable

TS_RECV = 1_800_000_000_000_000_000


def perp(symbol: str) -> Instrument:
    return Instrument(
        venue="bybit",
        symbol=symbol,
        asset=symbol.removesuffix("USDT"),
        kind=InstrumentKind.PERP,
        quote="USDT",
    )


def lines_of(path: Path) -> list[bytes]:
    body = path.read_bytes()
    return (gzip.decompress(body) if path.suffix == ".gz" else body).splitlines()


def play(lines: list[bytes], *symbols: str) -> tuple[BybitParser, list[list[Event]]]:
    parser = BybitParser([perp(symbol) for symbol in symbols])
    return parser, [parser.parse(line, TS_RECV) for line in lines]


def assert_all_counted(parser: BybitParser, rows: int) -> None:
    assert parser.stats.messages == rows
    assert not parser.stats.malformed
    assert not parser.stats.unknown


class SlowBook:
    """Rebuilt from the raw strings, without any of the code under test."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.u = 0

    def apply(self, frame: dict[str, Any]) -> None:
        data = frame["data"]
        if frame["type"] == "snapshot":
            self.sides = {"b": {}, "a": {}}
        else:
            assert data["u"] == self.u + 1
        self.u = data["u"]
        for name, levels in self.sides.items():
            for price, size in data[name]:
                levels.pop(price, None)
                if float(size):
                    levels[price] = size

    def levels(self, name: str) -> dict[float, float]:
        return {float(price): float(size) for price, size in self.sides[name].items()}


def assert_books_agree(lines: list[bytes], symbols: list[str]) -> dict[str, BookSynchroniser]:
    """Both after every single message."""
    parser = BybitParser([perp(symbol) for symbol in symbols])
    books = {symbol: BookSynchroniser(perp(symbol), BYBIT) for symbol in symbols}
    slow = {symbol: SlowBook() for symbol in symbols}
    for line in lines:
        for event in parser.parse(line, TS_RECV):
            if isinstance(event, BookSnapshot | BookDelta):
                symbol = event.instrument.symbol
                book = books[symbol]
                if isinstance(event, BookSnapshot):
                    book.on_snapshot(event)
                else:
                    book.on_delta(event)
                slow[symbol].apply(json.loads(line))
                assert book.state is BookState.LIVE
                assert book.book.bids == slow[symbol].levels("b")
                assert book.book.asks == slow[symbol].levels("a")
    assert all(book.gap_count == 0 for book in books.values())
    return books


# --- book/linear_stream_20260809 -------------------------------------------------------------------

FOUR = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT"]


@pytest.fixture(scope="module")
def linear(captures_dir: Path) -> list[bytes]:
    return lines_of(captures_dir / "bybit/book/linear_stream_20260809.ndjson.gz")


def test_linear_stream_20260809_loses_nothing(linear: list[bytes]) -> None:
    parser, found = play(linear, *FOUR)
    topics = Counter(json.loads(line).get("topic", "ack").partition(".")[0] for line in linear)
    assert topics == {
        "orderbook": 1_598, "tickers": 758, "publicTrade": 102, "kline": 71, "ack": 17,
    }  # fmt: skip
    rows = sum(
        len(frame["data"]) if isinstance(frame.get("data"), list) else 1
        for frame in map(json.loads, linear)
    )
    assert_all_counted(parser, rows)
    kinds = Counter(type(event).__name__ for events in found for event in events)
    assert kinds["BookSnapshot"] == 4
    assert kinds["BookDelta"] == 1_594
    assert kinds["Control"] == 17
    # The frame that closes a minute opens the next one too.
    assert kinds["Candle"] == parser.stats.ok["kline"] == 75
    assert kinds["Trade"] == parser.stats.ok["publicTrade"]
    # No frame disappears: only ticker frames may say nothing that we keep.
    silent = [line for line, events in zip(linear, found, strict=True) if not events]
    assert len(silent) == parser.stats.ignored.total()
    kept = ('Price"', "openInterest", "volume24h", "fundingRate", "1Size")
    for line in silent:
        assert line.startswith(b'{"topic":"tickers.')
        assert not any(name.encode() in line.replace(b"prevPrice1h", b"") for name in kept)


def test_linear_stream_20260809_values(linear: list[bytes]) -> None:
    _, found = play(linear, *FOUR)
    first = next(events for events in found if isinstance(events[0], MarkPrice))
    mark, funding, interest, ticker, quote = first
    at = 1_786_310_817_000_000_000
    assert isinstance(mark, MarkPrice)
    assert (mark.mark_price, mark.index_price) == (65_117.44, 65_137.76)
    assert at < mark.ts_event < at + 10**9
    assert isinstance(funding, FundingRate)
    assert (funding.rate, funding.rate_raw, funding.interval_h) == (0.0001, "0.0001", 8.0)
    assert funding.funding_ts == 1_786_320_000_000_000_000
    assert isinstance(interest, OpenInterest)
    # Half of 59,891.732, which counts both sides.
    assert (interest.oi_base, interest.oi_usd) == (29_945.866, 1_949_998_132.50)
    assert isinstance(ticker, Ticker)
    assert (ticker.last_price, ticker.volume_24h_base) == (65_114.30, 17_573.912)
    assert isinstance(quote, BestQuote)
    assert (quote.bid_price, quote.bid_qty) == (65_114.20, 5.954)
    assert (quote.ask_price, quote.ask_qty) == (65_114.30, 10.470)
    trade = next(event for events in found for event in events if isinstance(event, Trade))
    assert (trade.price, trade.qty_base, trade.aggressor_side) == (65_114.20, 0.004, Side.SELL)
    assert trade.trade_id == "a9188a0a-82bc-50de-be60-03eedbe3cdd7"
    assert (trade.ts_event, trade.is_block) == (1_786_310_819_680_000_000, False)
    candle = next(event for events in found for event in events if isinstance(event, Candle))
    assert (candle.open, candle.high, candle.low, candle.close) == (
        65_119.9, 65_119.9, 65_114.2, 65_114.3,
    )  # fmt: skip
    assert (candle.volume_base, candle.volume_usd, candle.is_closed) == (1.576, 102_627.995, False)
    assert (candle.open_ts, candle.interval_s) == (1_786_310_760_000_000_000, 60)


def test_linear_stream_20260809_interest_is_one_side_in_every_frame(linear: list[bytes]) -> None:
    parser = BybitParser([perp(symbol) for symbol in FOUR])
    both: dict[str, float] = {}
    seen = 0
    for line in linear:
        frame = json.loads(line)
        if "openInterest" in line.decode():
            both[frame["data"]["symbol"]] = float(
                frame["data"].get("openInterest", both.get(frame["data"]["symbol"], 0))
            )
        for event in parser.parse(line, TS_RECV):
            if isinstance(event, OpenInterest):
                seen += 1
                assert event.oi_base == pytest.approx(both[event.instrument.symbol] / 2, abs=0.51)
    assert seen >= 4


def test_linear_stream_20260809_merges_tickers(linear: list[bytes]) -> None:
    """Against a merge of the raw fields."""
    parser = BybitParser([perp(symbol) for symbol in FOUR])
    raw: dict[str, dict[str, str]] = {}
    compared = 0
    for line in linear:
        events = parser.parse(line, TS_RECV)
        if not line.startswith(b'{"topic":"tickers.'):
            continue
        data = json.loads(line)["data"]
        now = raw.setdefault(data["symbol"], {})
        now.update(data)
        for event in events:
            if isinstance(event, BestQuote):
                assert (event.bid_price, event.bid_qty, event.ask_price, event.ask_qty) == tuple(
                    float(now[name]) for name in ("bid1Price", "bid1Size", "ask1Price", "ask1Size")
                )
                compared += 1
            elif isinstance(event, MarkPrice):
                assert event.mark_price == float(now["markPrice"])
                assert event.index_price == float(now["indexPrice"])
                compared += 1
            elif isinstance(event, Ticker):
                assert event.last_price == float(now["lastPrice"])
                assert event.volume_24h_usd == float(now["turnover24h"])
                compared += 1
    assert compared > 700


def test_linear_stream_20260809_books_are_those_of_a_slow_book(linear: list[bytes]) -> None:
    books = assert_books_agree(linear, FOUR)
    assert {symbol: book.applied_count for symbol, book in books.items()} == Counter(
        json.loads(line)["data"]["s"]
        for line in linear
        if line.startswith(b'{"topic":"orderbook') and b'"type":"delta"' in line
    )


def test_linear_stream_20260809_sent_is_what_the_dialect_speaks(captures_dir: Path) -> None:
    for line in lines_of(captures_dir / "bybit/book/linear_stream_20260809.sent.ndjson"):
        request = json.loads(line)
        assert request["op"] == "subscribe"
        assert request["args"]


# --- book/linear_xrpusdt_ob500_20241201 --------------------------------------------------------------


def test_linear_xrpusdt_ob500_20241201(captures_dir: Path) -> None:
    lines = lines_of(captures_dir / "bybit/book/linear_xrpusdt_ob500_20241201.ndjson.gz")
    parser, found = play(lines, "XRPUSDT")
    assert_all_counted(parser, 50)
    assert [type(events[0]) for events in found] == [BookSnapshot] + [BookDelta] * 49
    books = assert_books_agree(lines, ["XRPUSDT"])
    assert books["XRPUSDT"].applied_count == 49
    first = found[0][0]
    assert isinstance(first, BookSnapshot)
    assert first.bids[0] == (1.9531, 6_203.0)
    assert len(first.bids) == 500


# --- liquidations, samples ----------------------------------------------------------------------------


def test_all_liquidation_frames_2026(captures_dir: Path) -> None:
    lines = lines_of(captures_dir / "bybit/liquidations/allLiquidation_frames_2026.ndjson")
    parser, found = play(lines, "ADAUSDT", "STRKUSDT", "BTCUSDT")
    assert_all_counted(parser, 4)
    rows = [event for events in found for event in events if isinstance(event, Liquidation)]
    assert [
        (row.instrument.asset, row.position_side, row.price, row.qty_base, row.quality)
        for row in rows
    ] == [
        ("ADA", PositionSide.SHORT, 0.1915, 13_248.0, Quality.FULL),
        ("STRK", PositionSide.LONG, 0.05165, 2_084.9, Quality.FULL),
        ("BTC", PositionSide.LONG, 82_396.90, 0.006, Quality.FULL),
        ("BTC", PositionSide.LONG, 82_394.30, 0.038, Quality.FULL),
    ]
    assert [round(row.notional_usd, 2) for row in rows] == [2_536.99, 107.69, 494.38, 3_130.98]
    assert rows[0].ts_event == 1_786_014_946_933_000_000
    assert len({row.event_id for row in rows}) == 4


def test_samples_mixed_frames(captures_dir: Path) -> None:
    lines = lines_of(captures_dir / "bybit/samples/mixed_frames.ndjson")
    parser, found = play(lines, "BTCUSDT", "LTCUSDT", "GALAUSDT", "PIPPINUSDT")
    assert len(lines) == 16
    assert_all_counted(parser, 18)
    kinds = Counter(type(event).__name__ for events in found for event in events)
    # Inverse and dated contracts and BTCPERP are outside of our coverage.
    assert parser.stats.ignored == {
        "publicTrade": 3,
        "orderbook": 2,
        "tickers": 4,
        "liquidation": 1,
    }
    assert kinds == {
        "Trade": 1, "BestQuote": 4, "MarkPrice": 1, "FundingRate": 1, "OpenInterest": 1, "Ticker": 1,
        "Liquidation": 3,
    }  # fmt: skip
    events = [event for events in found for event in events]
    interest = next(event for event in events if isinstance(event, OpenInterest))
    # 2023: both sides only.
    assert interest.oi_base == 52_774.528 / 2
    assert interest.oi_usd == 1_506_861_070.82 / 2
    quotes = [event for event in events if isinstance(event, BestQuote)]
    assert (quotes[1].bid_price, quotes[1].bid_qty) == (28_552.0, 0.012)
    assert (quotes[1].ask_price, quotes[1].ask_qty) == (28_552.1, 25.433)
    assert (quotes[-1].bid_price, quotes[-1].ask_price) == (27_991.7, 27_994.4)
    forced = [event for event in events if isinstance(event, Liquidation)]
    assert [(row.instrument.asset, row.position_side, row.quality) for row in forced] == [
        ("GALA", PositionSide.LONG, Quality.SAMPLED),
        ("PIPPIN", PositionSide.SHORT, Quality.FULL),
        ("PIPPIN", PositionSide.SHORT, Quality.FULL),
    ]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("ws_kline.json", [Candle]),
        # One level: the delta alone has no second side.
        ("ws_orderbook_delta.json", []),
        ("ws_orderbook_snapshot.json", [BestQuote]),
        ("ws_subscription_ack.json", [Control]),
        ("ws_subscription_failure.json", [Control]),
        (
            "ws_ticker_linear.json",
            [MarkPrice, FundingRate, OpenInterest, Ticker, BestQuote],
        ),
    ],
)
def test_samples_ws(captures_dir: Path, name: str, kinds: list[type[Event]]) -> None:
    parser, found = play([(captures_dir / "bybit/samples" / name).read_bytes()], "BTCUSDT")
    assert [type(event) for event in found[0]] == kinds
    assert_all_counted(parser, 1)


def test_samples_ws_public_trade_has_a_topic_that_v5_does_not_have(captures_dir: Path) -> None:
    body = (captures_dir / "bybit/samples/ws_public_trade.json").read_bytes()
    parser, found = play([body], "BTCUSDT")
    assert found == [[]]
    assert parser.stats.unknown == {"trade": 1}
    real = body.replace(b"trade.linear.BTCUSDT", b"publicTrade.BTCUSDT")
    trade = parser.parse(real, TS_RECV)[0]
    assert isinstance(trade, Trade)
    assert (trade.price, trade.qty_base, trade.aggressor_side) == (27_451.0, 0.01, Side.BUY)


def test_samples_ws_ticker_linear_values(captures_dir: Path) -> None:
    _, found = play(
        [(captures_dir / "bybit/samples/ws_ticker_linear.json").read_bytes()], "BTCUSDT"
    )
    funding = found[0][1]
    assert isinstance(funding, FundingRate)
    assert (funding.rate, funding.rate_raw) == (-0.000212, "-0.000212")


# --- REST bodies --------------------------------------------------------------------------------------


def rest_list(path: Path) -> list[Any]:
    body = path.read_bytes()
    plain = gzip.decompress(body) if path.suffix == ".gz" else body
    rows: list[Any] = result_of("test", 200, {}, plain)["list"]
    return rows


def test_instruments_info_linear_20260809(captures_dir: Path) -> None:
    rows = rest_list(captures_dir / "bybit/instruments/instruments_info_linear_20260809.json.gz")
    found, drops = perpetuals_of(rows)
    by_asset = {item.asset: item for item in found}
    assert len(found) + len(drops) == 65
    assert len(found) >= 60, drops
    assert by_asset["BTC"].symbol == "BTCUSDT"
    assert by_asset["BTC"].funding_interval_h == 8.0
    assert (by_asset["BTC"].tick_size, by_asset["BTC"].lot_size) == (0.1, 0.001)
    for asset, symbol in (
        ("PEPE", "1000PEPEUSDT"),
        ("SHIB", "SHIB1000USDT"),
        ("BONK", "1000BONKUSDT"),
        ("FLOKI", "1000FLOKIUSDT"),
    ):
        assert (by_asset[asset].symbol, by_asset[asset].price_mult) == (symbol, 1_000.0)
    assert by_asset["GRAM"].symbol == "GRAMUSDT"
    sats, _ = perpetuals_of(rows, assets=("SATS",))
    assert [(item.symbol, item.price_mult) for item in sats] == [("10000SATSUSDT", 10_000.0)]
    assert {item.funding_interval_h for item in found} <= {1.0, 2.0, 4.0, 8.0}


def test_tickers_linear_btcusdt_20260908(captures_dir: Path) -> None:
    row = rest_list(captures_dir / "bybit/ticker/tickers_linear_BTCUSDT_20260908.json")[0]
    state = tickers.merge(None, wire.row_from(row, wire.TickerRow))
    assert (state.mark, state.index, state.oi) == (78_472.44, 78_505.77, 28_199.912)
    assert (state.oi_usd, state.rate, state.interval_h) == (2_212_915_902.43, "0.0000523", 8.0)


def test_open_interest_1h_btcusdt_20260908(captures_dir: Path) -> None:
    path = captures_dir / "bybit/open_interest/open_interest_1h_BTCUSDT_20260908.json"
    found, bad = readable(rest_list(path), rest_rows.OpenInterestRow)
    assert (len(found), bad) == (25, 0)
    then = rest_rows.open_interest_then(perp("BTCUSDT"), found[0], TS_RECV)
    assert then is not None
    assert (then.oi_base, then.oi_usd) == (28_202.477, None)
    assert then.ts_event == 1_788_908_400_000_000_000
    for row in found:
        assert float(row.openInterest) / 2 == pytest.approx(float(row.singleOpenInterest), abs=1e-3)


def test_account_ratio_btcusdt_20260908(captures_dir: Path) -> None:
    path = captures_dir / "bybit/long_short/account_ratio_BTCUSDT_20260908.json"
    found, bad = readable(rest_list(path), rest_rows.RatioRow)
    assert bad == 0
    share = rest_rows.long_shares(perp("BTCUSDT"), found, 3_600, TS_RECV)[0]
    assert (share.long_share, share.series) == (0.5681, "accounts")


def test_samples_http_bodies(captures_dir: Path) -> None:
    folder = captures_dir / "bybit/samples"
    funding, _ = readable(
        rest_list(folder / "http_get_funding_history.json"), rest_rows.FundingHistoryRow
    )
    rates = rest_rows.settled_rates(perp("BTCUSDT"), funding, TS_RECV)
    assert [(rate.rate, rate.interval_h) for rate in rates] == [(0.00015, 8.0), (0.0001, 8.0)]
    klines, _ = readable(rest_list(folder / "http_get_klines_linear.json"), rest_rows.KlineRow)
    bar = rest_rows.candle(perp("BTCUSDT"), klines[0], 60, TS_RECV)
    assert (bar.high, bar.volume_base, bar.volume_usd) == (27_460.0, 123.45, 3_390_000.0)
    listed, _ = perpetuals_of(rest_list(folder / "http_get_instruments_linear.json"))
    # The documentation's 8 is no number of minutes that a contract could have.
    assert interval_h(8.0) is None
    assert [item.funding_interval_h for item in listed] == [8.0, 8.0]
    body = result_of("test", 200, {}, (folder / "http_get_orderbook.json").read_bytes())
    book = rest_rows.book_snapshot(
        perp("BTCUSDT"), msgspec.convert(body, rest_rows.BookBody, strict=False), TS_RECV
    )
    assert (book.seq, book.bids[0]) == (1_234_567, (27_450.5, 1.5))


def test_samples_http_get_trades_recent_is_not_used(captures_dir: Path) -> None:
    """Trades come by stream; the body is readable all the same."""
    row = rest_list(captures_dir / "bybit/samples/http_get_trades_recent.json")[0]
    assert (row["side"], float(row["price"])) == ("Buy", 27_450.5)
