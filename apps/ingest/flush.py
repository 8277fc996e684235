"""Live states to Redis as they change; once a second venue statuses too, and rows to the writer.

How soon a change is in Redis depends on what telling costs: after each time, so many times its own CPU
time is left to everything else. With few assets that is a tenth of a second, with very many a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final

import redis.asyncio as aredis
from redis.exceptions import RedisError

from apps.core.clock import market_clock
from apps.core.logs import get_logger
from apps.core.outages import Outage
from apps.ingest.features import Feature
from apps.ingest.metrics import FLUSH_LAG_SECONDS, FLUSH_SECONDS, LATE_TRADES
from apps.ingest.state import MarketState
from apps.ingest.storage import StreamWriter
from apps.ingest.venue import VenueRunner
from apps.marketdata.live import (
    LiveState,
    decode_state,
    encode_sources,
    encode_states,
    live_key,
    sources_key,
)

logger = get_logger(__name__)

PERIOD_S: Final = 1.0
_SOONEST_S: Final = 0.1
_REST: Final = 60.0
"""Between two tellings passes this many times the CPU time of gathering one."""


def has_market_ended() -> bool:
    """Whether market time stands at the end of its recording."""
    end_ns = market_clock.line.market_end_ns
    return end_ns is not None and market_clock.now_ns() >= end_ns


class Flusher:
    """Moves what the event loop knows to where the other processes read it."""

    def __init__(
        self,
        *,
        client: aredis.Redis,
        state: MarketState,
        writer: StreamWriter,
        venues: Sequence[VenueRunner],
        features: Mapping[str, Feature],
        now_ms: Callable[[], int],
    ) -> None:
        self._client = client
        self._state = state
        self._writer = writer
        self._venues = venues
        self._features = features
        self._now_ms = now_ms
        self._outage = Outage(logger, "redis_away", what="live states")
        self._pause_s = PERIOD_S

    async def run(self) -> None:
        """Flush every second, without drift, and tell what changed in between, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self.flush()
            # After a stall the missed seconds are skipped, not made up for.
            due = max(due + PERIOD_S, loop.time())
            await self.tell_until(due)

    async def tell_until(self, due: float) -> None:
        """Live states that changed, as often as it may be, until ``due`` (time of the event loop)."""
        loop = asyncio.get_running_loop()
        while due - loop.time() >= 2 * self._pause_s:
            await asyncio.sleep(self._pause_s)
            if not self._outage.is_on:
                for venue in self._venues:
                    self._state.read_books(venue.books)
                await self._send(self._state.take_dirty(), with_sources=False)
        await asyncio.sleep(max(0.0, due - loop.time()))

    async def flush(self, *, is_end: bool = False) -> None:
        now_ms = self._now_ms()
        for venue in self._venues:
            self._state.read_books(venue.books)
            venue.update_metrics()
            for name, feature in self._features.items():
                try:
                    feature.on_second(now_ms, venue.books)
                except Exception:
                    # A layer's defect must not stop the market data of all others.
                    logger.exception("feature_failed", feature=name)
        # After a recording's end no later trade will close its last minute.
        is_over = is_end or has_market_ended()
        self._writer.add(self._state.take_rows(now_ms, is_end=is_over))
        LATE_TRADES.set(sum(one.bars.late_trades for one in self._state.listings.values()))
        await self._send(self._state.take_dirty())
        await self._drop(self._state.take_gone())

    async def _send(self, states: Sequence[LiveState], *, with_sources: bool = True) -> None:
        started, cpu_s = time.perf_counter(), time.thread_time()
        pipeline = self._client.pipeline(transaction=False)
        fields: dict[Any, Any] = encode_states(states)
        if fields:
            pipeline.hset(live_key(), mapping=fields)
        if with_sources:
            pipeline.hset(
                sources_key(), mapping=encode_sources([venue.status() for venue in self._venues])
            )
        elif not fields:
            return
        self._pause_s = min(PERIOD_S, max(_SOONEST_S, _REST * (time.thread_time() - cpu_s)))
        try:
            await pipeline.execute()
        except (RedisError, OSError) as error:
            self._state.mark_dirty(states)
            self._outage.failed(error)
            return
        except asyncio.CancelledError:
            # The last flush, which follows, gives them out once more.
            self._state.mark_dirty(states)
            raise
        if self._outage.is_on:
            # A Redis that lost its memory needs every state again, not only what changed.
            self._state.mark_all_dirty()
            self._outage.over()
        FLUSH_SECONDS.observe(time.perf_counter() - started)
        newest = max((one.ts_event_ms or 0 for one in states), default=0)
        if newest:
            FLUSH_LAG_SECONDS.observe(max(0.0, (self._now_ms() - newest) / 1000))

    async def _drop(self, keys: Sequence[str]) -> None:
        """Live states of what is listed no longer. Those that Redis misses go with the next start."""
        if not keys:
            return
        try:
            await self._client.hdel(live_key(), *keys)
        except (RedisError, OSError) as error:
            logger.warning("redis_away", what="live states", error=str(error))

    async def drop_unlisted(
        self, venue: str, keys_in_use: Container[str], assets: frozenset[str]
    ) -> None:
        """Remove live states that nobody writes any more: delisted, or of another market's list."""
        raw: dict[Any, Any] = await self._client.hgetall(live_key())
        gone: list[Any] = []
        for key, value in raw.items():
            state = decode_state(value)
            if state.venue == venue and state.asset in assets and state.key not in keys_in_use:
                gone.append(key)
        if gone:
            await self._client.hdel(live_key(), *gone)
