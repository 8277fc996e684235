"""What clients do wrong, on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import time
from typing import Any

import pytest

from apps.feed.writer import FeedWriter
from apps.stream import websocket
from apps.stream.session import BURST
from tests.stream.conftest import CHANNEL, World
from tests.stream.test_protocol import liquidation
from tests.stream.web import Socket, Web

pytestmark = pytest.mark.django_db(databases=["default", "market"])


async def is_well(socket: Socket) -> None:
    await socket.say(op="ping")
    assert (await socket.until(op="pong"))["ts"]


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("nonsense", "invalid_frame"),
        ("[1]", "invalid_frame"),
        ("{}", "invalid_frame"),
        ('{"op": 3}', "invalid_frame"),
        ('{"op": "subscribe", "channel": "liquidations.BTC"}', "missing_api_key"),
        ('{"op": "auth"}', "missing_api_key"),
        ('{"op": "auth", "api_key": 7}', "missing_api_key"),
        ('{"op": "auth", "api_key": "fk_test_x"}', "invalid_api_key"),
        ('{"op": "auth", "ticket": "tkt_x"}', "invalid_api_key"),
        (b"\x00\x01", "invalid_frame"),
    ],
)
async def test_a_bad_first_frame_is_answered_and_closed(
    web: Web, world: World, first: str | bytes, code: str
) -> None:
    async with web.socket() as socket:
        await socket.raw.send(first)
        frame = await socket.hear()
        assert (frame["op"], frame["code"]) == ("error", code)
        assert (await socket.closed())[0] == 4401


async def test_who_says_nothing_is_closed(web: Web, world: World) -> None:
    async with web.socket() as socket:
        started = time.monotonic()
        frame = await socket.hear()
        assert frame["code"] == "auth_timeout"
        assert await socket.closed() == (4408, "auth_timeout")
        assert time.monotonic() - started > websocket.AUTH_TIMEOUT_S - 1


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("nonsense", "invalid_frame"),
        ('"text"', "invalid_frame"),
        ('{"channel": "x"}', "invalid_frame"),
        ('{"op": "shout"}', "unknown_op"),
        ('{"op": "subscribe"}', "invalid_parameter"),
        ('{"op": "subscribe", "channel": 5}', "invalid_parameter"),
        ('{"op": "subscribe", "channels": []}', "invalid_parameter"),
        ('{"op": "subscribe", "channels": ["a", 5]}', "invalid_parameter"),
        ('{"op": "subscribe", "channels": ["a", "b"], "from_seq": 1}', "invalid_parameter"),
        ('{"op": "subscribe", "channel": "liquidations.XYZ"}', "unknown_channel"),
        ('{"op": "subscribe", "channel": "../../etc"}', "unknown_channel"),
        ('{"op": "unsubscribe", "channel": "liquidations.BTC"}', "not_subscribed"),
        ('{"op": "auth", "api_key": "x"}', "already_authenticated"),
        (b"\x00", "invalid_frame"),
    ],
)
async def test_a_wrong_message_is_answered_and_the_socket_stays(
    web: Web, world: World, message: str | bytes, code: str
) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        await socket.raw.send(message)
        frame = await socket.hear()
        assert (frame["op"], frame["code"]) == ("error", code)
        await is_well(socket)


async def test_a_large_frame_is_refused_with_its_reason(web: Web, world: World) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="ping", padding="x" * 60_000)
        assert (await socket.hear())["op"] == "pong"
        await socket.raw.send("x" * 1_000_000)
        assert (await socket.hear())["code"] == "invalid_frame"
        assert (await socket.closed())[0] == 1009


async def test_invalid_utf8_closes(web: Web, world: World) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        await socket.raw.send(b'{"op": "ping", "id": "\xff\xfe"}', text=True)
        assert (await socket.hear())["code"] == "invalid_frame"
        assert (await socket.closed())[0] == 1007


async def test_a_thousand_subscriptions_end_at_the_plans_limit(web: Web, world: World) -> None:
    from apps.feed.registry import channel_names, resolve

    channel = resolve(CHANNEL)
    assert channel is not None
    names = channel_names(channel.spec)
    async with web.socket(world.eve.plaintext) as socket:
        for number in range(1000):
            await socket.say(op="subscribe", channel=names[number % len(names)])
        acks = 0
        while acks < 1000:
            acks += (await socket.hear()).get("op") == "subscribed"
        await is_well(socket)
        await socket.say(op="subscribe", channels=[f"liquidations.N{n}" for n in range(1000)])
        errors = [(await socket.hear())["code"] for _ in range(1000)]
        assert set(errors) == {"unknown_channel"}
        await socket.say(op="subscribe", channels=[f"liquidations.N{n}" for n in range(1001)])
        assert (await socket.hear())["param"] == "channels"


async def test_a_flood_of_messages_is_cut_off(web: Web, world: World) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        flood = json.dumps({"op": "unsubscribe", "channel": "liquidations.BTC"})

        async def shout() -> None:
            for _ in range(BURST + 500):
                await socket.raw.send(flood)

        shouting = asyncio.create_task(shout())
        error = await socket.until(op="error", code="rate_limited")
        assert error["detail"]
        assert (await socket.closed())[0] == 4429
        await asyncio.gather(shouting, return_exceptions=True)


async def test_one_broken_socket_leaves_the_others_alone(
    web: Web, world: World, writer: FeedWriter
) -> None:
    async with web.socket(world.bob.plaintext) as good:
        await good.subscribe(CHANNEL)
        async with web.socket(world.eve.plaintext) as bad:
            await bad.subscribe(CHANNEL)
            bad.raw.transport.abort()
        writer.put(CHANNEL, liquidation(1), 1)
        await writer.flush()
        assert (await good.until(type="update"))["data"]["id"] == "1"


# --- slow readers ------------------------------------------------------------------------------------


def _narrow_socket(web: Web) -> sockets.socket:
    """A TCP connection that holds little, so that a reader that stops is felt soon."""
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", web.port))
    raw.setblocking(False)
    return raw


async def _flood(writer: FeedWriter, megabytes: int) -> None:
    padding = "x" * 2000
    for number in range(megabytes * 500):
        writer.put(CHANNEL, liquidation(number, padding=padding), 1)
        if number % 500 == 499:
            await writer.flush()
    await writer.flush()


async def test_a_slow_reader_of_everything_is_told_what_it_loses_and_closed(
    web: Web, world: World, writer: FeedWriter
) -> None:
    options: dict[str, Any] = {"sock": _narrow_socket(web), "max_queue": 1, "ping_interval": None}
    async with web.socket(world.eve.plaintext, **options) as socket:
        ack, _ = await socket.subscribe(CHANNEL, policy="all")
        await _flood(writer, 12)
        last = ack["seq"]
        while True:
            frame = await socket.hear()
            if frame.get("op") == "gap":
                break
            assert (frame["prev_seq"], frame["seq"]) == (last, last + 1)
            last = frame["seq"]
        assert frame["from"] == last + 1
        assert frame["to"] > frame["from"] - 1
        assert (await socket.hear())["code"] == "slow_consumer"
        assert await socket.closed() == (4008, "slow_consumer")
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="subscribe", channel=CHANNEL, from_seq=last)
        assert (await socket.hear())["resumed"] is True
        assert (await socket.hear())["prev_seq"] == last


async def test_a_slow_reader_of_the_newest_gets_it_and_is_told_how_many_it_stands_for(
    web: Web, world: World, writer: FeedWriter
) -> None:
    options: dict[str, Any] = {"sock": _narrow_socket(web), "max_queue": 1, "ping_interval": None}
    async with web.socket(world.eve.plaintext, **options) as socket:
        ack, _ = await socket.subscribe(CHANNEL, policy="latest")
        await _flood(writer, 12)
        last, conflated, frames = ack["seq"], 0, 0
        while last < ack["seq"] + 6000:
            frame = await socket.hear()
            if frame.get("type") != "update":
                continue
            assert frame["prev_seq"] == last
            assert frame["seq"] - last == 1 + frame.get("conflated", 0)
            last, frames = frame["seq"], frames + 1
            conflated += frame.get("conflated", 0)
        assert frames + conflated == 6000
        assert conflated > 0
        await is_well(socket)


@pytest.mark.parametrize(
    ("channel", "pattern"),
    [
        ("walls.BTC", "walls.{asset}"),
        ("footprint.BTC.5m", "footprint.{asset}[.{tf}]"),
        ("intel.futures.ETH.1h", "intel.futures.{asset}.{tf}"),
        ("regime-change", "regime-change[.{asset}]"),
    ],
)
async def test_a_channel_that_is_announced_says_so(
    web: Web, world: World, channel: str, pattern: str
) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="subscribe", channels=[channel, CHANNEL])
        error = await socket.until(op="error")
        assert (error["code"], error["channel"]) == ("unknown_channel", channel)
        assert error["detail"] == f"{pattern} is announced and not served yet."
        assert (await socket.until(op="subscribed"))["channel"] == CHANNEL
