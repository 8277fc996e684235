"""Venue budgets shared through Redis."""

from __future__ import annotations

import asyncio
import time

import pytest

from apps.core.redis import market_key, new_async_redis, sync_redis
from apps.ingest.budgets import RedisBudgets
from apps.venues.limiter import RequestPool


@pytest.fixture(autouse=True)
def clean() -> None:
    client = sync_redis()
    for key in client.scan_iter(market_key("budget", "*")):
        client.delete(key)


async def test_two_processes_spend_from_one_window() -> None:
    clients = [new_async_redis(), new_async_redis()]
    granted: list[float] = []

    async def work(client: object, count: int) -> None:
        pool = RequestPool(
            6, 0.4, monotonic=time.monotonic, sleep=asyncio.sleep, name="test:pool",
            budgets=RedisBudgets(client, 2),  # type: ignore[arg-type] # a Redis client
        )  # fmt: skip
        for _ in range(count):
            await pool.acquire(2)
            granted.append(time.monotonic())

    started = time.monotonic()
    await asyncio.gather(*(work(client, 5) for client in clients))
    # Ten grants of two in windows of six: three at once, then three windows of waiting.
    assert sum(at - started < 0.3 for at in granted) == 3
    assert 1.15 < granted[-1] - started < 3.0
    for client in clients:
        await client.aclose()


async def test_a_block_holds_everybody_and_a_heavy_request_goes_alone() -> None:
    one, other = new_async_redis(), new_async_redis()
    mine, theirs = (RedisBudgets(c)("test:blocked", 10, 60) for c in (one, other))
    assert await mine.take(50) == 0
    assert 59 < await theirs.take(1) <= 60
    mine.block_for(90)
    await asyncio.sleep(0.2)
    assert 89 < await theirs.take(1) <= 90
    assert 89 < await mine.take(1) <= 90
    await one.aclose()
    await other.aclose()


async def test_the_sum_falls_as_grants_grow_old() -> None:
    client = new_async_redis()
    budget = RedisBudgets(client)("test:sum", 5, 0.2)
    for _ in range(4):
        assert await budget.take(2.5) == 0
        assert await budget.take(2.5) == 0
        wait_s = await budget.take(0.5)
        assert 0 < wait_s <= 0.2
        await asyncio.sleep(wait_s + 0.21)
    await client.aclose()


async def test_without_redis_each_process_keeps_to_its_share() -> None:
    client = new_async_redis("redis://127.0.0.1:1/0")
    budget = RedisBudgets(client, processes=2)("test:away", 10, 60)
    grants = [await budget.take(1) for _ in range(7)]
    assert grants[:5] == [0, 0, 0, 0, 0]
    assert all(wait_s > 50 for wait_s in grants[5:])
    await client.aclose()
