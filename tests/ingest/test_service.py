"""The whole process in one loop: fake venue, real PostgreSQL, real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from apps.core.clock import market_clock
from apps.core.redis import sync_redis
from apps.ingest.progress import backfill_key
from apps.ingest.service import IngestConfig, IngestService
from apps.ingest.sharding import Shard
from apps.marketdata import selectors
from apps.marketdata.clocksync import clock_key
from apps.marketdata.live import LiveState
from apps.venues.errors import VenueRefused
from apps.venues.stream_client import StreamStatus
from tests.ingest.fake_venue import PERP, SPECS, SPOT, FakeVenue, requests_of
from tests.marketdata.samples import MINUTE, T0, at

pytestmark = [
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]
START = T0 + 20_000
DAY = 86_400_000


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for the other side, at most 40 s."""
    async with asyncio.timeout(40):
        while not await condition():  # noqa: ASYNC110 Redis and PostgreSQL have no event to await
            await asyncio.sleep(0.05)
    assert what


@asynccontextmanager
async def ingest(folder: Path, venue: FakeVenue) -> AsyncIterator[IngestService]:
    config = IngestConfig(
        market="live",
        shard=Shard(),
        spool_dir=folder,
        emulator=None,
        adapters=(venue.adapter,),
        seed=1,
    )
    service = IngestService(config)
    running = asyncio.create_task(service.run())
    try:
        yield service
    finally:
        service.stop()
        await running


async def live(key: str) -> LiveState | None:
    return (await sync_to_async(selectors.live_board)()).get(key)


async def is_ready() -> bool:
    raw = await sync_to_async(sync_redis().hgetall)(backfill_key())
    return bool(raw.get(b"state") == b"ready" and raw.get(b"phase") == b"done")


async def minutes(kind: str, start: int, end: int) -> selectors.BarSeries:
    def read() -> selectors.BarSeries:
        selectors.clear_instrument_cache()
        ids = [row.id for row in selectors.instruments(kind=kind)]
        return selectors.bar_series(ids, 60, at(start), at(end))

    return await sync_to_async(read)()


async def test_trades_become_live_state_and_bars_and_history_is_filled(tmp_path: Path) -> None:
    market_clock.freeze(START * 1_000_000)
    venue = FakeVenue(market_clock.now_ms)
    async with ingest(tmp_path, venue):
        await venue.streaming.wait()
        await until(is_ready, "backfill is ready")
        for second in range(20, 60):
            venue.trade(PERP, T0 + second * 1000, 100.0 + second)
        venue.trade(SPOT, T0 + MINUTE + 1000, 55.0, 3.0)
        market_clock.freeze((T0 + MINUTE + 5000) * 1_000_000)

        async def bar_is_stored() -> bool:
            return len((await minutes("perp", T0, T0 + MINUTE)).ts_ms) == 1

        await until(bar_is_stored, "the minute is stored")
        state = await live(PERP.key)
        assert state is not None
        assert (state.last_price, state.trade_count_total) == (159.0, 40)
        assert (state.mark_price, state.oi_usd, state.funding_interval_h) == (100.0, 500.0, 4.0)
        assert state.funding_rate_raw == "0.0002"
    bar = await minutes("perp", T0, T0 + MINUTE)
    assert (bar.volume_usd[0], bar.trades[0]) == (sum(100.0 + s for s in range(20, 60)), 40)
    assert bar.is_partial.tolist() == [True]
    # The end stores the bar in the making.
    spot = await minutes("spot", T0 + MINUTE, T0 + 2 * MINUTE)
    assert (spot.volume_usd.tolist(), spot.is_partial.tolist()) == ([165.0], [True])
    assert await sync_to_async(sync_redis().get)(clock_key()) is not None

    def settled() -> selectors.FundingSeries:
        ids = [row.id for row in selectors.instruments()]
        return selectors.funding_series(ids, "settled", at(T0 - 30 * DAY), at(T0))

    funding = await sync_to_async(settled)()
    assert len(funding.rate) == 180
    assert set(funding.interval_h.tolist()) == {4.0}


async def test_a_second_start_asks_only_for_what_came_since(tmp_path: Path) -> None:
    market_clock.freeze(START * 1_000_000)
    first = FakeVenue(market_clock.now_ms)
    async with ingest(tmp_path, first):
        await until(is_ready, "backfill is ready")
    later = START + 10 * MINUTE
    market_clock.freeze(later * 1_000_000)
    await sync_to_async(sync_redis().delete)(backfill_key())
    second = FakeVenue(market_clock.now_ms)
    async with ingest(tmp_path, second):
        await until(is_ready, "backfill is ready")
    asked = {request[1:] for request in requests_of(second.requests, "candles")}
    # The fine minute in which the first start fell is repaired too, whatever backfill asks.
    assert (PERP.key, 60, T0, T0 + 10 * MINUTE) in asked
    # The year by the hour goes on in the background meanwhile.
    fine = [request for request in asked if request[1] < 3600]
    assert all(start >= T0 - 5 * MINUTE for _, _, start, _ in fine)
    assert requests_of(second.requests, "funding")[0][2] == START


async def test_a_break_in_the_stream_is_filled_with_the_venues_bars(tmp_path: Path) -> None:
    market_clock.freeze(START * 1_000_000)
    venue = FakeVenue(market_clock.now_ms)
    async with ingest(tmp_path, venue):
        await venue.streaming.wait()
        await until(is_ready, "backfill is ready")
        venue.trade(PERP, START, 100.0)
        market_clock.freeze((START + MINUTE) * 1_000_000)
        venue.status(SPECS[0], StreamStatus.RECONNECTING)
        market_clock.freeze((START + 2 * MINUTE) * 1_000_000)
        venue.status(SPECS[0], StreamStatus.LIVE)
        market_clock.freeze((START + 4 * MINUTE) * 1_000_000)

        async def is_repaired() -> bool:
            bars = await minutes("perp", T0, T0 + 3 * MINUTE)
            return len(bars.ts_ms) == 3

        await until(is_repaired, "three minutes are there")
    bars = await minutes("perp", T0, T0 + 3 * MINUTE)
    assert bars.trades.tolist() == [6, 6, 6]
    assert bars.is_partial.tolist() == [False] * 3


async def test_a_refusing_rest_is_named_and_the_stream_goes_on(tmp_path: Path) -> None:
    market_clock.freeze(START * 1_000_000)
    venue = FakeVenue(market_clock.now_ms)
    async with ingest(tmp_path, venue):
        await venue.streaming.wait()
        await until(is_ready, "backfill is ready")
        venue.fails = VenueRefused("binance", "restricted location", status=451)
        market_clock.freeze((START + MINUTE) * 1_000_000)
        venue.status(SPECS[0], StreamStatus.RECONNECTING)
        venue.status(SPECS[0], StreamStatus.LIVE)
        market_clock.freeze((START + 4 * MINUTE) * 1_000_000)

        async def is_named() -> bool:
            source = (await sync_to_async(selectors.source_statuses)()).get("binance")
            return source is not None and "HTTP 451" in source.detail

        await until(is_named, "the refusal is named")
        venue.trade(PERP, START + 4 * MINUTE, 321.0)

        async def is_live() -> bool:
            state = await live(PERP.key)
            return state is not None and state.last_price == 321.0

        await until(is_live, "the trade is live")
