"""Single messages of each channel and endpoint that others recorded."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from apps.marketdata.events import (
    BestQuote,
    BookDelta,
    BookSnapshot,
    Control,
    FundingRate,
    IndexPrice,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Ticker,
    Trade,
)
from apps.venues.okx import rest_rows, wire
from apps.venues.okx.convert import candle, open_interest
from apps.venues.okx.errors import rows_of
from apps.venues.okx.symbols import instrument_of, listed_instruments
from apps.venues.rows import readable
from tests.venues.okx.test_captures import MS, lines_of, play, rows_in, spot, swap, text_of


@pytest.fixture
def okx(captures_dir: Path) -> Path:
    return captures_dir / "okx"


def test_sampled_frames_of_every_channel(okx: Path) -> None:
    """samples/mixed_frames.ndjson: 37 frames of 2021 to 2023."""
    lines = lines_of(okx / "samples" / "mixed_frames.ndjson")
    symbols = {
        json.loads(line)["data"][0].get("instId") or json.loads(line)["arg"].get("instId", "")
        for line in lines
        if b'"data"' in line
    } | {"BTC-DAI", "ETC-ETH"}
    instruments = {
        symbol: swap(symbol) if symbol.endswith("SWAP") else spot(symbol) for symbol in symbols
    }
    # Books name their instrument in the argument only.
    for line in lines:
        name = json.loads(line).get("arg", {}).get("instId", "")
        if name and name not in instruments:
            instruments[name] = swap(name) if name.endswith("SWAP") else spot(name)
    events, stats = play(instruments, lines)
    assert len(lines) == 37
    assert not stats.unknown
    assert not stats.malformed
    assert stats.control == {"ack": 2}
    kinds = Counter(type(event) for event in events)
    assert kinds[BookSnapshot] + kinds[BookDelta] == stats.ok["books-l2-tbt"] == 6
    assert (kinds[BestQuote], kinds[Trade]) == (2, 5)
    assert (kinds[MarkPrice], kinds[OpenInterest], kinds[Ticker]) == (4, 3, 5)
    assert (kinds[Control], kinds[Liquidation]) == (2, 2)
    assert kinds[IndexPrice] == 1
    # One sample has no rate, options and price limits make no event, other indices are not ours.
    (funding,) = [event for event in events if isinstance(event, FundingRate)]
    assert (funding.rate, funding.interval_h) == (0.00048105, None)
    assert stats.ignored["funding-rate"] == 1
    assert (stats.ignored["opt-summary"], stats.ignored["price-limit"]) == (3, 1)
    assert stats.messages == len(lines) + 1


@pytest.mark.parametrize(
    ("name", "kind", "events"),
    [
        ("ws_bbo_tbt.json", "bbo-tbt", ["BestQuote"]),
        ("ws_books_snapshot.json", "books", ["BookSnapshot"]),
        ("ws_books_update.json", "books", ["BookDelta"]),
        ("ws_funding_rate.json", "funding-rate", ["FundingRate"]),
        ("ws_tickers.json", "tickers", ["Ticker"]),
        ("ws_trades.json", "trades", ["Trade"]),
    ],
)
def test_sampled_pushes(okx: Path, name: str, kind: str, events: list[str]) -> None:
    found, stats = play(
        {
            symbol: spot(symbol) if not symbol.endswith("SWAP") else swap(symbol, 0.01)
            for symbol in ("BTC-USDT", "BTC-USD", "BTC-USDT-SWAP")
        },
        [text_of(okx / "samples" / name)],
    )
    assert [type(event).__name__ for event in found] == events
    assert stats.ok == {kind: 1}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("ws_candle.json", "candle1D"), ("ws_instruments.json", "instruments")],
)
def test_sampled_pushes_that_we_do_not_use(okx: Path, name: str, kind: str) -> None:
    """A day's bar from UTC+8, and instrument changes (the list is fetched daily)."""
    events, stats = play({"BTC-USDT": spot("BTC-USDT")}, [text_of(okx / "samples" / name)])
    assert events == []
    assert stats.ignored == {kind: 1}


