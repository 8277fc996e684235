from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import pairwise

from apps.ingest.backfill import PHASES, REQUIRED, Job, Series, Spans, plan_jobs, run_jobs
from apps.ingest.history import bar_rows, funding_rows
from apps.ingest.pace import Pace
from apps.ingest.retry import RestCaller
from apps.ingest.series import SERIES
from apps.ingest.sources import SourceTracker
from apps.marketdata.events import Candle, FundingKind, FundingRate
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.rows import SeriesRow
from apps.venues.errors import VenueBadAnswer
from apps.venues.offer import Offer, Reach
from tests.ingest.fake_venue import FakeVenue
from tests.marketdata.samples import T0, instrument

DAY = 86_400_000
BTC = instrument()
SPOT = instrument(kind=InstrumentKind.SPOT)
COLD = instrument("TRXUSDT", "TRX")
NS = 1_000_000


def test_what_readiness_needs_first_comes_first() -> None:
    instruments = [(COLD, 2), (BTC, 1), (SPOT, 3)]
    offer = Offer(positioning=frozenset())
    jobs = plan_jobs(instruments, {}, T0 + 7, REQUIRED, offer)
    seen = [(job.phase, job.row_id, job.interval_s) for job in jobs]
    # All of a HOT asset, then all of the next: one is whole before another begins.
    assert seen == [
        ("funding", 1, 0),
        ("bars", 1, 300),
        ("bars", 3, 300),
        ("minutes", 1, 60),
        ("minutes", 3, 60),
        ("open_interest", 1, 300),
        ("funding", 2, 0),
        ("bars", 2, 1800),
        ("minutes", 2, 60),
        ("open_interest", 2, 3600),
    ]
    bars = jobs[1]
    assert bars.until_ms == T0 - T0 % 300_000
    assert bars.since_ms == bars.until_ms - 30 * DAY


def test_only_what_is_missing_is_asked_again() -> None:
    until = T0 - T0 % 300_000
    spans: Spans = {(Series.BAR, 300): {1: (until - 30 * DAY, until - 600_000)}}
    (job,) = plan_jobs([(BTC, 1)], spans, T0, ("bars",))
    assert (job.since_ms, job.until_ms) == (until - 600_000, until)
    spans = {(Series.BAR, 300): {1: (until - 30 * DAY, until)}}
    assert plan_jobs([(BTC, 1)], spans, T0, ("bars",)) == []


def test_a_short_absence_is_caught_up_with_whatever_slot_ended_in_it() -> None:
    def missing(series: str, interval_s: int, absent_ms: int) -> list[bool]:
        step_ms = max(interval_s, 1) * 1000
        held_ms = T0 - absent_ms
        spans: Spans = {(series, interval_s): {2: (T0 - 31 * DAY, held_ms - held_ms % step_ms)}}
        offer = Offer(positioning=frozenset())
        jobs = plan_jobs([(COLD, 2)], spans, T0, REQUIRED, offer)
        found = [job for job in jobs if (job.series, job.interval_s) == (series, interval_s)]
        return [job.is_catching_up for job in found]

    minutes = 60_000
    assert missing(Series.FUNDING, 0, 14 * minutes) == [True]
    assert missing(Series.FUNDING, 0, 16 * minutes) == [False]
    # The half hour, and the hour, that ended while nobody was there.
    assert missing(Series.BAR, 1800, 40 * minutes) == [True]
    assert missing(Series.BAR, 1800, 80 * minutes) == [False]
    assert missing(Series.OPEN_INTEREST, 3600, 61 * minutes) == [True]
    assert missing(Series.OPEN_INTEREST, 3600, 121 * minutes) == [False]


def test_of_a_span_that_begins_too_late_only_the_part_before_it_is_asked() -> None:
    until = T0 - T0 % 300_000
    spans: Spans = {(Series.BAR, 300): {1: (until - 20 * DAY, until)}}
    (job,) = plan_jobs([(BTC, 1)], spans, T0, ("bars",))
    assert (job.since_ms, job.until_ms) == (until - 30 * DAY, until - 20 * DAY)


def test_a_span_that_is_too_old_does_not_count() -> None:
    until = T0 - T0 % 60_000
    spans: Spans = {(Series.BAR, 60): {1: (until - 9 * DAY, until - 8 * DAY)}}
    (job,) = plan_jobs([(BTC, 1)], spans, T0, ("minutes",))
    assert (job.since_ms, job.until_ms) == (until - DAY, until)


def test_a_year_begins_where_the_month_ends_and_comes_in_pieces_the_newest_first() -> None:
    month, year = plan_jobs([(BTC, 1)], {}, T0, ("funding", "year"))[:2]
    assert (month.until_ms - month.since_ms, month.phase) == (30 * DAY, "funding")
    assert (year.since_ms, year.until_ms) == (month.until_ms - 366 * DAY, month.since_ms)
    pieces = year.pieces()
    assert pieces[0].until_ms == year.until_ms
    assert pieces[-1].since_ms == year.since_ms
    assert all(new.since_ms == old.until_ms for new, old in pairwise(pieces))
    assert {one.until_ms - one.since_ms for one in pieces[:-1]} == {30 * DAY}


