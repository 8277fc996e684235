"""Ingest tests write under a market name of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from apps.core.redis import sync_redis
from apps.ingest import polling, sources
from apps.marketdata.partitions import forget_known_partitions
from apps.marketdata.selectors import clear_instrument_cache
from apps.marketdata.universe import AssetTier
from apps.markets.refresh_flow import minute_cache


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
def own_windows(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Windows of history of this test's own, and ingest that asks and doubts in seconds."""
    settings.VAR_DIR = tmp_path
    monkeypatch.setattr(sources, "DOWN_AFTER_MS", 3_000)
    for tier in AssetTier:
        monkeypatch.setitem(polling.OPEN_INTEREST_EVERY_S, tier, 3.0)
    minute_cache.clear()
    yield
    minute_cache.clear()


@pytest.fixture
async def threads_let_go() -> AsyncIterator[None]:
    """The thread of ``sync_to_async`` keeps a connection, which would hold the test database."""
    yield
    await sync_to_async(connections.close_all)()


def _delete_keys() -> None:
    client = sync_redis()
    for key in client.scan_iter("focsal:ingest-test:*"):
        client.delete(key)
