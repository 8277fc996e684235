"""Ingest tests write under a market name of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

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


@pytest.fixture
async def threads_let_go() -> AsyncIterator[None]:
    """The thread of ``sync_to_async`` keeps a connection, which would hold the test database."""
    yield
    await sync_to_async(connections.close_all)()


def _delete_keys() -> None:
    client = sync_redis()
    for key in client.scan_iter("focsal:ingest-test:*"):
        client.delete(key)
