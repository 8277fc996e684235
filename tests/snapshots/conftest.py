"""Snapshots of a market of their own, so that nothing else's keys are touched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.core.redis import market_key, sync_redis


@pytest.fixture(autouse=True)
def _own_market(settings: Any) -> Iterator[None]:
    settings.MARKET = "test-snapshots"
    _flush()
    yield
    _flush()


def _flush() -> None:
    client = sync_redis()
    for key in client.scan_iter(market_key("*")):
        client.delete(key)
