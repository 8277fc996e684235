"""The pipelined connection: order, one write a turn, outages, cancelled calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from django.conf import settings

from apps.edge.redis_pipe import RedisAway, RedisBusy, RedisPipe, RedisRefused, Script


@pytest.fixture
async def pipe() -> AsyncIterator[RedisPipe]:
    pipe = RedisPipe(settings.REDIS_EDGE_URL)
    await pipe.start()
    yield pipe
    await pipe.stop()


class SilentRedis:
    """A server that answers the greeting and then says what the test tells it."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.is_silent = False
        # Set by the first bytes that get no answer.
        self.seen = asyncio.Event()
        self.server: asyncio.Server | None = None
        self.port = 0

    async def start(self, port: int = 0) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while data := await reader.read(65536):
            self.received.append(data)
            if self.is_silent:
                self.seen.set()
            if not self.is_silent:
                writer.write(b"+OK\r\n" * data.count(b"*"))

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()


@pytest.fixture
async def fake() -> AsyncIterator[SilentRedis]:
    fake = SilentRedis()
    await fake.start()
    yield fake
    await fake.stop()


async def test_answers_come_back_in_the_order_of_the_calls(pipe: RedisPipe) -> None:
    replies = await asyncio.gather(*(pipe.call("ECHO", str(i)) for i in range(1000)))
    assert replies == [str(i).encode() for i in range(1000)]


async def test_calls_of_one_turn_leave_in_one_write(fake: SilentRedis) -> None:
    pipe = RedisPipe(f"redis://127.0.0.1:{fake.port}/3")
    await pipe.start()
    fake.received.clear()
    await asyncio.gather(*(pipe.call("PING") for _ in range(50)))
    assert fake.received == [b"*1\r\n$4\r\nPING\r\n" * 50]
    await pipe.stop()


async def test_the_url_says_user_password_and_database(fake: SilentRedis) -> None:
    pipe = RedisPipe(f"redis://edge:s3cret@127.0.0.1:{fake.port}/3")
    await pipe.start()
    greeting = b"".join(fake.received)
    assert b"AUTH\r\n$4\r\nedge\r\n$6\r\ns3cret" in greeting
    assert b"SELECT\r\n$1\r\n3" in greeting
    await pipe.stop()


async def test_an_error_reply_hits_its_own_call_only(pipe: RedisPipe) -> None:
    replies: list[object] = await asyncio.gather(
        pipe.call("ECHO", "a"),
        pipe.call("NO-SUCH-COMMAND"),
        pipe.call("ECHO", "b"),
        return_exceptions=True,
    )
    good, bad, last = replies
    assert (good, last) == (b"a", b"b")
    assert isinstance(bad, RedisRefused)


async def test_a_cancelled_call_does_not_shift_the_others(pipe: RedisPipe) -> None:
    first = pipe.call("ECHO", "first")
    second = pipe.call("ECHO", "second")
    first.cancel()
    assert await second == b"second"
    assert await pipe.call("ECHO", "third") == b"third"


async def test_a_forgotten_script_is_loaded_again(pipe: RedisPipe) -> None:
    script = Script("return {KEYS[1], ARGV[1]}")
    await pipe.call("SCRIPT", "FLUSH")
    assert await pipe.eval(script, 1, "k", "v") == [b"k", b"v"]
    assert await pipe.call("SCRIPT", "EXISTS", script.digest) == [1]
    assert await pipe.eval(script, 1, "k", 7) == [b"k", b"7"]


async def test_away_from_the_start_fails_at_once_and_recovers(fake: SilentRedis) -> None:
    port = fake.port
    await fake.stop()
    pipe = RedisPipe(f"redis://127.0.0.1:{port}/0")
    await pipe.start()
    assert not pipe.is_up
    with pytest.raises(RedisAway):
        pipe.call("PING")
    await fake.start(port)
    assert await pipe.wait_connected(5)
    assert await pipe.call("PING") == b"OK"
    await pipe.stop()


async def test_a_silent_redis_opens_the_breaker(fake: SilentRedis) -> None:
    pipe = RedisPipe(f"redis://127.0.0.1:{fake.port}/0", timeout_s=0.05)
    await pipe.start()
    fake.is_silent = True
    with pytest.raises(RedisAway, match="in time"):
        await pipe.call("PING")
    with pytest.raises(RedisAway):
        pipe.call("PING")
    fake.is_silent = False
    assert await pipe.wait_connected(5)
    assert await pipe.call("PING") == b"OK"
    await pipe.stop()


async def test_a_lost_connection_fails_what_waits_and_reconnects(fake: SilentRedis) -> None:
    pipe = RedisPipe(f"redis://127.0.0.1:{fake.port}/0")
    await pipe.start()
    fake.is_silent = True
    waiting = pipe.call("PING")
    async with asyncio.timeout(5):
        await fake.seen.wait()
    fake.writers[-1].transport.abort()
    with pytest.raises(RedisAway, match="lost"):
        await waiting
    fake.is_silent = False
    assert await pipe.wait_connected(5)
    assert await pipe.call("PING") == b"OK"
    await pipe.stop()


async def test_it_sheds_load_beyond_its_bound(fake: SilentRedis) -> None:
    pipe = RedisPipe(f"redis://127.0.0.1:{fake.port}/0", max_pending=2)
    await pipe.start()
    fake.is_silent = True
    waiting = [pipe.call("PING"), pipe.call("PING")]
    with pytest.raises(RedisBusy):
        pipe.call("PING")
    await pipe.stop()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, RedisAway) for result in results)
