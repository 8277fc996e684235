"""Redis killed and restarted under load: sockets stay, and what cannot be filled is said."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as aredis

from apps.feed.writer import FeedWriter
from focsal.launcher.binaries import find_redis
from focsal.launcher.ports import free_port
from focsal.launcher.redis_server import RedisServer, answers
from tests.stream.conftest import CHANNEL, World
from tests.stream.test_protocol import liquidation
from tests.stream.web import Web

pytestmark = pytest.mark.django_db(databases=["default", "market"])


class OwnRedis:
    """A Redis of this test's own, durable or not, that can be killed."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self._server = RedisServer(
            find_redis(),
            folder / "redis",
            folder / "redis.conf",
            free_port(),
            "pw",
            durable=durable,
        )
        self._server.prepare()
        self.url = self._server.url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._server.program().argv, stdout=subprocess.DEVNULL, cwd=self._server.folder
        )
        deadline = time.monotonic() + 15
        while not answers(self.url):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)


@pytest.fixture(params=[True, False], ids=["durable", "empty"])
def own_redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path, durable=request.param)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_web(own_redis: OwnRedis, world: World, tmp_path: Path) -> Iterator[Web]:
    """A web process on that Redis; keys come from PostgreSQL."""
    server = Web(tmp_path / "web.log", {"REDIS_URL": own_redis.url}).start()
    yield server
    server.stop()


async def test_sockets_stay_and_nothing_is_lost_silently(
    own_redis: OwnRedis, own_web: Web, world: World
) -> None:
    client: Any = aredis.Redis.from_url(own_redis.url, socket_timeout=2)
    writer = FeedWriter(client)
    writing = asyncio.create_task(writer.run())
    written = 0

    async def write(count: int) -> None:
        nonlocal written
        for _ in range(count):
            writer.put(CHANNEL, liquidation(written), 1)
            written += 1
            await asyncio.sleep(0.001)

    async with own_web.socket(world.eve.plaintext) as socket:
        ack, _ = await socket.subscribe(CHANNEL)
        under_load = asyncio.create_task(write(1500))
        await socket.until(type="update")
        await asyncio.to_thread(own_redis.kill)
        await socket.say(op="ping")
        await socket.until(op="pong")
        await asyncio.sleep(0.3)
        await asyncio.to_thread(own_redis.start)
        told = await socket.until(op="epoch")
        assert told["previous"] == ack["epoch"]
        assert told["seq"] > ack["seq"]
        snapshot = await socket.hear()
        assert (snapshot["type"], snapshot["epoch"]) == ("snapshot", told["epoch"])
        last = snapshot["seq"]
        ids: list[int] = []
        await under_load
        while not ids or ids[-1] < 1499:
            frame = await socket.until(type="update")
            assert frame["prev_seq"] == last
            last = frame["seq"]
            ids.append(int(frame["data"]["id"]))
        # The snapshot and what follows it is the new epoch, whole.
        held = [int(one["data"]["id"]) for one in snapshot["data"]["recent"]]
        assert [*held, *ids] == list(range([*held, *ids][0], 1500))
        # A client of the old epoch is told so.
        async with own_web.socket(world.eve.plaintext) as other:
            await other.say(op="subscribe", channel=CHANNEL, from_seq=ack["seq"])
            again = await other.hear()
            assert (again["resumed"], again["epoch"]) == (False, told["epoch"])
            assert (await other.hear())["op"] == "gap"
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await client.aclose()


async def test_while_redis_is_away_keys_are_checked_and_channels_say_so(
    own_redis: OwnRedis, own_web: Web, world: World
) -> None:
    await asyncio.to_thread(own_redis.kill)
    try:
        async with own_web.socket(world.eve.plaintext) as socket:
            await socket.say(op="subscribe", channel=CHANNEL)
            assert (await socket.hear())["code"] == "stream_unavailable"
            await socket.say(op="ping")
            assert (await socket.hear())["op"] == "pong"
        async with own_web.socket(world.revoked) as socket:
            assert (await socket.hear())["code"] == "revoked_api_key"
    finally:
        await asyncio.to_thread(own_redis.start)
