"""Publishing and reading: newest inputs win, either store may be away."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.db import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.core.redis import sync_redis
from apps.snapshots import store
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.models import SnapshotLatest

pytestmark = pytest.mark.django_db(databases=["market"])

METRIC = "markets.funding"


def document(asset: str = "BTC", version: int = 10, head: bytes = b'{"a":') -> SnapshotDocument:
    return SnapshotDocument(
        metric=METRIC,
        asset=asset,
        version=version,
        snapshot_ts_ms=1_700_000_000_000,
        cadence_s=60,
        head=head,
        tail=b"}",
        partial=True,
    )


def redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))

    monkeypatch.setattr(store, "sync_redis", away)


def test_what_is_published_is_read() -> None:
    documents = [document("BTC"), document("ETH", head=b'{"\xc3\xa9":')]
    assert store.publish_many(documents) == 2
    assert store.read(METRIC, "ETH") == documents[1]
    assert store.read_many(METRIC, ["ETH", "XRP", "BTC"]) == {
        "BTC": documents[0],
        "ETH": documents[1],
    }
    assert store.read(METRIC, "XRP") is None


def test_older_inputs_never_replace_newer_ones() -> None:
    assert store.publish(document(version=10))
    assert not store.publish(document(version=9))
    assert not store.publish(document(version=10, head=b"other"))
    held = store.read(METRIC, "BTC")
    row = SnapshotLatest.objects.get(metric=METRIC, asset="BTC")
    assert held is not None
    assert (held.version, held.head) == (10, b'{"a":')
    assert (row.version, bytes(row.head)) == (10, b'{"a":')
    assert store.publish(document(version=11, head=b"new"))
    assert store.read(METRIC, "BTC") == document(version=11, head=b"new")


def test_a_missing_hash_comes_from_the_database() -> None:
    store.publish(document())
    sync_redis().delete(store.snapshot_key(METRIC, "BTC"))
    assert store.read(METRIC, "BTC") == document()


def test_without_redis_the_database_is_written_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    redis_is_away(monkeypatch)
    assert store.publish(document())
    assert store.read(METRIC, "BTC") == document()


def test_without_the_database_redis_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(documents: Any) -> int:
        raise OperationalError("no server")

    monkeypatch.setattr(store, "_publish_database", away)
    assert store.publish(document())
    assert store.read(METRIC, "BTC") == document()


def test_without_both_the_caller_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(documents: Any) -> int:
        raise OperationalError("no server")

    redis_is_away(monkeypatch)
    monkeypatch.setattr(store, "_publish_database", away)
    with pytest.raises(redis.ConnectionError):
        store.publish(document())


def test_markets_do_not_meet(settings: Any) -> None:
    store.publish(document())
    settings.MARKET = "test-snapshots-other"
    assert store.published_assets(METRIC, ["BTC"]) == {}