def test_no_more_is_asked_than_the_venue_keeps() -> None:
    """5,000 bars are 208 days of hours: the rest of the year is had by the day."""
    offer = Offer(
        taker_candles=False,
        open_interest_history=False,
        positioning=frozenset(),
        reach={"bar": Reach(rows=5000), "funding": Reach(days=90)},
    )
    jobs = plan_jobs([(BTC, 1)], {}, T0, offer=offer)
    asked = {(job.phase, job.interval_s): job.missing_ms // DAY for job in jobs}
    assert asked == {
        ("funding", 0): 30,
        ("year", 0): 60,
        ("past_minutes", 60): 1,
        ("past_bars", 300): 17,
        ("year", 3600): 208,
        ("year", 86_400): 366,
    }


def test_every_series_that_a_venue_has_is_declared_once() -> None:
    offer = Offer(
        positioning=frozenset({"accounts", "taker"}), reach={"positioning": Reach(rows=1440)}
    )
    jobs = plan_jobs([(BTC, 1), (SPOT, 2)], {}, T0, PHASES, offer)
    month = [job for job in jobs if job.phase == "positioning"]
    assert [(job.series, job.row_id, job.missing_ms) for job in month] == [
        ("ls_accounts", 1, 30 * DAY),
        ("ls_taker", 1, 30 * DAY),
    ]
    # The venue keeps no more than that.
    assert not [job for job in jobs if job.phase == "year" and job.series.startswith("ls_")]
    assert all(len(name) <= 16 for name in SERIES)


class Store:
    """What a job stores, piece by piece; ``fails_at`` is the piece that the venue refuses."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.spans: list[tuple[int, int]] = []
        self.fails_at = fails_at

    async def __call__(self, job: Job, rows: Sequence[SeriesRow]) -> None:
        if len(self.spans) == self.fails_at:
            self.fails_at = None
            raise VenueBadAnswer("binance", "nonsense")
        self.spans.append((job.since_ms, job.until_ms))


def test_a_piece_that_fails_ends_its_job_and_no_other() -> None:
    """What lies behind a hole would not touch what is stored."""
    jobs = plan_jobs([(BTC, 1)], {}, T0, ("year",))[:2]
    venue = FakeVenue(lambda: T0)
    tracker = SourceTracker("binance", T0, None)
    store, told = Store(fails_at=3), list[tuple[str, bool]]()
    asyncio.run(
        run_jobs(
            jobs,
            rest=venue,
            caller=RestCaller(tracker, lambda: T0, random.Random(1)),
            store=store,
            on_done=lambda job, error: told.append((job.series, error is None)),
            concurrency=1,
            pace=Pace(share=1.0),
        )
    )
    first, second = jobs
    assert len(told) == len(first.pieces()) + len(second.pieces())
    assert [one for one in told if not one[1]] == [(first.series, False)]
    # The second job failed nowhere: the store raised once only.
    assert store.spans[:3] == [(one.since_ms, one.until_ms) for one in first.pieces()[:3]]


def settled(ts_ms: int, raw: str = "0.0001") -> FundingRate:
    return FundingRate(
        BTC, ts_ms * NS, ts_ms * NS, FundingKind.SETTLED, float(raw), raw, None, ts_ms * NS
    )


def test_settlements_are_keyed_by_the_full_second_and_known_when_stamped() -> None:
    hour = 3_600_000
    start = T0 - T0 % hour
    rates = [settled(start + 8 * hour + 47), settled(start + 12 * hour + 3), settled(start)]
    rows = funding_rows(1, rates, 4.0)
    assert [row.ts for row in rows] == [start, start + 8 * hour, start + 12 * hour]
    assert [row.known_at - row.ts for row in rows] == [0, 47, 3]
    assert [row.interval_h for row in rows] == [4.0, 8.0, 4.0]


def test_a_hole_in_the_history_is_no_interval() -> None:
    hour = 3_600_000
    rows = funding_rows(1, [settled(T0), settled(T0 + 24 * hour)], 8.0)
    assert [row.interval_h for row in rows] == [8.0, 8.0]


def candle(open_ms: int, volume: float, trades: int | None, *, is_closed: bool = True) -> Candle:
    return Candle(
        BTC, 0, 0, 60, open_ms * NS, 1.0, 2.0, 0.5, 1.5, volume, volume, 0.5, 0.5, trades, is_closed
    )  # fmt: skip


def test_open_bars_and_bars_without_trades_are_left_out() -> None:
    rows = bar_rows(
        1,
        [candle(T0, 5.0, 3), candle(T0 + 1, 0.0, 0), candle(T0 + 2, 5.0, 3, is_closed=False)],
    )
    assert [(row.ts, row.known_at, row.origin) for row in rows] == [(T0, T0 + 60_000, "venue")]


def test_a_venue_without_taker_candles_or_open_interest_history_is_filled_in_the_background() -> (
    None
):
    offer = Offer(taker_candles=False, open_interest_history=False, positioning=frozenset())
    jobs = plan_jobs([(BTC, 1)], {}, T0, offer=offer)
    assert [job.phase for job in jobs] == [
        *("funding", "past_minutes", "past_bars"),
        *("year", "year"),
    ]
    required = plan_jobs([(BTC, 1)], {}, T0, REQUIRED, offer)
    assert [job.series for job in required] == [Series.FUNDING]
