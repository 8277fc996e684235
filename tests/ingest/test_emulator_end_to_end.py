"""Emulator process, real client, real ingest, PostgreSQL and Redis, for a few assets."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from apps.ingest.emulator import Emulator
from apps.ingest.service import IngestConfig, IngestService
from apps.ingest.sharding import Shard
from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from tests.ingest.test_service import until

pytestmark = [
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]
SHARD = Shard(1, 20)


def free_port() -> int:
    """A port with free ones above it: the venue faces follow the control face."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port - 8 if port > 60_000 else port


@asynccontextmanager
async def emulator(port: int) -> AsyncIterator[Emulator]:
    env = {**os.environ, "FOCSAL_SANDBOX_PORT": str(port), "FOCSAL_MARKET": "sandbox"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parents[2] / "manage.py"),
        "sandbox",
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Emulator("127.0.0.1", port)
    finally:
        process.terminate()
        await process.wait()


async def test_the_emulators_market_arrives_in_tables_and_live_state(tmp_path: Path) -> None:
    assert len(SHARD.assets) >= 2
    async with emulator(free_port()) as control:
        config = IngestConfig(
            market="sandbox", shard=SHARD, spool_dir=tmp_path, emulator=control, seed=1
        )
        service = IngestService(config)
        running = asyncio.create_task(service.run())
        try:
            await until(lambda: ready(service), "backfill is ready")
            await until(all_live, "every perpetual is live")
        finally:
            service.stop()
            await running
    await sync_to_async(check_rows)()


async def ready(service: IngestService) -> bool:
    return service.progress.state == "ready"


async def all_live() -> bool:
    board = await sync_to_async(selectors.live_board)()
    perps = [one for asset in SHARD.assets for one in board.of_asset(asset, InstrumentKind.PERP)]
    return len(perps) == len(SHARD.assets) and all(
        one.mark_price is not None
        and one.funding_rate is not None
        and one.oi_usd is not None
        and one.book_state == "live"
        for one in perps
    )


def check_rows() -> None:
    selectors.clear_instrument_cache()
    rows = selectors.instruments()
    assert {row.instrument.asset for row in rows} == SHARD.assets
    now = datetime.now(UTC)
    for row in rows:
        bars = selectors.bar_series([row.id], 60, now - timedelta(days=1), now)
        assert len(bars.ts_ms) > 1000
        assert (bars.high >= bars.low).all()
        if row.instrument.kind is InstrumentKind.PERP:
            month = now - timedelta(days=30)
            assert len(selectors.funding_series([row.id], "settled", month, now).rate) >= 80
            assert len(selectors.funding_series([row.id], "predicted", month, now).rate) >= 1
