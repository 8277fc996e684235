"""The whole platform under load while every process is killed with -9: no usage event lost or doubled.

Runs ``make run``'s launcher on a copy of the project in a folder of its own, so that a running platform and
its data are left alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil

from focsal.launcher.layout import PROJECT
from focsal.launcher.ports import free_port

LOAD_S: Final = 120.0
CLIENTS: Final = 8
_READY_S: Final = 240.0
_DRAIN_S: Final = 60.0
_PATHS: Final = (
    "/v1/markets/funding?asset=BTC",
    "/v1/markets/volume-flow?asset=ETH",
    "/v1/markets/funding?assets=BTC,ETH",
)
_VICTIMS: Final = (
    "celery -A focsal worker", "focsal.web", "redis-server", "manage.py ingest", "postgres -D",
    "celery -A focsal beat", "manage.py sandbox", "celery -A focsal worker", "focsal.web",
)  # fmt: skip
_PLAN: Final = """
from apps.accounts.models import Account, User
from apps.tiers.models import Plan
plan = Plan.objects.create(
    slug="load", name="Load", price_usd_month=0, layers=["L1"], quota_day=10**8, quota_month=10**8,
    rate_per_minute=10**6, max_keys=1, usage_log_days=30, is_public=False,
)
User.objects.create_user(
    "load@focsal.test", "a-long-password-for-load", account=Account.objects.create(name="load", plan=plan)
)
"""
_COUNT: Final = """
import json
from django.db import connection
from apps.core.redis import sync_redis
with connection.cursor() as cursor:
    cursor.execute(
        "select request_id, count(*), sum(cost) from usage_request where request_id like 'load-%%' group by 1"
    )
    rows = cursor.fetchall()
print(json.dumps({"rows": rows, "pending": sync_redis().xlen("focsal:usage:admissions")}, default=int))
"""


@dataclass
class Load:
    """What the clients saw: request ids answered 200, other statuses, broken connections."""

    answered: set[str] = field(default_factory=set)
    statuses: dict[int, int] = field(default_factory=dict)
    broken: int = 0


def run() -> dict[str, Any]:
    with _platform() as (folder, process, base_url):
        environment = _environment_of(process)
        _manage(folder, environment, "shell", "-v0", "-c", _PLAN)
        key = _manage(
            folder, environment, "create_key", "--email", "load@focsal.test", "--name", "load"
        ).split()[-1]
        load = asyncio.run(_load(base_url, key, process))
        rows = _drained(folder, environment)
    ids = {row[0] for row in rows}
    doubled = [row[0] for row in rows if row[1] != 1]
    lost = load.answered - ids
    assert load.answered, "expected answers under load, got none"
    assert not lost, f"{len(lost)} answered requests are not in the usage log, e.g. {min(lost)}"
    assert not doubled, f"{len(doubled)} requests are in the usage log twice, e.g. {doubled[0]}"
    return {
        "answered": len(load.answered),
        "logged": len(rows),
        "other_statuses": load.statuses,
        "broken_connections": load.broken,
        "kills": len(_VICTIMS),
    }


@contextlib.contextmanager
def _platform(**extra: str) -> Iterator[tuple[Path, psutil.Process, str]]:
    with tempfile.TemporaryDirectory(prefix="focsal-soak-") as scratch:
        folder = Path(scratch) / "focsal"
        shutil.copytree(
            PROJECT,
            folder,
            ignore=shutil.ignore_patterns(".venv", "var", ".git", ".*_cache"),
        )
        # PostgreSQL may run as another user: the way in has to be open.
        os.chmod(scratch, 0o755)
        port = free_port()
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("FOCSAL_", "DATABASE", "MARKET_DATABASE", "REDIS", "SECRET"))
        } | {"PORT": str(port), **extra}
        launcher = subprocess.Popen(
            [sys.executable, "-m", "focsal.launcher", "run"],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            _wait_ready(launcher)
            yield folder, psutil.Process(launcher.pid), f"http://127.0.0.1:{port}"
        finally:
            launcher.send_signal(signal.SIGINT)
            launcher.communicate(timeout=120)


def _wait_ready(launcher: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _READY_S
    assert launcher.stdout is not None
    for line in launcher.stdout:
        if line.startswith("FOCSAL ready"):
            return
        assert time.monotonic() < deadline, f"not ready after {_READY_S:.0f} s: {line}"
    raise AssertionError(f"the platform ended with {launcher.wait()} before it was ready")


def _find(process: psutil.Process, words: str) -> list[psutil.Process]:
    found = []
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if words in " ".join(child.cmdline()):
                found.append(child)
    return found


def _environment_of(process: psutil.Process) -> dict[str, str]:
    (web,) = _find(process, "focsal.web")[:1]
    return web.environ()


def _manage(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


async def _load(base_url: str, key: str, process: psutil.Process) -> Load:
    load = Load()
    end = time.monotonic() + LOAD_S
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(
        base_url, headers={"X-API-Key": key}, timeout=timeout
    ) as session:
        clients = [_client(session, number, load, end) for number in range(CLIENTS)]
        await asyncio.gather(_killer(process), *clients)
    return load


async def _client(session: aiohttp.ClientSession, number: int, load: Load, end: float) -> None:
    rng = random.Random(number)
    count = 0
    while time.monotonic() < end:
        request_id = f"load-{number:03d}-{count:07d}"
        count += 1
        try:
            async with session.get(
                rng.choice(_PATHS), headers={"X-Request-Id": request_id}
            ) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            load.broken += 1
            await asyncio.sleep(0.1)
            continue
        if answer.status == 200:
            load.answered.add(request_id)
        else:
            load.statuses[answer.status] = load.statuses.get(answer.status, 0) + 1
        await asyncio.sleep(0.02)


async def _killer(process: psutil.Process) -> None:
    pause = (LOAD_S - 15) / len(_VICTIMS)
    for words in _VICTIMS:
        await asyncio.sleep(pause)
        victims = await asyncio.to_thread(_find, process, words)
        assert victims, f"expected a running {words}, found none"
        for victim in victims:
            with contextlib.suppress(psutil.Error):
                victim.kill()


def _drained(folder: Path, environment: dict[str, str]) -> list[tuple[str, int, int]]:
    """Rows of the usage log once nothing is left in the stream."""
    deadline = time.monotonic() + _DRAIN_S
    while True:
        answer = json.loads(_manage(folder, environment, "shell", "-v0", "-c", _COUNT))
        if answer["pending"] == 0:
            return [tuple(row) for row in answer["rows"]]
        assert time.monotonic() < deadline, f"{answer['pending']} usage events are still not stored"
        time.sleep(2)
