"""Redis connections by role, and the one place that names keys."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, Final

import redis
import redis.asyncio as aredis
from django.conf import settings
from redis.asyncio.connection import AbstractConnection
from redis.backoff import NoBackoff
from redis.retry import Retry

_TIMEOUT_S: Final = 2.0
# How long a call waits for a connection that others use: they are answered or fail in less.
_PATIENCE_S: Final = 15.0
_DECISIVE_TIMEOUT_S: Final = 1.0


def market_key(*parts: str) -> str:
    """A key of this deployment's market: 2023 replay rows never meet sandbox rows."""
    return ":".join(("focsal", settings.MARKET, *parts))


@lru_cache(maxsize=4)
def sync_redis(url: str | None = None) -> redis.Redis:
    """A pooled blocking client that answers bytes."""
    return redis.Redis.from_url(
        url or settings.REDIS_EDGE_URL, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
    )


@lru_cache(maxsize=4)
def decisive_redis(url: str | None = None) -> redis.Redis:
    """A pooled blocking client that fails at once instead of trying again.

    For work that must not run twice (a retried charge would count double) and for callers who have
    something else to do when Redis is away.
    """
    return redis.Redis.from_url(
        url or settings.REDIS_EDGE_URL,
        socket_timeout=_DECISIVE_TIMEOUT_S,
        socket_connect_timeout=_DECISIVE_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        max_connections=1000,
    )


def bounded_async_redis(url: str | None = None, *, connections: int = 16) -> aredis.Redis:
    """The same with so many connections: in a rush calls wait for one instead of opening more."""
    pool = aredis.BlockingConnectionPool.from_url(
        url or settings.REDIS_EDGE_URL,
        max_connections=connections,
        timeout=_PATIENCE_S,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
    )
    return _cancellable(aredis.Redis.from_pool(pool))


def new_async_redis(url: str | None = None) -> aredis.Redis:
    """A new asyncio client (one per event loop) that answers bytes."""
    return _cancellable(
        aredis.Redis.from_url(
            url or settings.REDIS_EDGE_URL,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
        )
    )


def _cancellable(client: aredis.Redis) -> aredis.Redis:
    pool: Any = client.connection_pool
    pool.connection_class = _cancellable_kind(pool.connection_class)
    return client


@cache
def _cancellable_kind(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    return type(f"Cancellable{kind.__name__}", (_Cancellable, kind), {"__slots__": ()})


class _Cancellable(AbstractConnection):
    """A connection that no cancellation gets lost in.

    The client sends through ``asyncio.wait_for``, which before Python 3.12 drops a cancellation that comes as
    the sending ends: on a busy loop a task that was told to end went on for ever.
    """

    __slots__ = ()

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0
        await super().send_packed_command(command, check_health)
        if task is not None and task.cancelling() > before:
            # Its answer would be the next caller's.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError
