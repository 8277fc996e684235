"""How far the backfill is, in Redis: ``/health/ready`` and the start-up bar read it."""

from __future__ import annotations

from typing import Any, Final

import redis.asyncio as aredis
from redis.exceptions import RedisError

from apps.core.logs import get_logger
from apps.core.redis import market_key
from apps.ingest.sharding import Shard

logger = get_logger(__name__)

RUNNING: Final = "running"
READY: Final = "ready"


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
        """Grows when history was filled in: windows that readers keep are loaded anew."""

    async def publish(self) -> None:
        try:
            await self._publish()
        except RedisError as error:
            logger.warning("redis_away", what="backfill progress", error=str(error))

    async def _publish(self) -> None:
        mine: dict[Any, Any] = {
            "done": self.done,
            "total": self.total,
            "failed": self.failed,
            "state": self.state,
            "phase": self.phase,
            "generation": self.generation,
        }
        if self._shard.count == 1:
            await self._client.hset(backfill_key(), mapping=mine)
            return
        await self._client.hset(self._shard_key(self._shard.index), mapping=mine)
        pipeline = self._client.pipeline(transaction=False)
        for index in range(self._shard.count):
            pipeline.hgetall(self._shard_key(index))
        shards: list[dict[bytes, bytes]] = await pipeline.execute()
        summed: dict[Any, Any] = {
            name: sum(int(shard.get(name.encode(), 0)) for shard in shards)
            for name in ("done", "total", "failed", "generation")
        }
        all_ready = all(shard.get(b"state") == READY.encode() for shard in shards)
        summed |= {"state": READY if all_ready else RUNNING, "phase": self.phase}
        await self._client.hset(backfill_key(), mapping=summed)

    def _shard_key(self, index: int) -> str:
        return market_key("backfill", f"{index + 1}-of-{self._shard.count}")
