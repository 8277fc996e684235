"""Recordings through the same faces."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import ccxt.async_support as ccxt
import orjson
import pytest

from apps.sandbox.backend import ReplayBackend
from apps.sandbox.replay.catalog import RecordingError, find_recordings, read_manifests
from apps.sandbox.replay.facts import grid_of
from apps.sandbox.replay.recording import load_recording
from apps.sandbox.replay.restamp import restamp
from tests.sandbox.conftest import Client, Starter

T0 = 1_700_000_000_000
DEPTH = "solusdt@depth@100ms"
TRADE = "solusdt@trade"
MARK = "solusdt@markPrice@1s"
SNAPSHOT = (
    f'{{"lastUpdateId": 105, "E": {T0 + 200}, "T": {T0 + 199}, '
    '"bids": [["20.010", "1.0"], ["20.000", "2.0"]], "asks": [["20.030", "1.5"]]}'
)


def depth(first: int, last: int, previous: int, at: int, bids: str = "", asks: str = "") -> str:
    return (
        f'{{"stream":"{DEPTH}","data":{{"e":"depthUpdate","E":{at},"T":{at - 1},"s":"SOLUSDT",'
        f'"U":{first},"u":{last},"pu":{previous},"b":[{bids}],"a":[{asks}]}}}}'
    )


def trade(number: int, at: int) -> str:
    return (
        f'{{"stream":"{TRADE}","data":{{"e":"trade","E":{at},"T":{at - 2},"s":"SOLUSDT",'
        f'"t":{number},"p":"20.020","q":"0.5","X":"MARKET","m":true}}}}'
    )


LINES = [
    depth(101, 103, 100, T0 + 100, '["20.000","9.0"]'),
    trade(1_700_000_000_123, T0 + 150),
    SNAPSHOT,
    depth(104, 106, 103, T0 + 300, '["20.010","0.0"]', '["20.040","3.0"]'),
    f'{{"stream":"{MARK}","data":{{"e":"markPriceUpdate","E":{T0 + 400},"s":"SOLUSDT",'
    f'"p":"20.02000000","P":"20.01000000","i":"20.03000000","r":"0.00012500","T":{T0 + 3_600_000}}}}}',
    depth(107, 110, 106, T0 + 500, '["20.000","4.0"]'),
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    with gzip.open(folder / "frames.ndjson.gz", "wt") as out:
        out.write("".join(f"{line}\n" for line in LINES))
    (folder / "frames.recv").write_text(
        "".join(f"{(T0 + 100 * (n + 1)) * 1_000_000}\n" for n in range(len(LINES)))
    )
    manifest = {
        "name": "made",
        "venue": "binance",
        "connection": "um",
        "files": [{"messages": "frames.ndjson.gz", "received": "frames.recv"}],
        "instruments": [{"symbol": "SOLUSDT", "asset": "SOL"}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


async def replay(start: Starter, recording: Path | str, **changes: Any) -> Client:
    return await start(
        **{"mode": "replay", "recordings": (str(recording),), "speed": 1.0, **changes}
    )


async def finished(client: Client) -> None:
    backend = client.sandbox.backend
    assert isinstance(backend, ReplayBackend)
    await backend.player.finished.wait()


async def collect(ws: Any, count: int) -> list[str]:
    return [(await ws.receive(timeout=5)).data for _ in range(count)]


async def test_frames_are_unchanged_on_the_recorded_clock(start: Starter, recording: Path) -> None:
    client = await replay(start, recording)
    clock = await client.get("control", "/clock")
    assert (clock["started"], clock["market_end_ns"]) == (False, clock["market_anchor_ns"])
    assert (await client.get("um", "/fapi/v1/time"))["serverTime"] == T0 + 100
    public = await client.socket("um", "/public/stream", DEPTH)
    raw = await client.socket("um", "/market/ws", TRADE)
    assert (await client.get("control", "/clock"))["started"] is False
    mark = await client.socket("um", "/market/stream", MARK)
    assert await collect(public, 3) == [LINES[0], LINES[3], LINES[5]]
    assert await collect(raw, 1) == [LINES[1][len(f'{{"stream":"{TRADE}","data":') : -1]]
    assert await collect(mark, 1) == [LINES[4]]
    await asyncio.wait_for(finished(client), 5)
    # The market's clock stops at the end and REST goes on.
    clock = await client.get("control", "/clock")
    assert clock["market_end_ns"] == (T0 + 600) * 1_000_000
    await asyncio.sleep(0.15)
    assert (await client.get("um", "/fapi/v1/time"))["serverTime"] == T0 + 600
    stats = await client.get("control", "/stats")
    assert (stats["played"], stats["finished"], stats["missing_streams"]) == (6, True, [])


async def test_rest_book_is_recorded_first_and_rebuilt_afterwards(
    start: Starter, recording: Path
) -> None:
    client = await replay(start, recording, speed=20.0)
    async with client.http.get(
        client.url("um", "/fapi/v1/depth?symbol=SOLUSDT&limit=1000")
    ) as response:
        assert await response.text() == SNAPSHOT
    assert await client.refused("um", "/fapi/v1/depth", symbol="BTCUSDT") == (400, -1121)
    await client.post("/start")
    await asyncio.wait_for(finished(client), 5)
    body = await client.get("um", "/fapi/v1/depth", symbol="SOLUSDT", limit=1000)
    assert body == {
        "lastUpdateId": 110,
        "E": T0 + 500,
        "T": T0 + 499,
        "bids": [["20.000", "4.0"]],
        "asks": [["20.030", "1.5"], ["20.040", "3.0"]],
    }


async def test_what_was_not_recorded_is_not_made_up(start: Starter, recording: Path) -> None:
    client = await replay(start, recording, speed=20.0)
    symbol = "SOLUSDT"
    assert await client.get("um", "/fapi/v1/premiumIndex") == []
    await client.post("/start")
    await asyncio.wait_for(finished(client), 5)
    assert await client.get("um", "/fapi/v1/klines", symbol=symbol, interval="1m") == []
    assert await client.get("um", "/fapi/v1/fundingRate", symbol=symbol) == []
    assert await client.get("um", "/fapi/v1/fundingInfo") == []
    assert await client.refused("um", "/fapi/v1/openInterest", symbol=symbol) == (400, -4108)
    index = await client.get("um", "/fapi/v1/premiumIndex", symbol=symbol)
    assert (index["markPrice"], index["lastFundingRate"]) == ("20.02000000", "0.00012500")
    assert index["nextFundingTime"] == T0 + 3_600_000
    trades = await client.get("um", "/fapi/v1/trades", symbol=symbol)
    assert [one["id"] for one in trades] == [1_700_000_000_123]
    (listed,) = (await client.get("um", "/fapi/v1/exchangeInfo"))["symbols"]
    assert listed["symbol"] == symbol
    assert [float(one["tickSize"]) for one in listed["filters"] if "tickSize" in one] == [0.01]


async def test_clock_now_moves_event_times_and_nothing_else(
    start: Starter, recording: Path
) -> None:
    client = await replay(start, recording, clock="now")
    public = await client.socket("um", "/public/ws", DEPTH)
    market = await client.socket("um", "/market/ws", TRADE, MARK)
    before = time.time() * 1000
    updates = [orjson.loads(text) for text in await collect(public, 3)]
    assert abs(updates[0]["E"] - before) < 500
    assert [one["E"] - updates[0]["E"] for one in updates] == [0, 200, 400]
    assert [(one["U"], one["u"], one["pu"]) for one in updates][1] == (104, 106, 103)
    first, second = (orjson.loads(text) for text in await collect(market, 2))
    assert first["t"] == 1_700_000_000_123
    assert second["T"] - second["E"] == 3_600_000 - 400
    body = await client.get("um", "/fapi/v1/depth", symbol="SOLUSDT", limit=10)
    assert abs(body["E"] - time.time() * 1000) < 3_000
    clock = await client.get("control", "/clock")
    assert (clock["wall_anchor_ns"], clock["market_anchor_ns"], clock["speed"]) == (0, 0, 1.0)


async def test_a_loop_goes_on_in_time(start: Starter, recording: Path) -> None:
    client = await replay(start, recording, end="loop", speed=10.0)
    public = await client.socket("um", "/public/stream", DEPTH)
    await client.post("/start")
    frames = await collect(public, 6)
    assert frames[:3] == [LINES[0], LINES[3], LINES[5]]
    events = [orjson.loads(text)["data"]["E"] for text in frames]
    assert events[3] - events[0] == 1_500
    assert events == sorted(events)
    assert (await client.get("control", "/clock"))["market_end_ns"] is None


async def test_it_starts_after_a_grace_time(start: Starter, recording: Path) -> None:
    client = await replay(start, recording, grace_s=0.1)
    ws = await client.socket("um", "/public/stream", DEPTH)
    assert (await collect(ws, 1)) == [LINES[0]]


async def test_manifest_names_streams_and_instruments(start: Starter, recording: Path) -> None:
    client = await replay(start, recording)
    manifest = await client.get("control", "/manifest")
    assert (manifest["mode"], manifest["recordings"]) == ("replay", ["made"])
    rows = {one["channel"]: (one["connection"], one["kind"]) for one in manifest["streams"]}
    assert rows == {
        DEPTH: ("public", "book"),
        TRADE: ("market", "trade"),
        MARK: ("market", "mark"),
    }
    (sol,) = manifest["instruments"]
    assert (sol["asset"], sol["kind"], sol["tick_size"]) == ("SOL", "perp", 0.01)


def test_restamp_knows_times_from_ids() -> None:
    one = LINES[1].encode()
    moved = restamp(one, 1_000, "binance")
    assert moved == one.replace(b"%d" % (T0 + 150), b"%d" % (T0 + 1_150)).replace(
        b"%d" % (T0 + 148), b"%d" % (T0 + 1_148)
    )
    candle = b'{"e":"kline","E":1700000000000,"k":{"t":1700000000000,"T":1700000059999,"L":1700000000000}}'
    assert restamp(candle, 1, "binance") == (
        b'{"e":"kline","E":1700000000001,"k":{"t":1700000000001,"T":1700000060000,"L":1700000000000}}'
    )


def test_grids_are_read_off_prices() -> None:
    assert grid_of(["28145.10", "28145.20", "5000.00"]) == (0.1, 2)
    assert grid_of(["61837.63000000", "61830.10000000"]) == (0.01, 8)
    assert grid_of([]) == (1e-08, 8)


def test_unreadable_recordings_say_why(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="one of binance-usdm"):
        find_recordings("nothing-like-it", tmp_path)
    (tmp_path / "manifest.json").write_text('{"name": "x"}')
    with pytest.raises(RecordingError, match="not a readable manifest"):
        read_manifests(tmp_path)
    with pytest.raises(RecordingError, match="is missing"):
        find_recordings("binance-usdm-btcusdt-20230404", tmp_path / "empty")


def lines_of(captures: Path, stems: tuple[str, ...]) -> list[str]:
    texts = [
        gzip.decompress((captures / "binance" / "book" / f"{stem}.ndjson.gz").read_bytes()).decode()
        for stem in stems
    ]
    return [line for text in texts for line in text.splitlines()]


def rebuilt(lines: list[str]) -> tuple[list[list[Any]], list[list[Any]], int]:
    """The final book of the recorded lines, by a few lines of our own."""
    rows = [
        json.loads(line)
        for line in lines
        if '"depthUpdate"' in line or '"lastUpdateId"' in line[:40]
    ]
    (snapshot,) = [row for row in rows if "lastUpdateId" in row]
    bids = {float(price): size for price, size in snapshot["bids"]}
    asks = {float(price): size for price, size in snapshot["asks"]}
    last = snapshot["lastUpdateId"]
    for row in rows:
        if "stream" in row and row["data"]["u"] > last:
            bids |= {float(price): size for price, size in row["data"]["b"]}
            asks |= {float(price): size for price, size in row["data"]["a"]}
            last = row["data"]["u"]
    best_bids = sorted((price for price in bids if float(bids[price])), reverse=True)[:1000]
    best_asks = sorted(price for price in asks if float(asks[price]))[:1000]
    return [[p, bids[p]] for p in best_bids], [[p, asks[p]] for p in best_asks], last


@pytest.mark.parametrize(
    ("name", "stems", "streams"),
    [
        ("binance-usdm-btcusdt-20230404", ("usdm_btcusdt_20230404", "usdm_btcusdt_20230405"), 4),
        ("binance-spot-btcusdt-20240808", ("spot_btcusdt_20240808",), 3),
    ],
)
async def test_a_real_recording_at_high_speed_loses_nothing(
    start: Starter, captures_dir: Path, name: str, stems: tuple[str, ...], streams: int
) -> None:
    client = await replay(start, name, captures=captures_dir, speed=100_000.0)
    face = "spot" if "spot" in name else "um"
    manifest = await client.get("control", "/manifest")
    assert len(manifest["streams"]) == streams
    recorded = lines_of(captures_dir, stems)
    lines = [line for line in recorded if line.startswith('{"stream"')]

    async def read(path: str, channels: list[str]) -> list[str]:
        ws = await client.socket(face, path, *channels)
        expected = sum(any(f'"{channel}"' in line[:40] for channel in channels) for line in lines)
        return [(await ws.receive(timeout=20)).data for _ in range(expected)]

    groups: dict[str, list[str]] = {}
    for one in manifest["streams"]:
        path = "/stream" if one["connection"] == "spot" else f"/{one['connection']}/stream"
        groups.setdefault(path, []).append(one["channel"])
    got = await asyncio.gather(*(read(path, channels) for path, channels in groups.items()))
    for (_, channels), frames in zip(groups.items(), got, strict=True):
        wanted = [x for x in lines if any(f'"{one}"' in x[:40] for one in channels)]
        assert frames == wanted
    await asyncio.wait_for(finished(client), 20)
    prefix = "/api/v3" if face == "spot" else "/fapi/v1"
    body = await client.get(face, f"{prefix}/depth", symbol="BTCUSDT", limit=1000)
    bids, asks, last = rebuilt(recorded)
    assert body["lastUpdateId"] == last
    assert [[float(price), size] for price, size in body["bids"]] == bids
    assert [[float(price), size] for price, size in body["asks"]] == asks


async def test_ccxt_loads_a_recorded_market(start: Starter, captures_dir: Path) -> None:
    client = await replay(start, "binance-usdm-btcusdt-20230404", captures=captures_dir)
    exchange: Any = ccxt.binanceusdm()
    exchange.urls["api"]["fapiPublic"] = client.url("um", "/fapi/v1")
    try:
        markets = await exchange.load_markets()
        assert list(markets) == ["BTC/USDT:USDT"]
        assert markets["BTC/USDT:USDT"]["precision"]["price"] == 0.1
        book = await exchange.fetch_order_book("BTC/USDT:USDT", 1000)
        assert book["nonce"] == 2_710_246_765_483
    finally:
        await exchange.close()


def test_the_alts_recording_has_its_books_from_files(captures_dir: Path) -> None:
    recording = load_recording(*find_recordings("binance-usdm-alts-20210722", captures_dir))
    assert [one.symbol for one in recording.listings] == [
        "SUSHIUSDT",
        "AKROUSDT",
        "KEEPUSDT",
        "CTKUSDT",
    ]
    assert len([one for one in recording.frames if not one.channel]) == 4
    assert len([one for one in recording.frames if one.channel]) == 1_535
    assert len(recording.streams) == 16
    assert all(a.at_ns <= b.at_ns for a, b in pairwise(recording.frames))


def test_a_late_recorder_clock_never_puts_events_in_the_future(captures_dir: Path) -> None:
    recording = load_recording(*find_recordings("binance-usdm-btcusdt-20240808", captures_dir))
    assert len(recording.frames) == 93_954
    for frame in recording.frames[:2_000]:
        message = orjson.loads(frame.data)
        assert message["E"] * 1_000_000 <= frame.at_ns
