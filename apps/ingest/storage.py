"""PostgreSQL from ingest: two threads of its own, so that a slow database never stalls the sockets.

``writer`` stores what the streams say, in order, through the spool. ``history`` serves instruments and
backfill, which are asked for again after a failure and need no spool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from django.db import connections, transaction
from django.db.utils import InterfaceError, OperationalError

from apps.core.logs import get_logger
from apps.ingest.backfill import COARSE_BAR_S, Job, Spans
from apps.ingest.metrics import ROWS, ROWS_PENDING, SPOOLED_BYTES
from apps.ingest.series import HOUR_S, Series
from apps.marketdata.gaps import Gap, Hole, gaps_note, holes_in
from apps.marketdata.instruments import Instrument
from apps.marketdata.listing_changes import Absence
from apps.marketdata.partitions import ensure_window
from apps.marketdata.rollup import bars_roll_up
from apps.marketdata.rows import BarRow, LiquidationRow, SeriesRow
from apps.marketdata.services import (
    Held,
    Synced,
    backfill_span_extend,
    backfill_spans,
    backfill_spans_advance,
    instruments_sync,
)
from apps.marketdata.spool import DurableWriter
from apps.marketdata.universe import AssetTier
from apps.marketdata.watching import LIQUIDATIONS, Watched, watch_spans_extend
from apps.marketdata.writers import connection_refresh, rows_write

logger = get_logger(__name__)
_Result = TypeVar("_Result")
_URGENT: Final = (BarRow, LiquidationRow)
"""Rows that readers wait for; samples may wait for company."""
_PATIENCE_S: Final = 5.0
ROLL_UP_DELAY_MS: Final = 15_000
"""After a slot's end: its last minute closes and gaps are repaired first."""
_LONGEST_WAIT_S: Final = 10.0


def moment(ts_ms: int) -> datetime:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC)


