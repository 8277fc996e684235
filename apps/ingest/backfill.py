"""Fills the market database with the venues' history: what is missing, in the order of need.

What answers are made of comes first (``REQUIRED``): the 30 days that every number is ranked against. The
rest follows in the background, a little at a time, newest first.

What was fetched is remembered as spans, so that a second start asks only for what came since. A piece's
rows and its span are stored in one transaction, before it counts as done: a process that is killed loses
at most the piece that was under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from apps.ingest.pace import Convoy, Pace
from apps.ingest.retry import RestCaller
from apps.ingest.series import (
    BACKGROUND,
    COARSE_BAR_S,
    MINUTE_S,
    OPEN_INTEREST_S,
    PHASES,
    REQUIRED,
    SERIES,
    Ask,
    Series,
    Step,
)
from apps.marketdata.instruments import Instrument
from apps.marketdata.rows import SeriesRow
from apps.marketdata.universe import ASSETS, tier_of
from apps.venues.offer import Offer
from apps.venues.rest_client import RestClient

__all__ = [
    "BACKGROUND", "BACKGROUND_CONCURRENCY", "COARSE_BAR_S", "CONCURRENCY",
    "HISTORY_DAYS", "MINUTE_S", "OPEN_INTEREST_S", "PHASES", "REQUIRED", "Job", "Series", "Spans",
    "fetch", "plan_jobs", "run_jobs",
]  # fmt: skip

_ASSET_RANK: Final = {
    asset: rank for rank, asset in enumerate(sorted(ASSETS, key=lambda one: tier_of(one) == "cold"))
}
"""HOT assets first."""
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
HISTORY_DAYS: Final = 366
_CATCH_UP_MS: Final = 15 * 60_000
"""Jobs that miss no more than this are catching up: what is served meanwhile is still good."""
CONCURRENCY: Final = 6
_FULL: Final = Offer()
BACKGROUND_CONCURRENCY: Final = 1
"""Per venue, once the required series are there: streams and snapshots go first."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is missing of one series: ``[since_ms, until_ms)``."""

    phase: str
    instrument: Instrument
    row_id: int
    series: str
    interval_s: int
    since_ms: int
    until_ms: int
    piece_ms: int = 0
    """Fetched and stored so much at a time; 0: all at once."""

    @property
    def missing_ms(self) -> int:
        return self.until_ms - self.since_ms

    @property
    def is_catching_up(self) -> bool:
        """No more is missing than a short absence costs: its minutes, or a slot that ended meanwhile."""
        return self.missing_ms <= _CATCH_UP_MS + self.interval_s * 1000

    def pieces(self) -> list[Job]:
        """The same as jobs of ``piece_ms``, newest first: each touches what is stored by then."""
        if not 0 < self.piece_ms < self.missing_ms:
            return [self]
        ends = range(self.until_ms, self.since_ms, -self.piece_ms)
        return [
            replace(
                self, since_ms=max(self.since_ms, end - self.piece_ms), until_ms=end, piece_ms=0
            )
            for end in ends
        ]


Span = tuple[int, int]
Spans = Mapping[tuple[str, int], Mapping[int, Span]]
"""(series, interval_s) → row id → stored ``[since_ms, until_ms)``."""


def plan_jobs(
    instruments: Iterable[tuple[Instrument, int]],
    spans: Spans,
    now_ms: int,
    phases: Sequence[str] = PHASES,
    offer: Offer = _FULL,
    history_days: int = HISTORY_DAYS,
) -> list[Job]:
    """Jobs for what lies outside of the stored spans, in the order of phases, HOT assets first."""
    jobs: list[Job] = []
    for instrument, row_id in instruments:
        for series in SERIES.values():
            held: dict[int, Span] = {}
            for step in series.ladder(instrument, offer, history_days):
                if step.phase not in phases or step.days <= 0:
                    continue
                span = held.get(step.interval_s) or spans.get(
                    (series.name, step.interval_s), {}
                ).get(row_id)
                wanted = _wanted(step, now_ms)
                for since, until in _missing(wanted, span):
                    jobs.append(
                        Job(
                            step.phase,
                            instrument,
                            row_id,
                            series.name,
                            step.interval_s,
                            since,
                            until,
                            _piece_ms(step),
                        )
                    )
                # A longer step at the same interval begins where this one ends.
                held[step.interval_s] = _joined(wanted, span)
    jobs.sort(key=_order)
    return jobs


