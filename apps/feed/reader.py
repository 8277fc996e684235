"""Following channels: one connection per process that reads what writers append, in order and whole.

The listener is told of every event once, and of what can't be told: a hole (``on_gap``) when the ring was
trimmed before it was read, a new epoch (``on_epoch``) when the ring was lost. While Redis is away nothing
is told; when it is back, every followed channel is looked at before anything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol, cast

import hiredis
import redis.asyncio as aredis
from django.conf import settings
from redis.exceptions import NoScriptError, RedisError

from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.feed.ending import is_ending
from apps.feed.positions import Event, Position, event_of, feed_keys, position_of, wanted_key
from apps.feed.scripts import Scripts

_log = get_logger(__name__)
_BLOCK_MS: Final = 1000
_CONNECTIONS: Final = 8
_PATIENCE_S: Final = 15.0
_COUNT: Final = 512
_ANSWER_TIMEOUT_S: Final = 5.0
_COMMAND_TIMEOUT_S: Final = 2.0
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_UNBLOCK_EVERY_S: Final = 0.002
PACE_S: Final = 0.003
_PACE_EACH_S: Final = 3e-6
"""Between two reads, for each channel: with thousands of them a read costs both sides milliseconds."""
_XREAD: Final = ("XREAD", "COUNT", _COUNT, "BLOCK", _BLOCK_MS, "STREAMS")
WANTED_MS: Final = 15_000
AWAY: Final = (RedisError, OSError, TimeoutError)


class Listener(Protocol):
    """Called on the reader's event loop; must not block and must not raise."""

    def on_events(self, name: str, events: Sequence[Event]) -> None: ...

    def on_gap(self, name: str, first: int, last: int) -> None: ...

    def on_epoch(self, name: str, position: Position) -> None: ...


class _Followed:
    __slots__ = ("epoch", "ring", "seq")

    def __init__(self, ring: str, epoch: str, seq: int) -> None:
        self.ring = ring.encode()
        self.epoch = epoch
        self.seq = seq


def _raw(reply: Any, **_options: Any) -> Any:
    return reply


