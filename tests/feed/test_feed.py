"""Writers and a reader on real Redis: numbering, rings, epochs, repetition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import redis.asyncio as aredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from apps.core.redis import sync_redis
from apps.feed.positions import Event, Position, feed_keys
from apps.feed.reader import FeedReader
from apps.feed.writer import BlockingFeedWriter, FeedWriter, UnknownChannel

NAME = "testing.BTC"


class Heard:
    """What a reader told, in order."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.data: list[bytes] = []
        self.gaps: list[tuple[int, int]] = []
        self.epochs: list[str] = []
        self.changed = asyncio.Event()

    def on_events(self, name: str, events: Sequence[Event]) -> None:
        self.seqs += [event.seq for event in events]
        self.data += [event.data for event in events]
        self.changed.set()

    def on_gap(self, name: str, first: int, last: int) -> None:
        self.gaps.append((first, last))
        self.changed.set()

    def on_epoch(self, name: str, position: Position) -> None:
        self.epochs.append(position.epoch)
        self.changed.set()

    async def until(self, done: Any) -> None:
        async with asyncio.timeout(10):
            while not done():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@pytest.fixture
async def reader(heard: Heard) -> AsyncIterator[FeedReader]:
    reader = FeedReader(heard)
    running = asyncio.create_task(reader.run())
    yield reader
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await reader.close()


def blocking() -> BlockingFeedWriter:
    return BlockingFeedWriter(sync_redis())


def test_seqs_rise_by_one_from_the_clock_on() -> None:
    before_ms = time.time_ns() // 1_000_000
    writer = blocking()
    seqs = [writer.append(NAME, b'{"n":%d}' % n, 1_700_000_000_000 + n) for n in range(5)]
    assert seqs == list(range(seqs[0], seqs[0] + 5))
    assert before_ms < seqs[0] <= time.time_ns() // 1_000_000 + 1
    ring = feed_keys(NAME)[0]
    entries: Any = sync_redis().xrange(ring)
    assert [int(identity.decode()[:-2]) for identity, _ in entries] == seqs
    assert entries[2][1][b"d"] == b'{"n":2}'
    assert entries[2][1][b"t"] == b"1700000000002"


def test_two_writers_share_one_count() -> None:
    one, other = blocking(), blocking()
    seqs = [writer.append(NAME, b"{}", 1) for writer in (one, other, one, other)]
    assert seqs == list(range(seqs[0], seqs[0] + 4))


async def test_a_repeated_batch_adds_nothing_twice(client: aredis.Redis) -> None:
    writer = FeedWriter(client)
    original = writer._send

    async def send_and_break(batch: Any) -> None:
        await original(batch)
        raise RedisConnectionError("the answer was lost")

    for number in range(10):
        writer.put(NAME, b"%d" % number, number)
    writer._send = send_and_break  # type: ignore[method-assign]  # the fault
    with pytest.raises(RedisConnectionError):
        await writer.flush()
    writer._send = original  # type: ignore[method-assign]  # as before
    writer.put(NAME, b"10", 10)
    await writer.flush()
    entries: Any = sync_redis().xrange(feed_keys(NAME)[0])
    assert [fields[b"d"] for _, fields in entries] == [b"%d" % n for n in range(11)]


async def test_what_had_to_be_dropped_begins_a_new_epoch(
    client: aredis.Redis, reader: FeedReader, heard: Heard
) -> None:
    writer = FeedWriter(client, max_waiting=3)
    writer.put(NAME, b"0", 0)
    await writer.flush()
    position = await reader.open(NAME)
    reader.follow(NAME, position.epoch, position.seq)
    for number in range(1, 6):
        writer.put(NAME, b"%d" % number, number)
    assert writer.dropped == 2
    await writer.flush()
    await heard.until(lambda: heard.epochs)
    assert heard.epochs[0] != position.epoch
    assert heard.seqs == []
    assert [event.data for event in await reader.newest(NAME, 10)] == [b"3", b"4", b"5"]