def asset_rank(job: Job) -> int:
    """Of the job's asset among all, HOT ones first."""
    return _ASSET_RANK.get(job.instrument.asset, len(_ASSET_RANK))


def _order(job: Job) -> tuple[int, int, int]:
    """What readiness needs: asset by asset, HOT first, all of an asset at once, so that the first ones are
    whole early and five venues ask about the same days at about the same time. Then phase by phase."""
    phase = PHASES.index(job.phase)
    if job.phase in REQUIRED:
        return 0, asset_rank(job), phase
    return phase, asset_rank(job), 0


def _wanted(step: Step, now_ms: int) -> Span:
    step_ms = max(step.interval_s, 1) * 1000
    until = now_ms - now_ms % step_ms
    return until - int(step.days * _DAY_MS) // step_ms * step_ms, until


def _missing(wanted: Span, held: Span | None) -> list[Span]:
    """What came since, then what lies before. Days that the window has moved by are not missing."""
    since, until = wanted
    if held is None or held[1] < since or held[0] > until:
        return [wanted]
    parts = [(held[1], until), (since, held[0])]
    return [
        (first, end)
        for first, end in parts
        if first < end and (end == until or end - first > _DAY_MS)
    ]


def _joined(wanted: Span, held: Span | None) -> Span:
    if held is None or held[1] < wanted[0] or held[0] > wanted[1]:
        return wanted
    return min(wanted[0], held[0]), max(wanted[1], held[1])


def _piece_ms(step: Step) -> int:
    if step.piece_rows is None:
        return 0
    return step.piece_rows * (step.interval_s * 1000 or _HOUR_MS)


async def fetch(rest: RestClient, job: Job) -> Sequence[SeriesRow]:
    """The job's rows, from the venue."""
    ask = Ask(job.instrument, job.row_id, job.interval_s, job.since_ms, job.until_ms)
    return await SERIES[job.series].fetch(rest, ask)


async def run_jobs(
    jobs: Sequence[Job],
    *,
    rest: RestClient,
    caller: RestCaller,
    store: Callable[[Job, Sequence[SeriesRow]], Awaitable[None]],
    on_done: Callable[[Job, Exception | None], None],
    concurrency: int = CONCURRENCY,
    pace: Pace | None = None,
    convoy: Convoy | None = None,
) -> None:
    """All jobs, at most ``concurrency`` at a time and in order. One that fails is reported, not fatal.

    ``on_done`` is told of every piece; a piece that fails ends its job, for what lies behind it would not
    touch what is stored. With a ``pace`` pieces give way to live work, in a ``convoy`` venues keep together.
    """
    waiting = iter(jobs)

    async def one(piece: Job) -> Exception | None:
        if pace is None:
            return await _fill(piece, rest, caller, store)
        async with pace.working():
            return await _fill(piece, rest, caller, store)

    async def work() -> None:
        for job in waiting:
            if convoy is not None:
                await convoy.reach(job.instrument.venue, asset_rank(job))
            failure: Exception | None = None
            for piece in job.pieces():
                if failure is None:
                    failure = await one(piece)
                    on_done(piece, failure)
                else:
                    on_done(piece, None)

    if convoy is not None and jobs:
        convoy.join(jobs[0].instrument.venue)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(jobs))):
                group.create_task(work())
    finally:
        if convoy is not None and jobs:
            convoy.leave(jobs[0].instrument.venue)


async def _fill(
    piece: Job,
    rest: RestClient,
    caller: RestCaller,
    store: Callable[[Job, Sequence[SeriesRow]], Awaitable[None]],
) -> Exception | None:
    try:
        rows = await caller.until_answered(lambda: fetch(rest, piece))
        await store(piece, rows)
    except Exception as failure:
        # Whatever it is, the other series must still be filled; the caller logs it.
        return failure
    return None
