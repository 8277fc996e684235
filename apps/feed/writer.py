"""Appending events to channels, from asyncio and from blocking code.

``FeedWriter`` (ingest): ``put`` never waits; ``run`` sends what has gathered in a few calls, then what
has gathered meanwhile. ``BlockingFeedWriter`` (workers): ``append`` sends at once. Both number their
events, so that a batch repeated after a broken connection adds nothing twice. What had to be dropped
(Redis away for longer than the writer can hold) begins a new epoch: readers are told.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import redis
import redis.asyncio as aredis
from redis.exceptions import RedisError, ResponseError

from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.feed.ending import is_ending
from apps.feed.positions import feed_keys, wanted_key, writer_key
from apps.feed.registry import Channel, resolve
from apps.feed.scripts import Scripts, is_forgotten

_log = get_logger(__name__)
MAX_WAITING: Final = 20_000
BATCH: Final = 1000
CALL_EVENTS: Final = 100
CALL_BYTES: Final = 256 * 1024
"""One call of the script holds up Redis for about a millisecond at most."""
PACE_S: Final = 0.003
"""Between two sendings."""
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_AWAY: Final = (RedisError, OSError, TimeoutError)


@dataclass(slots=True)
class Entry:
    """One event on its way; ``state`` is the whole state after it where ``data`` is only a change."""

    channel: Channel
    data: bytes
    ts_ms: int
    state: bytes
    number: int
    begins_epoch: bool = False


class UnknownChannel(ValueError):
    """A writer named a channel that nobody registered."""


def channel_of(name: str) -> Channel:
    """A personal channel is named with its account: ``alerts@7``."""
    plain, _, account = name.partition("@")
    channel = resolve(plain)
    if channel is None or channel.spec.is_personal != bool(account):
        raise UnknownChannel(f"{name}: no such channel is registered")
    return channel.of_account(int(account)) if account else channel


class _Numbered:
    """Numbers of one writer's events; after which of them each channel has a hole."""

    def __init__(self) -> None:
        self.name = os.urandom(8).hex()
        self._last = 0
        self._lost: dict[str, int] = {}

    def entry(self, name: str, data: bytes, ts_ms: int, state: bytes) -> Entry:
        self._last += 1
        return Entry(channel_of(name), data, ts_ms, state, self._last)

    def lost(self, entry: Entry) -> None:
        self._lost[entry.channel.ring] = entry.number

    def mark(self, entries: Sequence[Entry]) -> None:
        """The first event after a hole begins a new epoch; events before it may still be on their way."""
        if not self._lost:
            return
        for entry in entries:
            if entry.number > self._lost.get(entry.channel.ring, entry.number):
                del self._lost[entry.channel.ring]
                entry.begins_epoch = True


class _Packer:
    """Events as calls of the script, so many in each that none holds up Redis for long."""

    def __init__(self, writer: str) -> None:
        self._head = (1, writer_key(writer), *feed_keys(""))

    def calls(self, digest: str, entries: Sequence[Entry]) -> Iterator[tuple[Any, ...]]:
        start, size, before = 0, 0, 0
        for end, entry in enumerate(entries):
            size += len(entry.data) + len(entry.state)
            if end > start and (end - start >= CALL_EVENTS or size > CALL_BYTES):
                yield self._call(digest, before, entries[start:end])
                before = entries[end - 1].number
                start, size = end, len(entry.data) + len(entry.state)
        yield self._call(digest, before, entries[start:])

    def _call(self, digest: str, before: int, entries: Sequence[Entry]) -> tuple[Any, ...]:
        places: dict[str, int] = {}
        channels: list[tuple[str, int, int]] = []
        events: list[tuple[Any, ...]] = []
        for entry in entries:
            ring = entry.channel.ring
            place = places.get(ring)
            if place is None:
                spec = entry.channel.spec
                channels.append((ring, spec.ring_s * 1000, spec.ring_length))
                place = places[ring] = len(channels)
            flag = int(entry.begins_epoch)
            data, state = _text(entry.data), _text(entry.state)
            events.append((place, entry.number, flag, entry.ts_ms, data, state))
        packed = msgspec.msgpack.encode((before, channels, events))
        return ("EVALSHA", digest, *self._head, packed)


def _text(data: bytes) -> msgspec.Raw:
    """As MessagePack's text, for Redis 6.2 does not read its binary."""
    return msgspec.Raw(b"\xdb" + len(data).to_bytes(4, "big") + data)


