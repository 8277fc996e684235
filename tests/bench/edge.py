"""Snapshot GET with key, limits and usage: the edge against a FastAPI twin.

One uvicorn process each, the same Redis, the same Lua script, the load from a third process. Rounds of both
are interleaved, and medians compared, so that a busy machine slows both alike.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django.setup()

import redis  # noqa: E402 - after the settings
from django.conf import settings  # noqa: E402 - after the settings

from apps.keys.format import hash_key, new_key  # noqa: E402 - needs loaded apps
from apps.snapshots.contracts import SnapshotDocument  # noqa: E402 - needs loaded apps
from apps.snapshots.store import snapshot_key  # noqa: E402 - needs loaded apps
from apps.tiers.limits import (  # noqa: E402 - needs loaded apps
    ADMISSIONS_STREAM,
    COMPLETIONS_STREAM,
    SENTINEL,
    key_record_name,
)
from focsal.launcher.ports import free_port  # noqa: E402 - after the settings
from tests.serving import serving  # noqa: E402 - after the settings

ROOT: Final = Path(__file__).resolve().parents[2]
PATH: Final = "/v1/markets/funding?asset=BTC"
CONNECTIONS: Final = (1, 16, 64)
ROUNDS: Final = 3
ROUND_S: Final = 1.5
KEYS: Final = 16
# More than any machine sends: the limiter does its full work and refuses nothing.
UNBOUNDED: Final = 1_000_000_000
APPS: Final = {"edge": "focsal.asgi:application", "fastapi": "tests.bench.edge_twin:app"}


def _with_database(url: str, number: int) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return urlunsplit(parts._replace(query=f"db={number}"))
    return urlunsplit(parts._replace(path=f"/{number}"))


def empty_redis() -> tuple[str, redis.Redis]:
    """A Redis database of our own, so that nothing of a running platform is touched."""
    for number in range(15, 9, -1):
        url = _with_database(settings.REDIS_EDGE_URL, number)
        client = redis.Redis.from_url(url)
        # The claim keeps two runs at once apart.
        if client.dbsize() == 0 and client.set("focsal:bench", 1, nx=True):
            return url, client
    raise RuntimeError("expected an empty Redis database among 10 to 15, found none")


def _document() -> SnapshotDocument:
    """As large as a funding answer of five venues."""
    now_ms = time.time_ns() // 1_000_000
    venues = ("binance", "bybit", "okx", "deribit", "hyperliquid")
    context = {
        "value": 0.0081,
        "unit": "percent_per_8h",
        "percentile_30d": 0.62,
        "z_score": 0.41,
        "interpretation": "neutral",
        "thresholds": {"low": -0.01, "high": 0.03},
        "samples": 90,
    }
    payload = {
        "asset": "BTC",
        "aggregate": context,
        "venues": dict.fromkeys(venues, 0.0081),
        "venues_detail": {venue: {**context, "rate_raw": "0.00008100"} for venue in venues},
        "meta": {
            "market": settings.MARKET,
            "layer": "L1",
            "sources": [{"venue": venue, "status": "ok", "age_seconds": 1} for venue in venues],
            "partial": False,
            "staleness_seconds": 0,
            "freshness": "fresh",
        },
    }
    return SnapshotDocument.from_payload(
        "markets.funding", payload, version=now_ms * 1000, snapshot_ts_ms=now_ms, cadence_s=60
    )


def seed(client: redis.Redis) -> list[str]:
    """Keys and one snapshot, as the platform writes them."""
    keys = [new_key(settings.KEY_ENVIRONMENT) for _ in range(KEYS)]
    for number, key in enumerate(keys, start=1):
        client.hset(
            key_record_name(hash_key(key)),
            mapping={
                "key": number,
                "account": number,
                "env": settings.KEY_ENVIRONMENT,
                "status": "active",
                "plan": "enterprise",
                "layers": "L1,L2,L3,L4",
                "plan_layers": "L1,L2,L3,L4",
                "rate": UNBOUNDED,
                "day": UNBOUNDED,
                "month": UNBOUNDED,
                "expires": 0,
                "layer_plans": "L1=Pro,L2=Enterprise,L3=Enterprise,L4=Enterprise",
            },
        )
    client.set(SENTINEL, 1)
    one = _document()
    fields: dict[Any, Any] = {
        "v": one.version,
        "ts": one.snapshot_ts_ms,
        "cad": one.cadence_s,
        "partial": 0,
    }
    client.hset(
        snapshot_key(one.metric, one.asset), mapping={**fields, "head": one.head, "tail": one.tail}
    )
    return keys


def _forget_usage(client: redis.Redis) -> None:
    """Every round starts with empty windows and streams."""
    windows = list(client.scan_iter("focsal:auth:min:*", count=1000))
    client.delete(ADMISSIONS_STREAM, COMPLETIONS_STREAM, *windows)


@contextmanager
def server(app: str, redis_url: str, **more: str) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    environment = {
        **os.environ,
        "REDIS_EDGE_URL": redis_url,
        "FOCSAL_LOG_LEVEL": "WARNING",
        "FOCSAL_METRICS_PORT": "0",
        **more,
    }
    with serving([*command, "--log-level", "warning"], port, environment):
        yield port


def _load(port: int, connections: int, seconds: float, keys: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.load", "127.0.0.1", str(port)]
    done = subprocess.run(
        [*command, str(connections), str(seconds), PATH, *keys],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    if set(result["statuses"]) != {"200"}:
        raise RuntimeError(f"expected 200 only, got {result['statuses']}")
    return result


def _median(rounds: list[dict[str, Any]], name: str) -> float:
    return float(statistics.median(one[name] for one in rounds))


def measure() -> dict[int, dict[str, dict[str, float]]]:
    """Medians by connections and server."""
    url, client = empty_redis()
    try:
        keys = seed(client)
        with server(APPS["edge"], url) as edge, server(APPS["fastapi"], url) as twin:
            ports = {"edge": edge, "fastapi": twin}
            for port in ports.values():
                _load(port, 4, 0.5, keys)
            table: dict[int, dict[str, dict[str, float]]] = {}
            for connections in CONNECTIONS:
                rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in ports}
                for _ in range(ROUNDS):
                    for name, port in ports.items():
                        _forget_usage(client)
                        rounds[name].append(_load(port, connections, ROUND_S, keys))
                table[connections] = {
                    name: {
                        figure: round(_median(results, figure), 3)
                        for figure in ("requests_per_s", "p50_ms", "p99_ms")
                    }
                    for name, results in rounds.items()
                }
            return table
    finally:
        client.flushdb()
        client.close()


def run() -> dict[str, Any]:
    """Goal: twice the peer and P99 under 10 ms at 16 connections; stretch three times and 5 ms."""
    table = measure()
    ratios = {
        str(connections): round(row["edge"]["requests_per_s"] / row["fastapi"]["requests_per_s"], 2)
        for connections, row in table.items()
    }
    at_16 = table[16]["edge"]
    return {
        "name": "snapshot GET, one web process",
        "peer": "FastAPI + redis-py",
        "figures": [
            {"what": "ratio at 16 connections", "goal": 2.0, "stretch": 3.0, "better": "higher"}
            | {"measured": ratios["16"], "unit": "x"},
            {"what": "P99 at 16 connections", "goal": 10.0, "stretch": 5.0, "better": "lower"}
            | {"measured": at_16["p99_ms"], "unit": "ms"},
        ],
        "ratios": ratios,
        "details": {str(connections): row for connections, row in table.items()},
    }


if __name__ == "__main__":
    print(json.dumps(run(), indent=1))
