"""Recorded Hyperliquid traffic, every wire file by name: nothing is lost, nothing is invented.

Expected values are read off the raw JSON by a few lines that share no code with the adapter.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from apps.marketdata.books import BookState, BookSynchroniser, Outcome
from apps.marketdata.events import (
    BookSnapshot,
    Event,
    FundingRate,
    MarkPrice,
    OpenInterest,
    Side,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.hyperliquid import wire
from apps.venues.hyperliquid.parse import HyperliquidParser, book_snapshot
from apps.venues.hyperliquid.rest_rows import FundingRow, candles_of, settled_rates
from apps.venues.hyperliquid.stream import BOOK_RULES
from apps.venues.hyperliquid.symbols import instruments_from_meta, universe_of
from apps.venues.parsing import ParserStats
from apps.venues.rows import readable
from apps.venues.streaming import Seen

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def folder(captures_dir: Path) -> Path:
    return captures_dir / "hyperliquid"


def coin(name: str, mult: float = 1.0) -> Instrument:
    return Instrument(
        venue="hyperliquid",
        symbol=name,
        asset=name.removeprefix("k"),
        kind=InstrumentKind.PERP,
        quote="USDC",
        price_mult=mult,
        funding_interval_h=1.0,
    )


def parser_of(*names: str, universe: list[str] | None = None) -> HyperliquidParser:
    return HyperliquidParser(
        [coin(name) for name in names], ParserStats("hyperliquid"), universe or []
    )


def body_of(path: Path) -> Any:
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)


def test_recorded_books_and_trades_of_btc(folder: Path) -> None:
    """book/btc_l2book_trades_20250126.ndjson.gz and its receive times."""
    stem = "btc_l2book_trades_20250126"
    lines = gzip.decompress((folder / "book" / f"{stem}.ndjson.gz").read_bytes()).splitlines()
    received = gzip.decompress((folder / "book" / f"{stem}.recv.gz").read_bytes()).split()
    parser = parser_of("BTC")
    book = BookSynchroniser(coin("BTC"), BOOK_RULES[InstrumentKind.PERP])
    memory, passed = Seen(), 0
    outcomes: Counter[Outcome] = Counter()
    events: list[Event] = []
    for line, at in zip(lines, received, strict=True):
        raw = json.loads(line)
        for event in parser.parse(line, int(at)):
            events.append(event)
            passed += not memory.is_repeat(event)
            if isinstance(event, BookSnapshot):
                outcomes[book.on_snapshot(event)] += 1
                # The slow book: what this very line says.
                bids, asks = (
                    {float(level["px"]): float(level["sz"]) for level in side}
                    for side in raw["data"]["levels"]
                )
                assert (book.book.bids, book.book.asks) == (bids, asks)
                assert (book.book.best_bid, book.book.best_ask) == (max(bids), min(asks))
                assert len(bids) == len(asks) == 20
                assert event.seq == raw["data"]["time"]
    assert len(lines) == parser.stats.messages == 55
    assert parser.stats.ok == {"l2Book": 46, "trades": 9}
    assert Counter(type(event).__name__ for event in events) == {"BookSnapshot": 46, "Trade": 64}
    assert outcomes == {Outcome.APPLIED: 46}
    assert (book.state, book.gap_count, book.crossed_count) == (BookState.LIVE, 0, 0)
    # No trade comes twice here, the backlog of 30 included.
    assert passed == 46 + 64

    trades = [event for event in events if isinstance(event, Trade)]
    rows_ = [row for line in lines for row in _trades_of(line)]
    assert sum(one.qty_base for one in trades if one.aggressor_side is Side.BUY) == pytest.approx(
        sum(float(row["sz"]) for row in rows_ if row["side"] == "B")
    )
    first = trades[0]
    assert (first.price, first.qty_base, first.aggressor_side) == (105_056.0, 0.00219, Side.BUY)
    assert (first.trade_id, first.ts_event) == ("121451470284048", 1_737_918_794_873_000_000)
    # The first trades frame is a backlog: almost a minute older than its receipt.
    assert first.ts_recv - first.ts_event > 45_000_000_000


def _trades_of(line: bytes) -> list[dict[str, Any]]:
    frame = json.loads(line)
    return list(frame["data"]) if frame["channel"] == "trades" else []


@pytest.mark.parametrize(
    ("name", "symbol", "levels", "best", "time_ms"),
    [
        ("book/l2Book_DYDX_20230717.json", "DYDX", 20, (2.111, None), 1_689_630_203_930),
        ("samples/http_l2_book_btc.json", "BTC", 5, (110_427.0, 110_428.0), 1_761_786_491_067),
        ("samples/http_l2_book_snapshot.json", "BTC", 5, (98_450.5, 98_451.0), None),
        ("samples/ws_book_data.json", "BTC", 5, (98_450.5, 98_451.0), None),
    ],
)
def test_book_bodies(
    folder: Path,
    name: str,
    symbol: str,
    levels: int,
    best: tuple[float, float | None],
    time_ms: int | None,
) -> None:
    raw = (folder / name).read_bytes()
    body = json.loads(raw)
    snapshot = book_snapshot(raw, coin(symbol), 1)
    assert snapshot.bids == [(float(one["px"]), float(one["sz"])) for one in body["levels"][0]]
    assert snapshot.asks == [(float(one["px"]), float(one["sz"])) for one in body["levels"][1]]
    assert len(snapshot.bids) == len(snapshot.asks) == levels
    assert snapshot.bids[0][0] == best[0]
    assert best[1] is None or snapshot.asks[0][0] == best[1]
    assert snapshot.seq == body["time"] == (time_ms or body["time"])
    # As a frame it is a body without a channel.
    parser = parser_of(symbol)
    assert parser.parse(raw, 1) == []
    assert parser.stats.ignored == {"l2Book body": 1}


def test_frames_of_every_channel(folder: Path) -> None:
    """samples/mixed_frames.ndjson."""
    lines = (folder / "samples" / "mixed_frames.ndjson").read_bytes().splitlines()
    parser = parser_of("FXS", "BTC", "SHIA", "BANANA", "MOODENG")
    found = [event for line in lines for event in parser.parse(line, HOUR_NS * 480_000 + 5)]
    assert len(lines) == parser.stats.messages == 10
    assert parser.stats.ok == {"trades": 4, "l2Book": 2, "activeAssetCtx": 1}
    # BTC's bbo line has one side only, @162 is no perpetual.
    assert parser.stats.ignored == {"activeSpotAssetCtx": 1, "bbo": 2}
    assert Counter(type(event).__name__ for event in found) == {
        "Trade": 6,
        "BookSnapshot": 2,
        "MarkPrice": 1,
        "FundingRate": 1,
        "OpenInterest": 1,
    }
    trades = [event for event in found if isinstance(event, Trade)]
    assert (trades[0].instrument.symbol, trades[0].aggressor_side) == ("FXS", Side.SELL)
    assert [one.qty_base for one in trades[2:5]] == [0.38111, 0.33458, 0.83613]
    empty, banana = (event for event in found if isinstance(event, BookSnapshot))
    assert (empty.bids, empty.asks) == ([], [])
    assert banana.bids == [(59.8, 3.4), (59.778, 1.6)]
    (mark,) = (event for event in found if isinstance(event, MarkPrice))
    assert (mark.mark_price, mark.index_price) == (0.19963, 0.1995)
    (rate,) = (event for event in found if isinstance(event, FundingRate))
    assert (rate.rate, rate.rate_raw, rate.interval_h) == (0.00004863, "0.00004863", 1.0)
    assert rate.funding_ts == HOUR_NS * 480_001
    (interest,) = (event for event in found if isinstance(event, OpenInterest))
    assert interest.oi_base == interest.oi_contracts == 18_617_460.0
    assert interest.oi_usd == pytest.approx(18_617_460.0 * 0.19963)


def test_states_of_all_dexs_are_joined_by_index(folder: Path) -> None:
    """ticker/ws_all_dexs_asset_ctxs.json.gz with the names of instruments/meta_20230717.json."""
    raw = gzip.decompress((folder / "ticker" / "ws_all_dexs_asset_ctxs.json.gz").read_bytes())
    dexs = dict(json.loads(raw)["data"]["ctxs"])
    assert {name: len(states) for name, states in dexs.items()}[""] == 230
    assert len(dexs) == 9
    universe = universe_of(body_of(folder / "instruments" / "meta_20230717.json"))
    parser = parser_of("BTC", "ETH", "SOL", "BNB", "HYPE", universe=universe)
    found = parser.parse(raw, HOUR_NS + 1)
    assert parser.stats.ok == {"allDexsAssetCtxs": 1}
    # HYPE was listed later than the universe that we have: nobody else's state becomes its own.
    marks = {event.instrument.symbol: event for event in found if isinstance(event, MarkPrice)}
    assert {name: mark.mark_price for name, mark in marks.items()} == {
        "BTC": 77_562.0,
        "ETH": 2_123.7,
        "SOL": 86.148,
        "BNB": 667.37,
    }
    assert marks["BTC"].index_price == 77_605.0
    interests = {
        event.instrument.symbol: event for event in found if isinstance(event, OpenInterest)
    }
    assert interests["BTC"].oi_base == 27_353.17682
    assert interests["BTC"].oi_usd == pytest.approx(27_353.17682 * 77_562.0)
    rates = {event.instrument.symbol: event for event in found if isinstance(event, FundingRate)}
    assert rates["BTC"].rate_raw == "-0.0000015186"
    assert rates["BTC"].rate == -1.5186e-06

    nameless = parser_of("BTC")
    assert nameless.parse(raw, 1) == []
    assert nameless.stats.ignored == {"allDexsAssetCtxs": 1}


@pytest.mark.parametrize("name", ["samples/ws_allmids.json"])
def test_mids_become_nothing(folder: Path, name: str) -> None:
    parser = parser_of("BTC")
    assert parser.parse((folder / name).read_bytes(), 1) == []
    assert parser.stats.ignored == {"allMids": 1}


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("ticker/allMids_20230717.json", "unknown"),
        ("samples/userFills_20230717.json.gz", "malformed"),
        ("samples/clearinghouseState_20230327.json", "unknown"),
    ],
)
def test_answers_that_are_no_market_data_of_ours_are_counted(
    folder: Path, name: str, outcome: str
) -> None:
    parser = parser_of("BTC", "SUI")
    assert parser.parse(orjson.dumps(body_of(folder / name)), 1) == []
    assert getattr(parser.stats, outcome).total() == parser.stats.messages == 1


def test_universes(folder: Path) -> None:
    """The four recorded universes: instruments/meta_20230717.json, meta_full.json and two samples."""
    old, drops = instruments_from_meta(body_of(folder / "instruments" / "meta_20230717.json"))
    assert {item.symbol for item in old} >= {"BTC", "ETH", "SOL", "kPEPE", "SUI", "XRP"}
    pepe = next(item for item in old if item.asset == "PEPE")
    assert (pepe.symbol, pepe.price_mult, pepe.lot_size) == ("kPEPE", 1000.0, 1000.0)
    assert {drop.asset: drop.reason for drop in drops}["HYPE"] == "not listed"

    body = body_of(folder / "instruments" / "meta_full.json")
    names = [entry["name"] for entry in body["universe"]]
    assert universe_of(body) == names
    full, drops = instruments_from_meta(body)
    delisted = {entry["name"] for entry in body["universe"] if entry.get("isDelisted")}
    assert len(names) == 201
    assert len(delisted) == 35
    assert not delisted & {item.symbol for item in full}
    assert {item.symbol for item in full if item.price_mult == 1000.0} == {
        "kPEPE",
        "kSHIB",
        "kBONK",
    }
    assert len(full) + len(drops) == 65
    assert {item.lot_size for item in full if item.symbol == "BTC"} == {1e-05}

    sample, _ = instruments_from_meta(body_of(folder / "samples" / "http_meta_perp_sample.json"))
    assert [item.symbol for item in sample] == ["BTC", "ETH", "ATOM"]

    dexs = body_of(folder / "samples" / "http_all_perp_metas_non_usdc_collateral.json")
    ours = [[item.symbol for item in instruments_from_meta(one)[0]] for one in dexs]
    # Builders' markets, hyna:BTC among them, are not Hyperliquid's.
    assert ours == [["BTC"], [], []]


def test_candles_of_kpepe(folder: Path) -> None:
    """ohlcv/candleSnapshot_kPEPE_1h_2023.json: 24 bars, per 1000 tokens."""
    body = body_of(folder / "ohlcv" / "candleSnapshot_kPEPE_1h_2023.json")
    good, bad = readable(body, wire.Bar)
    candles = candles_of(coin("kPEPE", 1000.0), good, 3_600, body[-1]["T"], 1)
    assert (len(candles), bad) == (24, 0)
    assert candles[0].open_ts == 1_684_699_200_000_000_000
    assert candles[0].close == pytest.approx(0.001604 / 1000)
    assert candles[0].volume_base == pytest.approx(520_665_683.0 * 1000)
    mean = (0.001601 + 0.001616 + 0.001601 + 0.001604) / 4
    assert candles[0].volume_usd == pytest.approx(520_665_683.0 * mean)
    assert (candles[0].trades, candles[0].buy_base, candles[0].buy_usd) == (709, None, None)
    assert [one.is_closed for one in candles[-2:]] == [True, False]


@pytest.mark.parametrize(
    ("name", "symbol", "count", "per_eight_hours", "first", "last"),
    [
        (
            "funding/fundingHistory_BTC_20230419_20230717.json",
            "BTC",
            1_038,
            None,
            (1_683_849_600_000, "-0.00061334"),
            None,
        ),
        (
            "funding/fundingHistory_SOL_2023_2026.json.gz",
            "SOL",
            25_273,
            82,
            (1_683_849_600_000, "-0.0002365296"),
            None,
        ),
        (
            "samples/http_funding_history.json",
            "BTC",
            3,
            0,
            # This sample's times are 20 minutes past; settlements are on the hour.
            (1_769_907_600_000, "0.0000125"),
            (1_769_914_800_000, "0.0000033"),
        ),
    ],
)
def test_settled_rates(
    folder: Path,
    name: str,
    symbol: str,
    count: int,
    per_eight_hours: int | None,
    first: tuple[int, str],
    last: tuple[int, str] | None,
) -> None:
    body = body_of(folder / name)
    good, bad = readable(body, FundingRow)
    rates = settled_rates(coin(symbol), good, 1)
    assert (len(body), bad) == (count, 0)
    assert len(rates) == len({row["time"] // 3_600_000 for row in body}) == count
    assert all(rate.funding_ts % HOUR_NS == 0 for rate in rates)
    assert [rate.rate for rate in rates] == [
        float(row["fundingRate"]) for row in sorted(body, key=lambda row: row["time"])
    ]
    assert (rates[0].funding_ts // 1_000_000, rates[0].rate_raw) == first
    assert last is None or (rates[-1].funding_ts // 1_000_000, rates[-1].rate_raw) == last
    longer = [rate for rate in rates if rate.interval_h == 8.0]
    assert {rate.interval_h for rate in rates} <= {1.0, 8.0}
    assert rates[-1].interval_h == 1.0
    if per_eight_hours is not None:
        assert len(longer) == per_eight_hours
    # All of them lie before the venue went over to hours.
    assert all(rate.funding_ts < 1_690_000_000_000_000_000 for rate in longer)


def test_recent_trades_of_btc(folder: Path) -> None:
    """samples/http_recent_trades_btc.json, newest first, in the stream's envelope."""
    body = body_of(folder / "samples" / "http_recent_trades_btc.json")
    raw = orjson.dumps({"channel": "trades", "data": body})
    trades = [event for event in parser_of("BTC").parse(raw, 1) if isinstance(event, Trade)]
    assert [one.trade_id for one in trades] == [str(row["tid"]) for row in body]
    assert (trades[0].price, trades[0].aggressor_side) == (104_320.0, Side.SELL)
    assert (trades[1].price, trades[1].aggressor_side) == (104_310.5, Side.BUY)


def test_every_wire_file_has_a_test(folder: Path) -> None:
    """Derived tables (CSV) are no wire format; what a test reads, it names."""
    told = Path(__file__).read_text(encoding="utf-8")
    on_disk = [path for path in folder.rglob("*") if path.is_file() and ".csv" not in path.name]
    unnamed = [
        path.name
        for path in on_disk
        if path.name.removesuffix(".ndjson.gz").removesuffix(".recv.gz") not in told
    ]
    assert unnamed == []
    assert len(on_disk) == 21
