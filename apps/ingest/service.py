"""The ingest process: one clock, the venues of this market, the flush, the backfill; start and stop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from django.conf import settings
from redis.exceptions import RedisError

from apps.core.clock import market_clock
from apps.core.logs import get_logger
from apps.core.redis import new_async_redis
from apps.ingest.backfill import HISTORY_DAYS
from apps.ingest.budgets import RedisBudgets
from apps.ingest.clock import ClockFollower
from apps.ingest.emulator import Emulator
from apps.ingest.features import Feature, make_features
from apps.ingest.filler import HistoryFiller
from apps.ingest.flush import Flusher
from apps.ingest.metrics import LOOP_LATE_SECONDS
from apps.ingest.progress import Progress
from apps.ingest.setups import VenueSetup, emulator_setups, live_setups, origin_of
from apps.ingest.sharding import Shard
from apps.ingest.state import MarketState
from apps.ingest.storage import HistoryThread, StreamWriter
from apps.ingest.venue import VenueRunner, Workplace
from apps.marketdata.events import MarketEvent
from apps.marketdata.universe import AssetTier, tier_of
from apps.marketdata.venues import polled_venues
from apps.marketdata.watching import LIQUIDATIONS as LIQUIDATION_WATCH
from apps.marketdata.watching import watch_spans_extend
from apps.venues.base import VenueAdapter
from apps.venues.ccxt_generic.factory import make_adapter
from apps.venues.lateness import Lateness
from apps.venues.limiter import BudgetFactory, LocalBudget
from apps.venues.registry import ADAPTERS

logger = get_logger(__name__)

_STOP_GRACE_S: Final = 10.0
_LATENESS_EVERY_S: Final = 0.25
_WATCHED_EVERY_S: Final = 10.0
"""How often is stored until when liquidations were watched: so much is unknown after a kill."""


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """What one process is told at start."""

    market: str
    shard: Shard
    spool_dir: Path
    emulator: Emulator | None
    adapters: tuple[VenueAdapter, ...] = tuple(ADAPTERS.values())
    seed: int | None = None
    history_days: int = HISTORY_DAYS

    @classmethod
    def from_settings(cls, shard: Shard) -> IngestConfig:
        market = settings.MARKET
        emulator = (
            None if market == "live" else Emulator(settings.SANDBOX_HOST, settings.SANDBOX_PORT)
        )
        folder = settings.VAR_DIR / "spool" / f"{market}-{shard.name}"
        return cls(
            market=market,
            shard=shard,
            spool_dir=folder,
            emulator=emulator,
            history_days=settings.HISTORY_DAYS,
        )


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
        self._features: dict[str, Feature] = make_features(self.state)
        self._history = HistoryThread()
        self.progress = Progress(self._redis, config.shard)
        self.venues: list[VenueRunner] = []
        self._lateness = Lateness(market_clock.now_ms)

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
        await self.progress.resume()
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
            on_history=lambda: filler.repaired(),
            budgets=self._budgets(),
            lateness=self._lateness,
            before_books=lambda: filler.urgent_done(),
        )
        self.venues = [VenueRunner(setup, place) for setup in await self._setups()]
        filler = HistoryFiller(
            venues=self.venues,
            history=self._history,
            progress=self.progress,
            now_ms=now_ms,
            history_days=self._config.history_days,
        )
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
                group.create_task(self._watch_loop())
                group.create_task(self.progress.run())
                group.create_task(flusher.run())
                group.create_task(writer.run())
                for venue in self.venues:
                    group.create_task(self._serve(venue, flusher))
                group.create_task(filler.run())
                group.create_task(self._keep_watched())
        finally:
            await self._finish(flusher, writer)

    def _budgets(self) -> BudgetFactory:
        """Shared through Redis, but for an emulator that nobody else asks."""
        config = self._config
        if config.emulator is not None and config.shard.count == 1:
            return lambda _name, weight, window_s: LocalBudget(
                weight, window_s, monotonic=time.monotonic
            )
        return RedisBudgets(self._redis, config.shard.count)

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
                await self._store_watched()
        except TimeoutError:
            logger.warning("stop_took_too_long")
        await writer.close()
        await self._history.close()
        logger.info("ingest_stopped")

    async def _watch_loop(self) -> None:
        while True:
            await self._lateness.sleep(_LATENESS_EVERY_S)
            if self._lateness.late_s:
                LOOP_LATE_SECONDS.inc(self._lateness.late_s)

    async def _keep_watched(self) -> None:
        while True:
            await asyncio.sleep(_WATCHED_EVERY_S)
            await self._store_watched()

    async def _store_watched(self) -> None:
        now_ms = market_clock.now_ms()
        spans = [span for venue in self.venues for span in venue.liquidations_watched(now_ms)]
        if spans:
            await self._history.run(
                lambda: watch_spans_extend(series=LIQUIDATION_WATCH, spans=spans)
            )
