from __future__ import annotations

from apps.ingest.backfill import REQUIRED, Series, plan_jobs
from apps.ingest.history import bar_rows, funding_rows
from apps.marketdata.events import Candle, FundingKind, FundingRate
from apps.marketdata.instruments import InstrumentKind
from apps.venues.base import Offer
from tests.marketdata.samples import T0, instrument

DAY = 86_400_000
BTC = instrument()
SPOT = instrument(kind=InstrumentKind.SPOT)
COLD = instrument("TRXUSDT", "TRX")
NS = 1_000_000


def test_what_readiness_needs_first_comes_first() -> None:
    jobs = plan_jobs([(COLD, 2), (BTC, 1), (SPOT, 3)], {}, T0 + 7)
    seen = [(job.phase, job.row_id, job.interval_s) for job in jobs]
    assert seen == [
        ("funding", 1, 0),
        ("funding", 2, 0),
        ("bars", 1, 300),
        ("bars", 3, 300),
        ("bars", 2, 1800),
        ("minutes", 1, 60),
        ("minutes", 3, 60),
        ("minutes", 2, 60),
        ("open_interest", 1, 300),
        ("open_interest", 2, 3600),
    ]
    bars = jobs[2]
    assert bars.until_ms == T0 - T0 % 300_000
    assert bars.since_ms == bars.until_ms - 30 * DAY


def test_only_what_is_missing_is_asked_again() -> None:
    until = T0 - T0 % 300_000
    spans = {(Series.BAR, 300): {1: (until - 30 * DAY, until - 600_000)}}
    (job,) = plan_jobs([(BTC, 1)], spans, T0, ("bars",))
    assert (job.since_ms, job.until_ms) == (until - 600_000, until)
    spans = {(Series.BAR, 300): {1: (until - 30 * DAY, until)}}
    assert plan_jobs([(BTC, 1)], spans, T0, ("bars",)) == []


def test_a_span_that_begins_too_late_is_fetched_whole() -> None:
    until = T0 - T0 % 300_000
    spans = {(Series.BAR, 300): {1: (until - 20 * DAY, until)}}
    (job,) = plan_jobs([(BTC, 1)], spans, T0, ("bars",))
    assert job.since_ms == until - 30 * DAY


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
    offer = Offer(taker_candles=False, open_interest_history=False)
    jobs = plan_jobs([(BTC, 1)], {}, T0, offer=offer)
    assert [job.phase for job in jobs] == ["funding", "past_minutes", "past_bars"]
    required = plan_jobs([(BTC, 1)], {}, T0, REQUIRED, offer)
    assert [job.series for job in required] == [Series.FUNDING]