class FeedReader:
    """``open`` says where a channel stands, ``follow`` from there on; ``run`` does the reading."""

    def __init__(self, listener: Listener, *, url: str | None = None) -> None:
        address = url or settings.REDIS_EDGE_URL
        self._listener = listener
        self._commands = _client(address, _COMMAND_TIMEOUT_S)
        self._reads = _client(address, _ANSWER_TIMEOUT_S)
        self._scripts = Scripts()
        self._followed: dict[str, _Followed] = {}
        self._by_ring: dict[bytes, str] = {}
        self._changed = asyncio.Event()
        self._blocked_as: int | None = None
        self._waker: asyncio.Task[None] | None = None
        self.is_connected = False

    # --- positions -----------------------------------------------------------------------------------

    async def open(self, name: str, *, with_state: bool = False) -> Position:
        """Where the channel stands now; a channel never written to gets its epoch by this."""
        keys = feed_keys(name)
        for _ in range(2):
            digest = self._scripts.digests["open"]
            command: tuple[Any, ...] = ("EVALSHA", digest, 3, *keys, "1" if with_state else "")
            try:
                return position_of(await self._commands.execute_command(*command))
            except NoScriptError:
                await self._scripts.load_async(self._commands)
        raise NoScriptError("the feed's scripts do not stay loaded")

    async def ring(self, name: str, after: int, count: int = _COUNT) -> list[Event]:
        """Up to ``count`` events after a seq, oldest first."""
        ring = feed_keys(name)[0]
        entries = await self._commands.execute_command(
            "XRANGE", ring, f"({after}-0", "+", "COUNT", count
        )
        return [event_of(entry) for entry in entries]

    async def newest(self, name: str, count: int) -> list[Event]:
        """The last ``count`` events of the ring, oldest first."""
        ring = feed_keys(name)[0]
        entries = await self._commands.execute_command("XREVRANGE", ring, "+", "-", "COUNT", count)
        return [event_of(entry) for entry in reversed(entries)]

    async def want(self, names: Iterable[str]) -> None:
        """Ask the writers of on-demand channels to write for the next 15 s."""
        client: Any = self._commands
        seconds, micros = await client.time()
        until_ms = seconds * 1000 + micros // 1000 + WANTED_MS
        wanted = dict.fromkeys(names, until_ms)
        if wanted:
            await client.zadd(wanted_key(), wanted)
            await client.zremrangebyscore(wanted_key(), "-inf", until_ms - 2 * WANTED_MS)

    # --- following -----------------------------------------------------------------------------------

    def follow(self, name: str, epoch: str, seq: int) -> None:
        """Tell of everything after ``seq`` from now on."""
        ring = feed_keys(name)[0]
        followed = self._followed[name] = _Followed(ring, epoch, seq)
        self._by_ring[followed.ring] = name
        self._wake()

    def unfollow(self, name: str) -> None:
        followed = self._followed.pop(name, None)
        if followed is not None:
            del self._by_ring[followed.ring]

    async def run(self) -> None:
        """Read until cancelled."""
        pause_s = _FIRST_PAUSE_S
        outage = Outage(_log, "feed_reader_waits")
        while not is_ending():
            connection: Any = None
            try:
                connection = await self._reads.connection_pool.get_connection()
                await connection.send_command("CLIENT", "ID")
                client_id = int(await connection.read_response())
                await self._look_again()
                self.is_connected = True
                outage.over()
                pause_s = _FIRST_PAUSE_S
                while not is_ending():
                    if await self._read(connection, client_id):
                        # What comes meanwhile comes together; an event after a calm moment comes at once.
                        await asyncio.sleep(max(PACE_S, _PACE_EACH_S * len(self._followed)))
            except AWAY as error:
                if is_ending():
                    return
                outage.failed(error)
                self.is_connected = False
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            finally:
                if connection is not None:
                    await connection.disconnect(nowait=True)
                    await self._reads.connection_pool.release(connection)

    async def close(self) -> None:
        if self._waker is not None:
            self._waker.cancel()
            await asyncio.gather(self._waker, return_exceptions=True)
        await self._commands.aclose()
        await self._reads.aclose()

    async def _read(self, connection: Any, client_id: int) -> bool:
        """Whether there was anything."""
        self._changed.clear()
        if not self._followed:
            await self._changed.wait()
            return False
        followed = self._followed.values()
        after = [b"%d-0" % one.seq for one in followed]
        # The stub of hiredis allows a single argument only; redis-py packs in Python, at four times the cost.
        packed = cast(Any, hiredis.pack_command)((*_XREAD, *(one.ring for one in followed), *after))
        self._blocked_as = client_id
        try:
            await connection.send_packed_command((packed,))
            reply = await connection.read_response()
        finally:
            self._blocked_as = None
        for ring, entries in reply or ():
            name = self._by_ring.get(ring)
            if name is not None:
                await self._take(name, [event_of(entry) for entry in entries])
        return bool(reply)

    async def _take(self, name: str, events: list[Event]) -> None:
        followed = self._followed[name]
        if events[0].seq != followed.seq + 1:
            await self._mend(name, events[0].seq)
            followed_now = self._followed.get(name)
            if followed_now is None:
                return
            followed = followed_now
        fresh = [event for event in events if event.seq > followed.seq]
        if fresh:
            followed.seq = fresh[-1].seq
            self._listener.on_events(name, fresh)

    async def _mend(self, name: str, found: int) -> None:
        """The next event is not the one that was expected: another epoch, or the ring was trimmed."""
        position = await self.open(name)
        followed = self._followed.get(name)
        if followed is None:
            return
        if position.epoch != followed.epoch:
            self._begin(name, followed, position)
        elif found > followed.seq + 1:
            first, followed.seq = followed.seq + 1, found - 1
            self._listener.on_gap(name, first, found - 1)

    async def _look_again(self) -> None:
        """After a new connection: is every channel still the one that we followed?"""
        for name in list(self._followed):
            position = await self.open(name)
            self.check(name, position)

    def check(self, name: str, position: Position) -> None:
        """Take notice of a position that somebody asked for."""
        followed = self._followed.get(name)
        if followed is not None and position.epoch != followed.epoch:
            self._begin(name, followed, position)

    def _begin(self, name: str, followed: _Followed, position: Position) -> None:
        """What the new epoch held up to now is in its snapshot."""
        followed.epoch, followed.seq = position.epoch, position.seq
        self._listener.on_epoch(name, position)

    # --- waking --------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """The blocked read does not know of a new channel yet: end it."""
        self._changed.set()
        if self._blocked_as is not None and (self._waker is None or self._waker.done()):
            self._waker = asyncio.get_running_loop().create_task(self._unblock(self._blocked_as))

    async def _unblock(self, client_id: int) -> None:
        try:
            # Our command may overtake the read that is to be ended.
            while self._blocked_as == client_id and self._changed.is_set():
                if await self._commands.execute_command("CLIENT", "UNBLOCK", client_id):
                    return
                await asyncio.sleep(_UNBLOCK_EVERY_S)
        except AWAY:
            # The read fails as well.
            return


def _client(url: str, timeout_s: float) -> Any:
    # RESP2: streams are answered as lists, in the order that was asked for. In a rush of subscriptions
    # calls wait for a connection instead of opening more.
    pool = aredis.BlockingConnectionPool.from_url(
        url,
        protocol=2,
        max_connections=_CONNECTIONS,
        timeout=_PATIENCE_S,
        socket_timeout=timeout_s,
        socket_connect_timeout=_COMMAND_TIMEOUT_S,
    )
    client: Any = aredis.Redis.from_pool(pool)
    for command in ("XRANGE", "XREVRANGE"):
        client.set_response_callback(command, _raw)
    return client
