"""What each venue allows, with the limits on: connections, subscriptions, pings, and how it says no.

REST budgets and the limits that each face's own tests cover are not repeated here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from apps.sandbox.faces.pacing import Recent
from apps.sandbox.faces.registry import VENUES, FaceKey, face_of
from tests.sandbox.conftest import Client, Starter

PATHS = {
    "binance": "/public/ws",
    "bybit": "/v5/public/linear",
    "okx": "/ws/v5/public",
    "deribit": "/ws/api/v2",
    "hyperliquid": "/ws",
}
# New connections that are let in at once, and the status of the next one's refusal.
CONNECTS = {
    "binance": (300, 429),
    "bybit": (500, 403),
    "okx": (3, 429),
    "deribit": (32, 429),
    "hyperliquid": (10, 429),
}
NOW = 1_763_719_200.0


def sockets_of(client: Client, venue: str) -> Any:
    found = face_of(venue, "main")
    assert found is not None
    face: Any = client.sandbox.faces[FaceKey(*found.key)]
    return face.sockets


def at(sockets: Any, wall: list[float]) -> None:
    """The face reads its wall clock from the test."""
    name = "_wall_s" if hasattr(sockets, "_wall_s") else "_now_s"
    setattr(sockets, name, lambda: wall[0])


async def connect(client: Client, venue: str) -> ClientWebSocketResponse:
    base = client.sandbox.urls()[venue]["ws"]
    return await client.http.ws_connect(f"{base}{PATHS[venue]}", max_msg_size=0, autoping=False)


async def ask(socket: ClientWebSocketResponse, request: Any) -> Any:
    await socket.send_json(request)
    return await socket.receive_json(timeout=5)


async def ends(socket: ClientWebSocketResponse) -> WSMsgType:
    while True:
        message = await socket.receive(timeout=5)
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
            return message.type


@pytest.mark.parametrize("venue", VENUES)
async def test_one_connection_too_many_is_refused(start: Starter, venue: str) -> None:
    client = await start(limit_multiplier=1.0)
    most, status = CONNECTS[venue]
    opened = [await connect(client, venue) for _ in range(most)]
    with pytest.raises(WSServerHandshakeError) as caught:
        await connect(client, venue)
    assert caught.value.status == status
    # Those that were let in are still well.
    assert not any(socket.closed for socket in opened)


def test_refusals_count_too_and_the_window_moves_on() -> None:
    now = [0.0]
    recent = Recent(2, 10.0, lambda: now[0])
    assert [recent.take() for _ in range(3)] == [True, True, False]
    now[0] = 10.0
    assert [recent.take() for _ in range(3)] == [True, True, False]
    now[0] = 19.9
    assert not recent.take()


async def test_binance_cuts_who_leaves_its_pings_unanswered(start: Starter) -> None:
    client = await start(limit_multiplier=1.0)
    sockets, wall = sockets_of(client, "binance"), [NOW]
    at(sockets, wall)
    deaf, polite = await connect(client, "binance"), await connect(client, "binance")
    for session in sockets._sessions:
        session.opened_s = session.last_pong_s = NOW
        session.next_ping_s = NOW + 180.0
    wall[0] += 181.0
    for socket in (deaf, polite):
        ping = await socket.receive(timeout=5)
        assert ping.type is WSMsgType.PING
    for _ in range(4):
        wall[0] += 150.0
        await polite.pong(b"")
        await ask(polite, {"method": "LIST_SUBSCRIPTIONS", "id": 1})
    assert await ends(deaf)
    assert not polite.closed
    wall[0] = NOW + 86_401.0
    assert await ends(polite)


async def test_bybit_counts_the_characters_of_topics_and_cuts_the_idle(start: Starter) -> None:
    client = await start(limit_multiplier=1.0)
    sockets, wall = sockets_of(client, "bybit"), [NOW]
    at(sockets, wall)
    socket = await connect(client, "bybit")
    (connection,) = sockets.hub.connections
    connection.channels.add("x" * 20_990)
    refused = await ask(socket, {"op": "subscribe", "args": ["tickers.BTCUSDT"], "req_id": "1"})
    assert (refused["success"], refused["req_id"]) == (False, "1")
    assert "21000" in refused["ret_msg"]
    wall[0] += 599.0
    assert (await ask(socket, {"op": "ping"}))["ret_msg"] == "pong"
    wall[0] += 599.0
    assert sockets.cut_idle() == 0
    wall[0] += 2.0
    assert await ends(socket)


async def test_okx_lets_thirty_connections_read_a_channel(start: Starter) -> None:
    client = await start(limit_multiplier=1.0)
    sockets, wall = sockets_of(client, "okx"), [NOW]
    at(sockets, wall)
    sockets._connects._now_s = lambda: wall[0]
    request = {"op": "subscribe", "args": [{"channel": "tickers", "instId": "BTC-USDT-SWAP"}]}
    held = []
    for _ in range(30):
        wall[0] += 0.4
        held.append(await connect(client, "okx"))
        assert (await ask(held[-1], request))["event"] == "subscribe"
    wall[0] += 1.0
    late = await connect(client, "okx")
    answer = await ask(late, request)
    assert (answer["event"], answer.get("connCount")) == ("channel-conn-count-error", "30"), answer
    other = {"op": "subscribe", "args": [{"channel": "mark-price", "instId": "BTC-USDT-SWAP"}]}
    assert (await ask(late, other))["event"] == "subscribe"


async def test_deribit_takes_five_hundred_channels_a_call(start: Starter) -> None:
    client = await start(limit_multiplier=1.0)
    socket = await connect(client, "deribit")

    def call(count: int) -> dict[str, Any]:
        channels = [f"ticker.NOPE-{number}.100ms" for number in range(count)]
        return {"jsonrpc": "2.0", "id": 1, "method": "public/subscribe",
                "params": {"channels": channels}}  # fmt: skip

    assert (await ask(socket, call(500)))["result"] == []
    assert (await ask(socket, call(501)))["error"]["code"] == -32602


@pytest.mark.parametrize("venue", VENUES)
async def test_limits_can_be_widened_for_loopback(start: Starter, venue: str) -> None:
    client = await start(limit_multiplier=2.0)
    most, _ = CONNECTS[venue]
    # Hyperliquid's ten are a number of connections, not a rate.
    more = most if venue == "hyperliquid" else most + 1
    opened = await asyncio.gather(*(connect(client, venue) for _ in range(more)))
    assert len(opened) == more
