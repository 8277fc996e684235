"""One Redis connection of the event loop on which all calls are pipelined without asking for it.

Calls made in the same turn of the loop leave in one socket write and their answers come back in one
read, so that a request costs one future instead of a pooled connection, two locks and a system call
each way. A call that is cancelled keeps its place in the queue: its answer is read and dropped.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis
from redis.connection import parse_url

from apps.core.logs import get_logger

_log = get_logger(__name__)

MAX_PENDING: Final = 4096


def pack(*args: bytes | str | int) -> bytes:
    """One command as Redis reads it."""
    # The stub of hiredis allows a single argument only.
    packed: bytes = cast(Any, hiredis.pack_command)(args)
    return packed


_MULTI: Final = pack("MULTI")
_EXEC: Final = pack("EXEC")
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 2.0


class RedisAway(ConnectionError):
    """Redis cannot be asked now; the caller takes the fallback at once, without waiting."""


class RedisBusy(RuntimeError):
    """More calls are waiting than the pipe takes; the caller sheds load."""


class RedisRefused(RuntimeError):
    """Redis answered with an error: a defect of a command or a script, not an outage."""


# Redis is there but cannot serve: loading its data, read-only after a failover, out of memory.
_AWAY_REPLIES: Final = ("LOADING", "READONLY", "OOM", "MISCONF", "BUSY", "MASTERDOWN", "NOAUTH")


def _error_of(reply: Exception) -> Exception:
    text = str(reply)
    return RedisAway(text) if text.startswith(_AWAY_REPLIES) else RedisRefused(text)


class Script:
    """A Lua script by its digest, sent in full only when Redis does not know it."""

    def __init__(self, source: str | bytes) -> None:
        self.source = source.encode() if isinstance(source, str) else source
        digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()
        self.digest = digest.encode()


class _Connection(asyncio.Protocol):
    """Bytes to replies, in the order of the calls."""

    def __init__(self, on_lost: Callable[[_Connection], None]) -> None:
        self.reader = hiredis.Reader()
        # None stands for a reply that nobody waits for.
        self.pending: deque[asyncio.Future[Any] | None] = deque()
        self.transport: asyncio.Transport | None = None
        self._on_lost = on_lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        reader, pending = self.reader, self.pending
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not False:
                future = pending.popleft()
                if future is not None and not future.done():
                    if isinstance(reply, hiredis.ReplyError):
                        future.set_exception(_error_of(reply))
                    else:
                        future.set_result(reply)
                reply = reader.gets()
        except (hiredis.ProtocolError, IndexError) as exc:
            _log.error("edge_redis_protocol_error", error=repr(exc))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.fail_all(RedisAway("the connection to Redis was lost"))
        self._on_lost(self)

    def fail_all(self, error: Exception) -> None:
        while self.pending:
            future = self.pending.popleft()
            if future is not None and not future.done():
                future.set_exception(error)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class RedisPipe:
    """The edge's Redis. Away or silent Redis opens a circuit breaker: calls fail at once until a
    background task has connected again."""

    def __init__(self, url: str, *, timeout_s: float = 0.5, max_pending: int = MAX_PENDING) -> None:
        """``max_pending`` bounds the calls that wait, ``timeout_s`` how long the oldest may."""
        self._address: dict[str, Any] = dict(cast(Any, parse_url)(url))
        self._timeout_s = timeout_s
        self._max_pending = max_pending
        self._connection: _Connection | None = None
        self._out: list[bytes] = []
        self._flush_due = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._connected = asyncio.Event()

    @property
    def is_up(self) -> bool:
        return self._connection is not None

    async def start(self) -> None:
        """Connect if Redis is there; keep trying in the background if it is not."""
        if self._keeper is not None:
            return
        self._loop = asyncio.get_running_loop()
        first_try = asyncio.Event()
        self._keeper = self._loop.create_task(self._keep_connected(first_try))
        await first_try.wait()

    async def stop(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def wait_connected(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def call(self, *args: bytes | str | int) -> asyncio.Future[Any]:
        """Queue one command; await the future for its reply. Raises at once when Redis is away."""
        return self.send(pack(*args))

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Queue one command that is encoded already."""
        connection = self._connection
        loop = self._loop
        if connection is None or loop is None:
            raise RedisAway("Redis is away")
        if len(connection.pending) >= self._max_pending:
            raise RedisBusy(f"{self._max_pending} calls wait for Redis already")
        future: asyncio.Future[Any] = loop.create_future()
        connection.pending.append(future)
        self._queue(packed)
        return future

    def _queue(self, packed: bytes) -> None:
        self._out.append(packed)
        if not self._flush_due and self._loop is not None:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def transaction(self, commands: Sequence[bytes]) -> asyncio.Future[Any]:
        """Queue encoded commands between MULTI and EXEC as one piece; the future is EXEC's. Not bounded
        by ``max_pending``: what records finished work must not be shed."""
        connection = self._connection
        if connection is None:
            raise RedisAway("Redis is away")
        connection.pending.extend([None] * (len(commands) + 1))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        connection.pending.append(future)
        self._queue(b"".join((_MULTI, *commands, _EXEC)))
        return future

    async def eval(self, script: Script, keys: int, *args: bytes | str | int) -> Any:
        """Run a script; load it when a restarted Redis has forgotten it."""
        try:
            return await self.call(b"EVALSHA", script.digest, keys, *args)
        except RedisRefused as exc:
            if not str(exc).startswith("NOSCRIPT"):
                raise
        return await self.call(b"EVAL", script.source, keys, *args)

    def _flush(self) -> None:
        self._flush_due = False
        out, self._out = self._out, []
        connection = self._connection
        if connection is not None and connection.transport is not None:
            connection.transport.write(out[0] if len(out) == 1 else b"".join(out))

    async def _keep_connected(self, first_try: asyncio.Event) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = await asyncio.wait_for(self._connect(), max(self._timeout_s, 1.0))
            except (OSError, TimeoutError, RedisRefused) as exc:
                _log.warning("edge_redis_away", error=repr(exc), retry_in_s=pause_s)
                first_try.set()
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                continue
            pause_s = _FIRST_PAUSE_S
            self._lost.clear()
            self._out.clear()
            self._connection = connection
            self._connected.set()
            first_try.set()
            _log.info("edge_redis_connected")
            await self._watch(connection)

    async def _watch(self, connection: _Connection) -> None:
        """Until the connection is lost, or the oldest call has waited longer than the timeout."""
        oldest: asyncio.Future[Any] | None = None
        while not self._lost.is_set():
            try:
                await asyncio.wait_for(self._lost.wait(), self._timeout_s)
            except TimeoutError:
                pending = connection.pending
                if oldest is not None and pending and pending[0] is oldest:
                    _log.warning("edge_redis_silent", waiting=len(pending))
                    self._drop(connection)
                    connection.fail_all(RedisAway("Redis did not answer in time"))
                    connection.abort()
                    return
                oldest = pending[0] if pending else None

    def _drop(self, connection: _Connection) -> None:
        if self._connection is connection:
            self._connection = None
            self._connected.clear()
            self._lost.set()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        address = self._address

        def protocol() -> _Connection:
            return _Connection(self._drop)

        if "path" in address:
            _, connection = await loop.create_unix_connection(protocol, address["path"])
        else:
            secure = str(address.get("connection_class", "")).find("SSL") >= 0
            _, connection = await loop.create_connection(
                protocol,
                address.get("host", "127.0.0.1"),
                address.get("port", 6379),
                ssl=ssl.create_default_context() if secure else None,
            )
        try:
            await self._greet(connection)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _greet(self, connection: _Connection) -> None:
        """AUTH and SELECT as the URL says, then PING: a Redis still loading its data is away."""
        address = self._address
        greeting: list[tuple[str, ...]] = []
        if address.get("password"):
            user = [address["username"]] if address.get("username") else []
            greeting.append(("AUTH", *user, address["password"]))
        if address.get("db"):
            greeting.append(("SELECT", str(address["db"])))
        greeting.append(("PING",))
        loop = asyncio.get_running_loop()
        for command in greeting:
            future: asyncio.Future[Any] = loop.create_future()
            connection.pending.append(future)
            if connection.transport is None:
                raise RedisAway("the connection to Redis was lost")
            connection.transport.write(pack(*command))
            await future
