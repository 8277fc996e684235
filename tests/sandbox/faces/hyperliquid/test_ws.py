"""The WebSocket as the venue speaks it, and FOCSAL's own adapter against it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import Any

import orjson
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from apps.marketdata.books import BookState
from apps.marketdata.events import BookSnapshot, Event, Trade
from apps.sandbox.faces.base import FaceContext, StreamEntry
from apps.sandbox.faces.hyperliquid import face as face_module
from apps.sandbox.faces.hyperliquid.face import FACTORY, channel_of, listings, stream_of
from apps.sandbox.faults import Faults
from apps.venues.base import VenueEndpoints
from apps.venues.hyperliquid.adapter import ADAPTER
from apps.venues.stream_client import StreamState, StreamStatus
from tests.sandbox.faces.hyperliquid.conftest import FEW, Starter
from tests.venues.adapter_contract import frame


async def ask(socket: ClientWebSocketResponse, method: str, **subscription: Any) -> dict[str, Any]:
    await socket.send_json({"method": method, "subscription": subscription})
    answer: dict[str, Any] = await socket.receive_json(timeout=5)
    return answer


async def test_subscriptions_are_echoed_and_begin_with_the_state(start: Starter) -> None:
    venue = await start()
    socket = await venue.socket()
    ack, book = await venue.subscribe(socket, type="l2Book", coin="BTC")
    assert ack == {
        "channel": "subscriptionResponse",
        "data": {
            "method": "subscribe",
            "subscription": {"nSigFigs": None, "mantissa": None, "type": "l2Book", "coin": "BTC"},
        },
    }
    assert [len(side) for side in book["data"]["levels"]] == [20, 20]
    other = await venue.socket()
    _, fast = await venue.subscribe(other, type="l2Book", coin="BTC", fast=True)
    assert [len(side) for side in fast["data"]["levels"]] == [5, 5]
    _, ctx = await venue.subscribe(other, type="activeAssetCtx", coin="kPEPE")
    while ctx["channel"] != "activeAssetCtx":
        ctx = await other.receive_json(timeout=5)
    assert float(ctx["data"]["ctx"]["markPx"]) > 0
    assert venue.subscribed == {"l2Book:BTC", "l2Book:BTC:fast", "activeAssetCtx:kPEPE"}


async def test_trades_begin_with_a_backlog_and_go_on_after_it(start: Starter) -> None:
    venue = await start(assets=("BTC",))
    socket = await venue.socket()
    _, backlog = await venue.subscribe(socket, type="trades", coin="BTC")
    numbers = [row["tid"] for row in backlog["data"]]
    assert len(numbers) == 30
    while len(numbers) < 33:
        message = await socket.receive_json(timeout=10)
        numbers += [row["tid"] for row in message["data"]]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    newest = message["data"][-1]
    assert abs(newest["time"] - time.time() * 1000) < 3_000
    assert len(newest["users"]) == 2


async def test_every_other_channel(start: Starter) -> None:
    venue = await start()
    socket = await venue.socket()
    wanted = [
        {"type": "bbo", "coin": "ETH"},
        {"type": "candle", "coin": "ETH", "interval": "5m"},
        {"type": "allMids"},
        {"type": "allDexsAssetCtxs"},
    ]
    for one in wanted:
        await socket.send_json({"method": "subscribe", "subscription": one})
    seen: dict[str, Any] = {}
    async with asyncio.timeout(10):
        while set(seen) < {one["type"] for one in wanted} | {"subscriptionResponse"}:
            message = await socket.receive_json()
            seen[message["channel"]] = message["data"]
    assert len(seen["bbo"]["bbo"]) == 2
    assert (seen["candle"]["s"], seen["candle"]["i"]) == ("ETH", "5m")
    assert set(seen["allMids"]["mids"]) == {"BTC", "ETH", "kPEPE", "ARB"}
    dexes = seen["allDexsAssetCtxs"]["ctxs"]
    # Four coins and two that are delisted; two of a builder.
    assert [(dex, len(states)) for dex, states in dexes] == [("", 6), ("hyna", 2)]


async def test_errors_repeat_the_request(start: Starter) -> None:
    venue = await start()
    socket = await venue.socket()
    assert await ask(socket, "subscribe", type="trades", coin="NOPE") == {
        "channel": "error",
        "data": 'Invalid subscription {"type":"trades","coin":"NOPE"}',
    }
    assert (await ask(socket, "subscribe", type="userFills", user="0x"))["channel"] == "error"
    assert (await ask(socket, "unsubscribe", type="trades", coin="ETH"))["data"].startswith(
        "Already unsubscribed: {"
    )
    await venue.subscribe(socket, type="l2Book", coin="ETH")
    assert (await ask(socket, "subscribe", type="l2Book", coin="ETH"))["data"].startswith(
        "Already subscribed: {"
    )
    for raw in ("{", "[]", '{"method":"dance"}', '{"method":"subscribe"}'):
        await socket.send_str(raw)
        answer = await socket.receive_json(timeout=5)
        assert answer["data"].startswith("Error parsing JSON into valid websocket request: ")
    await socket.send_json({"method": "ping"})
    assert await socket.receive_json(timeout=5) == {"channel": "pong"}
    gone = await ask(socket, "unsubscribe", type="l2Book", coin="ETH")
    assert gone["data"]["method"] == "unsubscribe"
    assert venue.face.hub.channels() == set()


async def test_caps_of_an_address(start: Starter) -> None:
    venue = await start(multiplier=1.0)
    venue.wall[0] = 1_763_719_200.0
    sockets = [await venue.socket() for _ in range(10)]
    with pytest.raises(WSServerHandshakeError, match="429"):
        await venue.socket()
    venue.face.limits.messages.used = 2_000
    venue.face.limits.messages._minute = 1_763_719_200 // 60
    await sockets[0].send_json({"method": "ping"})
    answer = await sockets[0].receive_json(timeout=5)
    assert answer["data"] == "Cannot send more than 2000 messages per minute"
    venue.wall[0] += 60
    connection = next(iter(venue.face.hub.connections))
    connection.channels.update(f"x{number}" for number in range(1_000))
    refused = await ask(sockets[0], "subscribe", type="trades", coin="BTC")
    assert refused["data"] == "Cannot track more than 1000 total subscriptions"


async def test_a_connection_that_nothing_is_sent_to_is_closed_after_a_minute(
    start: Starter,
) -> None:
    venue = await start()
    quiet, pinging = await venue.socket(), await venue.socket()
    await venue.face.sockets.look_after()
    venue.wall[0] += 45
    await pinging.send_json({"method": "ping"})
    assert await pinging.receive_json(timeout=5) == {"channel": "pong"}
    await venue.face.sockets.look_after()
    venue.wall[0] += 20
    closing = asyncio.ensure_future(venue.face.sockets.look_after())
    closed = await quiet.receive(timeout=5)
    assert closed.type is WSMsgType.CLOSE
    await closing
    await pinging.send_json({"method": "ping"})
    assert await pinging.receive_json(timeout=5) == {"channel": "pong"}


async def test_our_adapter_keeps_every_book_live(start: Starter) -> None:
    venue = await start()
    endpoints = VenueEndpoints(venue.url, venue.url.replace("http", "ws"))
    rest = ADAPTER.rest_client(endpoints=endpoints, now_ns=time.time_ns, rate_multiplier=100)
    events: list[Event] = []
    states: list[StreamState] = []
    heard = asyncio.Event()

    def on_event(event: Event) -> None:
        events.append(event)
        heard.set()

    listed = await rest.instruments()
    client = ADAPTER.stream_client(
        endpoints=endpoints,
        instruments=listed,
        stream_plan=ADAPTER.stream_plan(listed),
        on_event=on_event,
        on_state=states.append,
        now_ns=time.time_ns,
        rng=random.Random(1),
    )
    task = asyncio.create_task(client.run())
    try:
        async with asyncio.timeout(20):
            while not (
                len(client.books) == 4
                and len({one.instrument for one in events if isinstance(one, Trade)}) == 4
                and sum(one.status is StreamStatus.LIVE for one in states) >= 12
            ):
                heard.clear()
                await heard.wait()
            venue.face.drop("")
            events.clear()
            while len({one.instrument for one in events if isinstance(one, BookSnapshot)}) < 4:
                heard.clear()
                await heard.wait()
        assert {book.state for book in client.books.values()} == {BookState.LIVE}
        assert not client.stats.malformed
        assert not client.stats.unknown
        # What the backlog repeats after the cut does not come twice.
        counted = Counter(one.trade_id for one in events if isinstance(one, Trade))
        assert set(counted.values()) <= {1}
        assert len(counted) < 60
    finally:
        await client.stop()
        await task
        await rest.close()


@pytest.mark.parametrize(
    ("name", "channel", "entry"),
    [
        ("trades", "trades:BTC", StreamEntry("ws", "trades:BTC", "trade", "BTC")),
        ("l2_book", "l2Book:BTC", StreamEntry("ws", "l2Book:BTC", "book", "BTC")),
        ("bbo", "bbo:BTC", StreamEntry("ws", "bbo:BTC", "quote", "BTC")),
        (
            "active_asset_ctx",
            "activeAssetCtx:BTC",
            StreamEntry("ws", "activeAssetCtx:BTC", "mark", "BTC"),
        ),
        ("candle", "candle:BTC:1m", StreamEntry("ws", "candle:BTC:1m", "candle", "BTC")),
        ("all_mids", "allMids", None),
        ("ack", None, None),
        ("error", None, None),
        ("pong", None, None),
    ],
)
def test_recorded_frames_find_their_channel(
    name: str, channel: str | None, entry: StreamEntry | None
) -> None:
    assert channel_of(frame("hyperliquid", f"{name}.json")) == channel
    assert channel is None or stream_of(channel) == entry


class Memory:
    """A replay that has played one book and one trade."""

    books: dict[str, bytes] = {}
    frames = {
        "l2Book:BTC": frame("hyperliquid", "l2_book.json"),
        "trades:BTC": frame("hyperliquid", "trades.json"),
    }

    def shift_ms(self, symbol: str) -> int:
        return 0

    def listen(self, listener: object) -> None:
        return None

    def last(self, channel: str) -> bytes | None:
        return self.frames.get(channel)

    def since_snapshot(self, channel: str) -> list[bytes]:
        return []

    def body(self, name: str) -> bytes | None:
        return None


async def test_a_replay_answers_with_what_it_has_played() -> None:
    context = FaceContext(
        listings=listings(("BTC", "ETH")),
        faults=Faults(time.time),
        now_ms=lambda: 1_763_719_200_000,
        wall_s=time.time,
        limit_multiplier=1.0,
        on_subscribed=lambda channels: None,
        replay=Memory(),
    )
    face = FACTORY(context)
    assert isinstance(face, face_module.HyperliquidFace)
    answer = face.rest._answer
    meta, states = answer(orjson.dumps({"type": "metaAndAssetCtxs"}))
    assert [coin["name"] for coin in meta["universe"]] == ["BTC", "ETH"]
    assert [one["markPx"] for one in states] == ["0.0", "0.0"]
    assert [one["midPx"] for one in states] == ["90000.0", None]
    assert (
        answer(orjson.dumps({"type": "l2Book", "coin": "BTC"}))["levels"][0][0]["px"] == "89999.0"
    )
    assert answer(orjson.dumps({"type": "l2Book", "coin": "ETH"})) is None
    assert len(answer(orjson.dumps({"type": "recentTrades", "coin": "BTC"}))) == 2
    question = {"type": "fundingHistory", "coin": "BTC", "startTime": 0}
    assert answer(orjson.dumps(question)) == []
    asked = {"coin": "BTC", "interval": "1h", "startTime": 0}
    assert answer(orjson.dumps({"type": "candleSnapshot", "req": asked})) == []
    assert len(face.work()) == 1
    for work in face.work():
        work.close()


def test_exactly_one_of_market_and_replay_is_needed() -> None:
    context = FaceContext(
        listings=listings(FEW),
        faults=Faults(time.time),
        now_ms=lambda: 0,
        wall_s=time.time,
        limit_multiplier=1.0,
        on_subscribed=lambda channels: None,
    )
    with pytest.raises(ValueError, match="market or a replay"):
        FACTORY(context)
