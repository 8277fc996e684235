"""What the streams of a venue missed: taken from its own history, or noted as a gap."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from apps.core.logs import get_logger
from apps.ingest.backfill import COARSE_BAR_S, MINUTE_S, OPEN_INTEREST_S, Job, Series, fetch
from apps.ingest.series import HOUR_S
from apps.ingest.storage import ROLL_UP_DELAY_MS
from apps.marketdata.gaps import NO_DATA, NOT_PUBLISHED, WATCHED_SERIES, Gap, Hole
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.services import Held
from apps.marketdata.universe import tier_of
from apps.venues.errors import VenueError

if TYPE_CHECKING:
    from apps.ingest.venue import VenueRunner, Workplace

logger = get_logger(__name__)

_READERS_LOOK_BACK_MS: Final = 10 * 60_000
"""Readers keep closed minutes and look this far back at least for what was amended since."""
_REPAIR_AFTER_MS: Final = 5_000
"""A minute's own bar is closed and stored before the venue's bar is asked for."""
_LOOK_EVERY_S: Final = 2.0
_STORED_AFTER_MS: Final = 60_000
"""A minute is closed and in the table by then, even when the database was slow."""
_POLLED_MS: Final = 15 * 60_000
"""Samples no further apart than this leave no hole between them."""
_STARTS_WITHIN_MS: Final = 120_000
"""Streams begin so soon before or after the history that was asked for ends."""
_INTERVAL_S: Final = {Series.FUNDING.value: 0}


class Repairs:
    """Looks after the stored history of one venue's instruments."""

    def __init__(self, venue: VenueRunner, place: Workplace) -> None:
        self._venue = venue
        self._place = place

    async def run(self) -> None:
        """Minutes that the stream missed are taken from the venue's own bars."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            now_ms = self._place.now_ms() - _REPAIR_AFTER_MS
            for one in self._venue.instruments:
                coverage = self._place.state.listings[one.key].coverage
                for since_ms, until_ms in coverage.take_repairs(now_ms):
                    if await self._repair_minutes(one, since_ms, until_ms):
                        coverage.repaired((since_ms, until_ms))
                    else:
                        coverage.failed((since_ms, until_ms), now_ms)
                lost = [
                    Gap(self._venue.ids[one.key], Series.BAR, MINUTE_S, *span, NO_DATA)
                    for span in coverage.take_lost()
                ]
                if lost:
                    await self._place.history.note_gaps(lost)

    async def _repair_minutes(self, one: Instrument, since_ms: int, until_ms: int) -> bool:
        job = self._job(one, Series.BAR, MINUTE_S, since_ms, until_ms)
        try:
            rows = await self._venue.caller.until_answered(lambda: fetch(self._venue.rest, job))
        except VenueError as error:
            logger.error("gap_not_repaired", symbol=one.symbol, error=str(error))
            return False
        await self._place.history.store_rows(rows)
        if self._place.now_ms() - since_ms > _READERS_LOOK_BACK_MS:
            self._place.on_history()
        self._place.writer.reopen(tier_of(one.asset), since_ms)
        return True

    # --- what is held ----------------------------------------------------------------------------------

    def held(self, now_ms: int) -> Iterator[Held]:
        """What streams and polls have kept up to date: nobody needs to ask the venue for it again."""
        for one in self._venue.instruments:
            listing = self._place.state.listings[one.key]
            row_id, tier = self._venue.ids[one.key], tier_of(one.asset)
            start_ms = listing.coverage.start_ms
            minutes = listing.coverage.held_until(now_ms - _STORED_AFTER_MS)
            yield Held(row_id, Series.BAR, MINUTE_S, start_ms, minutes)
            for length_s in (COARSE_BAR_S[tier], HOUR_S):
                # Longer bars are summed up out of the minutes a little later. The one in which the
                # watching began is the venue's.
                length_ms = length_s * 1000
                first, end_ms = start_ms + -start_ms % length_ms, minutes - ROLL_UP_DELAY_MS
                yield Held(row_id, Series.BAR, length_s, first, end_ms - end_ms % length_ms)
            sampled_ms = listing.state.oi_ts_ms
            if one.kind is InstrumentKind.PERP and sampled_ms is not None:
                # Samples are stored every five minutes, with the newest that was told.
                until_ms = sampled_ms - sampled_ms % 300_000
                since_ms = until_ms - _POLLED_MS
                for length_s in {OPEN_INTEREST_S[tier], HOUR_S}:
                    yield Held(row_id, Series.OPEN_INTEREST, length_s, since_ms, until_ms)
            heard_ms = listing.state.liquidations_since_ms
            if heard_ms is not None:
                until_ms = now_ms - _STORED_AFTER_MS
                since_ms, until_ms = heard_ms - _STARTS_WITHIN_MS, until_ms - until_ms % 60_000
                yield Held(row_id, Series.LIQUIDATION, MINUTE_S, since_ms, until_ms)

    # --- holes between stored rows ---------------------------------------------------------------------

    async def fill_holes(self, start_ms: int, end_ms: int) -> int:
        """Ask for what is missing inside of what is stored; note what the venue has not either.

        Returns how many holes there were.
        """
        by_id = {
            self._venue.ids[one.key]: one
            for one in self._venue.instruments
            if one.kind is InstrumentKind.PERP
        }
        found = 0
        for series in WATCHED_SERIES:
            holes = await self._place.history.holes(series, list(by_id), start_ms, end_ms)
            found += len(holes)
            for hole in holes:
                await self._fill_hole(series, by_id[hole.instrument_id], hole)
            left = await self._place.history.holes(series, list(by_id), start_ms, end_ms)
            # What was stored meanwhile may have made new ones: those are for the next time.
            known = set(holes)
            await self._place.history.note_gaps(
                Gap(hole.instrument_id, series, 0, hole.since_ms, hole.until_ms, self._why(series))
                for hole in left
                if hole in known
            )
        if found:
            logger.info("holes_filled", venue=self._venue.venue, holes=found)
        return found

    def _why(self, series: str) -> str:
        return NO_DATA if self._has_history(series) else NOT_PUBLISHED

    def _has_history(self, series: str) -> bool:
        offer = self._venue.setup.adapter.offer
        return series != Series.OPEN_INTEREST or offer.open_interest_history

    async def _fill_hole(self, series: str, one: Instrument, hole: Hole) -> None:
        if not self._has_history(series):
            return
        interval_s = _INTERVAL_S.get(series, OPEN_INTEREST_S[tier_of(one.asset)])
        job = self._job(one, series, interval_s, hole.since_ms + 1, hole.until_ms)
        try:
            rows = await self._venue.caller.until_answered(lambda: fetch(self._venue.rest, job))
        except VenueError as error:
            logger.error("gap_not_repaired", symbol=one.symbol, series=series, error=str(error))
            return
        await self._place.history.store_rows(rows)
        self._place.on_history()

    def _job(
        self, one: Instrument, series: str, interval_s: int, since_ms: int, until_ms: int
    ) -> Job:
        row_id = self._venue.ids[one.key]
        return Job("repair", one, row_id, series, interval_s, since_ms, until_ms)
