"""What the stream benchmarks share: a Redis database, a key, servers, and sockets in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
import redis
from django.conf import settings

from apps.keys.format import hash_key, new_key
from apps.tiers.key_record import KeyRecord
from apps.tiers.limits import SENTINEL, key_record_name
from focsal.launcher.ports import free_port
from tests.bench.edge import empty_redis
from tests.serving import serving

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE_S: Final = 120.0
PLENTY: Final = 1_000_000


@dataclass(frozen=True)
class World:
    """``client`` is a Redis database of our own, ``key`` opens any number of sockets."""

    url: str
    client: redis.Redis
    key: str


@contextmanager
def world() -> Iterator[World]:
    url, client = empty_redis()
    key = new_key(settings.KEY_ENVIRONMENT)
    layers = frozenset({"L1", "L2", "L3", "L4"})
    record = KeyRecord(
        key_hash=hash_key(key), key_id=1, account_id=1, environment=settings.KEY_ENVIRONMENT,
        is_revoked=False, plan="enterprise", layers=layers, plan_layers=layers,
        rate_per_minute=PLENTY, quota_day=PLENTY, quota_month=PLENTY, expires_s=0,
        layer_plans="L1=Pro,L2=Enterprise,L3=Enterprise,L4=Enterprise", version=1,
        max_sockets=PLENTY, max_subscriptions=1000,
    )  # fmt: skip
    pairs = iter(record.fields())
    mapping: dict[Any, Any] = {**dict(zip(pairs, pairs, strict=True)), "version": 1}
    try:
        client.hset(key_record_name(record.key_hash), mapping=mapping)
        client.set(SENTINEL, 1)
        yield World(url, client, key)
    finally:
        client.flushdb()
        client.close()


class Server:
    """One web process under load."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.port = port
        self._process = psutil.Process(process.pid)

    @property
    def cpu_s(self) -> float:
        used = self._process.cpu_times()
        return used.user + used.system

    @property
    def rss_kb(self) -> float:
        return self._process.memory_info().rss / 1024


@contextmanager
def server(url: str, *, is_twin: bool = False) -> Iterator[Server]:
    """``python -m focsal.web``, or the same server with a Channels consumer."""
    port = free_port()
    words = [sys.executable, "-m", "tests.bench.stream_twin" if is_twin else "focsal.web"]
    environment = {
        **os.environ, "REDIS_EDGE_URL": url, "REDIS_URL": url, "FOCSAL_LOG_LEVEL": "WARNING",
        "FOCSAL_METRICS_PORT": "0",
    }  # fmt: skip
    with serving([*words, "--port", str(port)], port, environment) as process:
        yield Server(process, port)


class Sockets:
    """Sockets in a process of their own (``tests.bench.stream_clients``); one question at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the clients' process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def sockets(stamp: str = "t") -> Iterator[Sockets]:
    """``stamp`` is the field of a frame's data that says when it was sent."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.stream_clients", stamp],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Sockets(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=20)
