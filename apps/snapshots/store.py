"""Publish and read snapshots: Redis for speed, PostgreSQL for the time when Redis is away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from django.db import Error as DatabaseError
from django.db import connections
from psycopg import Cursor
from redis.exceptions import RedisError

from apps.core.logs import get_logger
from apps.core.redis import market_key, sync_redis
from apps.snapshots.contracts import SnapshotDocument
from apps.snapshots.models import SnapshotLatest
from apps.snapshots.pushing import push

log = get_logger(__name__)

# Newer inputs win: a slow worker never puts an older snapshot over a newer one.
_PUBLISH_LUA: Final = """
local held = redis.call('HGET', KEYS[1], 'v')
if held and tonumber(held) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 'ts', ARGV[2], 'cad', ARGV[3],
           'head', ARGV[4], 'tail', ARGV[5], 'partial', ARGV[6])
return 1
"""
_FIELDS: Final = ("v", "ts", "cad", "head", "tail", "partial")

_UPSERT_SQL: Final = """
INSERT INTO snapshot_latest
    (metric, asset, version, snapshot_ts_ms, cadence_s, head, tail, partial, published_at)
SELECT *, now() FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::int[],
                            %b::bytea[], %b::bytea[], %s::bool[])
ON CONFLICT (metric, asset) DO UPDATE SET
    version = EXCLUDED.version, snapshot_ts_ms = EXCLUDED.snapshot_ts_ms,
    cadence_s = EXCLUDED.cadence_s, head = EXCLUDED.head, tail = EXCLUDED.tail,
    partial = EXCLUDED.partial, published_at = EXCLUDED.published_at
WHERE snapshot_latest.version < EXCLUDED.version
"""


def snapshot_key(metric: str, asset: str) -> str:
    """The Redis hash of one snapshot."""
    return market_key("snap", metric, asset)


def publish(document: SnapshotDocument) -> bool:
    """Publish one document; False when a newer one is already there."""
    return publish_many([document]) == 1


def publish_many(documents: Sequence[SnapshotDocument]) -> int:
    """Publish a batch to Redis and PostgreSQL; returns how many were newer than what was held.

    Either store may be away: the other one still gets the batch. Raises only when both are.
    """
    if not documents:
        return 0
    published: int | None = None
    failure: Exception | None = None
    try:
        newer = _publish_redis(documents)
        published = len(newer)
        push(newer)
    except RedisError as error:
        failure = error
        log.warning("snapshot_publish_redis_away", error=str(error), documents=len(documents))
    try:
        upserted = _publish_database(documents)
    except DatabaseError as error:
        log.warning("snapshot_publish_database_away", error=str(error), documents=len(documents))
        if failure is not None:
            raise failure from error
        upserted = 0
    return upserted if published is None else published


def _publish_redis(documents: Sequence[SnapshotDocument]) -> list[SnapshotDocument]:
    """Those that were newer than what was held."""
    pipeline = sync_redis().pipeline(transaction=False)
    for document in documents:
        pipeline.eval(
            _PUBLISH_LUA,
            1,
            snapshot_key(document.metric, document.asset),
            document.version,
            document.snapshot_ts_ms,
            document.cadence_s,
            document.head,
            document.tail,
            int(document.partial),
        )
    answers = pipeline.execute()
    return [one for one, is_newer in zip(documents, answers, strict=True) if int(is_newer)]


def _publish_database(documents: Sequence[SnapshotDocument]) -> int:
    newest = {(d.metric, d.asset): d for d in sorted(documents, key=lambda d: d.version)}
    # One order for all writers: two that meet wait for each other and never lock up.
    rows = [newest[key] for key in sorted(newest)]
    columns = [
        [getattr(one, name) for one in rows]
        for name in (
            "metric",
            "asset",
            "version",
            "snapshot_ts_ms",
            "cadence_s",
            "head",
            "tail",
            "partial",
        )
    ]
    connection = connections["market"]
    connection.ensure_connection()
    # Bound by the server, in binary: as text in the statement the answers would be twice as long.
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        cursor.execute(_UPSERT_SQL, columns)
        return max(0, int(cursor.rowcount))


def read(metric: str, asset: str) -> SnapshotDocument | None:
    return read_many(metric, [asset]).get(asset)


def read_many(metric: str, assets: Sequence[str]) -> dict[str, SnapshotDocument]:
    """The last snapshots of a metric by asset; assets that were never published are left out."""
    try:
        found = _read_redis(metric, assets)
    except RedisError as error:
        log.warning("snapshot_read_redis_away", error=str(error), metric=metric)
        found = {}
    missing = [asset for asset in assets if asset not in found]
    if missing:
        found.update(_read_database(metric, missing))
    return found


def read_stored(metric: str, assets: Sequence[str]) -> dict[str, SnapshotDocument]:
    """The last snapshots from PostgreSQL alone, for a caller who knows that Redis is away."""
    return _read_database(metric, assets)


def published_assets(metric: str, assets: Iterable[str]) -> dict[str, int]:
    """``snapshot_ts_ms`` by asset of what Redis holds, without reading the bodies."""
    names = list(assets)
    pipeline = sync_redis().pipeline(transaction=False)
    for asset in names:
        pipeline.hget(snapshot_key(metric, asset), "ts")
    return {
        asset: int(ts)
        for asset, ts in zip(names, pipeline.execute(), strict=True)
        if ts is not None
    }


def _read_redis(metric: str, assets: Sequence[str]) -> dict[str, SnapshotDocument]:
    pipeline = sync_redis().pipeline(transaction=False)
    for asset in assets:
        pipeline.hmget(snapshot_key(metric, asset), _FIELDS)
    found = {}
    for asset, (version, ts_ms, cadence_s, head, tail, partial) in zip(
        assets, pipeline.execute(), strict=True
    ):
        if version is None:
            continue
        found[asset] = SnapshotDocument(
            metric=metric,
            asset=asset,
            version=int(version),
            snapshot_ts_ms=int(ts_ms),
            cadence_s=int(cadence_s),
            head=head,
            tail=tail,
            partial=partial == b"1",
        )
    return found


def _read_database(metric: str, assets: Sequence[str]) -> dict[str, SnapshotDocument]:
    rows = SnapshotLatest.objects.filter(metric=metric, asset__in=assets)
    return {
        row.asset: SnapshotDocument(
            metric=row.metric,
            asset=row.asset,
            version=row.version,
            snapshot_ts_ms=row.snapshot_ts_ms,
            cadence_s=row.cadence_s,
            head=bytes(row.head),
            tail=bytes(row.tail),
            partial=row.partial,
        )
        for row in rows
    }