async def test_a_writer_that_waits_says_so_once_and_when_it_is_over(client: aredis.Redis) -> None:
    writer = FeedWriter(client)
    original, tries = writer._send, 0
    is_sent = asyncio.Event()

    async def send(batch: Any) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3:
            raise RedisConnectionError("refused")
        await original(batch)
        is_sent.set()

    writer._send = send  # type: ignore[method-assign]  # the fault
    writer.put(NAME, b"{}", 1)
    with capture_logs() as lines:
        running = asyncio.create_task(writer.run())
        async with asyncio.timeout(10):
            await is_sent.wait()
        # What follows the sending happens before the task waits again.
        await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    told = [line for line in lines if line["event"].startswith("feed_writer_waits")]
    assert [line["event"] for line in told] == ["feed_writer_waits", "feed_writer_waits_over"]
    assert (told[0]["waiting"], told[1]["failures"]) == (1, 3)


async def test_a_new_epoch_begins_after_what_was_on_its_way_already(client: aredis.Redis) -> None:
    writer = FeedWriter(client, max_waiting=2)
    original = writer._send

    async def overflow_and_fail(batch: Any) -> None:
        for number in range(2, 5):
            writer.put(NAME, b"%d" % number, number)
        raise RedisConnectionError("nothing was sent")

    for number in range(2):
        writer.put(NAME, b"%d" % number, number)
    writer._send = overflow_and_fail  # type: ignore[method-assign]  # the fault
    with pytest.raises(RedisConnectionError):
        await writer.flush()
    assert writer.dropped == 1
    sent: list[tuple[bytes, bool]] = []

    async def send(batch: Any) -> None:
        sent.extend((entry.data, entry.begins_epoch) for entry in batch)
        await original(batch)

    writer._send = send  # type: ignore[method-assign]  # as before, seen
    await writer.flush()
    # 2 was lost: 0 and 1 belong to the epoch before.
    assert sent == [(b"0", False), (b"1", False), (b"3", True), (b"4", False)]
    entries: Any = sync_redis().xrange(feed_keys(NAME)[0])
    assert [fields[b"d"] for _, fields in entries] == [b"3", b"4"]


async def test_many_channels_in_one_batch_are_numbered_each(
    client: aredis.Redis, reader: FeedReader
) -> None:
    writer = FeedWriter(client)
    names = [NAME, "testing.ETH", "testbook.BTC"]
    positions = [await reader.open(name) for name in names]
    for number in range(400):
        whole = b'{"whole":%d}' % number if number % 3 == 2 else b""
        writer.put(names[number % 3], b"%d" % number, number, whole)
    await writer.flush()
    for place, (name, before) in enumerate(zip(names, positions, strict=True)):
        events = await reader.ring(name, 0, 1000)
        assert [event.data for event in events] == [b"%d" % n for n in range(place, 400, 3)]
        expected = list(range(before.seq + 1, before.seq + 1 + len(events)))
        assert [event.seq for event in events] == expected
        assert [event.ts_ms for event in events] == list(range(place, 400, 3))
    state = (await reader.open("testbook.BTC", with_state=True)).state
    assert state is not None
    assert state.data == b'{"whole":398}'
    assert state.seq == positions[2].seq + 133


def test_a_call_after_one_that_failed_adds_nothing() -> None:
    writer = blocking()
    writer.append(NAME, b"1", 1)
    entries = [writer._numbers.entry(NAME, b"%d" % n, n, b"") for n in (2, 3)]
    digest = writer._scripts.digests["append"]
    late = writer._packer._call(digest, entries[0].number, entries[1:])
    with pytest.raises(ResponseError, match="has failed"):
        writer._client.execute_command(*late)
    # In order they come whole.
    for before, entry in zip((0, entries[0].number), entries, strict=True):
        writer._client.execute_command(*writer._packer._call(digest, before, [entry]))
    found: Any = sync_redis().xrange(feed_keys(NAME)[0])
    assert [fields[b"d"] for _, fields in found] == [b"1", b"2", b"3"]


async def test_a_reader_tells_everything_once_and_in_order(
    client: aredis.Redis, reader: FeedReader, heard: Heard
) -> None:
    position = await reader.open(NAME)
    reader.follow(NAME, position.epoch, position.seq)
    writer = FeedWriter(client)
    running = asyncio.create_task(writer.run())
    for number in range(3000):
        writer.put(NAME, b"%d" % number, number)
        if number % 100 == 0:
            await asyncio.sleep(0)
    await heard.until(lambda: len(heard.seqs) >= 3000)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert heard.seqs == list(range(position.seq + 1, position.seq + 3001))
    assert heard.data == [b"%d" % number for number in range(3000)]
    assert (heard.gaps, heard.epochs) == ([], [])


