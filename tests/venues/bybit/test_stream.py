"""The client against a local server that speaks the venue's protocol."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from apps.marketdata.books import BookState
from apps.marketdata.events import Event
from apps.marketdata.universe import ASSETS
from apps.venues.base import VenueEndpoints
from apps.venues.bybit.stream import (
    MAX_ARGS_CHARS,
    BybitDialect,
    BybitStreamClient,
    channel_of,
    stream_plan,
)
from apps.venues.lanes import split_into_lanes
from apps.venues.stream_client import StreamState, StreamStatus
from tests.venues.adapter_contract import fixture_instruments
from tests.venues.bybit.test_captures import perp

ENDPOINTS = VenueEndpoints(rest="http://x", ws="ws://x")


def book(kind: str, u: int) -> str:
    data = {"s": "BTCUSDT", "b": [["100", str(u)]], "a": [["101", "1"]], "u": u, "seq": u}
    return json.dumps(
        {"topic": "orderbook.200.BTCUSDT", "type": kind, "ts": 1, "data": data, "cts": 1},
        separators=(",", ":"),
    )


class Server:
    """Acknowledges, except what names ADA; sends a book with a hole in it, and a whole one when the
    book is asked for anew."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.books = 0

    async def play(self, socket: ServerConnection) -> None:
        async for raw in socket:
            request = json.loads(raw)
            self.requests.append(request)
            bad = any("ADAUSDT" in arg for arg in request.get("args", ()))
            answer = {"success": not bad, "op": request["op"], "req_id": request.get("req_id", "")}
            answer["ret_msg"] = "error:handler not found" if bad else ""
            await socket.send(json.dumps(answer))
            if request["op"] == "subscribe" and "orderbook.200.BTCUSDT" in request["args"]:
                if bad:
                    continue
                self.books += 1
                await socket.send(book("snapshot", 10))
                await socket.send(book("delta", 11))
                await socket.send(book("delta", 13 if self.books == 1 else 12))


async def test_a_hole_in_a_book_is_mended_by_a_new_subscription() -> None:
    server = Server()
    events: list[Event] = []
    states: list[StreamState] = []
    listed = [perp("BTCUSDT"), perp("ADAUSDT")]
    async with serve(server.play, "127.0.0.1", 0, compression=None) as running:
        port = next(iter(running.sockets)).getsockname()[1]
        client = BybitStreamClient(
            endpoints=VenueEndpoints(rest="", ws=f"ws://127.0.0.1:{port}"),
            instruments=listed,
            stream_plan=[spec for spec in stream_plan(listed) if spec.kind == "book"],
            on_event=events.append,
            on_state=states.append,
            now_ns=lambda: 1_763_719_200_000_000_000,
            rng=random.Random(1),
        )
        task = asyncio.create_task(client.run())
        try:
            async with asyncio.timeout(15):
                while not (server.books == 2 and events and _is_mended(client)):
                    await asyncio.wait({task}, timeout=0.05)
        finally:
            await client.stop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    mended = client.books["bybit:perp:BTCUSDT"]
    assert (mended.gap_count, mended.book.last_seq) == (1, 12)
    ops = [request["op"] for request in server.requests]
    # Refused together, then one by one; left and joined again after the hole.
    assert ops[:3] == ["subscribe", "subscribe", "subscribe"]
    assert ops.count("unsubscribe") == 1
    refused = [state for state in states if "handler not found" in state.reason]
    assert {state.channel for state in refused} == {"orderbook.200.ADAUSDT"}
    assert refused[0].status is StreamStatus.STALE


def _is_mended(client: BybitStreamClient) -> bool:
    found = client.books.get("bybit:perp:BTCUSDT")
    return found is not None and found.state is BookState.LIVE and found.book.last_seq == 12


def test_plan_and_limits() -> None:
    every = [perp(f"1000{asset}USDT") for asset in ASSETS]
    plan = stream_plan(every)
    assert len(plan) == 4 * 65
    dialect = BybitDialect(ENDPOINTS)
    for _, specs in split_into_lanes(plan, dialect.max_channels):
        assert sum(len(spec.channel) for spec in specs) < MAX_ARGS_CHARS
    assert dialect.batch_size("spot") == 10
    assert dialect.keep_alive("linear") == (20.0, b'{"op":"ping"}')
    assert dialect.url("linear") == "ws://x/v5/public/linear"
    kinds = {spec.connection for spec in stream_plan(fixture_instruments("bybit"))}
    assert kinds == {"linear", "spot"}


def test_channel_of() -> None:
    assert channel_of(b'{"topic":"tickers.BTCUSDT","type":"delta"}') == "tickers.BTCUSDT"
    assert channel_of(b'{"success":true,"op":"ping"}') is None
