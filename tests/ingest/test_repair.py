"""Kills, outages and holes, seen from the stored history: a fake venue, real PostgreSQL and Redis."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from apps.core.clock import market_clock
from apps.core.redis import sync_redis
from apps.ingest.filler import HistoryFiller
from apps.ingest.progress import backfill_key
from apps.ingest.service import IngestService
from apps.marketdata import selectors
from apps.marketdata.events import OpenInterest
from apps.marketdata.gaps import NO_DATA, gaps_of
from apps.marketdata.instruments import Instrument
from apps.marketdata.services import backfill_spans
from apps.marketdata.writers import rows_write
from tests.ingest.fake_venue import NS, FakeVenue, requests_of
from tests.ingest.test_service import DAY, START, ingest, until
from tests.marketdata.samples import MINUTE, T0, at, oi_row

pytestmark = [
    pytest.mark.django_db(databases=["market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]
HOUR = 60 * MINUTE


class Interest(FakeVenue):
    """A venue with a past of open interest, hourly, that has lost ``missing``."""

    missing: frozenset[int] = frozenset()

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> list[OpenInterest]:
        self._asked("open_interest_history", instrument.key, start_ms, end_ms)
        first = start_ms + -start_ms % HOUR
        return [
            OpenInterest(instrument, ts * NS, ts * NS, 5.0, 5.0, 500.0)
            for ts in range(first, end_ms, HOUR)
            if ts not in self.missing
        ]


async def is_complete() -> bool:
    raw = await sync_to_async(sync_redis().hgetall)(backfill_key())
    return bool(raw.get(b"background_state") == b"complete")


@pytest.fixture
def no_look_for_holes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins when history is complete and would do, at a moment of its own, what the test does."""

    async def rests(_filler: HistoryFiller) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(HistoryFiller, "_keep_whole", rests)


def perp_id() -> int:
    selectors.clear_instrument_cache()
    return selectors.instruments(kind="perp")[0].id


async def test_a_kill_in_the_middle_of_the_year_costs_no_more_than_one_piece(
    tmp_path: Path,
) -> None:
    """Every piece is asked once over all starts, but for those under way when the process died."""
    market_clock.freeze(START * 1_000_000)
    asked: list[tuple[int, int]] = []
    kills = 0
    while True:
        venue = FakeVenue(market_clock.now_ms)
        async with ingest(tmp_path, venue) as service:
            if kills < 2:
                await until(partial(has_done, service, 3 + kills), "part of the year is there")
            else:
                await until(is_complete, "the year is there")
        asked += [request[2:] for request in requests_of(venue.requests, "funding")]
        if kills == 2:
            break
        kills += 1
        await sync_to_async(sync_redis().delete)(backfill_key())
    assert len(asked) - len(set(asked)) <= kills
    spans = sorted(set(asked))
    assert spans[0][0] == T0 + 20_000 - 366 * DAY
    assert spans[-1][1] == START
    assert all(one[1] == other[0] for one, other in pairwise(spans))

    def settled() -> int:
        series = selectors.funding_series([perp_id()], "settled", at(START - 366 * DAY), at(START))
        return len(series.rate)

    assert await sync_to_async(settled)() == 366 * 6


async def has_done(service: IngestService, pieces: int) -> bool:
    return service.progress.background_done >= pieces


@pytest.mark.usefixtures("no_look_for_holes")
async def test_what_the_stream_brought_is_not_asked_for_again(tmp_path: Path) -> None:
    market_clock.freeze(START * 1_000_000)
    first = FakeVenue(market_clock.now_ms)
    async with ingest(tmp_path, first) as service:
        await first.streaming.wait()
        await until(is_complete, "the year is there")
        (runner,) = service.venues
        market_clock.freeze((START + 90 * MINUTE) * 1_000_000)

        async def are_repaired() -> bool:
            return all(
                listing.coverage.held_until(START + 90 * MINUTE) > START
                for listing in service.state.listings.values()
            )

        await until(are_repaired, "the first minute of each instrument is repaired")
        await service._history.advance(runner.repairs.held(market_clock.now_ms()))

        def end() -> int:
            return int(backfill_spans()["bar", 60][perp_id()][1].timestamp() * 1000)

        # A minute's grace for what is not stored yet.
        assert await sync_to_async(end)() == T0 + 89 * MINUTE
    later = FakeVenue(market_clock.now_ms)
    await sync_to_async(sync_redis().delete)(backfill_key())
    async with ingest(tmp_path, later):
        await until(is_complete, "nothing is missing")
    minutes = [one[3:] for one in requests_of(later.requests, "candles") if one[2] == 60]
    assert all(since >= T0 + 89 * MINUTE for since, _ in minutes)


@pytest.mark.usefixtures("no_look_for_holes")
async def test_holes_are_filled_from_the_venue_or_noted(tmp_path: Path) -> None:
    market_clock.freeze(START * 1_000_000)
    venue = Interest(market_clock.now_ms)
    start = START - START % HOUR - 40 * HOUR
    venue.missing = frozenset(start + n * HOUR for n in (20, 21, 22))
    async with ingest(tmp_path, venue) as service:
        await until(is_complete, "history is there")
        row_id = await sync_to_async(perp_id)()

        def lose() -> None:
            with connections["market"].cursor() as cursor:
                cursor.execute("DELETE FROM open_interest")
            rows_write(oi_row(start + n * HOUR, row_id) for n in range(40) if n not in LOST)

        await sync_to_async(lose)()
        assert await service.venues[0].repairs.fill_holes(start, START) == 2

        def stored() -> list[int]:
            series = selectors.open_interest_series([row_id], at(start), at(start + 40 * HOUR))
            return [int(ts - start) // HOUR for ts in series.ts_ms]

        assert await sync_to_async(stored)() == [n for n in range(40) if n not in (20, 21, 22)]
        (gap,) = await sync_to_async(gaps_of)("open_interest", [row_id])
        assert gap[3:] == (start + 19 * HOUR, start + 23 * HOUR, NO_DATA)
        venue.requests.clear()
        assert await service.venues[0].repairs.fill_holes(start, START) == 0
        assert requests_of(venue.requests, "open_interest_history") == []


LOST = (5, 6, 7, 8, 20, 21, 22)
