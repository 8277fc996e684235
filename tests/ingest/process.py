"""Ingest in a process of its own, for tests that stop or kill it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

from django.conf import settings
from django.db import connections

ROOT = Path(__file__).parents[2]


def database_url(alias: str) -> str:
    """The test database as other processes find it."""
    db = connections[alias].settings_dict
    return f"postgres://{db['USER']}:{db['PASSWORD']}@{db['HOST']}:{db['PORT']}/{db['NAME']}"


class IngestProcess:
    """Running ingest."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def kill(self) -> None:
        """Without warning."""
        self._process.kill()
        await self._process.wait()

    async def end(self, grace_s: float) -> int:
        """Asked to stop; its exit status. ``TimeoutError`` when it takes longer."""
        self._process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self._process.wait(), grace_s)

    @property
    def is_over(self) -> bool:
        return self._process.returncode is not None


@asynccontextmanager
async def ingest_process(
    folder: Path,
    port: int,
    assets: tuple[str, ...],
    servers: Mapping[str, str] = MappingProxyType({}),
    **more: object,
) -> AsyncIterator[IngestProcess]:
    """Killed at the end if it still runs. ``folder`` has its spool and its log; ``servers`` are other
    addresses than the test's own (``REDIS_URL`` …)."""
    told = {"market": settings.MARKET, "port": port, "assets": assets, "spool": str(folder), **more}
    env = {
        **os.environ,
        "DATABASE_URL": database_url("default"),
        "MARKET_DATABASE_URL": database_url("market"),
        **servers,
    }
    with (folder / "ingest.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.ingest.ingest_forever", json.dumps(told),
            cwd=ROOT, env=env, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield IngestProcess(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
