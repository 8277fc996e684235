"""Venue limit budgets in Redis: processes behind one address spend from one count.

A budget is a sorted set of grants by time; one script prunes, sums and grants, so that no window ever
holds more than the venue allows, however many processes ask. While Redis is away each process keeps to
its own share of the limit.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any, Final

import redis.asyncio as aredis
from redis.exceptions import RedisError

from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.core.redis import market_key
from apps.venues.limiter import Budget, LocalBudget

logger = get_logger(__name__)

_TAKE: Final = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local blocked = tonumber(redis.call('GET', KEYS[2]) or '0')
if blocked > now then return blocked - now end
local weight, limit, window = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local spare = tonumber(ARGV[5])
local function weight_of(grant) return tonumber(string.match(grant, '^[^ ]+')) end
local spent = tonumber(redis.call('GET', KEYS[3]) or '0')
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - window)
for _, grant in ipairs(old) do spent = spent - weight_of(grant) end
if #old > 0 then redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window) end
local count = redis.call('ZCARD', KEYS[1])
if count == 0 then spent = 0 end
if count > 0 and spent + weight + spare > limit then
  redis.call('SET', KEYS[3], spent, 'PX', window)
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return math.max(tonumber(oldest[2]) + window - now, 1)
end
redis.call('ZADD', KEYS[1], now, ARGV[1] .. ' ' .. ARGV[4])
redis.call('PEXPIRE', KEYS[1], window)
redis.call('SET', KEYS[3], spent + weight, 'PX', window)
return 0
"""
"""KEYS: grants, block, sum of the grants. ARGV: weight, limit, window (ms), unique id, spare weight.

Answers the ms to wait, 0 when granted.
"""


class RedisBudgets:
    """Makes budgets; see :class:`apps.venues.limiter.BudgetFactory`. ``processes`` share the address."""

    def __init__(self, client: aredis.Redis, processes: int = 1) -> None:
        self._client = client
        self._processes = processes
        self._script = client.register_script(_TAKE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._outage = Outage(logger, "redis_away", what="venue budgets")

    def __call__(self, name: str, weight: float, window_s: float) -> Budget:
        return RedisBudget(self, name, weight, window_s, weight / self._processes)

    async def take(
        self, name: str, weight: float, limit: float, window_s: float, spare: float = 0.0
    ) -> float | None:
        """Seconds to wait, 0 when granted, None while Redis is away."""
        keys = [market_key("budget", name, part) for part in ("grants", "blocked", "spent")]
        args: list[Any] = [weight, limit, int(window_s * 1000), uuid.uuid4().hex, spare]
        try:
            wait_ms: int = await self._script(keys=keys, args=args)
        except (RedisError, OSError) as error:
            self._outage.failed(error)
            return None
        self._outage.over()
        return wait_ms / 1000

    def block(self, name: str, seconds: float) -> None:
        """Tell the other processes; this one knows already."""
        task = asyncio.get_running_loop().create_task(self._block(name, seconds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _block(self, name: str, seconds: float) -> None:
        key = market_key("budget", name, "blocked")
        try:
            clock: Any = await self._client.time()
            until_ms = int(clock[0]) * 1000 + int(clock[1]) // 1000 + int(seconds * 1000)
            known = await self._client.get(key)
            if known is None or int(known) < until_ms:
                await self._client.set(key, until_ms, px=max(1, int(seconds * 1000)))
        except (RedisError, OSError) as error:
            logger.warning("redis_away", what="venue block", error=str(error))


class RedisBudget:
    """See :class:`apps.venues.limiter.Budget`."""

    def __init__(
        self, owner: RedisBudgets, name: str, weight: float, window_s: float, share: float
    ) -> None:
        self._owner = owner
        self._name = name
        self._weight = weight
        self._window_s = window_s
        # Kept in step, so that a Redis that goes away does not mean a fresh budget.
        self._own = LocalBudget(share, window_s, monotonic=time.monotonic)
        self._blocked_until = float("-inf")

    async def take(self, weight: float, spare: float = 0.0) -> float:
        blocked_s = self._blocked_until - time.monotonic()
        if blocked_s > 0:
            return blocked_s
        wait_s = await self._owner.take(self._name, weight, self._weight, self._window_s, spare)
        if wait_s is None:
            return self._own.take_now(weight, spare)
        if wait_s == 0:
            self._own.note(weight)
        return wait_s

    def block_for(self, seconds: float) -> None:
        self._blocked_until = max(self._blocked_until, time.monotonic() + seconds)
        self._owner.block(self._name, seconds)
