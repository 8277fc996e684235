"""Shares of longs are asked for once per sample, within the venue's budget, and stored when known."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from apps.ingest.positioning import (
    AGAIN_MS,
    LOOK_BACK_MS,
    PositioningPoller,
    Question,
    period_of,
    positioning_rows,
)
from apps.ingest.retry import RestCaller
from apps.ingest.sources import SourceTracker
from apps.marketdata.events import PositioningRatio
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.positioning import SERIES, SNAPSHOT_S, TAKER, TAKER_S, published_series
from apps.marketdata.rows import PositioningRow
from apps.marketdata.universe import ASSETS, VENUES, AssetTier, tier_of
from apps.venues.errors import VenueUnavailable
from apps.venues.registry import ADAPTERS
from tests.marketdata.samples import instrument

NS = 1_000_000
T0 = 1_779_048_000_000
"""A whole half hour."""
PERPS = [instrument(f"{asset}USDT", asset) for asset in ASSETS]
FIVE_MINUTES = 300_000


class Venue:
    """Has a sample of every series at each of its periods, ``lag_ms`` after it; counts what is asked."""

    def __init__(self, lag_ms: int = 2_000) -> None:
        self.now_ms = T0
        self.lag_ms = lag_ms
        self.asked: list[tuple[int, str, str]] = []
        self.fails = False
        self.wanted = 0
        self.answered = asyncio.Event()

    async def positioning(
        self, one: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> list[PositioningRatio]:
        self.asked.append((self.now_ms, one.asset, series))
        if len(self.asked) == self.wanted:
            self.answered.set()
        if self.fails:
            raise VenueUnavailable("binance", "positioning: away")
        return self.samples(one, series, period_s, start_ms, end_ms)

    def samples(
        self, one: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> list[PositioningRatio]:
        step = period_s * 1000
        # A taker period is named by its beginning and is there when it is over.
        covers = step if series == TAKER else 0
        first = -(-start_ms // step) * step
        return [
            PositioningRatio(one, ts * NS, self.now_ms * NS, series, 0.6, period_s)
            for ts in range(first, end_ms, step)
            if ts + covers + self.lag_ms <= self.now_ms
        ]


def poller(
    venue: Venue, stored: list[PositioningRow], listed: Sequence[Instrument] = PERPS
) -> PositioningPoller:
    caller = RestCaller(SourceTracker("binance", 0), lambda: venue.now_ms, random.Random(1))
    return PositioningPoller(
        series=SERIES,
        rest=venue,  # type: ignore[arg-type] # what is asked
        caller=caller,
        instruments=lambda: listed,
        ids=lambda: {one.key: number for number, one in enumerate(listed)},
        store=stored.extend,
        origin="stream",
        now_ms=lambda: venue.now_ms,
    )


def drive(work: PositioningPoller, venue: Venue, until_ms: int) -> None:
    """Second by second, without a network."""
    while venue.now_ms < until_ms:
        for one in work.take_due(venue.now_ms):
            venue.asked.append((venue.now_ms, one.instrument.asset, one.series))
            period_s = period_of(one.series)
            start_ms = one.since_ms - (period_s * 1000 if one.series == TAKER else 0)
            args = (one.instrument, one.series, period_s, start_ms, venue.now_ms + 1)
            work.take_answer(one, venue.samples(*args))
        venue.now_ms += 1000


def test_every_sample_is_stored_once_and_soon() -> None:
    venue, stored = Venue(), list[PositioningRow]()
    drive(poller(venue, stored), venue, T0 + 2 * 3_600_000)
    keys = [(row.instrument_id, row.series, row.ts) for row in stored]
    assert len(keys) == len(set(keys))
    for number, one in enumerate(PERPS):
        for series in SERIES:
            step = period_of(series) * 1000
            mine = [row for row in stored if (row.instrument_id, row.series) == (number, series)]
            times = [row.ts for row in mine]
            # A little back at the start, then everything until the end, without a hole.
            assert times == list(range(times[0], T0 + 2 * 3_600_000 - step + 1, step))
            assert times[0] <= T0 - LOOK_BACK_MS + step
            live = [row for row in mine if row.ts >= T0 + step]
            bound = 10_000 if tier_of(one.asset) is AssetTier.HOT else 30_000
            assert all(row.ts <= row.known_at <= row.ts + bound for row in live)


@pytest.mark.parametrize("lag_ms", [2_000, 90_000, 10**9])
def test_all_assets_stay_inside_the_narrowest_budget(lag_ms: int) -> None:
    """Binance: 1,000 questions of /futures/data in five minutes, open interest's among them."""
    venue, stored = Venue(lag_ms), list[PositioningRow]()
    drive(poller(venue, stored), venue, T0 + 3_600_000)
    times = [at for at, _, _ in venue.asked]
    for start in range(T0, T0 + 3_600_000, 30_000):
        asked = sum(start <= at < start + FIVE_MINUTES for at in times)
        # One question per sample, and at worst two more when it is late.
        assert asked <= 3 * len(PERPS) * len(SERIES) < 950
    # OKX: five questions in two seconds of each series, so all 65 within half a minute.
    assert len(PERPS) / (5 / 2) < 30