def test_values_of_sampled_pushes(okx: Path) -> None:
    instruments = {"BTC-USDT": spot("BTC-USDT"), "BTC-USDT-SWAP": swap("BTC-USDT-SWAP", 0.01)}
    samples = okx / "samples"
    (quote,), _ = play(instruments, [text_of(samples / "ws_bbo_tbt.json")])
    assert isinstance(quote, BestQuote)
    assert (quote.bid_price, quote.bid_qty, quote.ask_price, quote.ask_qty) == (
        8476.97, 256.0, 8476.98, 415.0,
    )  # fmt: skip
    (snapshot,), _ = play(instruments, [text_of(samples / "ws_books_snapshot.json")])
    (delta,), _ = play(instruments, [text_of(samples / "ws_books_update.json")])
    assert isinstance(snapshot, BookSnapshot)
    assert isinstance(delta, BookDelta)
    row = json.loads(text_of(samples / "ws_books_update.json"))["data"][0]
    assert delta.prev_seq == row.get("prevSeqId", 0)
    assert delta.last_seq == row.get("seqId", 0)
    (funding,), _ = play(instruments, [text_of(samples / "ws_funding_rate.json")])
    assert isinstance(funding, FundingRate)
    assert (funding.rate, funding.interval_h) == (0.0001, 8.0)


def test_a_sampled_option_summary_is_a_bare_list(okx: Path) -> None:
    """samples/ws_opt_summary.json was stored without its envelope: no frame, and nothing of it is used."""
    events, stats = play({}, [text_of(okx / "samples" / "ws_opt_summary.json")])
    assert events == []
    assert stats.malformed == {"frame": 1}


def sample_rows(okx: Path, name: str) -> list[Any]:
    return rows_of(name, 200, {}, text_of(okx / "samples" / name))


def test_sampled_candles(okx: Path) -> None:
    rows, bad = readable(sample_rows(okx, "http_get_candlesticks_full.json"), wire.CandleRow)
    assert (len(rows), bad) == (2, 0)
    bar = candle(swap("BTC-USDT-SWAP", 0.01), rows[0], 60, 1)
    assert (bar.volume_base, bar.volume_usd, bar.is_closed) == (10.4037, 1069603.34883, True)
    assert (bar.open, bar.close, bar.open_ts) == (102806.1, 102820.4, 1_747_094_040_000 * MS)


def test_sampled_funding_history_is_what_was_paid(okx: Path) -> None:
    rows, _ = readable(
        sample_rows(okx, "http_get_funding_rate_history.json"), rest_rows.FundingHistoryRow
    )
    rates = rest_rows.settled_rates(swap("BTC-USDT-SWAP", 0.01), rows, 1)
    assert [(rate.rate_raw, rate.interval_h) for rate in rates] == [
        ("-0.00002", 8.0),
        ("0.00015", 8.0),
    ]


def test_sampled_prices_trades_and_book(okx: Path) -> None:
    (mark,), _ = readable(sample_rows(okx, "http_get_mark_price.json"), wire.MarkPriceRow)
    (index,), _ = readable(sample_rows(okx, "http_get_index_price.json"), wire.IndexTickerRow)
    assert (mark.markPx, index.idxPx) == (84660.1, 103895.0)
    trades, _ = readable(sample_rows(okx, "http_get_trades.json"), wire.TradeRow)
    assert [(trade.side, trade.sz) for trade in trades] == [
        ("sell", 0.00013669),
        ("buy", 0.0000125),
    ]
    (book,), _ = readable(sample_rows(okx, "http_get_order_book.json"), wire.BookRow)
    snapshot = rest_rows.book_snapshot(spot("BTC-USDT"), book, 1)
    assert snapshot.bids[0] == (41006.7, 0.487921)
    assert (len(snapshot.asks), snapshot.seq) == (3, 0)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("http_get_instruments_swap.json", 3),
        ("http_get_instruments_futures.json", 6),
        ("http_get_instruments_option.json", 4),
    ],
)
def test_sampled_instruments(okx: Path, name: str, count: int) -> None:
    rows = sample_rows(okx, name)
    items = [instrument_of(one) for one in listed_instruments(rows)]
    assert len(items) == len(rows) == count
    for item, row in zip(items, rows, strict=True):
        assert item.contract_size == pytest.approx(float(row["ctVal"]) * float(row["ctMult"]))


def test_sampled_option_summary_of_rest_is_readable(okx: Path) -> None:
    rows = sample_rows(okx, "http_get_option_summary.json")
    # Volatilities are fractions; there is no premium, so no event.
    assert {float(row["markVol"]) for row in rows} <= {0.455}


def test_open_interest_of_a_sample(okx: Path) -> None:
    lines = lines_of(okx / "samples" / "mixed_frames.ndjson")
    rows = [row for symbol, _, row in rows_in(lines, "open-interest") if symbol.endswith("SWAP")]
    (row,), _ = readable(rows, wire.OpenInterestRow)
    found = open_interest(swap("WNCG-USDT-SWAP"), row, 1)
    assert (found.oi_contracts, found.oi_base, found.oi_usd) == (644195.0, 644195.0, None)
