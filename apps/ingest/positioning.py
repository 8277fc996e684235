"""Shares of longs are asked for: no venue streams them.

Each series of each perpetual is asked for once per sample that the venue takes, soon after it took it, HOT
assets first. A question covers everything since the last sample, so that a short outage leaves no hole;
the venue's own budget (in its REST client) paces what falls due at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from apps.core.clock import NS_PER_MS
from apps.core.logs import get_logger
from apps.ingest.retry import RestCaller
from apps.marketdata.columns import Columns
from apps.marketdata.events import PositioningRatio
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.positioning import SERIES, SNAPSHOT_S, TAKER, TAKER_S
from apps.marketdata.rows import PositioningRow
from apps.marketdata.universe import AssetTier, tier_of
from apps.venues.errors import VenueError
from apps.venues.rest_client import RestClient

logger = get_logger(__name__)

_IN_FLIGHT: Final = 4
_LOOK_EVERY_S: Final = 1.0
LOOK_BACK_MS: Final = 40 * 60_000
"""How far back the first question reaches: beyond the newest taker period. What is older is history."""
AGAIN_MS: Final = 150_000
"""A venue that has nothing new yet, or did not answer, is asked again then: twice per sample at most."""
_UNTIL_ANSWERED: Final = 1 << 62
DELAY_MS: Final = {AssetTier.HOT: 5_000, AssetTier.COLD: 25_000}
"""After a sample was taken: venues need some seconds to publish it, and HOT assets go first."""


def period_of(series: str) -> int:
    """Seconds between two samples of a series, and what the venue is asked for."""
    return TAKER_S if series == TAKER else SNAPSHOT_S


def positioning_rows(
    row_id: int, ratios: Iterable[PositioningRatio], origin: str, known_at_ms: int | None = None
) -> Columns[PositioningRow]:
    """Venue samples as rows; a taker period is of the moment of its end, and not stored before.

    ``known_at_ms``: when the answer came; None for the past, which was known when it was of.
    """
    found = Columns.of(PositioningRatio, ratios)
    is_taker = found.array("series", object) == TAKER
    covers_s = np.where(is_taker, found.array("period_s", np.int64), 0)
    ts = found.array("ts_event", np.int64) // NS_PER_MS + covers_s * 1000
    is_over = ts <= found.array("ts_recv", np.int64) // NS_PER_MS
    found, ts = found.where(is_over), ts[is_over]
    return Columns(
        PositioningRow,
        len(found),
        {
            "instrument_id": row_id,
            "series": found.column("series"),
            "ts": ts,
            "known_at": ts if known_at_ms is None else np.maximum(ts, known_at_ms),
            "long_share": found.column("long_share"),
            "period_s": covers_s[is_over],
            "origin": origin,
        },
    )


class Question(NamedTuple):
    """One series of one perpetual, since a moment (ms)."""

    instrument: Instrument
    series: str
    since_ms: int


class PositioningPoller:
    """Asks one venue's REST for its series of the instruments that ``instruments`` names at the time."""

    def __init__(
        self,
        *,
        series: Iterable[str],
        rest: RestClient,
        caller: RestCaller,
        instruments: Callable[[], Sequence[Instrument]],
        ids: Callable[[], Mapping[str, int]],
        store: Callable[[Sequence[PositioningRow]], None],
        origin: str,
        now_ms: Callable[[], int],
    ) -> None:
        wanted = frozenset(series)
        self._series = tuple(one for one in SERIES if one in wanted)
        self._rest = rest
        self._caller = caller
        self._instruments = instruments
        self._ids = ids
        self._store = store
        self._origin = origin
        self._now_ms = now_ms
        self._newest: dict[tuple[str, str], int] = {}
        self._due: dict[tuple[str, str], int] = {}
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for question in self.take_due(self._now_ms()):
                    group.create_task(self._ask(question))
                await asyncio.sleep(_LOOK_EVERY_S)

    def take_due(self, now_ms: int) -> list[Question]:
        """What is to be asked for now, HOT assets first, headline series first; none again until answered."""
        perps = [one for one in self._instruments() if one.kind is InstrumentKind.PERP]
        perps.sort(key=lambda one: tier_of(one.asset) is AssetTier.COLD)
        due: list[Question] = []
        for series in self._series:
            for one in perps:
                key = (one.key, series)
                if self._due.get(key, 0) > now_ms:
                    continue
                self._due[key] = _UNTIL_ANSWERED
                newest = self._newest.get(key)
                due.append(
                    Question(one, series, now_ms - LOOK_BACK_MS if newest is None else newest + 1)
                )
        due.sort(key=lambda one: tier_of(one.instrument.asset) is AssetTier.COLD)
        return due

    def take_answer(self, question: Question, ratios: Iterable[PositioningRatio]) -> None:
        """Store what is new; the next question comes after the next sample."""
        one, series, _ = question
        key = (one.key, series)
        self._due[key] = self._now_ms() + AGAIN_MS
        newest = self._newest.get(key, 0)
        row_id = self._ids().get(one.key)
        if row_id is None:
            # Delisted while the question was under way.
            return
        rows = positioning_rows(row_id, ratios, self._origin, self._now_ms())
        fresh = [row for row in rows if row.ts > newest]
        if not fresh:
            return
        self._store(fresh)
        self._newest[key] = newest = max(row.ts for row in fresh)
        coming_ms = newest + period_of(series) * 1000 + DELAY_MS[tier_of(one.asset)]
        self._due[key] = max(coming_ms, self._now_ms() + DELAY_MS[AssetTier.HOT])

    async def _ask(self, question: Question) -> None:
        one, series, since_ms = question
        period_s = period_of(series)
        # A taker period is named by its beginning.
        start_ms = since_ms - (period_s * 1000 if series == TAKER else 0)
        async with self._slots:
            try:
                ratios = await self._caller.once(
                    lambda: self._rest.positioning(
                        one, series, period_s, start_ms, self._now_ms() + 1
                    )
                )
            except VenueError as error:
                logger.warning(
                    "positioning_missed", symbol=one.symbol, series=series, error=str(error)
                )
                ratios = []
        self.take_answer(question, ratios)
