"""WebSockets of the face: acks, refusals, pings, caps, and books that join without a gap."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from apps.marketdata.books import OKX, BookState, BookSynchroniser
from apps.marketdata.events import BookDelta, BookSnapshot, Liquidation, Trade
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.sandbox.faces.base import StreamEntry
from apps.sandbox.faces.okx.face import channel_of, stream_of
from apps.venues.okx.parse import OkxParser
from apps.venues.parsing import ParserStats
from tests.sandbox.faces.okx.conftest import START_MS, Running, Starter

BTC, PEPE, STRK = "BTC-USDT-SWAP", "PEPE-USDT-SWAP", "STRK-USDT-SWAP"
SWAPS = [
    Instrument(
        venue="okx",
        symbol=symbol,
        asset=symbol.partition("-")[0],
        kind=InstrumentKind.PERP,
        quote="USDT",
        contract_size=size,
    )
    for symbol, size in ((BTC, 0.01), (PEPE, 1e7), (STRK, 100.0))
]


def arg(channel: str, subject: str = BTC) -> dict[str, str]:
    return {"channel": channel, "instType" if subject == "SWAP" else "instId": subject}


async def received(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    return [json.loads(await ws.receive_str(timeout=5)) for _ in range(count)]


async def everything(venue: Running, ws: aiohttp.ClientWebSocketResponse) -> list[bytes]:
    """All frames up to the answer of a ping."""
    await ws.send_str("ping")
    frames = []
    while (text := await ws.receive_str(timeout=5)) != "pong":
        frames.append(text.encode())
    return frames


async def test_each_argument_has_its_own_answer(start: Starter) -> None:
    venue = await start()
    ws = await venue.socket(
        "public", arg("trades"), arg("trades", "TON-USDT-SWAP"), arg("liquidation-orders", "SWAP")
    )
    first, refused, last = await received(ws, 3)
    assert (first["event"], first["arg"], first["id"]) == ("subscribe", arg("trades"), "1")
    assert (refused["event"], refused["code"]) == ("error", "60018")
    assert "channel:trades,instId:TON-USDT-SWAP doesn't exist" in refused["msg"]
    assert last["arg"] == arg("liquidation-orders", "SWAP")
    assert first["connId"] == last["connId"]
    assert venue.subscribed == {f"trades:{BTC}", "liquidation-orders:SWAP"}


@pytest.mark.parametrize(
    ("path", "channel"), [("public", "candle1m"), ("public", "trades-all"), ("business", "trades")]
)
async def test_a_channel_is_on_one_path_only(start: Starter, path: str, channel: str) -> None:
    venue = await start()
    ws = await venue.socket(path, arg(channel))
    (answer,) = await received(ws, 1)
    assert (answer["event"], answer["code"]) == ("error", "60018")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "5", '{"op":"dance"}', '{"op":"subscribe"}', '{"op":"subscribe","args":["x"]}'],
)
async def test_bad_requests_are_refused(start: Starter, text: str) -> None:
    venue = await start()
    ws = await venue.socket("public")
    await ws.send_str(text)
    (answer,) = await received(ws, 1)
    assert (answer["event"], answer["code"]) == ("error", "60012")


async def test_ping_is_answered_in_text(start: Starter) -> None:
    venue = await start()
    ws = await venue.socket("public")
    await ws.send_str("ping")
    assert await ws.receive_str(timeout=5) == "pong"


async def test_silent_connections_are_cut_after_thirty_seconds(start: Starter) -> None:
    venue = await start()
    silent = await venue.socket("public")
    pinging = await venue.socket("public")
    venue.wall[0] += 29.0
    assert venue.face.sockets.cut_silent() == 0
    await pinging.send_str("ping")
    assert await pinging.receive_str(timeout=5) == "pong"
    venue.wall[0] += 2.0
    assert venue.face.sockets.cut_silent() == 1
    message = await silent.receive(timeout=5)
    assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE)
    await pinging.send_str("ping")
    assert await pinging.receive_str(timeout=5) == "pong"


async def test_requests_are_counted_by_the_hour(start: Starter) -> None:
    venue = await start(multiplier=4 / 480)
    venue.face.sockets._connects.most = 1
    ws = await venue.socket("public")
    for number in range(5):
        await ws.send_json({"id": str(number), "op": "unsubscribe", "args": [arg("trades")]})
    answers = await received(ws, 5)
    assert [one["event"] for one in answers] == ["unsubscribe"] * 4 + ["error"]
    assert answers[-1]["code"] == "60014"


async def test_three_connections_a_second(start: Starter) -> None:
    venue = await start(multiplier=1.0)
    for _ in range(3):
        await venue.socket("public")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await venue.socket("public")
    assert refused.value.status == 429
    venue.wall[0] += 1.5
    await venue.socket("public")


async def test_books_of_early_and_late_readers_end_alike(start: Starter) -> None:
    venue = await start()
    early = await venue.socket("public", arg("books"))
    await received(early, 1)
    for _ in range(20):
        venue.tick(100)
    late = await venue.socket("public", arg("books"))
    await received(late, 1)
    for _ in range(20):
        venue.tick(150)
    venue.tick(30_000)
    books = []
    for ws in (early, late):
        book = BookSynchroniser(SWAPS[0], OKX)
        parser = OkxParser(SWAPS, ParserStats("okx"))
        kinds = []
        for frame in await everything(venue, ws):
            for event in parser.parse(frame, 1):
                kinds.append(type(event))
                if isinstance(event, BookSnapshot):
                    book.on_snapshot(event)
                elif isinstance(event, BookDelta):
                    book.on_delta(event)
        assert kinds[0] is BookSnapshot
        assert set(kinds[1:]) == {BookDelta}
        assert (book.state, book.gap_count, book.crossed_count) == (BookState.LIVE, 0, 0)
        books.append(book.book)
    assert books[0].last_seq == books[1].last_seq
    assert (books[0].bids, books[0].asks) == (books[1].bids, books[1].asks)
    (row,) = await venue.get("/market/books", instId=BTC, sz=400)
    assert {float(p) for p, *_ in row["bids"]} == set(books[0].bids)
    assert row["seqId"] == books[0].last_seq


async def test_joining_again_after_a_lost_push_gives_a_whole_book(start: Starter) -> None:
    venue = await start()
    ws = await venue.socket("public", arg("books"))
    await received(ws, 2)
    venue.faults.apply({"fault": "gap", "venue": "okx", "symbol": BTC, "count": 1})
    venue.face.hub.venue = "okx"
    venue.tick(200)
    venue.tick(200)
    (delta,) = (json.loads(frame) for frame in await everything(venue, ws))
    assert delta["data"][0]["prevSeqId"] != -1
    for op in ("unsubscribe", "subscribe"):
        await ws.send_json({"id": "2", "op": op, "args": [arg("books")]})
    left, joined, snapshot = await received(ws, 3)
    assert (left["event"], joined["event"]) == ("unsubscribe", "subscribe")
    assert (snapshot["action"], snapshot["data"][0]["prevSeqId"]) == ("snapshot", -1)
    assert snapshot["data"][0]["seqId"] == delta["data"][0]["seqId"]


async def test_streamed_trades_are_those_of_rest(start: Starter) -> None:
    venue = await start()
    public = await venue.socket("public", arg("trades"))
    business = await venue.socket("business", arg("trades-all"))
    await asyncio.gather(received(public, 1), received(business, 1))
    venue.tick(0)
    for _ in range(60):
        venue.tick(1_000)
    parser = OkxParser(SWAPS)
    streams = []
    for ws in (public, business):
        frames = await everything(venue, ws)
        events = [event for frame in frames for event in parser.parse(frame, 1)]
        streams.append([event for event in events if isinstance(event, Trade)])
    assert [trade.trade_id for trade in streams[0]] == [trade.trade_id for trade in streams[1]]
    rows = await venue.get("/market/trades", instId=BTC, limit=500)
    since = {row["tradeId"]: row for row in rows if int(row["ts"]) > START_MS}
    assert {trade.trade_id for trade in streams[0]} == set(since)
    assert len(since) > 10
    for trade in streams[0]:
        row = since[trade.trade_id]
        assert trade.qty_base == pytest.approx(float(row["sz"]) * 0.01)


async def test_prices_rates_and_interest_come_at_once_and_then_in_time(start: Starter) -> None:
    venue = await start()
    channels = [
        arg("mark-price", STRK), arg("index-tickers", "STRK-USDT"), arg("funding-rate", STRK),
        arg("open-interest", STRK),
    ]  # fmt: skip
    ws = await venue.socket("public", *channels)
    first = await received(ws, 8)
    assert [one["arg"]["channel"] for one in first[1::2]] == [one["channel"] for one in channels]
    for _ in range(120):
        venue.tick(1_000)
    parser, stats = OkxParser(SWAPS), ParserStats("okx")
    parser.stats = stats
    for frame in await everything(venue, ws):
        parser.parse(frame, 1)
    assert stats.ok == {
        "mark-price": 120, "index-tickers": 120, "funding-rate": 2, "open-interest": 24,
    }  # fmt: skip


async def test_liquidations_are_of_all_swaps_and_of_both_sides(start: Starter) -> None:
    venue = await start()
    ws = await venue.socket("public", arg("liquidation-orders", "SWAP"))
    await received(ws, 1)
    for _ in range(1_200):
        venue.tick(5_000)
    parser = OkxParser(SWAPS)
    frames = await everything(venue, ws)
    events = [event for frame in frames for event in parser.parse(frame, 1)]
    found = [event for event in events if isinstance(event, Liquidation)]
    assert len(found) == len(events) > 10
    assert {event.position_side.value for event in found} == {"long", "short"}
    assert len({event.event_id for event in found}) == len(found)


async def test_candles_are_those_of_rest(start: Starter) -> None:
    venue = await start()
    ws = await venue.socket("business", arg("candle1m"))
    await received(ws, 1)
    for _ in range(130):
        venue.tick(1_000)
    closed = [
        json.loads(frame)["data"][0]
        for frame in await everything(venue, ws)
        if json.loads(frame)["data"][0][8] == "1"
    ]
    rows = await venue.get("/market/candles", instId=BTC, bar="1m", limit=10)
    assert closed == [row for row in reversed(rows) if row in closed]
    assert len(closed) == 2


async def test_the_end_of_a_connection_is_announced(start: Starter) -> None:
    venue = await start()
    ws = await venue.socket("public", arg("trades"))
    await received(ws, 1)
    venue.face.sockets.announce_end()
    (notice,) = await received(ws, 1)
    assert (notice["event"], notice["code"]) == ("notice", "64008")


async def test_connections_are_cut_by_path(start: Starter) -> None:
    venue = await start()
    public, business = await venue.socket("public"), await venue.socket("business")
    await everything(venue, public)
    await everything(venue, business)
    assert venue.face.drop("business") == 1
    assert (await business.receive(timeout=5)).type is not aiohttp.WSMsgType.TEXT
    assert await everything(venue, public) == []
    assert venue.face.drop("") == 1


class Memory:
    """A replay's memory of two pushes of a book."""

    def __init__(self, *frames: bytes) -> None:
        self.frames = list(frames)

    def last(self, channel: str) -> bytes | None:
        return self.frames[-1] if channel == f"books:{BTC}" else None

    def since_snapshot(self, channel: str) -> list[bytes]:
        return self.frames if channel == f"books:{BTC}" else []

    def body(self, name: str) -> bytes | None:
        rows = b'{"code":"0","data":[{"instId":"%s","ctVal":"0.01","recorded":true}]}'
        return rows % BTC.encode() if name == "instruments_SWAP" else None