async def test_a_channel_followed_while_the_reader_waits_is_heard_at_once(
    reader: FeedReader, heard: Heard
) -> None:
    first = await reader.open(NAME)
    reader.follow(NAME, first.epoch, first.seq)
    writer = await asyncio.to_thread(blocking)
    await asyncio.to_thread(writer.append, NAME, b"1", 1)
    await heard.until(lambda: heard.data)
    second = await reader.open("testing.ETH")
    started = time.monotonic()
    reader.follow("testing.ETH", second.epoch, second.seq)
    await asyncio.to_thread(writer.append, "testing.ETH", b"2", 2)
    await heard.until(lambda: len(heard.data) == 2)
    # A blocked read lasts a second.
    assert time.monotonic() - started < 0.5


async def test_a_trimmed_ring_is_told_as_a_gap(reader: FeedReader, heard: Heard) -> None:
    writer = blocking()
    position = await reader.open(NAME)
    seqs = writer.append_many([(NAME, b"%d" % n, n, b"") for n in range(10)])
    sync_redis().xtrim(feed_keys(NAME)[0], maxlen=4, approximate=False)
    reader.follow(NAME, position.epoch, position.seq)
    await heard.until(lambda: len(heard.seqs) == 4)
    assert heard.gaps == [(seqs[0], seqs[5])]
    assert heard.seqs == seqs[6:]


async def test_a_lost_ring_is_told_as_a_new_epoch(reader: FeedReader, heard: Heard) -> None:
    writer = blocking()
    old = writer.append(NAME, b"1", 1)
    position = await reader.open(NAME)
    reader.follow(NAME, position.epoch, position.seq)
    client: Any = sync_redis()
    client.delete(*feed_keys(NAME))
    new = writer.append(NAME, b"2", 2)
    await heard.until(lambda: heard.epochs)
    assert new > old
    assert heard.epochs == [(await reader.open(NAME)).epoch]
    assert writer.append(NAME, b"3", 3) == new + 1
    await heard.until(lambda: heard.seqs)
    assert heard.seqs == [new + 1]


async def test_another_run_of_redis_is_another_epoch(reader: FeedReader) -> None:
    writer = blocking()
    old = writer.append(NAME, b"1", 1)
    position = await reader.open(NAME)
    # As after a restart: the data is there, written by a process that is no more.
    sync_redis().hset(feed_keys(NAME)[1], "run", "f" * 40)
    after = await reader.open(NAME)
    assert after.epoch != position.epoch
    assert after.seq > old
    assert await reader.newest(NAME, 10) == []
    assert writer.append(NAME, b"2", 2) == after.seq + 1


async def test_old_events_leave_the_ring(reader: FeedReader) -> None:
    writer = blocking()
    writer.append_many([(NAME, b"old", 1, b"")] * 10)
    ring = feed_keys(NAME)[0]
    client: Any = sync_redis()
    entries = client.xrange(ring)
    client.delete(ring)
    for identity, fields in entries:
        client.xadd(ring, {**fields, b"w": int(fields[b"w"]) - 300_001}, id=identity)
    for _ in range(6):
        writer.append(NAME, b"new", 2)
    assert [event.data for event in await reader.newest(NAME, 20)] == [b"new"] * 6


async def test_states_come_with_the_seq_that_they_hold(reader: FeedReader) -> None:
    writer = blocking()
    writer.append("testbook.BTC", b'{"change":1}', 1, b'{"whole":1}')
    seq = writer.append("testbook.BTC", b'{"change":2}', 2)
    position = await reader.open("testbook.BTC", with_state=True)
    assert position.seq == seq
    assert position.state is not None
    assert (position.state.seq, position.state.data) == (seq - 1, b'{"whole":1}')
    assert (await reader.open("testbook.BTC")).state is None


async def test_on_demand_channels_are_known_to_their_writers(
    reader: FeedReader, client: aredis.Redis
) -> None:
    writer = FeedWriter(client)
    assert await writer.refresh_wanted() == frozenset()
    await reader.want(["testbook.BTC"])
    assert await writer.refresh_wanted() == {"testbook.BTC"}
    assert writer.is_wanted("testbook.BTC")
    assert not writer.is_wanted("testbook.ETH")


async def test_a_writer_knows_its_channels(client: aredis.Redis) -> None:
    with pytest.raises(UnknownChannel, match=r"nothing\.BTC"):
        FeedWriter(client).put("nothing.BTC", b"{}", 1)