class FeedWriter:
    """Appends from an event loop. ``client`` may be shared; retries are the writer's own."""

    def __init__(self, client: aredis.Redis, *, max_waiting: int = MAX_WAITING) -> None:
        self._client = client
        self._scripts = Scripts()
        self._numbers = _Numbered()
        self._packer = _Packer(self._numbers.name)
        self._waiting: deque[Entry] = deque()
        self._max_waiting = max_waiting
        self._filled = asyncio.Event()
        self._wanted: frozenset[str] = frozenset()
        self.dropped = 0

    def put(self, name: str, data: bytes, ts_ms: int, state: bytes = b"") -> None:
        """Queue one event of a channel; ``ts_ms`` is the event's own time, ``data`` and ``state`` JSON."""
        if len(self._waiting) >= self._max_waiting:
            self.dropped += 1
            self._numbers.lost(self._waiting.popleft())
        self._waiting.append(self._numbers.entry(name, data, ts_ms, state))
        self._filled.set()

    def is_wanted(self, name: str) -> bool:
        """Whether somebody listens to an on-demand channel; as of the last ``refresh_wanted``."""
        return name in self._wanted

    async def refresh_wanted(self) -> frozenset[str]:
        """Ask which on-demand channels have listeners; cheap enough for ten times a second."""
        client: Any = self._client
        seconds, micros = await client.time()
        now_ms = seconds * 1000 + micros // 1000
        names = await client.zrangebyscore(wanted_key(), now_ms, "+inf")
        self._wanted = frozenset(name.decode() for name in names)
        return self._wanted

    async def run(self) -> None:
        """Send until cancelled. While Redis is away, events wait and the oldest give way."""
        pause_s = _FIRST_PAUSE_S
        outage = Outage(_log, "feed_writer_waits")
        while not is_ending():
            await self._filled.wait()
            try:
                await self.flush()
                outage.over()
                pause_s = _FIRST_PAUSE_S
                # What comes meanwhile goes together; an event after a calm moment goes at once.
                await asyncio.sleep(PACE_S)
            except _AWAY as error:
                if is_ending():
                    return
                outage.failed(error, waiting=len(self._waiting))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def flush(self) -> None:
        """Send all that waits; raises when Redis does not take it, and keeps it."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            self._numbers.mark(batch)
            try:
                await self._send(batch)
            except BaseException:
                # Sent again later; what Redis has of it already is not added twice.
                self._waiting.extendleft(reversed(batch))
                raise
        self._filled.clear()

    async def _send(self, batch: Sequence[Entry]) -> None:
        for _ in range(2):
            calls = [*self._packer.calls(self._scripts.digests["append"], batch)]
            replies = await self._replies(calls)
            failed = next((one for one in replies if isinstance(one, Exception)), None)
            if failed is None:
                return
            if not is_forgotten(failed):
                raise failed
            await self._scripts.load_async(self._client)
        raise redis.exceptions.NoScriptError("the feed's scripts do not stay loaded")

    async def _replies(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        client: Any = self._client
        if len(calls) == 1:
            # Half the work of a pipeline, and most of what a calm stream costs.
            try:
                return [await client.execute_command(*calls[0])]
            except ResponseError as error:
                return [error]
        pipeline = client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command(*call)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies


class BlockingFeedWriter:
    """Appends from a worker or a view; one round trip per call."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._scripts = Scripts()
        self._numbers = _Numbered()
        self._packer = _Packer(self._numbers.name)

    def append(self, name: str, data: bytes, ts_ms: int, state: bytes = b"") -> int:
        """The event's seq."""
        return self.append_many([(name, data, ts_ms, state)])[0]

    def append_many(self, events: Sequence[tuple[str, bytes, int, bytes]]) -> list[int]:
        """Events as (channel, data, event ms, state or b""), in order, in one pipeline; their seqs.

        Not retried after a broken connection: the caller's next publication stands for it, and the next
        event of each channel begins a new epoch.
        """
        if not events:
            return []
        entries = [self._numbers.entry(*event) for event in events]
        self._numbers.mark(entries)
        try:
            return self._send(entries)
        except _AWAY:
            for entry in entries:
                self._numbers.lost(entry)
            raise

    def _send(self, entries: Sequence[Entry]) -> list[int]:
        for _ in range(2):
            pipeline = self._client.pipeline(transaction=False)
            for call in self._packer.calls(self._scripts.digests["append"], entries):
                pipeline.execute_command(*call)
            replies: list[Any] = pipeline.execute(raise_on_error=False)
            failed = next((one for one in replies if isinstance(one, Exception)), None)
            if failed is None:
                return [int(seq) for reply in replies for seq in reply]
            if not is_forgotten(failed):
                raise failed
            self._scripts.load(self._client)
        raise redis.exceptions.NoScriptError("the feed's scripts do not stay loaded")