async def test_a_replay_gives_the_recorded_book_and_no_history(start: Starter) -> None:
    def push(action: str, row: str) -> bytes:
        head = (
            f'{{"arg":{{"channel":"books","instId":"{BTC}"}},"action":"{action}","data":[{row}]}}'
        )
        return head.encode()

    memory = Memory(
        push(
            "snapshot", '{"asks":[["5","1","0","1"]],"bids":[["4","2","0","1"]],"ts":"1","seqId":7}'
        ),
        push(
            "update", '{"asks":[["5","0","0","0"],["6","3","0","1"]],"bids":[],"ts":"2","seqId":8}'
        ),
    )
    venue = await start(replay=memory)
    (book,) = await venue.get("/market/books", instId=BTC, sz=5)
    assert (book["asks"], book["bids"], book["seqId"]) == (
        [["6", "3", "0", "1"]], [["4", "2", "0", "1"]], 8,
    )  # fmt: skip
    rows = await venue.get("/public/instruments", instType="SWAP")
    assert rows[0]["recorded"] is True
    assert await venue.get("/market/candles", instId=BTC) == []
    assert await venue.get("/public/funding-rate-history", instId=BTC) == []
    ws = await venue.socket("public", arg("books"))
    answers = await received(ws, 3)
    assert [one.get("action") for one in answers] == [None, "snapshot", "update"]
    assert len(venue.face.work()) == 1
    for work in venue.face.work():
        work.close()


def test_channels_of_recorded_frames() -> None:
    assert (
        channel_of(b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"x"}')
        == "books:BTC-USDT"
    )
    frame = b'{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[]}'
    assert channel_of(frame) == "liquidation-orders:SWAP"
    assert (
        channel_of(b'{"arg":{"channel":"opt-summary","instFamily":"BTC-USD"}}')
        == "opt-summary:BTC-USD"
    )
    assert [
        channel_of(raw) for raw in (b"pong", b'{"event":"subscribe"}', b'{"arg":{"channel":"x')
    ] == [
        None,
        None,
        None,
    ]
    assert stream_of(f"books:{BTC}") == StreamEntry("public", f"books:{BTC}", "book", BTC)
    assert stream_of("index-tickers:BTC-USDT") == StreamEntry(
        "public", "index-tickers:BTC-USDT", "mark", BTC
    )
    assert stream_of(f"candle1m:{BTC}") == StreamEntry("business", f"candle1m:{BTC}", "candle", BTC)
    assert stream_of("liquidation-orders:SWAP") == StreamEntry(
        "public", "liquidation-orders:SWAP", "liquidation", ""
    )
    assert stream_of("opt-summary:BTC-USD") is None
