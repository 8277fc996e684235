"""The peer of the edge benchmark: the same work in FastAPI and redis-py, as one would write it.

Key form and hash, the same Lua script (key, tier, limits, usage event), the snapshot's bytes, age and ETag,
limit headers. It is spared what the edge does besides: completions, metrics, request ids of callers,
security headers. Both reads go in one pipeline, which is kinder than two round trips.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import django
import redis.asyncio as aredis
from fastapi import FastAPI, Header, HTTPException, Response

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django.setup()

from django.conf import settings  # noqa: E402 - needs loaded apps

from apps.core.clock import iso_utc  # noqa: E402 - needs loaded apps
from apps.core.ids import new_request_id  # noqa: E402 - needs loaded apps
from apps.keys.format import hash_key, is_well_formed  # noqa: E402 - needs loaded apps
from apps.snapshots.contracts import SnapshotDocument  # noqa: E402 - needs loaded apps
from apps.snapshots.store import snapshot_key  # noqa: E402 - needs loaded apps
from apps.tiers.limits import (  # noqa: E402 - needs loaded apps
    ADMISSIONS_STREAM,
    ADMIT_LUA,
    ADMIT_SHA,
    SENTINEL,
    key_record_name,
)

METRIC = "markets.funding"
RATE_HEADERS = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Quota-Day-Remaining",
    "X-Quota-Month-Remaining",
)
_redis: Any = aredis.Redis.from_url(settings.REDIS_EDGE_URL)


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    await _redis.script_load(ADMIT_LUA)
    yield
    await _redis.aclose()


app = FastAPI(lifespan=_lifespan)


@app.get("/v1/markets/funding")
async def funding(asset: str, x_api_key: Annotated[str, Header()]) -> Response:
    if not is_well_formed(x_api_key):
        raise HTTPException(401)
    now_ms = time.time_ns() // 1_000_000
    request_id = new_request_id()
    snapshot = snapshot_key(METRIC, asset)
    pipeline = _redis.pipeline(transaction=False)
    pipeline.evalsha(
        ADMIT_SHA,
        4,
        key_record_name(hash_key(x_api_key)),
        snapshot,
        ADMISSIONS_STREAM,
        SENTINEL,
        *(settings.KEY_ENVIRONMENT, 1, "L1", "", now_ms, request_id, "GET", "/v1/markets/funding"),
        *(settings.MARKET, "", METRIC, f"asset={asset}", ""),
    )
    pipeline.hmget(snapshot, "v", "ts", "cad", "head", "tail", "partial")
    raw, (version, ts_ms, cadence_s, head, tail, partial) = await pipeline.execute()
    if raw[0] != b"admitted":
        raise HTTPException(429 if raw[0] == b"rate_limited" else 403)
    document = SnapshotDocument(
        METRIC, asset, int(version), int(ts_ms), int(cadence_s), head, tail, partial == b"1"
    )
    headers = dict(zip(RATE_HEADERS, (raw[place].decode() for place in range(6, 11)), strict=True))
    headers["ETag"] = document.etag(now_ms)
    headers["Cache-Control"] = "private, no-cache"
    headers["X-Next-Update-At"] = iso_utc(document.next_update_ms)
    headers["X-Request-Id"] = request_id
    return Response(document.body(now_ms), media_type="application/json", headers=headers)
