"""Recorded Deribit traffic: nothing is lost, nothing is invented, books end right.

The expected side of each comparison is computed from the raw lines by a few lines that share no code with
the adapter.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apps.marketdata.books import DERIBIT, BookState, BookSynchroniser, Outcome
from apps.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Candle,
    Control,
    Event,
    FundingRate,
    Liquidation,
    OpenInterest,
    OptionQuote,
    PositionSide,
    Ticker,
    Trade,
    VolatilityIndex,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.deribit import convert, rest_rows, symbols, wire
from apps.venues.deribit.parse import DeribitParser
from apps.venues.deribit.perpetual import whole_book
from apps.venues.parsing import ParserStats

PERP = Instrument(
    venue="deribit", symbol="BTC-PERPETUAL", asset="BTC", kind=InstrumentKind.PERP, quote="USD",
    contract_size=10.0, is_inverse=True,
)  # fmt: skip
ETH_PERP = msgspec.structs.replace(PERP, symbol="ETH-PERPETUAL", asset="ETH", contract_size=1.0)
LINK = msgspec.structs.replace(
    PERP, symbol="LINK_USDC-PERPETUAL", asset="LINK", quote="USDC", is_inverse=False
)


def option(symbol: str) -> Instrument:
    return Instrument(
        venue="deribit", symbol=symbol, asset=symbol[:3], kind=InstrumentKind.OPTION,
        quote=symbol[:3], is_inverse=True,
    )  # fmt: skip


def unzip(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes())


def parser_of(*listed: Instrument) -> tuple[DeribitParser, ParserStats]:
    stats = ParserStats("deribit")
    return DeribitParser(listed, stats), stats


def slow_books(lines: list[dict[str, Any]]) -> dict[str, dict[str, dict[float, float]]]:
    books: dict[str, dict[str, dict[float, float]]] = {}
    last: dict[str, int] = {}
    for line in lines:
        data = line.get("params", {}).get("data", {})
        if not line.get("params", {}).get("channel", "").startswith("book."):
            continue
        name = data["instrument_name"]
        if data["type"] == "snapshot":
            books[name] = {"bids": {}, "asks": {}}
        else:
            assert data["prev_change_id"] == last[name]
        last[name] = data["change_id"]
        for side in ("bids", "asks"):
            for action, price, amount in data[side]:
                if action == "delete":
                    del books[name][side][price]
                else:
                    books[name][side][price] = amount
    return books


def test_ws_options_raw_20210722(captures_dir: Path) -> None:
    folder = captures_dir / "deribit" / "options"
    lines = unzip(folder / "ws_options_raw_20210722.ndjson.gz").splitlines()
    received = [int(one) for one in unzip(folder / "ws_options_raw_20210722.recv.gz").split()]
    sent = json.loads((folder / "ws_options_raw_20210722.sent.ndjson").read_bytes().splitlines()[0])
    names = {channel.split(".")[1] for channel in sent["params"]["channels"]}
    assert (len(lines), len(received), len(names)) == (136, 136, 10)
    listed = {name: option(name) for name in names}
    parser, stats = parser_of(*listed.values())
    books = {name: BookSynchroniser(item, DERIBIT) for name, item in listed.items()}
    outcomes: Counter[Outcome] = Counter()
    events: list[Event] = []
    for line, ts_recv in zip(lines, received, strict=True):
        for event in parser.parse(line, ts_recv):
            events.append(event)
            if isinstance(event, BookSnapshot):
                outcomes[books[event.instrument.symbol].on_snapshot(event)] += 1
            elif isinstance(event, BookDelta):
                outcomes[books[event.instrument.symbol].on_delta(event)] += 1

    assert stats.messages == len(events) == 136
    assert stats.ok == {"ticker": 89, "book": 46}
    assert stats.control == {"ack": 1}
    (ack,) = [event for event in events if isinstance(event, Control)]
    assert set(ack.detail.split(" ")) == set(sent["params"]["channels"])

    assert outcomes == {Outcome.APPLIED: 46}
    expected = slow_books([json.loads(line) for line in lines])
    assert set(expected) == names
    for name, book in books.items():
        assert (book.state, book.gap_count) == (BookState.LIVE, 0)
        assert (book.book.bids, book.book.asks) == (
            expected[name]["bids"],
            expected[name]["asks"],
        )
    quote = events[1]
    assert isinstance(quote, OptionQuote)
    assert (quote.instrument.symbol, quote.ts_recv) == ("ETH-30JUL21-2800-C", received[1])
    assert (quote.mark_price, quote.mark_iv, quote.bid_iv) == pytest.approx(
        (0.001972, 1.2074, 1.1562)
    )
    assert (quote.oi_base, quote.delta, quote.underlying_price) == (12685.0, 0.03127, 2003.61)


def test_a_missing_change_is_a_gap(captures_dir: Path) -> None:
    path = captures_dir / "deribit" / "options" / "ws_options_raw_20210722.ndjson.gz"
    name = "BTC-24SEP21-8000-P"
    parser, _ = parser_of(option(name))
    found = [event for line in unzip(path).splitlines() for event in parser.parse(line, 1)]
    deltas = [event for event in found if isinstance(event, BookDelta)]
    (snapshot,) = [event for event in found if isinstance(event, BookSnapshot)]
    book = BookSynchroniser(snapshot.instrument, DERIBIT)
    assert book.on_snapshot(snapshot) is Outcome.APPLIED
    assert book.on_delta(deltas[1]) is Outcome.GAP
    assert (book.state, book.needs_snapshot) == (BookState.RESYNCING, True)
    assert book.on_snapshot(snapshot) is Outcome.APPLIED
    assert [book.on_delta(delta) for delta in deltas] == [Outcome.APPLIED] * len(deltas)


def test_mixed_frames(captures_dir: Path) -> None:
    path = captures_dir / "deribit" / "samples" / "mixed_frames.ndjson"
    eth_put, btc_call = option("ETH-10SEP21-3350-P"), option("BTC-5JUN20-9250-C")
    parser, stats = parser_of(PERP, ETH_PERP, LINK, eth_put, btc_call)
    lines = path.read_bytes().splitlines()
    events = [event for line in lines for event in parser.parse(line, 1)]
    # 18 frames, one of them with two trades.
    assert stats.messages == len(lines) + 1 == 19
    assert not stats.malformed
    assert not stats.unknown
    assert stats.ok == {"trades": 4, "quote": 1, "book": 4, "ticker": 3}
    assert stats.ignored == {"ticker": 7}
    forced = [event for event in events if isinstance(event, Liquidation)]
    assert [(one.position_side, one.notional_usd, one.price) for one in forced] == [
        (PositionSide.LONG, 1120.0, 4469.5),
        # The taker bought: the maker sold, which closed a long.
        (PositionSide.LONG, 2500.0, 4458.5),
    ]
    rates = [event.rate for event in events if isinstance(event, FundingRate)]
    assert rates == [0.0, 0.0]
    interest = [event for event in events if isinstance(event, OpenInterest)]
    assert [(one.oi_usd, one.oi_contracts) for one in interest] == [
        (66128281.0, 6612828.1),
        (84844461.0, 8484446.1),
    ]
    assert interest[0].oi_base == pytest.approx(66128281 / 10094.1)
    books = [event for event in events if isinstance(event, BookSnapshot | BookDelta)]
    assert [type(one) for one in books] == [BookSnapshot, BookDelta, BookDelta, BookSnapshot]
    link = books[3]
    assert (link.instrument, link.bids[0], link.asks) == (LINK, (7.562, 34.0), [])


def frame_sample(captures_dir: Path, name: str, *listed: Instrument) -> list[Event]:
    parser, stats = parser_of(*listed)
    events = parser.parse((captures_dir / "deribit" / "samples" / name).read_bytes(), 1)
    assert not stats.malformed
    assert not stats.unknown
    return events


def test_frame_samples(captures_dir: Path) -> None:
    snapshot, delta, grouped = (
        frame_sample(captures_dir, name, PERP)[0]
        for name in ("ws_book_snapshot.json", "ws_book_delta.json", "ws_book_grouped_snapshot.json")
    )
    assert isinstance(snapshot, BookSnapshot)
    assert isinstance(delta, BookDelta)
    book = BookSynchroniser(PERP, DERIBIT)
    assert book.on_snapshot(snapshot) is Outcome.APPLIED
    assert book.on_delta(delta) is Outcome.APPLIED
    assert book.book.bids[42500.0] == 950 / 42500
    assert book.book.best_ask == 42501.5
    assert isinstance(grouped, BookSnapshot)
    assert (grouped.seq, len(grouped.bids), grouped.asks[0]) == (
        136725664747,
        10,
        (89533.0, 91570 / 89533),
    )
    (quote,) = frame_sample(captures_dir, "ws_quote.json", PERP)
    assert quote.bid_qty == pytest.approx(133440 / 92288)  # type: ignore[union-attr] # a BestQuote
    _, rate, interest, day, _ = frame_sample(captures_dir, "ws_ticker.json", PERP)
    assert isinstance(rate, FundingRate)
    assert isinstance(interest, OpenInterest)
    assert isinstance(day, Ticker)
    assert (rate.rate, rate.rate_raw, interest.oi_usd) == (0.0, "0.0", 1132329370.0)
    assert day.volume_24h_usd == 1092371540.0
    first, second = frame_sample(captures_dir, "ws_trades.json", PERP)
    assert isinstance(second, Trade)
    assert (second.trade_id, second.qty_base) == ("403691825", 750 / 92288.5)
    assert isinstance(first, Trade)
    # A combination's own print is not counted, its legs are.
    call = option("BTC-19MAY26-75000-C")
    combo = option("BTC-CS-19MAY26-70000_75000")
    assert frame_sample(captures_dir, "ws_trades_option_combo.json", call, combo) == []
    (bar,) = frame_sample(captures_dir, "ws_chart.json", PERP)
    assert isinstance(bar, Candle)
    assert (bar.interval_s, bar.volume_usd) == (60, 83970.0)
    (dvol,) = frame_sample(captures_dir, "ws_volatility_index.json", PERP)
    assert isinstance(dvol, VolatilityIndex)
    assert dvol.volatility == pytest.approx(1.2936)
    controls = [
        frame_sample(captures_dir, name)[0]
        for name in ("ws_subscribe_response.json", "ws_error.json", "ws_test_request.json")
    ]
    assert [(one.kind, one.detail) for one in controls if isinstance(one, Control)] == [
        ("ack", "trades.BTC-PERPETUAL.100ms book.BTC-PERPETUAL.100ms"),
        ("error", "10028 too_many_requests"),
        ("heartbeat", "test_request"),
    ]


def test_rest_samples(captures_dir: Path) -> None:
    folder = captures_dir / "deribit" / "samples"

    def result(name: str, kind: Any) -> Any:
        return msgspec.json.decode((folder / name).read_bytes(), type=wire.Result[kind]).result

    listed, bad = symbols.listed_rows(result("http_get_instruments.json", list[Any]))
    assert bad == 0
    (perp,), _ = symbols.perpetuals(listed)
    assert (perp.symbol, perp.contract_size, perp.is_inverse) == ("BTC-PERPETUAL", 10.0, True)
    (single,), _ = symbols.listed_rows([result("http_get_instrument_option.json", Any)])
    (call,) = symbols.options([single])
    assert (call.strike, call.option_type, call.quote) == (100000.0, "call", "BTC")
    expirations = result("http_get_expirations_btc_option.json", dict[str, Any])
    assert expirations["btc"]["option"][-1] == "26MAR27"

    page = result("http_get_last_trades.json", rest_rows.TradesPage)
    (first,) = convert.trade_events(ETH_PERP, page.trades[0], 1)
    assert isinstance(first, Trade)
    assert (page.has_more, first.qty_base) == (True, 1 / 2968.3)
    legs = result("http_get_last_trades_perpetual_with_combo_tags.json", rest_rows.TradesPage)
    tagged = [row for row in legs.trades if row.combo_id]
    assert len(tagged) >= 4
    assert all(len(convert.trade_events(PERP, row, 1)) == 1 for row in tagged)
    book = whole_book(PERP, result("http_get_order_book.json", wire.GroupedBook), 1)
    assert (book.seq, book.bids[0]) == (133112427566, (87002.5, 199190 / 87002.5))
    chart = result("http_get_tradingview_chart_data.json", rest_rows.ChartData)
    bars = rest_rows.candles(PERP, chart, 60, 1766483730000, 1)
    assert [bar.is_closed for bar in bars] == [True, True, True, True, False]
    assert (bars[0].volume_base, bars[0].volume_usd) == (2.94375216, 257490.0)


def test_btc_instruments_tickers_20260627(captures_dir: Path) -> None:
    path = captures_dir / "deribit" / "options" / "BTC_instruments_tickers_20260627.json.gz"
    body = json.loads(unzip(path))
    listed, bad = symbols.listed_rows(body["instruments"])
    instruments = {item.symbol: item for item in symbols.options(listed)}
    assert (len(listed), bad, len(instruments)) == (330, 0, 330)
    assert len({item.expiry_ms for item in instruments.values()}) == 7
    parser, stats = parser_of(*instruments.values())
    for name, ticker in body["tickers"].items():
        params = {"channel": f"ticker.{name}.100ms", "data": ticker}
        frame = {"jsonrpc": "2.0", "method": "subscription", "params": params}
        (quote,) = parser.parse(json.dumps(frame, separators=(",", ":")).encode(), 1)
        assert isinstance(quote, OptionQuote)
        assert quote.instrument is instruments[name]
        assert quote.mark_iv == pytest.approx(ticker["mark_iv"] / 100)
        assert quote.oi_base == ticker["open_interest"]
        assert (quote.delta, quote.vega) == (ticker["greeks"]["delta"], ticker["greeks"]["vega"])
    assert stats.ok == {"ticker": 330}


def test_eth_book_summary_20251122(captures_dir: Path) -> None:
    path = captures_dir / "deribit" / "options" / "ETH_book_summary_20251122.csv.gz"
    rows = list(csv.DictReader(io.StringIO(unzip(path).decode())))
    assert len(rows) == 830
    text = {"instrument_name", "underlying_index"}
    quotes = []
    for row in rows:
        wire_row = {
            key: value if key in text else int(value) if key.endswith("timestamp") else float(value)
            for key, value in row.items()
            if value and key in rest_rows.SummaryRow.__struct_fields__
        }
        summary = msgspec.json.decode(json.dumps(wire_row), type=rest_rows.SummaryRow)
        quotes.append(rest_rows.summary_quote(option(row["instrument_name"]), summary, 1))
    assert sum(quote.mark_iv is not None for quote in quotes) == 830
    assert sum(quote.bid_price is None for quote in quotes) == sum(
        not row["bid_price"] or float(row["bid_price"]) == 0 for row in rows
    )
    first = quotes[0]
    assert (first.mark_iv, first.oi_base, first.ask_price) == pytest.approx((0.7436, 440.0, 0.099))
    assert sum(one.oi_base for one in quotes) == pytest.approx(
        sum(float(row["open_interest"]) for row in rows)
    )


@pytest.mark.parametrize(
    ("name", "rows_in_file", "distinct"),
    [
        ("BTC_option_tickers_20210211.csv.gz", 976, 488),
        ("ETH_option_tickers_20210211.csv.gz", 996, 498),
    ],
)
def test_option_tickers_20210211(
    captures_dir: Path, name: str, rows_in_file: int, distinct: int
) -> None:
    path = captures_dir / "deribit" / "options" / name
    rows = list(csv.DictReader(io.StringIO(unzip(path).decode())))
    assert len(rows) == rows_in_file
    assert len({row["instrument_name"] for row in rows}) == distinct
    for row in rows:
        greeks = {key[7:]: float(row[key]) for key in row if key.startswith("greeks.") and row[key]}
        body: dict[str, Any] = {
            key: float(row[key])
            for key in ("mark_price", "mark_iv", "open_interest", "bid_iv", "underlying_price")
        }
        body |= {"instrument_name": row["instrument_name"], "timestamp": int(row["timestamp"])}
        ticker = msgspec.json.decode(json.dumps(body | {"greeks": greeks}), type=wire.Ticker)
        quote = convert.option_quote(option(row["instrument_name"]), ticker, 1)
        assert quote.delta == float(row["greeks.delta"])
        assert (quote.mark_iv or 0.0) == pytest.approx(float(row["mark_iv"]) / 100)


@pytest.mark.parametrize(
    ("name", "perpetual"),
    [
        ("get_instruments_BTC_20210722.json.gz", "BTC-PERPETUAL"),
        ("get_instruments_ETH_20210722.json.gz", "ETH-PERPETUAL"),
    ],
)
def test_get_instruments_20210722(captures_dir: Path, name: str, perpetual: str) -> None:
    path = captures_dir / "deribit" / "instruments" / name
    rows = json.loads(unzip(path))["result"]
    listed, bad = symbols.listed_rows(rows)
    assert (len(listed), bad) == (len(rows), 0)
    found, _ = symbols.perpetuals(listed)
    assert [item.symbol for item in found] == [perpetual]
    assert found[0].is_inverse
    kinds = Counter(row["kind"] for row in rows)
    assert len(symbols.options(listed)) == kinds["option"] > 100


def test_dvol_btc_1d_20260805(captures_dir: Path) -> None:
    folder = captures_dir / "deribit" / "volatility_index"
    body = (folder / "get_volatility_index_data_BTC_1D_20260805.json").read_bytes()
    page = msgspec.json.decode(body, type=wire.Result[rest_rows.DvolPage]).result
    closes = rest_rows.volatility_indices("BTC", "btc_usd", page, 1)
    assert (len(closes), page.continuation) == (35, None)
    assert closes[0].volatility == pytest.approx(0.4045)
    assert closes[-1].ts_event == 1_785_888_000_000_000_000
