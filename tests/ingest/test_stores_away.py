"""PostgreSQL and Redis taken away from running ingest and given back: nothing lost, nothing doubled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings

from apps.core.redis import market_key, sync_redis
from apps.ingest.storage import moment
from apps.marketdata import selectors
from apps.marketdata.models import LiquidationEvent
from apps.sandbox.backend import ModelBackend
from apps.sandbox.config import SandboxConfig
from apps.sandbox.faces.registry import PORTS, VENUES
from apps.sandbox.server import Sandbox
from tests.ingest.process import IngestProcess, database_url, ingest_process
from tests.ingest.rig import FEW, until
from tests.ingest.test_kill import all_live
from tests.ingest.truth import MINUTE_MS, differences_in_the_end, until_second
from tests.marketdata.proxy import through
from tests.sandbox.conftest import free_ports

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["default", "market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]


@asynccontextmanager
async def following(
    folder: Path, servers: dict[str, str]
) -> AsyncIterator[tuple[Sandbox, IngestProcess]]:
    """Ingest in its own process under load, forced orders among it, with every book live."""
    sandbox = Sandbox(SandboxConfig(port=free_ports(PORTS), assets=FEW, seed=11, rate=3.0))
    await sandbox.start()
    try:
        async with ingest_process(folder, sandbox.config.port, FEW, servers) as ingest:
            await until(all_live, "every book is live")
            await until(is_ready, "the past is there")
            sandbox.start_scenario({"kind": "cascade", "seconds": 600, "strength": 2})
            yield sandbox, ingest
    finally:
        await sandbox.stop()


async def is_ready() -> bool:
    state = await sync_to_async(sync_redis().hget)(market_key("backfill"), "state")
    return bool(state == b"ready")


def waiting(folder: Path) -> int:
    """Bytes of rows that wait for the database."""
    spool = folder / "series.spool"
    return spool.stat().st_size if spool.exists() else 0


async def newest() -> dict[str, int]:
    """When each venue's newest live state was received."""
    board = await sync_to_async(selectors.live_board)()
    found = dict.fromkeys(VENUES, 0)
    for one in board.states.values():
        found[one.venue] = max(found[one.venue], one.ts_recv_ms or 0)
    return found


def forced_orders(sandbox: Sandbox, first_ms: int, last_ms: int) -> tuple[list[str], list[str]]:
    """Bybit's, whose feed is whole: as stored and as the market made them, ``ms side base`` of BTC."""
    backend = sandbox.backend
    assert isinstance(backend, ModelBackend)
    market = backend._market
    (listing,) = (
        one
        for one in market.listings
        if (one.venue, one.symbol, one.kind) == ("bybit", "BTCUSDT", "perp")
    )
    made = [
        f"{one.time_ms} {'short' if one.is_buy else 'long'} {one.lots * listing.lot:.6f}"
        for minute in range(first_ms // MINUTE_MS, last_ms // MINUTE_MS)
        for one in market.liquidations(listing, minute)
    ]
    (row,) = (
        one
        for one in selectors.instruments(asset="BTC", venue="bybit", kind="perp")
        if one.instrument.symbol == "BTCUSDT"
    )
    rows = LiquidationEvent.objects.using("market").filter(
        instrument_id=row.id, ts__gte=moment(first_ms), ts__lt=moment(last_ms), origin="stream"
    )
    stored = [f"{round(one.ts.timestamp() * 1000)} {one.side} {one.qty_base:.6f}" for one in rows]
    return sorted(stored), sorted(made)


async def check_rows(sandbox: Sandbox, first_ms: int, last_ms: int) -> None:
    """Every minute and every forced order once."""
    assert await differences_in_the_end(sandbox, first_ms, last_ms) == {}
    stored, made = await sync_to_async(forced_orders)(sandbox, first_ms, last_ms)
    assert len(made) > 20
    assert stored == made


def check_log(folder: Path, *words: str) -> None:
    """It said so, nothing broke, and no venue's stream was lost over it."""
    log = (folder / "ingest.log").read_text()
    for word in words:
        assert word in log, word
    assert "Traceback" not in log
    assert '"status": "reconnecting"' not in log


async def test_rows_wait_while_postgresql_is_away(tmp_path: Path) -> None:
    """Live states go on in Redis; what closed meanwhile is spooled and stored once when it is back."""
    proxy, url = through(database_url("market"))
    try:
        async with following(tmp_path, {"MARKET_DATABASE_URL": url}) as (sandbox, ingest):
            first_ms = await until_second(2)
            await until_second(40)
            proxy.cut()

            async def is_spooled() -> bool:
                return waiting(tmp_path) > 0

            await until(is_spooled, "rows wait in the spool")
            before = await newest()

            async def goes_on() -> bool:
                now = await newest()
                assert await all_live()
                return all(now[venue] > before[venue] + 3_000 for venue in VENUES)

            await until(goes_on, "every venue is followed all the same")
            # The minute that ends meanwhile is among what waits.
            await until_second(10)
            held = waiting(tmp_path)
            assert held > 0
            proxy.restore()

            async def is_stored() -> bool:
                return waiting(tmp_path) == 0

            await until(is_stored, "what waited is stored")
            assert not ingest.is_over
            await check_rows(sandbox, first_ms, first_ms + 2 * MINUTE_MS)
            assert await ingest.end(35.0) == 0
        check_log(tmp_path, "database_away", "spool_replayed", "ingest_stopped")
        assert not (tmp_path / "series.rejected").exists()
    finally:
        proxy.cut()


@pytest.mark.parametrize("loses_memory", [False, True], ids=["keeps", "loses"])
async def test_redis_goes_and_comes_back(tmp_path: Path, *, loses_memory: bool) -> None:
    """Nothing that is stored misses a thing; live states, sources, clock and readiness are told anew."""
    proxy, url = through(settings.REDIS_URL)
    servers = {"REDIS_URL": url, "REDIS_EDGE_URL": url}
    redis = sync_redis()
    try:
        async with following(tmp_path, servers) as (sandbox, ingest):
            first_ms = await until_second(2)
            await until_second(45)
            told = await sync_to_async(redis.keys)(market_key("*"))
            proxy.cut()
            if loses_memory:
                await sync_to_async(redis.delete)(*told)
            before = await newest()
            await until_second(10)
            assert await newest() == before
            proxy.restore()

            async def is_back() -> bool:
                now = await newest()
                fresh = all(now[venue] > before[venue] for venue in VENUES)
                return fresh and await all_live() and await is_ready()

            await until(is_back, "everything is told again")
            again = await sync_to_async(redis.keys)(market_key("*"))
            assert {market_key(one).encode() for one in ("clock", "live", "sources")} <= set(again)
            assert not ingest.is_over
            await check_rows(sandbox, first_ms, first_ms + 2 * MINUTE_MS)
            assert await ingest.end(35.0) == 0
        check_log(tmp_path, "redis_away", "redis_back", "ingest_stopped")
        assert waiting(tmp_path) == 0
    finally:
        proxy.cut()