class HistoryThread:
    """Blocking market database work, one call at a time, repeated while the database is away."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ingest-history")

    async def run(self, work: Callable[[], _Result]) -> _Result:
        loop = asyncio.get_running_loop()
        delay_s = 0.5
        while True:
            try:
                return await loop.run_in_executor(self._thread, work)
            except (OperationalError, InterfaceError) as error:
                logger.warning("database_away", error=str(error).strip())
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _LONGEST_WAIT_S)

    async def sync_instruments(
        self,
        venue: str,
        listed: Iterable[Instrument],
        assets: Collection[str],
        now_ms: int,
        dropped: Iterable[Absence] = (),
    ) -> Synced:
        found, told = list(listed), list(dropped)

        def work() -> Synced:
            return instruments_sync(
                venue=venue, listed=found, assets=assets, now=moment(now_ms), dropped=told
            )

        return await self.run(work)

    async def ensure_window(self, now_ms: int) -> None:
        def work() -> None:
            connection_refresh()
            ensure_window(moment(now_ms))

        await self.run(work)

    async def spans(self) -> Spans:
        return await self.run(_read_spans)

    async def store(self, job: Job, rows: Sequence[SeriesRow]) -> None:
        """The rows and that they are held, both or neither."""

        def work() -> None:
            connection_refresh()
            with transaction.atomic(using="market"):
                with connections["market"].cursor() as cursor:
                    # A crash of the server may lose the last pieces and their spans alike: asked for again.
                    cursor.execute("SET LOCAL synchronous_commit = off")
                rows_write(rows, is_new=True)
                backfill_span_extend(
                    instrument_id=job.row_id,
                    series=job.series,
                    interval_s=job.interval_s,
                    since=moment(job.since_ms),
                    until=moment(job.until_ms),
                )
                if job.series == Series.LIQUIDATION:
                    # What was recorded was listened to: an hour without events had none.
                    span = Watched(job.row_id, job.since_ms, job.until_ms)
                    watch_spans_extend(series=LIQUIDATIONS, spans=[span])

        await self.run(work)

    async def store_rows(self, rows: Sequence[SeriesRow]) -> None:
        await self.run(lambda: rows_write(rows))

    async def advance(self, held: Iterable[Held]) -> None:
        """Spans grow by what the streams have brought."""
        rows = list(held)
        await self.run(lambda: backfill_spans_advance(rows))

    async def holes(
        self, series: str, instrument_ids: Sequence[int], start_ms: int, end_ms: int
    ) -> list[Hole]:
        return await self.run(lambda: holes_in(series, instrument_ids, start_ms, end_ms))

    async def note_gaps(self, gaps: Iterable[Gap]) -> None:
        rows = list(gaps)
        if rows:
            await self.run(lambda: gaps_note(rows))

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, connections.close_all)
        self._thread.shutdown()


def _read_spans() -> Spans:
    connection_refresh()
    return {
        key: {
            row_id: (int(since.timestamp() * 1000), int(until.timestamp() * 1000))
            for row_id, (since, until) in spans.items()
        }
        for key, spans in backfill_spans().items()
    }


class RollUp:
    """Which slots of longer bars are still to be summed up."""

    def __init__(self, interval_s: int, origin: str, now_ms: int) -> None:
        self.interval_s = interval_s
        self._origin = origin
        self._step_ms = self.interval_s * 1000
        self._from_ms = now_ms - now_ms % self._step_ms

    def reopen(self, ts_ms: int) -> None:
        """Minutes from ``ts_ms`` on have changed."""
        self._from_ms = min(self._from_ms, ts_ms - ts_ms % self._step_ms)

    def run_if_due(self, instrument_ids: Sequence[int], now_ms: int) -> None:
        """Blocking. Goes one slot further back than needed, for minutes that were amended."""
        end_ms = now_ms - ROLL_UP_DELAY_MS
        end_ms -= end_ms % self._step_ms
        if end_ms <= self._from_ms or not instrument_ids:
            return
        bars_roll_up(
            instrument_ids=instrument_ids,
            interval_s=self.interval_s,
            start=moment(self._from_ms - self._step_ms),
            end=moment(end_ms),
            origin=self._origin,
        )
        self._from_ms = end_ms


class StreamWriter:
    """Takes rows on the event loop and stores them on a thread of its own."""

    def __init__(self, folder: Path, now_ms: Callable[[], int], origin: str) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ingest-writer")
        self._durable = DurableWriter(folder)
        self._now_ms = now_ms
        self._pending: list[SeriesRow] = []
        self._last_write = 0.0
        self._roll_ups = {
            tier: [RollUp(length_s, origin, now_ms()) for length_s in (COARSE_BAR_S[tier], HOUR_S)]
            for tier in AssetTier
        }
        self._tier_ids: dict[AssetTier, list[int]] = {}

    def set_instruments(self, tier_ids: dict[AssetTier, list[int]]) -> None:
        self._tier_ids = tier_ids

    def reopen(self, tier: AssetTier, ts_ms: int) -> None:
        for roll_up in self._roll_ups[tier]:
            roll_up.reopen(ts_ms)

    def add(self, rows: Sequence[SeriesRow]) -> None:
        self._pending += rows
        ROWS_PENDING.set(len(self._pending))

    async def run(self) -> None:
        """Write what is due, once a second, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            if self._is_due():
                await self.write()

    def _is_due(self) -> bool:
        if any(isinstance(row, _URGENT) for row in self._pending):
            return True
        return asyncio.get_running_loop().time() - self._last_write >= _PATIENCE_S

    async def write(self) -> None:
        """Store everything pending, then sum up finished slots."""
        loop = asyncio.get_running_loop()
        rows, self._pending = self._pending, []
        self._last_write = loop.time()
        await loop.run_in_executor(self._thread, self._work, rows)
        ROWS.inc(len(rows))
        ROWS_PENDING.set(len(self._pending))

    def _work(self, rows: Sequence[SeriesRow]) -> None:
        is_stored = self._durable.write(rows)
        SPOOLED_BYTES.set(self._durable.spooled_bytes)
        if not is_stored:
            return
        try:
            for tier, roll_ups in self._roll_ups.items():
                for roll_up in roll_ups:
                    roll_up.run_if_due(self._tier_ids.get(tier, []), self._now_ms())
        except (OperationalError, InterfaceError) as error:
            logger.warning("roll_up_waits", error=str(error).strip())

    async def close(self) -> None:
        await self.write()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, connections.close_all)
        self._thread.shutdown()
