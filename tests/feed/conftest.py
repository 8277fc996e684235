"""Channels of the tests' own, on real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis.asyncio as aredis

from apps.core.redis import market_key, new_async_redis, sync_redis
from apps.feed import registry
from apps.feed.options import at_least, one_or_many
from apps.feed.registry import ChannelSpec, Policy, SnapshotKind

EVENTS = ChannelSpec(
    name="testing",
    pattern="testing.{asset}",
    layer="L2",
    title="Events of tests",
    params={"asset": ("BTC", "ETH")},
    schema={"type": "object"},
    ring_s=300,
    options=(
        one_or_many("exchange", "exchange", ("binance", "okx"), "Venue"),
        at_least("min_amount_usd", "amount_usd", "Least size"),
    ),
)
BOOKS = ChannelSpec(
    name="testbook",
    pattern="testbook.{asset}[.{tf}]",
    layer="L2",
    title="States of tests",
    params={"asset": ("BTC", "ETH"), "tf": ("1m", "5m")},
    schema={"type": "object"},
    snapshot=SnapshotKind.STATE,
    policy_default=Policy.LATEST,
    ring_s=30,
    is_on_demand=True,
)


def clear_feed() -> None:
    client: Any = sync_redis()
    names = list(client.scan_iter(market_key("feed", "*"), count=1000))
    if names:
        client.delete(*names)


@pytest.fixture(autouse=True)
def channels() -> Iterator[None]:
    specs, patterns = dict(registry._specs), dict(registry._patterns)
    for spec in (EVENTS, BOOKS):
        registry.register(spec)
    clear_feed()
    yield
    clear_feed()
    registry._specs.clear()
    registry._specs.update(specs)
    registry._patterns.clear()
    registry._patterns.update(patterns)
    registry.resolve.cache_clear()


@pytest.fixture
async def client() -> AsyncIterator[aredis.Redis]:
    client = new_async_redis()
    yield client
    await client.aclose()
