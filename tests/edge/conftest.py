"""Customers, snapshots and an edge in front of Django, on real PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from apps.accounts.models import Account, User
from apps.core.clock import iso_utc, market_clock
from apps.core.redis import sync_redis
from apps.edge import commands
from apps.edge.app import EdgeApplication
from apps.keys.models import ApiKey
from apps.keys.services import key_create, key_revoke, records_sync
from apps.snapshots import store
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.registry import all_specs
from apps.tiers import limits
from tests.customers import Customer, clear_redis, make_customer

NOW_MS = 1_763_712_030_500
WALL_US = 1_763_712_000_250_000
AGE_S = 10


@dataclass(frozen=True)
class World:
    """Alice is on Pro, Eve on Enterprise; ``narrow`` is a key of Eve's without L1."""

    alice: Customer
    eve: Customer
    narrow: str
    revoked: str
    records: dict[Any, dict[Any, Any]]


def document(metric: str, asset: str, *, version: int = 1_763_712_020_000_000) -> SnapshotDocument:
    payload = {
        "asset": asset,
        "aggregate": {"value": 0.0081, "unit": "percent_per_8h"},
        "venues": {"binance": 0.0000081},
        "venues_detail": {"binance": {"value": 0.0000081, "rate_raw": "0.00000810"}},
        "meta": {
            "market": "sandbox",
            "snapshot_ts": iso_utc(NOW_MS - AGE_S * 1000),
            "version_of_test": version,
            "partial": False,
            "staleness_seconds": 0,
            "freshness": "fresh",
        },
    }
    return SnapshotDocument.from_payload(
        metric, payload, version=version, snapshot_ts_ms=NOW_MS - AGE_S * 1000, cadence_s=60
    )


def _clear_snapshots() -> None:
    client: Any = sync_redis()
    for spec in all_specs():
        names = list(client.scan_iter(store.snapshot_key(spec.metric, "*"), count=1000))
        if names:
            client.delete(*names)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Committed rows: Django answers in threads of its own, which see nothing of an open transaction.

    Tests that use it carry the ``django_db`` mark with both databases.
    """
    with django_db_blocker.unblock():
        kept = {alias: connections[alias].settings_dict["CONN_MAX_AGE"] for alias in connections}
        for alias in connections:
            # Threads' connections close with their request, or the test database cannot be dropped.
            connections[alias].settings_dict["CONN_MAX_AGE"] = 0
        clear_redis()
        alice, eve = make_customer("pro", "alice"), make_customer("enterprise", "eve")
        environment = eve.key.environment
        narrow = key_create(
            account=eve.account, name="narrow", environment=environment, layers=["L2"]
        )
        revoked = key_create(account=eve.account, name="old", environment=environment)
        key_revoke(account_id=eve.account.pk, key_id=revoked.key.pk)
        records_sync(key_ids=list(ApiKey.objects.values_list("pk", flat=True)))
        client: Any = sync_redis()
        records = {name: client.hgetall(name) for name in client.scan_iter("focsal:auth:key:*")}
        yield World(alice, eve, narrow.plaintext, revoked.plaintext, records)
        _clear_snapshots()
        clear_redis()
        User.objects.all().delete()
        Account.objects.all().delete()
        for alias, age in kept.items():
            connections[alias].settings_dict["CONN_MAX_AGE"] = age
        connections.close_all()


@pytest.fixture
def published(world: World) -> Iterator[None]:
    """BTC and ETH of every metric, ten seconds old; in Redis only."""
    _clear_snapshots()
    for spec in all_specs():
        store._publish_redis([document(spec.metric, asset) for asset in ("BTC", "ETH")])
    yield
    _clear_snapshots()


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both clocks stand still, for the edge and for Django alike."""
    market_clock.freeze(NOW_MS * 1_000_000)
    original = limits.encode

    def encode(request: limits.AdmissionRequest) -> Any:
        return original(replace(request, now_us=WALL_US))

    monkeypatch.setattr(limits, "encode", encode)
    monkeypatch.setattr(commands, "encode", encode)


@pytest.fixture
def market_time() -> Callable[[int], None]:
    """Sets the market clock, in milliseconds; it is let go after each test."""
    return lambda now_ms: market_clock.freeze(now_ms * 1_000_000)


@pytest.fixture
async def edge(
    world: World, published: None, settings: Any, tmp_path: Path
) -> AsyncIterator[EdgeApplication]:
    """The edge in front of Django, started; nothing counted yet."""
    from focsal.asgi import django_application

    settings.VAR_DIR = tmp_path
    fresh_limits(world)
    application = EdgeApplication(django_application)
    await application.start()
    yield application
    await application.stop()


def fresh_limits(world: World) -> None:
    """Key records as in PostgreSQL, empty windows and quotas, no usage events."""
    clear_redis()
    for name, fields in world.records.items():
        sync_redis().hset(name, mapping=fields)
    sync_redis().set(limits.SENTINEL, 1)
