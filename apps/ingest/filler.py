"""The backfill at work: which venue is filled when, who waits for it, and how far it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from apps.core.logs import get_logger
from apps.core.memory import give_back
from apps.ingest.backfill import (
    BACKGROUND,
    BACKGROUND_CONCURRENCY,
    CONCURRENCY,
    PHASES,
    REQUIRED,
    Job,
    Spans,
    plan_jobs,
    run_jobs,
)
from apps.ingest.pace import Convoy, Pace
from apps.ingest.progress import COMPLETE, READY, RUNNING, Progress
from apps.ingest.storage import HistoryThread
from apps.ingest.venue import VenueRunner
from apps.venues.limiter import in_background

logger = get_logger(__name__)

_SETTLED_CHECK_S: Final = 60.0
_HOUR_MS: Final = 3_600_000
_SETTLED_DELAY_MS: Final = 30_000
"""Venues publish a settled rate within seconds of the hour."""
_LISTING_PATIENCE_S: Final = 30.0
"""A venue that does not list its instruments by then is filled later: the others are not held up."""
_STALLED_S: Final = 120.0
"""A venue whose history has not grown for so long is down: the others are not held up."""
_LONGEST_FILL_S: Final = 600.0
"""Nor are they when its request limits are so narrow that a month takes longer."""
_BOOKS_WAIT_S: Final = 120.0
"""Books wait for the first history, but not longer: they are most of what streams cost."""
_REPAIRS_TOGETHER_S: Final = 30.0
_TELL_EVERY_S: Final = 0.5
_LOOK_S: Final = 5.0
_HELD_EVERY_S: Final = 60.0
_WHOLE_EVERY_S: Final = 3600.0
_LOOK_BACK_MS: Final = 48 * _HOUR_MS


class HistoryFiller:
    """Backfills each venue once it is listed, then fetches the settled funding of every hour."""

    def __init__(
        self,
        *,
        venues: Sequence[VenueRunner],
        history: HistoryThread,
        progress: Progress,
        now_ms: Callable[[], int],
        history_days: int,
    ) -> None:
        self._venues = [venue for venue in venues if venue.setup.has_history]
        self._history = history
        self._progress = progress
        self._now_ms = now_ms
        self._history_days = history_days
        self._ready = asyncio.Event()
        self._complete = asyncio.Event()
        self._repaired = asyncio.Event()
        self._nothing_urgent = asyncio.Event()
        self._pace = Pace()
        self._convoy = Convoy()
        self._counted: set[str] = set()
        self._grown_at: dict[str, float] = {}
        """When the history of a venue that is listed last grew."""

    async def urgent_done(self) -> None:
        """Until answers no longer wait for history, or so long that live data comes first again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_BOOKS_WAIT_S):
                await self._nothing_urgent.wait()

    def repaired(self) -> None:
        """Stored history changed further back than readers look by themselves."""
        self._repaired.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fill())
            group.create_task(self._tell_repairs())
            group.create_task(self._report())
            group.create_task(self._keep_held())
            group.create_task(self._keep_whole())

    async def _fill(self) -> None:
        venues = self._venues
        await _wait_for((venue.loaded for venue in venues), _LISTING_PATIENCE_S)
        await _for_one_of([venue.loaded for venue in venues])
        started = time.monotonic()
        await self._count_jobs([venue for venue in venues if venue.loaded.is_set()])
        async with asyncio.TaskGroup() as group:
            filled = {venue.venue: asyncio.Event() for venue in venues}
            complete = [
                group.create_task(self._fill_venue(venue, filled[venue.venue], group))
                for venue in venues
            ]
            await self._until_filled(filled)
            self._nothing_urgent.set()
            self._progress.state, self._progress.phase = READY, "done"
            await self._history_changed()
            give_back()
            self._ready.set()
            took_s = round(time.monotonic() - started, 1)
            late = [venue for venue, event in filled.items() if not event.is_set()]
            logger.info("backfill_ready", seconds=took_s, failed=self._progress.failed, late=late)
            await asyncio.gather(*complete)
            self._progress.background_state = COMPLETE
            await self._history_changed()
            give_back()
            self._complete.set()
            took_s = round(time.monotonic() - started, 1)
            logger.info("history_complete", seconds=took_s)

    async def _until_filled(self, filled: Mapping[str, asyncio.Event]) -> None:
        """Until one venue has what readiness needs, and no other that is listed is getting there."""
        started = time.monotonic()
        while time.monotonic() - started < _LONGEST_FILL_S:
            oldest = time.monotonic() - _STALLED_S
            late = [
                event
                for venue, event in filled.items()
                if not event.is_set() and self._grown_at.get(venue, oldest) > oldest
            ]
            if not late and (not filled or any(event.is_set() for event in filled.values())):
                return
            await _wait_for(
                late or [event for event in filled.values() if not event.is_set()], _LOOK_S
            )

    async def _count_jobs(self, venues: Iterable[VenueRunner]) -> None:
        """The progress bar's length; a short absence is caught up with while already serving."""
        spans = await self._history.spans()
        jobs = []
        for venue in venues:
            self._counted.add(venue.venue)
            self._grown_at[venue.venue] = time.monotonic()
            jobs += self._plan(venue, spans, REQUIRED)
        self._progress.total = len(jobs)
        if jobs and all(job.is_catching_up for job in jobs):
            self._progress.state = READY
        if not jobs or self._progress.state == READY:
            self._nothing_urgent.set()

    async def _fill_venue(
        self, venue: VenueRunner, filled: asyncio.Event, group: asyncio.TaskGroup
    ) -> None:
        """One venue's history from its listing on; it neither waits for the others nor holds them up."""
        await venue.loaded.wait()
        self._grown_at[venue.venue] = started = time.monotonic()
        jobs = await self._fill_required(venue)
        filled.set()
        took_s = round(time.monotonic() - started, 1)
        logger.info("venue_history", venue=venue.venue, jobs=jobs, seconds=took_s)
        if self._ready.is_set():
            await self._history_changed()
        # What is in the background starts when the required series of all venues are there.
        await self._ready.wait()
        group.create_task(self._keep_settled(venue))
        for phase in BACKGROUND:
            found = await self._fill_background(venue, phase)
            if found and phase != BACKGROUND[-1]:
                await self._history_changed()
            jobs += found
        took_s = round(time.monotonic() - started, 1)
        logger.info("venue_history_complete", venue=venue.venue, jobs=jobs, seconds=took_s)

    async def _keep_settled(self, venue: VenueRunner) -> None:
        hour = self._settled_hour()
        while True:
            await asyncio.sleep(_SETTLED_CHECK_S)
            if hour != self._settled_hour():
                hour = self._settled_hour()
                await self._run(venue, await self._jobs(venue, ("funding",)))

    # --- held and whole --------------------------------------------------------------------------------

    async def _keep_held(self) -> None:
        """What the streams brought is held: a start after a kill asks only for what came since."""
        await self._ready.wait()
        while True:
            now_ms = self._now_ms()
            held = [one for venue in self._venues for one in venue.repairs.held(now_ms)]
            await self._history.advance(held)
            await asyncio.sleep(_HELD_EVERY_S)

    async def _keep_whole(self) -> None:
        """Holes are looked for in everything once the history is there, then in what came since."""
        await self._complete.wait()
        in_background.set(True)
        start_ms = self._now_ms() - self._history_days * 24 * _HOUR_MS
        while True:
            now_ms = self._now_ms()
            for venue in self._venues:
                await self._run(venue, await self._jobs(venue, PHASES), is_background=True)
                await venue.repairs.fill_holes(start_ms, now_ms)
            start_ms = now_ms - _LOOK_BACK_MS
            await asyncio.sleep(_WHOLE_EVERY_S)

    def _settled_hour(self) -> int:
        return (self._now_ms() - _SETTLED_DELAY_MS) // _HOUR_MS

    # --- phases ----------------------------------------------------------------------------------------

    async def _jobs(self, venue: VenueRunner, phases: Sequence[str]) -> list[Job]:
        return self._plan(venue, await self._history.spans(), phases)

    def _plan(self, venue: VenueRunner, spans: Spans, phases: Sequence[str]) -> list[Job]:
        offer = venue.setup.adapter.offer
        return plan_jobs(venue.listed, spans, self._now_ms(), phases, offer, self._history_days)

    async def _fill_required(self, venue: VenueRunner) -> int:
        jobs = await self._jobs(venue, REQUIRED)
        progress = self._progress
        if venue.venue not in self._counted and not self._ready.is_set():
            # Listed later than the others.
            progress.total += len(jobs)

        def on_done(job: Job, error: Exception | None) -> None:
            if error is None:
                self._grown_at[venue.venue] = time.monotonic()
            if progress.phase != "done":
                progress.done = min(progress.done + 1, progress.total)
                progress.failed += error is not None
                progress.phase = job.phase

        convoy = self._convoy if venue.setup.is_emulated else None
        await self._run(venue, jobs, on_done, convoy=convoy)
        return len(jobs)

    async def _fill_background(self, venue: VenueRunner, phase: str) -> int:
        jobs = await self._jobs(venue, (phase,))
        progress = self._progress
        progress.background_state = RUNNING
        progress.background_total += sum(len(job.pieces()) for job in jobs)

        def on_done(_job: Job, error: Exception | None) -> None:
            progress.background_done += 1
            progress.background_failed += error is not None

        in_background.set(True)
        try:
            await self._run(venue, jobs, on_done, is_background=True)
        finally:
            in_background.set(False)
        return len(jobs)

    async def _run(
        self,
        venue: VenueRunner,
        jobs: Sequence[Job],
        on_done: Callable[[Job, Exception | None], None] | None = None,
        *,
        is_background: bool = False,
        convoy: Convoy | None = None,
    ) -> None:
        def told(job: Job, error: Exception | None) -> None:
            if error is not None:
                logger.error(
                    "backfill_job_failed", venue=venue.venue, series=job.series,
                    symbol=job.instrument.symbol, interval_s=job.interval_s, error=str(error),
                )  # fmt: skip
            if on_done is not None:
                on_done(job, error)

        await run_jobs(
            jobs,
            rest=venue.rest,
            caller=venue.caller,
            store=self._history.store,
            on_done=told,
            concurrency=BACKGROUND_CONCURRENCY if is_background else CONCURRENCY,
            pace=self._pace if is_background else None,
            convoy=convoy,
        )

    # --- readers ---------------------------------------------------------------------------------------

    async def _tell_repairs(self) -> None:
        """A lost connection repairs many instruments: readers start anew once, when it is over."""
        while True:
            await self._repaired.wait()
            await asyncio.sleep(_REPAIRS_TOGETHER_S)
            self._repaired.clear()
            await self._history_changed()

    async def _history_changed(self) -> None:
        self._progress.generation += 1
        await self._progress.publish()

    async def _report(self) -> None:
        while True:
            await self._progress.publish()
            await asyncio.sleep(_TELL_EVERY_S)


async def _for_one_of(events: Sequence[asyncio.Event]) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    if not waits:
        return
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()


async def _wait_for(events: Iterable[asyncio.Event], timeout_s: float) -> None:
    """Until all are set, or the time is over."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    if not waits:
        return
    try:
        await asyncio.wait(waits, timeout=timeout_s)
    finally:
        for one in waits:
            one.cancel()
