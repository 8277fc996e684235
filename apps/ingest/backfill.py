"""Fills the market database with the venues' history: what is missing, in the order of need.

What answers are made of comes first (``REQUIRED``): settled funding of every venue, and the bars of venues
that say in them what takers bought. The rest follows in the background, a little at a time.

What was fetched is remembered as spans, so that a second start asks only for what came since. Each job
is one series of one instrument; its rows and its span are stored before it counts as done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from apps.ingest.history import bar_rows, funding_rows, open_interest_rows
from apps.ingest.retry import RestCaller
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.rows import SeriesRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.venues.base import Offer, RestClient

_DAY_MS: Final = 86_400_000
MINUTE_S: Final = 60
FINE_S: Final = 300
COARSE_BAR_S: Final[dict[AssetTier, int]] = {AssetTier.HOT: FINE_S, AssetTier.COLD: 1800}
"""Bars that the 30-day windows are made of."""
OPEN_INTEREST_S: Final[dict[AssetTier, int]] = {AssetTier.HOT: FINE_S, AssetTier.COLD: 3600}
CATCH_UP_MS: Final = 15 * 60_000
"""Jobs that miss no more than this are catching up: what is served meanwhile is still good."""
CONCURRENCY: Final = 6
_FULL: Final = Offer()
BACKGROUND_CONCURRENCY: Final = 2
"""Per venue, once the required series are there: streams and snapshots go first."""


class Series(StrEnum):
    FUNDING = "funding"
    BAR = "bar"
    OPEN_INTEREST = "open_interest"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One series that an instrument should have: the last ``days`` at ``interval_s``."""

    series: Series
    interval_s: int
    days: int


@dataclass(frozen=True, slots=True)
class Job:
    """What is missing of one series: ``[since_ms, until_ms)``."""

    phase: str
    instrument: Instrument
    row_id: int
    series: Series
    interval_s: int
    since_ms: int
    until_ms: int

    @property
    def missing_ms(self) -> int:
        return self.until_ms - self.since_ms


def wanted_of(instrument: Instrument, offer: Offer) -> list[tuple[str, Wanted]]:
    """(phase, series) of an instrument of a venue with this offer."""
    tier = tier_of(instrument.asset)
    coarse = Wanted(Series.BAR, COARSE_BAR_S[tier], 30)
    minutes = Wanted(Series.BAR, MINUTE_S, 1)
    bars = (
        []
        if not offer.candles
        else (
            [("bars", coarse), ("minutes", minutes)]
            if offer.taker_candles
            else [("past_minutes", minutes), ("past_bars", coarse)]
        )
    )
    if instrument.kind is not InstrumentKind.PERP:
        return bars
    open_interest = [
        ("open_interest", Wanted(Series.OPEN_INTEREST, OPEN_INTEREST_S[tier], 30)),
    ]
    return [
        ("funding", Wanted(Series.FUNDING, 0, 30)),
        *bars,
        *(open_interest if offer.open_interest_history else []),
    ]


REQUIRED: Final = ("funding", "bars", "minutes")
BACKGROUND: Final = ("open_interest", "past_minutes", "past_bars")
PHASES: Final = (*REQUIRED, *BACKGROUND)
Spans = Mapping[tuple[Series, int], Mapping[int, tuple[int, int]]]
"""(series, interval_s) → row id → stored ``[since_ms, until_ms)``."""


def plan_jobs(
    instruments: Iterable[tuple[Instrument, int]],
    spans: Spans,
    now_ms: int,
    phases: Sequence[str] = PHASES,
    offer: Offer = _FULL,
) -> list[Job]:
    """Jobs for what lies outside of the stored spans, in the order of phases, HOT assets first."""
    jobs: list[Job] = []
    for instrument, row_id in instruments:
        for phase, wanted in wanted_of(instrument, offer):
            if phase not in phases:
                continue
            step_ms = max(wanted.interval_s, 1) * 1000
            until = now_ms - now_ms % step_ms
            since = until - wanted.days * _DAY_MS
            span = spans.get((wanted.series, wanted.interval_s), {}).get(row_id)
            if span is not None and span[0] <= since + _DAY_MS and span[1] >= since:
                since = span[1]
            if since < until:
                jobs.append(
                    Job(
                        phase,
                        instrument,
                        row_id,
                        wanted.series,
                        wanted.interval_s,
                        since,
                        until,
                    )
                )
    jobs.sort(key=lambda job: (PHASES.index(job.phase), tier_of(job.instrument.asset) == "cold"))
    return jobs


async def fetch(rest: RestClient, job: Job) -> Sequence[SeriesRow]:
    """The job's rows, from the venue."""
    window = (job.since_ms, job.until_ms)
    if job.series is Series.FUNDING:
        rates = await rest.funding_history(job.instrument, *window)
        return funding_rows(job.row_id, rates, job.instrument.funding_interval_h)
    if job.series is Series.BAR:
        candles = await rest.candles(job.instrument, job.interval_s, *window)
        return bar_rows(job.row_id, candles)
    samples = await rest.open_interest_history(job.instrument, job.interval_s, *window)
    return open_interest_rows(job.row_id, samples)


async def run_jobs(
    jobs: Sequence[Job],
    *,
    rest: RestClient,
    caller: RestCaller,
    store: Callable[[Job, Sequence[SeriesRow]], Awaitable[None]],
    on_done: Callable[[Job, Exception | None], None],
    concurrency: int = CONCURRENCY,
) -> None:
    """All jobs, at most ``concurrency`` at a time and in order. One that fails is reported, not fatal."""
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            error: Exception | None = None
            try:
                rows = await caller.until_answered(lambda job=job: fetch(rest, job))  # type: ignore[misc] # bound per job
                await store(job, rows)
            except Exception as failure:
                # Whatever it is, the other series must still be filled; the caller logs it.
                error = failure
            on_done(job, error)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(jobs))):
            group.create_task(work())
