"""The market clock of every process but ingest: a copy of the line that ingest publishes in Redis."""

from __future__ import annotations

import time
from dataclasses import asdict
from threading import Lock
from typing import Final

import msgspec
import redis

from apps.core.clock import ClockLine, market_clock
from apps.core.redis import market_key, sync_redis

_EVERY_S: Final = 1.0
_lock: Final = Lock()
_last_read: float = -_EVERY_S
_is_known = False


def clock_key() -> str:
    return market_key("clock")


def encode_line(line: ClockLine) -> bytes:
    return msgspec.json.encode(asdict(line))


def decode_line(raw: bytes | str) -> ClockLine:
    return msgspec.json.decode(raw, type=ClockLine)


def sync_market_clock(*, force: bool = False) -> bool:
    """Follow the published line, asking Redis at most once a second.

    Returns whether a line has ever been read. When Redis is away or holds none, the clock keeps the line
    it has: time goes on.
    """
    global _last_read, _is_known
    now = time.monotonic()
    with _lock:
        if not force and now - _last_read < _EVERY_S:
            return _is_known
        _last_read = now
    try:
        raw = sync_redis().get(clock_key())
    except redis.RedisError:
        return _is_known
    if raw is not None:
        market_clock.set_line(decode_line(raw))
        _is_known = True
    return _is_known
