from __future__ import annotations

import pytest
from pytest_django import Settings

from apps.core.redis import market_key, new_async_redis, sync_redis


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
