"""Clients that lose their connection, and servers that are killed: no hole, no double, epochs told."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.redis import new_async_redis, sync_redis
from apps.feed.positions import feed_keys
from apps.feed.writer import BlockingFeedWriter, FeedWriter
from tests.stream.conftest import CHANNEL, World
from tests.stream.test_protocol import liquidation
from tests.stream.web import Web

pytestmark = pytest.mark.django_db(databases=["default", "market"])


async def test_what_was_missed_comes_first_and_once(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        ack, _ = await socket.subscribe(CHANNEL)
    missed = feed.append_many([(CHANNEL, liquidation(n), 1, b"") for n in range(700)])
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="subscribe", channel=CHANNEL, from_seq=ack["seq"], epoch=ack["epoch"])
        again = await socket.hear()
        assert (again["seq"], again["epoch"], again["resumed"]) == (ack["seq"], ack["epoch"], True)
        last = ack["seq"]
        for _ in missed:
            frame = await socket.hear()
            assert (frame["type"], frame["prev_seq"], frame["seq"]) == ("update", last, last + 1)
            last = frame["seq"]
        assert last == missed[-1]
        await socket.say(op="ping")
        assert (await socket.hear())["op"] == "pong"


async def test_what_left_the_ring_is_said(web: Web, world: World, feed: BlockingFeedWriter) -> None:
    # Of a channel that the process has just followed for another it may still know what left the ring.
    alone = "liquidations.LTC"
    seqs = feed.append_many([(alone, liquidation(n), 1, b"") for n in range(1200)])
    sync_redis().xtrim(feed_keys(alone)[0], maxlen=400, approximate=False)
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="subscribe", channel=alone, from_seq=seqs[99])
        assert (await socket.hear())["resumed"] is True
        gap = await socket.hear()
        assert gap["op"] == "gap"
        assert (gap["from"], gap["channel"]) == (seqs[100], alone)
        following = await socket.hear()
        assert (following["prev_seq"], following["seq"]) == (gap["to"], gap["to"] + 1)


@pytest.mark.parametrize("wrong", ["epoch", "future", "past"])
async def test_a_position_of_elsewhere_gets_a_snapshot_and_the_epoch(
    web: Web, world: World, feed: BlockingFeedWriter, wrong: str
) -> None:
    seq = feed.append(CHANNEL, liquidation(1), 1)
    positions: dict[str, dict[str, Any]] = {
        "epoch": {"from_seq": seq, "epoch": "0"},
        "future": {"from_seq": seq + 10**6},
        "past": {"from_seq": 5},
    }
    async with web.socket(world.eve.plaintext) as socket:
        await socket.say(op="subscribe", channel=CHANNEL, **positions[wrong])
        ack = await socket.hear()
        assert (ack["op"], ack["resumed"], ack["seq"]) == ("subscribed", False, seq)
        frame = await socket.hear()
        if wrong == "past":
            assert (frame["op"], frame["from"], frame["to"]) == ("gap", 6, seq)
            frame = await socket.hear()
        assert (frame["type"], frame["seq"], frame["epoch"]) == ("snapshot", seq, ack["epoch"])


async def test_a_lost_ring_is_told_to_who_listens(
    web: Web, world: World, feed: BlockingFeedWriter
) -> None:
    async with web.socket(world.eve.plaintext) as socket:
        ack, _ = await socket.subscribe(CHANNEL)
        # A new epoch begins at the clock's milliseconds, which no channel's numbers outrun but in a test.
        await asyncio.sleep(max(0.0, (ack["seq"] + 2) / 1000 - time.time()))
        client: Any = sync_redis()
        client.delete(*feed_keys(CHANNEL))
        seq = feed.append(CHANNEL, liquidation(1), 1)
        frame = await socket.until(op="epoch")
        assert frame["previous"] == ack["epoch"]
        assert frame["epoch"] != ack["epoch"]
        snapshot = await socket.hear()
        assert (snapshot["type"], snapshot["seq"]) == ("snapshot", seq)
        assert [one["data"]["id"] for one in snapshot["data"]["recent"]] == ["1"]
        after = feed.append(CHANNEL, liquidation(2), 1)
        update = await socket.hear()
        assert (update["prev_seq"], update["seq"]) == (seq, after)


class Client:
    """Keeps what it was told; comes back with from_seq wherever it is cut."""

    def __init__(self, webs: list[Web], key: str) -> None:
        self._webs = webs
        self._key = key
        self.last: int | None = None
        self.epoch = ""
        self.ids: list[int] = []
        self.told: list[str] = []

    async def listen(self, web: Web, frames: int | None, until: int) -> None:
        """For so many updates, or until the event of this id has come."""
        async with web.socket(self._key) as socket:
            wish = {} if self.last is None else {"from_seq": self.last, "epoch": self.epoch}
            await socket.say(op="subscribe", channel=CHANNEL, **wish)
            while frames is None or frames > 0:
                frame = await socket.hear()
                op = frame.get("op")
                if op in ("subscribed", "epoch"):
                    if self.epoch and frame["epoch"] != self.epoch:
                        self.told.append("epoch")
                    self.epoch = frame["epoch"]
                elif op == "gap":
                    self.told.append("gap")
                elif frame.get("type") == "snapshot":
                    self.last = frame["seq"]
                elif frame.get("type") == "update":
                    assert frame["prev_seq"] == self.last
                    self.last = frame["seq"]
                    self.ids.append(int(frame["data"]["id"]))
                    frames = None if frames is None else frames - 1
                    if self.ids[-1] == until:
                        return


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(cuts=st.lists(st.integers(0, 120), max_size=6), seed=st.integers(0, 2**16))
def test_whatever_the_cuts_the_pieces_are_the_stream(
    web: Web, world: World, cuts: list[int], seed: int
) -> None:
    asyncio.run(_cut_and_compare(web, world, cuts, seed))


async def _cut_and_compare(web: Web, world: World, cuts: list[int], seed: int) -> None:
    count = 400
    rng = random.Random(seed)
    redis = new_async_redis()
    writer = FeedWriter(redis)
    client = Client([web], world.eve.plaintext)

    async def write() -> None:
        for number in range(count):
            writer.put(CHANNEL, liquidation(number), 1)
            if rng.random() < 0.2:
                await writer.flush()
        await writer.flush()

    await client.listen(web, 0, -1)
    async with web.socket(world.eve.plaintext) as socket:
        ack, _ = await socket.subscribe(CHANNEL)
    client.last, client.epoch = ack["seq"], ack["epoch"]
    writing = asyncio.create_task(write())
    for frames in cuts:
        if client.ids and client.ids[-1] == count - 1:
            break
        await client.listen(web, frames, count - 1)
    if not client.ids or client.ids[-1] != count - 1:
        await client.listen(web, None, count - 1)
    await writing
    await redis.aclose()
    assert client.ids == list(range(count))
    assert client.told == []


async def test_a_killed_web_process_costs_nothing_that_another_cannot_resume(
    web: Web, second_web: Web, world: World, writer: FeedWriter
) -> None:
    clients = [Client([web], key) for key in (world.eve.plaintext, world.bob.plaintext)]
    count = 2000
    for client in clients:
        async with second_web.socket(world.eve.plaintext) as socket:
            ack, _ = await socket.subscribe(CHANNEL)
        client.last, client.epoch = ack["seq"], ack["epoch"]
    halfway = asyncio.Event()

    async def write() -> None:
        for number in range(count):
            writer.put(CHANNEL, liquidation(number), 1)
            if number % 50 == 49:
                await writer.flush()
                await asyncio.sleep(0.002)
            if number == count // 2:
                halfway.set()

    async def follow(client: Client) -> None:
        try:
            await client.listen(second_web, None, count - 1)
        except Exception:
            await client.listen(web, None, count - 1)

    following = [asyncio.create_task(follow(client)) for client in clients]
    writing = asyncio.create_task(write())
    await halfway.wait()
    second_web.kill()
    await writing
    await asyncio.gather(*following)
    for client in clients:
        assert client.ids == list(range(count))
        assert client.told == []
