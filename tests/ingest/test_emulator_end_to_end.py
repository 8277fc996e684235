"""Emulator process, real client, real ingest, PostgreSQL and Redis, for a few assets."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from asgiref.sync import sync_to_async

from apps.ingest.emulator import Emulator
from apps.ingest.management.commands.sandbox import token_file
from apps.ingest.service import IngestConfig, IngestService
from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.normalisation import FUNDING
from apps.sandbox.control import TOKEN_HEADER
from apps.sandbox.faces.registry import PORTS
from apps.sandbox.faces.registry import VENUES as FACES
from apps.venues.registry import ADAPTERS
from tests.ingest.rig import STOP_S, Few, until
from tests.sandbox.conftest import free_ports

pytestmark = [
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]
SHARD = Few(names=("AAVE", "BTC", "UNI"))


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
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            raise


async def test_the_emulators_market_arrives_in_tables_and_live_state(tmp_path: Path) -> None:
    """Every venue; one of them is cut: only its state changes, and it recovers by itself."""
    port = free_ports(PORTS)
    async with emulator(port) as control:
        config = IngestConfig(
            market="sandbox",
            shard=SHARD,
            spool_dir=tmp_path,
            emulator=control,
            seed=1,
            history_days=31,
        )
        service = IngestService(config)
        running = asyncio.create_task(service.run())
        try:
            # From the start of the emulator's process on, and with every window of a month.
            await until(lambda: ready(service), "backfill is ready", seconds=240.0)
            await until(all_live, "every perpetual is live")
            await until(all_well, "every venue is well")
            await cut(port, "okx")
            await until(lambda: ill({"okx"}), "the cut is noticed")
            await until(all_well, "the venue has recovered")
            await until(all_live, "its perpetuals are live again")
            assert not seen_ill - {"okx"}
        finally:
            service.stop()
            await asyncio.wait_for(running, STOP_S)
    await sync_to_async(check_rows)()


seen_ill: set[str] = set()


async def ready(service: IngestService) -> bool:
    return service.progress.state == "ready"


async def all_live() -> bool:
    board = await sync_to_async(selectors.live_board)()
    bitcoin = {one.venue for one in board.of_asset("BTC", InstrumentKind.PERP)}
    perps = [one for asset in SHARD.assets for one in board.of_asset(asset, InstrumentKind.PERP)]
    return bitcoin == set(FACES) and all(
        one.mark_price is not None
        and one.funding_rate is not None
        and one.oi_usd is not None
        and one.book_state == "live"
        for one in perps
    )


async def all_well() -> bool:
    sources = await sync_to_async(selectors.source_statuses)()
    return set(sources) == set(FACES) and all(one.status == "ok" for one in sources.values())


async def ill(venues: set[str]) -> bool:
    sources = await sync_to_async(selectors.source_statuses)()
    found = {name for name, one in sources.items() if one.status != "ok"}
    seen_ill.update(found)
    return found == venues


async def cut(port: int, venue: str) -> None:
    command = {"fault": "drop_connections", "venue": venue}
    headers = {TOKEN_HEADER: token_file(port).read_text()}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"http://127.0.0.1:{port}/faults", json=command) as answer,
    ):
        assert answer.status == 200
        assert (await answer.json())["dropped"] > 0


def check_rows() -> None:
    selectors.clear_instrument_cache()
    rows = selectors.instruments()
    assert {row.instrument.asset for row in rows} == SHARD.assets
    now = datetime.now(UTC)
    month = now - timedelta(days=30)
    for row in rows:
        venue, is_perp = row.instrument.venue, row.instrument.kind is InstrumentKind.PERP
        is_dated = row.instrument.kind is InstrumentKind.FUTURE
        # Bars of dated futures are not waited for.
        if ADAPTERS[venue].offer.taker_candles and not is_dated:
            bars = selectors.bar_series([row.id], 60, now - timedelta(days=1), now)
            assert len(bars.ts_ms) > 1000
            assert (bars.high >= bars.low).all()
        if is_perp:
            hours = FUNDING[venue].settlement_hours or 8.0
            settled = selectors.funding_series([row.id], "settled", month, now)
            assert len(settled.rate) >= 0.85 * 30 * 24 / hours
            assert len(selectors.funding_series([row.id], "predicted", month, now).rate) >= 1
        if is_perp or is_dated:
            marks = selectors.basis_series([row.id], month, now)
            assert len(marks.ts_ms) >= 1
            if ADAPTERS[venue].offer.mark_page >= 1000:
                assert len(marks.ts_ms) >= 0.9 * 30 * 48
