from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis.asyncio as aredis
from pytest_django import Settings

from apps.core.redis import bounded_async_redis, market_key, new_async_redis, sync_redis


@pytest.mark.parametrize("market", ["sandbox", "replay", "live"])
def test_keys_carry_the_market(settings: Settings, market: str) -> None:
    settings.MARKET = market
    assert (
        market_key("snap", "markets.funding", "BTC") == f"focsal:{market}:snap:markets.funding:BTC"
    )


def test_the_blocking_client_answers_bytes_and_is_shared() -> None:
    key = market_key("test-core-redis")
    assert sync_redis() is sync_redis()
    sync_redis().set(key, "é", px=5000)
    assert sync_redis().get(key) == "é".encode()
    sync_redis().delete(key)


async def test_each_loop_gets_its_own_asyncio_client() -> None:
    first, second = new_async_redis(), new_async_redis()
    assert first is not second
    assert await first.ping() is True
    await first.aclose()
    await second.aclose()


@pytest.mark.parametrize("make", [new_async_redis, bounded_async_redis])
async def test_no_cancellation_gets_lost(make: Callable[[], aredis.Redis]) -> None:
    """Wherever it meets a task that uses Redis over and over: the task ends, the next caller is served."""
    client = make()
    await client.ping()

    async def work() -> None:
        while True:
            await client.set(market_key("test-core-cancel"), "x", px=5000)
            await asyncio.sleep(0.001)

    for turns in range(60):
        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done, turns
        assert task.cancelled()
        assert await client.echo(f"after {turns}") == f"after {turns}".encode()
    await client.aclose()


async def test_what_is_done_while_ending_is_done() -> None:
    """A task that was told to end may still use Redis on its way out."""
    client = new_async_redis()
    key = market_key("test-core-cancel")
    await client.delete(key)

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await client.set(key, "kept", px=5000)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert await client.get(key) == b"kept"
    await client.aclose()
