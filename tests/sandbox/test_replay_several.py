"""Several recordings on one clock, and the times in every venue's frames."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from apps.sandbox.replay.catalog import RecordingError, find_recordings
from apps.sandbox.replay.known import KNOWN
from apps.sandbox.replay.player import align
from apps.sandbox.replay.recording import Recording, load_recording
from apps.sandbox.replay.restamp import TIMES, restamp
from tests.sandbox.conftest import Starter

UM_2023 = "binance-usdm-btcusdt-20230404"
ALTS_2021 = "binance-usdm-alts-20210722"
MINUTE_NS = 60_000_000_000
MOVE_MS = 86_400_000
FILES = {
    "bybit": "bybit/book/linear_stream_20260809",
    "okx": "okx/book/ws_books_trades_tickers_20220513",
    "deribit": "deribit/options/ws_options_raw_20210722",
    "hyperliquid": "hyperliquid/book/btc_l2book_trades_20250126",
}


def spanning(some: Recording, *minutes: tuple[int, int]) -> list[Recording]:
    """Recordings with the given first and last minute."""
    frame = some.frames[0]
    return [
        replace(
            some,
            frames=(
                replace(frame, at_ns=begin * MINUTE_NS),
                replace(frame, at_ns=end * MINUTE_NS),
            ),
        )
        for begin, end in minutes
    ]


def test_other_years_start_together_and_contemporaries_keep_their_distance(
    captures_dir: Path,
) -> None:
    some = load_recording(*find_recordings(ALTS_2021, captures_dir))
    year = 525_600
    # The first one, its contemporary, and a pair of recordings of a year earlier.
    recordings = spanning(
        some,
        (2 * year, 2 * year + 5),
        (2 * year + 9, 2 * year + 30),
        (year + 3, year + 9),
        (year, year + 2),
    )
    assert align(recordings) == [0, 0, year * MINUTE_NS, year * MINUTE_NS]
    # Seen from the old pair the others are the ones to move.
    assert align(recordings[::-1]) == [0, 0, -year * MINUTE_NS, -year * MINUTE_NS]
    # Where the group began before the first one named, it still begins as one.
    later_first = [recordings[1], recordings[0], recordings[3]]
    assert align(later_first) == [0, 0, year * MINUTE_NS]


async def test_two_years_play_on_the_first_ones_clock(start: Starter, captures_dir: Path) -> None:
    client = await start(
        mode="replay",
        recordings=(UM_2023, ALTS_2021),
        captures=captures_dir,
        speed=100_000.0,
    )
    manifest = await client.get("control", "/manifest")
    assert manifest["recordings"] == [UM_2023, ALTS_2021]
    assert manifest["venues"] == ["binance"]
    assert {one["symbol"] for one in manifest["instruments"]} == {
        "BTCUSDT",
        "SUSHIUSDT",
        "AKROUSDT",
        "KEEPUSDT",
        "CTKUSDT",
    }
    alts, btc = (
        load_recording(*find_recordings(one, captures_dir)) for one in (ALTS_2021, UM_2023)
    )
    trades = [one for one in alts.frames if one.channel == "sushiusdt@aggTrade"]
    channels = {one["connection"]: [] for one in manifest["streams"]}  # type: dict[str, list[str]]
    for one in manifest["streams"]:
        channels[one["connection"]].append(one["channel"])
    market = await client.socket("um", "/market/stream", *channels["market"])
    public = await client.socket("um", "/public/stream", *channels["public"])

    async def take(ws: Any, count: int) -> list[str]:
        return [(await ws.receive(timeout=20)).data for _ in range(count)]

    total = [
        sum(one.channel in names for recording in (alts, btc) for one in recording.frames)
        for names in (channels["market"], channels["public"])
    ]
    got, books = await asyncio.gather(take(market, total[0]), take(public, total[1]))
    moved = [text for text in got if '"sushiusdt@aggTrade"' in text]
    shift_ms = (btc.start_ns - alts.start_ns) // 1_000_000
    assert len(moved) == len(trades) > 20
    for text, frame in zip(moved, trades, strict=True):
        new, old = orjson.loads(text)["data"], orjson.loads(frame.data)
        assert new["E"] - old["E"] == new["T"] - old["T"] == shift_ms
        assert {k: v for k, v in new.items() if k not in "ET"} == {
            k: v for k, v in old.items() if k not in "ET"
        }
    untouched = [one.raw.decode() for one in btc.frames if one.channel in channels["market"]]
    assert [text for text in got if "btcusdt" in text[:30]] == untouched
    assert len(books) == total[1]
    # The alts last half a minute, so they all come before the first minute of the others has passed.
    last_alt = max(index for index, text in enumerate(got) if "btcusdt" not in text[:30])
    assert orjson.loads(got[last_alt])["data"]["E"] < btc.start_ns // 1_000_000 + 60_000
    clock = await client.get("control", "/clock")
    assert clock["market_anchor_ns"] == btc.start_ns


def times_of(value: Any) -> list[int]:
    """Every 13-digit number in a message, wherever it stands."""
    return [int(text) for text in re.findall(r"(?<![\d.])\d{13}(?![\d.])", json.dumps(value))]


@pytest.mark.parametrize("venue", list(FILES))
def test_every_time_is_moved_and_nothing_else(captures_dir: Path, venue: str) -> None:
    path = captures_dir / f"{FILES[venue]}.ndjson.gz"
    received = gzip.decompress((captures_dir / f"{FILES[venue]}.recv.gz").read_bytes()).split()
    begin, end = int(received[0]) // 1_000_000, int(received[-1]) // 1_000_000
    seen = 0
    for line in gzip.decompress(path.read_bytes()).splitlines():
        moved = restamp(line, MOVE_MS, venue)
        assert len(moved) == len(line)
        for old, new in zip(
            times_of(orjson.loads(line)), times_of(orjson.loads(moved)), strict=True
        ):
            # Times of the recording move; ends of candles are a minute ahead, some trades older.
            is_time = begin - 3_600_000 < old < end + 86_400_000
            assert new - old == (MOVE_MS if is_time else 0), line[:200]
            seen += is_time
        assert restamp(moved, -MOVE_MS, venue) == line
        assert restamp(line, 0, venue) is line
    assert seen > 50


def test_event_times_are_the_venues_own(captures_dir: Path) -> None:
    """Receive times follow event times by less than some seconds, where clocks are right."""
    for venue in ("bybit", "okx", "deribit"):
        lines = gzip.decompress((captures_dir / f"{FILES[venue]}.ndjson.gz").read_bytes())
        found = [TIMES[venue].event.search(line) for line in lines.splitlines()]
        first = next(one for one in found if one)
        received = gzip.decompress((captures_dir / f"{FILES[venue]}.recv.gz").read_bytes()).split()
        assert abs(int(first.group(1)) - int(received[0]) // 1_000_000) < 10_000


def test_known_instruments_are_those_of_the_recorded_lists(captures_dir: Path) -> None:
    listed: dict[str, Any] = {}
    for asset in ("BTC", "ETH"):
        path = captures_dir / f"deribit/instruments/get_instruments_{asset}_20210722.json.gz"
        listed |= {
            one["instrument_name"]: one
            for one in json.loads(gzip.decompress(path.read_bytes()))["result"]
        }
    options = KNOWN["deribit-options-20210722"].instruments
    assert len(options) == 10
    for one in options:
        row = listed[one["symbol"]]
        assert one["expiry_ms"] == row["expiration_timestamp"]
        assert (one["strike"], one["option_type"]) == (row["strike"], row["option_type"])
        assert (one["tick_size"], one["lot_size"]) == (row["tick_size"], row["min_trade_amount"])
    body = gzip.decompress(
        (captures_dir / "bybit/instruments/instruments_info_linear_20260809.json.gz").read_bytes()
    )
    linear = {one["symbol"]: one for one in json.loads(body)["result"]["list"]}
    for one in KNOWN["bybit-linear-20260809"].instruments:
        row = linear[one["symbol"]]
        assert one["tick_size"] == float(row["priceFilter"]["tickSize"])
        assert one["lot_size"] == float(row["lotSizeFilter"]["qtyStep"])
        assert one["funding_interval_h"] * 60 == row["fundingInterval"]


def test_a_folder_may_hold_several_recordings(tmp_path: Path) -> None:
    one = {"name": "a", "venue": "binance", "files": [{"messages": "a.ndjson"}]}
    other = {
        **one,
        "name": "b",
        "connection": "spot",
        "depth": {"BTCUSDT": {"file": "book.json", "received_ns": 5}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps({"recordings": [one, other]}))
    first, second = find_recordings(str(tmp_path), None)
    assert (first.name, first.connection, second.connection) == ("a", "main", "spot")
    depth = second.depth["BTCUSDT"]
    assert (depth.path, depth.received_ns) == (tmp_path / "book.json", 5)
    (tmp_path / "a.ndjson").write_text("{}\n")
    with pytest.raises(RecordingError, match="no receive times and no event times"):
        load_recording(first)
    with pytest.raises(RecordingError, match="no face for venue 'nyse'"):
        load_recording(replace(first, venue="nyse"))
