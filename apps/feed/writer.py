"""Appending events to channels, from asyncio and from blocking code.

``FeedWriter`` (ingest): ``put`` never waits; ``run`` sends what has gathered in one pipeline, then what
has gathered meanwhile. ``BlockingFeedWriter`` (workers): ``append`` sends at once. Both number their
events, so that a batch repeated after a broken connection adds nothing twice. What had to be dropped
(Redis away for longer than the writer can hold) begins a new epoch: readers are told.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
import redis.asyncio as aredis
from redis.exceptions import RedisError

from apps.core.logs import get_logger
from apps.feed.ending import is_ending
from apps.feed.positions import feed_keys, wanted_key, writer_key
from apps.feed.registry import Channel, resolve
from apps.feed.scripts import Scripts, is_forgotten

_log = get_logger(__name__)
MAX_WAITING: Final = 20_000
BATCH: Final = 500
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_AWAY: Final = (RedisError, OSError, TimeoutError)


@dataclass(slots=True)
class Entry:
    """One event on its way; ``state`` is the whole state after it where ``data`` is only a change."""

    channel: Channel
    data: bytes
    ts_ms: int
    state: bytes = b""
    number: int = 0
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
    """Numbers of one writer's events; which channels have lost one."""

    def __init__(self) -> None:
        self.name = os.urandom(8).hex()
        self._last = 0
        self._broken: set[str] = set()

    def number(self, entry: Entry) -> Entry:
        self._last += 1
        entry.number = self._last
        if entry.channel.ring in self._broken:
            self._broken.discard(entry.channel.ring)
            entry.begins_epoch = True
        return entry

    def lost(self, entry: Entry) -> None:
        self._broken.add(entry.channel.ring)


def _command(digest: str, writer: str, entry: Entry) -> tuple[Any, ...]:
    spec = entry.channel.spec
    keys = (*feed_keys(entry.channel.ring), writer_key(writer))
    ring = (spec.ring_s * 1000, spec.ring_length)
    epoch = "1" if entry.begins_epoch else ""
    return (digest, 4, *keys, entry.data, entry.ts_ms, *ring, entry.number, epoch, entry.state)


class FeedWriter:
    """Appends from an event loop. ``client`` may be shared; retries are the writer's own."""

    def __init__(self, client: aredis.Redis, *, max_waiting: int = MAX_WAITING) -> None:
        self._client = client
        self._scripts = Scripts()
        self._numbers = _Numbered()
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
        self._waiting.append(Entry(channel_of(name), data, ts_ms, state))
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
        while not is_ending():
            await self._filled.wait()
            try:
                await self.flush()
                pause_s = _FIRST_PAUSE_S
            except _AWAY as error:
                if is_ending():
                    return
                _log.warning(
                    "feed_writer_waits", error=type(error).__name__, waiting=len(self._waiting)
                )
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def flush(self) -> None:
        """Send all that waits; raises when Redis does not take it, and keeps it."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            for entry in batch:
                if entry.number == 0:
                    self._numbers.number(entry)
            try:
                await self._send(batch)
            except BaseException:
                # Sent again later; what Redis has of it already is not added twice.
                self._waiting.extendleft(reversed(batch))
                raise
        self._filled.clear()

    async def _send(self, batch: Sequence[Entry]) -> None:
        for _ in range(2):
            pipeline: Any = self._client.pipeline(transaction=False)
            digest = self._scripts.digests["append"]
            for entry in batch:
                pipeline.execute_command("EVALSHA", *_command(digest, self._numbers.name, entry))
            replies = await pipeline.execute(raise_on_error=False)
            failed = next((one for one in replies if isinstance(one, Exception)), None)
            if failed is None:
                return
            if not is_forgotten(failed):
                raise failed
            await self._scripts.load_async(self._client)
        raise redis.exceptions.NoScriptError("the feed's scripts do not stay loaded")


class BlockingFeedWriter:
    """Appends from a worker or a view; one round trip per call."""

    def __init__(self, client: redis.Redis) -> None:
        self._client: Any = client
        self._scripts = Scripts()
        self._numbers = _Numbered()

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
        entries = [
            self._numbers.number(Entry(channel_of(name), data, ts_ms, state))
            for name, data, ts_ms, state in events
        ]
        try:
            return self._send(entries)
        except _AWAY:
            for entry in entries:
                self._numbers.lost(entry)
            raise

    def _send(self, entries: Sequence[Entry]) -> list[int]:
        for _ in range(2):
            pipeline = self._client.pipeline(transaction=False)
            digest = self._scripts.digests["append"]
            for entry in entries:
                pipeline.execute_command("EVALSHA", *_command(digest, self._numbers.name, entry))
            replies: list[Any] = pipeline.execute(raise_on_error=False)
            failed = next((one for one in replies if isinstance(one, Exception)), None)
            if failed is None:
                return [int(reply) for reply in replies]
            if not is_forgotten(failed):
                raise failed
            self._scripts.load(self._client)
        raise redis.exceptions.NoScriptError("the feed's scripts do not stay loaded")
