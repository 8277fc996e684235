"""P50 and P99 of every L1 endpoint out of one web process: one asset (the edge), all 65 (DRF), a page of
history (DRF, 500 rows out of PostgreSQL)."""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connections

from apps.core.clock import market_clock
from apps.core.redis import sync_redis
from apps.marketdata.universe import ASSETS, COLD, HOT
from apps.snapshots import store
from apps.snapshots.registry import all_specs, refreshers
from tests.bench import edge, l1_world

REQUESTS: Final = {"one asset": 300, "all assets": 60, "history": 40}
# Goals of the P99, in ms.
GOALS: Final = {"one asset": 10.0, "all assets": 100.0, "history": 150.0}


@contextmanager
def _redis(url: str) -> Any:
    """This process publishes to the Redis that the server reads."""
    kept = settings.REDIS_EDGE_URL
    settings.REDIS_EDGE_URL = url
    sync_redis.cache_clear()
    try:
        yield
    finally:
        settings.REDIS_EDGE_URL = kept
        sync_redis.cache_clear()


def _publish(now_ms: int) -> None:
    """Snapshots of every metric, made as the worker makes them."""
    market_clock.freeze(now_ms * 1_000_000)
    l1_world.go_live(now_ms)
    for _metric, refresh in refreshers():
        for tier in (HOT, COLD):
            store.publish_many(refresh(list(tier), now_ms))


def _latencies(port: int, path: str, key: str, requests: int) -> tuple[list[float], int]:
    """Milliseconds to the last byte, on one kept connection; and the bytes of the last answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    found, size = [], 0
    for number in range(requests + 2):
        started = time.perf_counter()
        connection.request("GET", path, headers={"X-API-Key": key})
        answer = connection.getresponse()
        size = len(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{path}: expected 200, got {answer.status}")
        # The first two open connections of their own behind the server.
        if number >= 2:
            found.append((time.perf_counter() - started) * 1000)
    connection.close()
    return found, size


def _figures(times: Sequence[float], size: int) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 2),
        "bytes": size,
    }


def measure() -> dict[str, dict[str, dict[str, float]]]:
    """By kind of question, then by metric."""
    url, client = edge.empty_redis()
    now = l1_world.floor_minute(datetime.now(UTC))
    try:
        with _redis(url), l1_world.own_market(settings.MARKET):
            l1_world.list_everything(now)
            l1_world.context(now, 12)
            l1_world.bars(now - timedelta(days=12), now - timedelta(hours=1), 3600)
            keys = edge.seed(client)
            _publish(int(now.timestamp() * 1000))
            database = connections["market"].settings_dict
            address = f"{database['HOST']}:{database['PORT']}"
            market = f"postgres://{database['USER']}@{address}/{database['NAME']}"
            more = {"REDIS_URL": url, "MARKET_DATABASE_URL": market}
            with edge.server(edge.APPS["edge"], url, **more) as port:
                return _ask(port, keys[0], int(now.timestamp() * 1000))
    finally:
        client.flushdb()
        client.close()


def _ask(port: int, key: str, now_ms: int) -> dict[str, dict[str, dict[str, float]]]:
    since = now_ms - 11 * 86_400_000
    questions = {
        "one asset": "asset=BTC",
        "all assets": "assets=*",
        "history": f"asset=BTC&from={since}&to={now_ms}",
    }
    specs = [spec for spec in all_specs() if spec.layer == "L1"]
    return {
        kind: {
            spec.metric.removeprefix("markets."): _figures(
                *_latencies(port, f"{spec.path}?{question}", key, REQUESTS[kind])
            )
            for spec in specs
        }
        for kind, question in questions.items()
    }


def run() -> dict[str, Any]:
    found = measure()
    return {
        "name": f"L1 endpoints, {len(ASSETS)} assets, one connection",
        "details": found,
        "figures": [
            {"what": f"{kind}, slowest P99", "unit": "ms", "better": "lower"}
            | {"goal": GOALS[kind], "measured": max(one["p99_ms"] for one in by_metric.values())}
            for kind, by_metric in found.items()
        ],
    }
