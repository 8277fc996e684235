"""What readers are told of the backfill, over restarts."""

from __future__ import annotations

import asyncio

import pytest

from apps.core.redis import new_async_redis, sync_redis
from apps.ingest.progress import READY, Progress, backfill_key
from apps.ingest.sharding import Shard
from apps.markets.refresh_context import history_generation
from tests.ingest.rig import until


async def _run(changes: int) -> int:
    """One run of ingest that fills in history so many times; the generation it begins with."""
    client = new_async_redis()
    try:
        progress = Progress(client, Shard())
        await progress.resume()
        began = progress.generation
        await progress.publish()
        progress.state = READY
        progress.generation += changes
        await progress.publish()
        return began
    finally:
        await client.aclose()


@pytest.mark.django_db(databases=["market"])
def test_windows_outlive_a_restart_and_not_a_change_of_history() -> None:
    sync_redis().delete(backfill_key())
    try:
        assert asyncio.run(_run(2)) == 0
        before = history_generation()
        assert asyncio.run(_run(0)) == 2
        assert history_generation() == before
        assert asyncio.run(_run(1)) == 2
        assert history_generation() != before
    finally:
        sync_redis().delete(backfill_key())


async def test_a_redis_that_lost_its_memory_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.ingest.progress._AGAIN_S", 0.05)
    client = new_async_redis()
    progress = Progress(client, Shard())
    progress.state, progress.done, progress.total = READY, 7, 7
    await progress.publish()
    await client.delete(backfill_key())
    # Nothing has changed, so nothing is said by itself.
    await progress.publish()
    assert not await client.exists(backfill_key())
    telling = asyncio.create_task(progress.run())
    try:

        async def is_told() -> bool:
            return bool(await client.exists(backfill_key()))

        await until(is_told, "it is told again", 20)
        told = await client.hmget(backfill_key(), "state", "done", "total")
        assert told == [b"ready", b"7", b"7"]
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await client.delete(backfill_key())
        await client.aclose()
