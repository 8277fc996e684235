"""How far the backfill is, in Redis: ``/health/ready``, ``/v1/meta/status`` and the start-up bar read it.

``done`` of ``total`` is what readiness waits for; the same words with ``background_`` before them are the
rest, which goes on while answers are served.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import redis.asyncio as aredis
from redis.exceptions import RedisError

from apps.core.logs import get_logger
from apps.core.redis import market_key
from apps.ingest.sharding import Shard

logger = get_logger(__name__)

RUNNING: Final = "running"
READY: Final = "ready"
COMPLETE: Final = "complete"
WAITING: Final = "waiting"
_AGAIN_S: Final = 5.0
_SUMMED: Final = (
    *("done", "total", "failed", "generation"),
    *("background_done", "background_total", "background_failed"),
)


def backfill_key() -> str:
    return market_key("backfill")


class Progress:
    """One shard's progress; with several shards the published hash is their sum."""

    def __init__(self, client: aredis.Redis, shard: Shard) -> None:
        self._client = client
        self._shard = shard
        self.done = 0
        self.total = 0
        self.failed = 0
        self.state = RUNNING
        self.phase = "starting"
        self.generation = 0
        """Grows when history was filled in: windows that readers keep are loaded anew. Never smaller than
        in an earlier run."""
        self.background_done = 0
        self.background_total = 0
        self.background_failed = 0
        self.background_state = WAITING
        self._published: dict[Any, Any] = {}

    def __repr__(self) -> str:
        return f"Progress({self.state} {self.done}/{self.total}, {self.background_state})"

    async def resume(self) -> None:
        """Generations go on where the last run left them: windows that readers hold are still good."""
        key = backfill_key() if self._shard.count == 1 else self._shard_key(self._shard.index)
        try:
            held = await self._client.hget(key, "generation")
        except RedisError as error:
            logger.warning("redis_away", what="backfill progress", error=str(error))
            return
        self.generation = int(held or 0)

    async def run(self) -> None:
        """Say again how far it is, until cancelled: a Redis that lost its memory knows nothing of it."""
        while True:
            await asyncio.sleep(_AGAIN_S)
            told, self._published = self._published, {}
            await self.publish()
            # Redis was away: the next turn is soon enough.
            self._published = self._published or told

    async def publish(self) -> None:
        """Tell the readers; nothing is sent while nothing has changed."""
        mine: dict[Any, Any] = {name: getattr(self, name) for name in _SUMMED}
        mine |= {
            "state": self.state,
            "phase": self.phase,
            "background_state": self.background_state,
        }
        if mine == self._published:
            return
        try:
            await self._publish(mine)
        except RedisError as error:
            logger.warning("redis_away", what="backfill progress", error=str(error))
            return
        self._published = mine

    async def _publish(self, mine: dict[Any, Any]) -> None:
        if self._shard.count == 1:
            await self._client.hset(backfill_key(), mapping=mine)
            return
        await self._client.hset(self._shard_key(self._shard.index), mapping=mine)
        pipeline = self._client.pipeline(transaction=False)
        for index in range(self._shard.count):
            pipeline.hgetall(self._shard_key(index))
        shards: list[dict[bytes, bytes]] = await pipeline.execute()
        summed: dict[Any, Any] = {
            name: sum(int(shard.get(name.encode(), 0)) for shard in shards) for name in _SUMMED
        }
        summed["phase"] = self.phase
        for name, last in (("state", READY), ("background_state", COMPLETE)):
            is_last = all(shard.get(name.encode()) == last.encode() for shard in shards)
            summed[name] = last if is_last else RUNNING
        await self._client.hset(backfill_key(), mapping=summed)

    def _shard_key(self, index: int) -> str:
        return market_key("backfill", f"{index + 1}-of-{self._shard.count}")
