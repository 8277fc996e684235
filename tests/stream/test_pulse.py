"""Heartbeats, pings and silence on real sockets, with intervals of seconds."""

from __future__ import annotations

import asyncio
import socket as sockets
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.feed.writer import FeedWriter
from tests.stream.conftest import CHANNEL, World
from tests.stream.test_protocol import liquidation
from tests.stream.web import Web

pytestmark = pytest.mark.django_db(databases=["default", "market"])
HEARTBEAT_S, PING_S, SILENCE_S = 1.0, 1.0, 3.0


@pytest.fixture
def brisk(world: World, tmp_path: Path) -> Iterator[Web]:
    intervals = {
        "FOCSAL_STREAM_HEARTBEAT_S": str(HEARTBEAT_S),
        "FOCSAL_STREAM_PING_S": str(PING_S),
        "FOCSAL_STREAM_SILENCE_S": str(SILENCE_S),
    }
    server = Web(tmp_path / "web.log", intervals).start()
    yield server
    server.stop()


def test_the_intervals_are_the_protocols_own() -> None:
    found = (settings.STREAM_HEARTBEAT_S, settings.STREAM_PING_S, settings.STREAM_SILENCE_S)
    assert found == (15.0, 30.0, 60.0)


async def test_a_heartbeat_names_the_last_seq_of_each_channel(
    brisk: Web, world: World, writer: FeedWriter
) -> None:
    async with brisk.socket(world.eve.plaintext) as socket:
        ack, _ = await socket.subscribe(CHANNEL)
        other, _ = await socket.subscribe("liquidations.ETH")
        writer.put(CHANNEL, liquidation(1), 1)
        await writer.flush()
        update = await socket.until(type="update")
        beat = await socket.until(op="heartbeat")
        assert beat["channels"] == {CHANNEL: update["seq"], "liquidations.ETH": other["seq"]}
        assert update["seq"] == ack["seq"] + 1
        started = time.monotonic()
        await socket.until(op="heartbeat")
        assert time.monotonic() - started == pytest.approx(HEARTBEAT_S, abs=0.6)


async def test_a_client_that_vanished_without_a_word_is_let_go(brisk: Web, world: World) -> None:
    """Half-open: TCP stays up, nobody reads or answers pings."""
    async with brisk.http(headers=world.eve.headers) as http:
        with closing(sockets.create_connection(("127.0.0.1", brisk.port))) as raw:
            raw.sendall(
                b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                b"X-API-Key: " + world.eve.plaintext.encode() + b"\r\n\r\n"
            )
            started = time.monotonic()
            assert len(await _sessions(http, 1)) == 1
            raw.setblocking(False)
            assert await _sessions(http, 0) == []
            elapsed = time.monotonic() - started
            assert SILENCE_S - 0.5 < elapsed < SILENCE_S + 3
            received = await asyncio.to_thread(_rest, raw)
    # Protocol pings with our payload were sent before it was given up.
    assert received.count(b"\x89\x06focsal") >= 2


async def test_a_client_that_only_answers_pings_stays(brisk: Web, world: World) -> None:
    async with brisk.socket(world.eve.plaintext, ping_interval=None) as socket:
        ended = time.monotonic() + 2 * SILENCE_S
        while time.monotonic() < ended:
            await socket.until(op="heartbeat")
        await socket.say(op="ping")
        assert (await socket.until(op="pong"))["ts"]


async def _sessions(http: Any, number: int) -> list[Any]:
    """The account's sessions, as soon as they are so many."""
    deadline = time.monotonic() + 3 * SILENCE_S
    while True:
        found: list[Any] = (await http.get("/v1/ws/sessions")).json()["data"]
        if len(found) == number or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.1)


def _rest(raw: sockets.socket) -> bytes:
    """Everything the server sent until it reset or closed the connection."""
    raw.settimeout(5)
    received = b""
    try:
        while chunk := raw.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received