def test_hot_assets_come_first() -> None:
    venue = Venue()
    due = poller(venue, []).take_due(T0)
    tiers = [tier_of(one.instrument.asset) for one in due]
    hot = tiers.count(AssetTier.HOT)
    assert hot == 15 * len(SERIES)
    assert set(tiers[:hot]) == {AssetTier.HOT}
    assert len(due) == 65 * len(SERIES)
    assert poller(venue, []).take_due(T0)[0].series == "accounts"


def test_what_has_nothing_new_is_asked_again_later() -> None:
    venue, stored = Venue(lag_ms=10**9), list[PositioningRow]()
    work = poller(venue, stored, PERPS[:1])
    asked = work.take_due(T0)
    # While a question is under way it is not asked again, however slow the venue is.
    assert work.take_due(T0 + 86_400_000) == []
    for one in asked:
        work.take_answer(one, [])
    assert work.take_due(T0 + AGAIN_MS - 1) == []
    assert [one.series for one in work.take_due(T0 + AGAIN_MS)] == list(SERIES)


def test_an_outage_leaves_no_hole() -> None:
    venue, stored = Venue(), list[PositioningRow]()
    work = poller(venue, stored, PERPS[:1])
    drive(work, venue, T0 + 60_000)
    newest = max(row.ts for row in stored if row.series == "accounts")
    # Forty minutes in which nothing was asked.
    venue.now_ms += 2_400_000
    (question, *_) = [one for one in work.take_due(venue.now_ms) if one.series == "accounts"]
    assert question.since_ms == newest + 1
    work.take_answer(question, venue.samples(*_args(question, venue)))
    times = [row.ts for row in stored if row.series == "accounts"]
    assert times == list(range(times[0], times[-1] + 1, FIVE_MINUTES))
    assert times[-1] == newest + 8 * FIVE_MINUTES


def _args(question: Question, venue: Venue) -> tuple[Instrument, str, int, int, int]:
    one, series, since_ms = question
    return one, series, period_of(series), since_ms, venue.now_ms + 1


async def test_it_asks_the_venue_and_goes_on_after_a_failure() -> None:
    venue, stored = Venue(), list[PositioningRow]()
    venue.fails = True
    venue.wanted = len(SERIES)
    work = poller(venue, stored, PERPS[:1])
    task = asyncio.create_task(work.run())
    async with asyncio.timeout(10):
        await venue.answered.wait()
        assert stored == []
        venue.answered.clear()
        venue.fails = False
        venue.wanted = 2 * len(SERIES)
        venue.now_ms += AGAIN_MS
        await venue.answered.wait()
        # The last answer is taken in the same turn of the loop, after the venue gave it.
        await asyncio.sleep(0)
    assert {row.series for row in stored} == set(SERIES)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_perpetual_that_is_gone_is_not_stored() -> None:
    venue, stored = Venue(), list[PositioningRow]()
    work = poller(venue, stored, PERPS[:1])
    (first, *_) = work.take_due(T0)
    gone = first._replace(instrument=instrument("GONEUSDT", "BTC"))
    work.take_answer(gone, venue.samples(*_args(first, venue)))
    assert stored == []


def test_spot_has_no_positions() -> None:
    spot = instrument(kind=InstrumentKind.SPOT)
    assert poller(Venue(), [], [spot]).take_due(T0) == []


# ---------------------------------------------------------------- rows


def ratio(series: str, ts_ms: int, recv_ms: int, period_s: int = 1800) -> PositioningRatio:
    return PositioningRatio(PERPS[0], ts_ms * NS, recv_ms * NS, series, 0.25, period_s)


def test_a_taker_period_is_of_its_end_and_known_no_sooner() -> None:
    late = T0 + 86_400_000
    (row,) = positioning_rows(7, [ratio(TAKER, T0, late)], "venue")
    assert (row.ts, row.known_at, row.period_s) == (T0 + 1_800_000, T0 + 1_800_000, TAKER_S)
    (row,) = positioning_rows(7, [ratio("accounts", T0, late, SNAPSHOT_S)], "venue")
    assert (row.ts, row.known_at, row.period_s) == (T0, T0, 0)
    assert (row.instrument_id, row.series, row.long_share) == (7, "accounts", 0.25)


def test_a_period_in_the_making_is_not_stored() -> None:
    assert positioning_rows(7, [ratio(TAKER, T0, T0 + 1_799_999)], "venue") == []


def test_an_answer_is_known_when_it_came() -> None:
    found = positioning_rows(7, [ratio("accounts", T0, T0 + 9_000, 300)], "stream", T0 + 9_000)
    assert found == [PositioningRow(7, "accounts", T0, T0 + 9_000, 0.25, 0, "stream")]


@pytest.mark.parametrize("venue", VENUES)
def test_the_published_series_are_those_that_the_adapters_offer(venue: str) -> None:
    assert set(published_series(venue)) == ADAPTERS[venue].offer.positioning
