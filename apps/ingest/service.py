"""The ingest process: one clock, the venues of this market, the flush, the backfill; start and stop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from django.conf import settings
from redis.exceptions import RedisError

from apps.core.clock import market_clock
from apps.core.logs import get_logger
from apps.core.redis import new_async_redis
from apps.ingest.backfill import (
    BACKGROUND,
    BACKGROUND_CONCURRENCY,
    CATCH_UP_MS,
    CONCURRENCY,
    REQUIRED,
    Job,
    Spans,
    plan_jobs,
    run_jobs,
)
from apps.ingest.budgets import RedisBudgets
from apps.ingest.clock import ClockFollower
from apps.ingest.emulator import Emulator
from apps.ingest.features import Feature, make_features
from apps.ingest.flush import Flusher
from apps.ingest.progress import READY, RUNNING, Progress
from apps.ingest.setups import VenueSetup, emulator_setups, live_setups, origin_of
from apps.ingest.sharding import Shard
from apps.ingest.state import MarketState
from apps.ingest.storage import HistoryThread, StreamWriter
from apps.ingest.venue import VenueRunner, Workplace
from apps.marketdata.events import MarketEvent
from apps.marketdata.universe import AssetTier, tier_of
from apps.marketdata.venues import polled_venues
from apps.venues.base import VenueAdapter
from apps.venues.ccxt_generic.factory import make_adapter
from apps.venues.registry import ADAPTERS

logger = get_logger(__name__)

_SETTLED_CHECK_S: Final = 60.0
_HOUR_MS: Final = 3_600_000
_SETTLED_DELAY_MS: Final = 30_000
"""Venues publish a settled rate within seconds of the hour."""
_STOP_GRACE_S: Final = 10.0
_REPAIRS_TOGETHER_S: Final = 30.0
_LISTING_PATIENCE_S: Final = 30.0
"""A venue that does not list its instruments by then is filled later: the others are not held up."""
_READY_PATIENCE_S: Final = 75.0
"""A venue whose history takes longer (its request limits are narrow) does not hold up the others."""


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """What one process is told at start."""

    market: str
    shard: Shard
    spool_dir: Path
    emulator: Emulator | None
    adapters: tuple[VenueAdapter, ...] = tuple(ADAPTERS.values())
    seed: int | None = None

    @classmethod
    def from_settings(cls, shard: Shard) -> IngestConfig:
        market = settings.MARKET
        emulator = (
            None if market == "live" else Emulator(settings.SANDBOX_HOST, settings.SANDBOX_PORT)
        )
        folder = settings.VAR_DIR / "spool" / f"{market}-{shard.name}"
        return cls(market=market, shard=shard, spool_dir=folder, emulator=emulator)


class IngestService:
    """Runs until :meth:`stop`; everything it started has ended when :meth:`run` returns."""

    def __init__(self, config: IngestConfig) -> None:
        self._config = config
        self._stopping = asyncio.Event()
        self._redis = new_async_redis()
        self._now_ns: Callable[[], int] = market_clock.now_ns
        origin = origin_of(config.market)
        self.state = MarketState(origin=origin, now_ms=market_clock.now_ms)
        self._origin = origin
        self._features: dict[str, Feature] = make_features()
        self._history = HistoryThread()
        self.progress = Progress(self._redis, config.shard)
        self.venues: list[VenueRunner] = []
        self._ready = asyncio.Event()
        self._is_history_repaired = asyncio.Event()

    def stop(self) -> None:
        """Ask for an orderly end; may be called from a signal handler."""
        self._stopping.set()

    async def run(self) -> None:
        running = asyncio.create_task(self._run())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([running, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            running.cancel()
            (outcome,) = await asyncio.gather(running, return_exceptions=True)
            await self._redis.aclose()
        if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
            raise outcome

    async def _run(self) -> None:
        clock = ClockFollower(self._config.emulator, self._redis)
        await clock.first()
        await self.progress.publish()
        now_ms = market_clock.now_ms
        await self._history.ensure_window(now_ms())
        writer = StreamWriter(self._config.spool_dir, now_ms, self._origin)
        place = Workplace(
            state=self.state,
            shard=self._config.shard,
            history=self._history,
            writer=writer,
            now_ns=self._now_ns,
            rng=random.Random(self._config.seed),  # noqa: S311 jitter needs no secrecy
            on_event=self._feed_features,
            on_instruments=lambda: self._share_instruments(writer),
            on_history=self._is_history_repaired.set,
            budgets=RedisBudgets(self._redis, self._config.shard.count),
        )
        self.venues = [VenueRunner(setup, place) for setup in await self._setups()]
        flusher = Flusher(
            client=self._redis,
            state=self.state,
            writer=writer,
            venues=self.venues,
            features=self._features,
            now_ms=now_ms,
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(clock.run())
                group.create_task(flusher.run())
                group.create_task(writer.run())
                group.create_task(self._report_progress())
                for venue in self.venues:
                    group.create_task(self._serve(venue, flusher))
                group.create_task(self._fill_history())
                group.create_task(self._tell_repairs())
        finally:
            await self._finish(flusher, writer)

    async def _setups(self) -> Sequence[VenueSetup]:
        config = self._config
        if config.emulator is None:
            polled = [make_adapter(*one) for one in polled_venues().items()]
            return live_setups([*config.adapters, *polled])
        while True:
            try:
                return await emulator_setups(config.adapters, config.emulator)
            except (aiohttp.ClientError, TimeoutError) as error:
                logger.warning("emulator_away", error=str(error) or type(error).__name__)
                await asyncio.sleep(1.0)

    def _share_instruments(self, writer: StreamWriter) -> None:
        ids: dict[AssetTier, list[int]] = {tier: [] for tier in AssetTier}
        for listing in self.state.listings.values():
            ids[tier_of(listing.instrument.asset)].append(listing.row_id)
        writer.set_instruments(ids)

    def _feed_features(self, event: MarketEvent) -> None:
        for feature in self._features.values():
            feature.on_event(event)

    async def _serve(self, venue: VenueRunner, flusher: Flusher) -> None:
        """One venue, from its instrument list on; the others do not wait for it."""
        await venue.load_instruments()
        try:
            await flusher.drop_unlisted(venue.venue, self.state.listings, self._config.shard.assets)
        except (RedisError, OSError) as error:
            logger.warning("redis_away", what="live states", error=str(error))
        await venue.run()

    async def _finish(self, flusher: Flusher, writer: StreamWriter) -> None:
        """Sockets first, so that nothing comes after the last flush."""
        try:
            async with asyncio.timeout(_STOP_GRACE_S):
                for venue in self.venues:
                    await venue.stop()
                await flusher.flush(is_end=True)
                for venue in self.venues:
                    await venue.close()
        except TimeoutError:
            logger.warning("stop_took_too_long")
        await writer.close()
        await self._history.close()
        logger.info("ingest_stopped")

    # --- history ---------------------------------------------------------------------------------------

    async def _fill_history(self) -> None:
        """Backfill each venue once it is listed, then fetch the settled funding of every hour."""
        venues = [venue for venue in self.venues if venue.setup.has_history]
        await _wait_for((venue.loaded for venue in venues), _LISTING_PATIENCE_S)
        started = time.monotonic()
        await self._count_jobs([venue for venue in venues if venue.loaded.is_set()])
        async with asyncio.TaskGroup() as group:
            filled = [asyncio.Event() for _ in venues]
            for venue, event in zip(venues, filled, strict=True):
                group.create_task(self._fill_venue(venue, event))
            first = [e for v, e in zip(venues, filled, strict=True) if v.loaded.is_set()]
            await _wait_for(first, _READY_PATIENCE_S)
            self.progress.state, self.progress.phase = READY, "done"
            await self._history_changed()
            self._ready.set()
            took_s = round(time.monotonic() - started, 1)
            late = [v.venue for v, e in zip(venues, filled, strict=True) if not e.is_set()]
            logger.info("backfill_ready", seconds=took_s, failed=self.progress.failed, late=late)

    async def _count_jobs(self, venues: Iterable[VenueRunner]) -> None:
        """The progress bar's length; a short absence is caught up with while already serving."""
        spans = await self._history.spans()
        jobs = [job for venue in venues for job in self._plan(venue, spans, REQUIRED)]
        self.progress.total = len(jobs)
        if jobs and all(job.missing_ms <= CATCH_UP_MS for job in jobs):
            self.progress.state = READY

    async def _fill_venue(self, venue: VenueRunner, filled: asyncio.Event) -> None:
        """One venue's history from its listing on; it neither waits for the others nor holds them up."""
        await venue.loaded.wait()
        last_hour = self._settled_hour()
        started = time.monotonic()
        jobs = await self._run_phases(venue, REQUIRED, counts=True)
        filled.set()
        took_s = round(time.monotonic() - started, 1)
        logger.info("venue_history", venue=venue.venue, jobs=jobs, seconds=took_s)
        if self._ready.is_set():
            await self._history_changed()
        # What is in the background starts when the required series of all venues are there.
        await self._ready.wait()
        jobs = await self._run_phases(venue, BACKGROUND, concurrency=BACKGROUND_CONCURRENCY)
        await self._history_changed()
        took_s = round(time.monotonic() - started, 1)
        logger.info("venue_history_complete", venue=venue.venue, jobs=jobs, seconds=took_s)
        while True:
            hour = self._settled_hour()
            if hour != last_hour:
                last_hour = hour
                await self._run_phases(venue, ("funding",))
            await asyncio.sleep(_SETTLED_CHECK_S)

    async def _tell_repairs(self) -> None:
        """A lost connection repairs many instruments: readers start anew once, when it is over."""
        while True:
            await self._is_history_repaired.wait()
            await asyncio.sleep(_REPAIRS_TOGETHER_S)
            self._is_history_repaired.clear()
            await self._history_changed()

    async def _history_changed(self) -> None:
        self.progress.generation += 1
        await self.progress.publish()

    def _settled_hour(self) -> int:
        return (market_clock.now_ms() - _SETTLED_DELAY_MS) // _HOUR_MS

    def _plan(self, venue: VenueRunner, spans: Spans, phases: Sequence[str]) -> list[Job]:
        offer = venue.setup.adapter.offer
        return plan_jobs(venue.listed, spans, market_clock.now_ms(), phases, offer)

    async def _run_phases(
        self,
        venue: VenueRunner,
        phases: Sequence[str],
        *,
        counts: bool = False,
        concurrency: int = CONCURRENCY,
    ) -> int:
        plan = self._plan(venue, await self._history.spans(), phases)

        def on_done(job: Job, error: Exception | None) -> None:
            if error is not None:
                logger.error(
                    "backfill_job_failed", venue=venue.venue, series=job.series.value,
                    symbol=job.instrument.symbol, interval_s=job.interval_s, error=str(error),
                )  # fmt: skip
            if counts and self.progress.phase != "done":
                self.progress.done = min(self.progress.done + 1, self.progress.total)
                self.progress.failed += error is not None
                self.progress.phase = job.phase

        await run_jobs(
            plan,
            rest=venue.rest,
            caller=venue.caller,
            store=self._history.store,
            on_done=on_done,
            concurrency=concurrency,
        )
        return len(plan)

    async def _report_progress(self) -> None:
        while self.progress.state == RUNNING or self.progress.phase != "done":
            await self.progress.publish()
            await asyncio.sleep(0.5)


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
