"""Ingest tests write under a market name of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.core.redis import sync_redis
from apps.marketdata.partitions import forget_known_partitions
from apps.marketdata.selectors import clear_instrument_cache


@pytest.fixture
def own_market(settings: object) -> Iterator[str]:
    settings.MARKET = "ingest-test"  # type: ignore[attr-defined] # pytest-django's proxy
    _delete_keys()
    forget_known_partitions()
    clear_instrument_cache()
    yield "ingest-test"
    _delete_keys()
    forget_known_partitions()
    clear_instrument_cache()


def _delete_keys() -> None:
    client = sync_redis()
    for key in client.scan_iter("focsal:ingest-test:*"):
        client.delete(key)
