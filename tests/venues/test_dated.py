"""Dated futures in recorded instrument lists and messages of the four venues that have them."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.marketdata.events import BookDelta, BookSnapshot, IndexPrice, MarkPrice, OpenInterest
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.binance import adapter as binance
from apps.venues.binance.symbols import futures_from_exchange_info
from apps.venues.bybit import adapter as bybit
from apps.venues.bybit.symbols import futures_of as bybit_futures
from apps.venues.deribit import adapter as deribit
from apps.venues.deribit import rest_rows
from apps.venues.deribit.symbols import futures as deribit_futures
from apps.venues.deribit.symbols import listed_rows
from apps.venues.okx import adapter as okx
from apps.venues.okx.symbols import futures_of as okx_futures
from apps.venues.parsing import ParserStats

NOW = 1_784_000_000_000
RECV = NOW * 1_000_000


def read(path: Path) -> Any:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return json.loads(raw)


def at(year: int, month: int, day: int) -> int:
    return round(datetime(year, month, day, 8, tzinfo=UTC).timestamp() * 1000)


def expiries(found: list[Instrument], asset: str = "BTC") -> list[tuple[str, int | None]]:
    assert all(one.kind is InstrumentKind.FUTURE for one in found)
    assert all(one.funding_interval_h is None for one in found)
    return [(one.symbol, one.expiry_ms) for one in found if one.asset == asset]


def future(venue: str, symbol: str, quote: str = "USDT", **more: Any) -> Instrument:
    return Instrument(
        venue=venue,
        symbol=symbol,
        asset="BTC",
        kind=InstrumentKind.FUTURE,
        quote=quote,
        expiry_ms=NOW + 86_400_000,
        **more,
    )


# ---------------------------------------------------------------- lists


def test_binance_list(captures_dir: Path) -> None:
    body = read(captures_dir / "binance/instruments/usdm_exchangeInfo_20210722.json.gz")
    found = futures_from_exchange_info(body)
    assert expiries(found) == [("BTCUSDT_210924", at(2021, 9, 24))]
    assert expiries(found, "ETH") == [("ETHUSDT_210924", at(2021, 9, 24))]
    assert {one.quote for one in found} == {"USDT"}
    listed = {entry["symbol"]: entry for entry in body["symbols"]}
    gone = listed["BTCUSDT_210924"] | {"status": "DELIVERING"}
    foreign = listed["ETHUSDT_210924"] | {"marginAsset": "BUSD"}
    assert futures_from_exchange_info({"symbols": [gone, foreign, {"symbol": 1}]}) == []


def test_bybit_list(captures_dir: Path) -> None:
    path = captures_dir / "bybit/instruments/instruments_info_linear_20260809.json.gz"
    rows = read(path)["result"]["list"]
    found = bybit_futures(rows)
    wanted = {
        row["symbol"]: int(row["deliveryTime"])
        for row in rows
        if row["contractType"] == "LinearFutures" and row["baseCoin"] in ("BTC", "ETH", "SOL")
    }
    mine = {one.symbol: one.expiry_ms for one in found if one.asset in ("BTC", "ETH", "SOL")}
    assert mine == wanted
    assert len(mine) > 10
    assert {one.quote for one in found} == {"USDT"}
    in_usdc = rows[0] | {
        "symbol": "BTC-25SEP26", "contractType": "LinearFutures", "status": "Trading",
        "baseCoin": "BTC", "quoteCoin": "USDC", "settleCoin": "USDC", "deliveryTime": str(NOW),
    }  # fmt: skip
    assert [(one.quote, one.expiry_ms) for one in bybit_futures([in_usdc])] == [("USDC", NOW)]
    deliveries = [one.expiry_ms for one in found if one.asset == "BTC"]
    assert deliveries == sorted(deliveries, key=lambda expiry: expiry or 0)


def test_okx_list(captures_dir: Path) -> None:
    found = okx_futures(
        read(captures_dir / "okx/instruments/instruments_FUTURES_20220513.json")["data"]
    )
    assert expiries(found) == [
        (f"BTC-{quote}-{name}", at(2022, int(name[2:4]), int(name[4:])))
        for name in ("220520", "220527", "220624", "220930")
        for quote in ("USD", "USDT")
    ]
    inverse = {one.symbol: one.is_inverse for one in found}
    assert (inverse["BTC-USD-220624"], inverse["BTC-USDT-220624"]) == (True, False)
    sizes = {one.symbol: one.contract_size for one in found}
    assert (sizes["BTC-USD-220624"], sizes["BTC-USDT-220624"]) == (100.0, 0.01)


def test_deribit_list(captures_dir: Path) -> None:
    body = read(captures_dir / "deribit/instruments/get_instruments_BTC_20210722.json.gz")
    listed, bad = listed_rows(body["result"])
    assert bad == 0
    found = deribit_futures(listed)
    assert [name for name, _ in expiries(found)] == [
        "BTC-23JUL21", "BTC-30JUL21", "BTC-27AUG21", "BTC-24SEP21", "BTC-31DEC21", "BTC-25MAR22",
        "BTC-24JUN22",
    ]  # fmt: skip
    assert found[-1].expiry_ms == at(2022, 6, 24)
    assert {(one.quote, one.is_inverse, one.contract_size) for one in found} == {
        ("USD", True, 10.0)
    }


# ---------------------------------------------------------------- what is streamed of them


def test_only_mark_index_and_interest_are_streamed() -> None:
    plans = {
        "binance": binance.ADAPTER.stream_plan([future("binance", "BTCUSDT_260626")]),
        "bybit": bybit.ADAPTER.stream_plan([future("bybit", "BTCUSDT-26JUN26")]),
        "okx": okx.ADAPTER.stream_plan([future("okx", "BTC-USD-260626", "USD")]),
        "deribit": deribit.ADAPTER.stream_plan([future("deribit", "BTC-26JUN26", "USD")]),
    }
    assert {venue: [one.channel for one in plan] for venue, plan in plans.items()} == {
        "binance": ["!markPrice@arr@1s", "!forceOrder@arr"],
        "bybit": ["tickers.BTCUSDT-26JUN26"],
        "okx": [
            "mark-price:BTC-USD-260626", "open-interest:BTC-USD-260626", "index-tickers:BTC-USD",
            "liquidation-orders:SWAP",
        ],
        "deribit": ["ticker.BTC-26JUN26.100ms"],
    }  # fmt: skip


def test_an_index_is_asked_for_once() -> None:
    swap = Instrument(
        venue="okx", symbol="BTC-USDT-SWAP", asset="BTC", kind=InstrumentKind.PERP, quote="USDT"
    )
    plan = okx.ADAPTER.stream_plan([future("okx", "BTC-USDT-260626"), swap])
    channels = [one.channel for one in plan]
    assert channels.count("index-tickers:BTC-USDT") == 1
    assert len(channels) == len(set(channels))


# ---------------------------------------------------------------- messages


def parse(adapter: Any, connection: str, instrument: Instrument, message: Any) -> list[Any]:
    stats = ParserStats(instrument.venue)
    parser = adapter.ADAPTER.make_parser(connection, [instrument], stats)
    found = parser.parse(json.dumps(message, separators=(",", ":")).encode(), RECV)
    assert stats.malformed.total() == stats.unknown.total() == 0
    return list(found)


def test_binance_mark_without_a_rate_is_no_funding() -> None:
    one = future("binance", "BTCUSDT_260626")
    row = {"e": "markPriceUpdate", "E": NOW, "s": one.symbol, "p": "101", "i": "100", "P": "101"}
    message = {"stream": "!markPrice@arr@1s", "data": [row | {"r": "", "T": 0, "st": 1}]}
    assert parse(binance, "market", one, message) == [
        MarkPrice(one, RECV, RECV, 101.0, 100.0),
    ]


def test_bybit_ticker_of_a_dated_contract() -> None:
    one = future("bybit", "BTCUSDT-26JUN26")
    data = {
        "symbol": one.symbol, "markPrice": "101", "indexPrice": "100", "openInterest": "40",
        "singleOpenInterest": "20", "singleOpenInterestValue": "2020", "fundingRate": "",
        "nextFundingTime": "", "fundingIntervalHour": "", "deliveryTime": "1782460800000",
    }  # fmt: skip
    topic = f"tickers.{one.symbol}"
    message = {"topic": topic, "type": "snapshot", "data": data, "cs": 1, "ts": NOW}
    assert parse(bybit, "linear", one, message) == [
        MarkPrice(one, RECV, RECV, 101.0, 100.0),
        OpenInterest(one, RECV, RECV, 20.0, 20.0, 2020.0),
    ]


def test_okx_mark_and_index_of_an_inverse_contract() -> None:
    one = future("okx", "BTC-USD-260626", "USD", is_inverse=True, contract_size=100.0)
    mark = {
        "arg": {"channel": "mark-price", "instId": one.symbol},
        "data": [{"instType": "FUTURES", "instId": one.symbol, "markPx": "101", "ts": str(NOW)}],
    }
    assert parse(okx, "public", one, mark) == [MarkPrice(one, RECV, RECV, 101.0, None)]
    index = {
        "arg": {"channel": "index-tickers", "instId": "BTC-USD"},
        "data": [{"instId": "BTC-USD", "idxPx": "100", "ts": str(NOW)}],
    }
    assert parse(okx, "public", one, index) == [
        IndexPrice("okx", "BTC", "BTC-USD", RECV, RECV, 100.0)
    ]


def test_okx_recorded_book_of_a_dated_contract(captures_dir: Path) -> None:
    path = captures_dir / "okx/book/ws_books_trades_tickers_20220513.ndjson.gz"
    one = future("okx", "BTC-USD-220527", "USD", is_inverse=True, contract_size=100.0)
    parser = okx.ADAPTER.make_parser("public", [one], ParserStats("okx"))
    lines = gzip.decompress(path.read_bytes()).splitlines()
    events = [event for line in lines for event in parser.parse(line, RECV)]
    kinds = {type(event) for event in events if getattr(event, "instrument", None) is one}
    assert {BookSnapshot, BookDelta} <= kinds


def test_deribit_recorded_dated_tickers(captures_dir: Path) -> None:
    """A summary of a dated contract says its mark and its interest; its index comes with its ticker."""
    one = future("deribit", "BTC-26JUN26", "USD", is_inverse=True, contract_size=10.0)
    row = rest_rows.SummaryRow(
        instrument_name=one.symbol,
        creation_timestamp=NOW,
        mark_price=101.0,
        open_interest=5_050.0,
        estimated_delivery_price=99.0,
    )
    assert rest_rows.summary_mark(one, row, RECV) == [MarkPrice(one, RECV, RECV, 101.0, None)]
    ticker = {
        "timestamp": NOW, "instrument_name": one.symbol, "mark_price": 101.0, "index_price": 100.0,
        "open_interest": 5_050.0, "state": "open",
    }  # fmt: skip
    message = {
        "jsonrpc": "2.0",
        "method": "subscription",
        "params": {"channel": f"ticker.{one.symbol}.100ms", "data": ticker},
    }
    mark, interest = parse(deribit, "public", one, message)
    assert mark == MarkPrice(one, RECV, RECV, 101.0, 100.0)
    assert (interest.oi_usd, interest.oi_base) == (5_050.0, pytest.approx(50.0))
