"""Stored shares of longs: the newest of each series, their 30-day windows, and what they are weighted by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from apps.marketdata.context_windows import last_value_slots
from apps.marketdata.positioning import (
    HISTORY_S,
    SERIES,
    SNAPSHOT_S,
    TAKER,
    TAKER_S,
    PositioningSeries,
    positioning_series,
    published_series,
)
from apps.marketdata.selectors import InstrumentRow
from apps.marketdata.universe import AssetTier
from apps.markets.open_interest_samples import open_interest_samples
from apps.markets.past import Past
from apps.markets.refresh_context import HOUR_MS, TIER_GRIDS, past_window
from apps.markets.refresh_sources import as_datetime

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
SeriesKey: TypeAlias = tuple[int, str]
"""(listing's row id, series)."""

WEIGHT_MAX_AGE_MS: Final = 2 * HOUR_MS
"""Open interest older than this does not weight."""
_TAKER_PLACE: Final = SERIES.index(TAKER)


@dataclass(frozen=True, slots=True)
class Share:
    """The newest sample of one series; ``step_s`` is the distance of such samples."""

    long_share: float
    ts_ms: int
    period_s: int
    step_s: int


def steps_s(samples: PositioningSeries) -> IntArray:
    """Seconds between samples like each of these: takers by the half hour, fetched history likewise."""
    is_slow = samples.is_past | (samples.series == _TAKER_PLACE)
    return np.where(is_slow, max(HISTORY_S, TAKER_S), SNAPSHOT_S).astype(np.int64)


def hold_ms(samples: PositioningSeries) -> IntArray:
    """How long each sample stays valid: three of five minutes, one and a half of a half hour."""
    step = steps_s(samples)
    held: IntArray = np.where(step == SNAPSHOT_S, 3 * step, step * 3 // 2) * 1000
    return held


def newest_shares(
    rows: Sequence[InstrumentRow], now_ms: int, as_of: datetime | None
) -> dict[SeriesKey, Share]:
    """The newest sample of each series of these listings, as far back as any is worth something."""
    since_ms = now_ms - 3 * 2 * max(TAKER_S, HISTORY_S) * 1000
    ids = [row.id for row in rows if published_series(row.instrument.venue)]
    samples = positioning_series(ids, as_datetime(since_ms), as_datetime(now_ms + 1), as_of)
    steps = steps_s(samples)
    # Ordered by time: the last one of each series stays.
    last = {
        (int(one), int(place)): index
        for index, (one, place) in enumerate(
            zip(samples.instrument_id, samples.series, strict=True)
        )
    }
    return {
        (one, SERIES[place]): Share(
            float(samples.long_share[index]),
            int(samples.ts_ms[index]),
            int(samples.period_s[index]),
            int(steps[index]),
        )
        for (one, place), index in last.items()
    }


def weights_usd(
    rows: Sequence[InstrumentRow], now_ms: int, as_of: datetime | None
) -> dict[int, float]:
    """The newest stored open interest (USD) of each listing, by row id."""
    since, until = as_datetime(now_ms - WEIGHT_MAX_AGE_MS), as_datetime(now_ms + 1)
    series = open_interest_samples(rows, since, until, as_of)
    known = np.isfinite(series.oi_usd)
    return {
        int(one): float(usd)
        for one, usd in zip(series.instrument_id[known], series.oi_usd[known], strict=True)
    }


def share_windows(
    rows: Sequence[InstrumentRow],
    tier: AssetTier,
    t_ms: int,
    *,
    as_of_ms: int | None,
    generation: str,
) -> tuple[Past, dict[SeriesKey, int]]:
    """The share at each slot's end, and the row of each published series of each listing."""
    grid = TIER_GRIDS[tier]
    keys = [(row, series) for row in rows for series in published_series(row.instrument.venue)]
    places = {(row.id, SERIES.index(series)): place for place, (row, series) in enumerate(keys)}
    ids = list(dict.fromkeys(row.id for row, _ in keys))
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)
    longest_ms = max(TAKER_S, HISTORY_S) * 2000

    def load(first: int, end: int) -> FloatArray:
        start_ms, end_ms = grid.bounds_ms(first, end)
        samples = positioning_series(
            ids, as_datetime(start_ms - longest_ms), as_datetime(end_ms), as_of
        )
        return last_value_slots(
            _places(samples, places),
            samples.known_at_ms,
            samples.long_share,
            hold_ms(samples),
            len(keys),
            grid,
            first,
            end,
        )

    window = past_window(
        f"positioning_{tier.value}",
        grid,
        [f"{series}|{row.instrument.key}" for row, series in keys],
        t_ms,
        load,
        as_of_ms=as_of_ms,
        generation=generation,
    )
    return window, {(row.id, series): place for place, (row, series) in enumerate(keys)}


def _places(samples: PositioningSeries, places: Mapping[tuple[int, int], int]) -> IntArray:
    """Row of the window that each sample belongs to."""
    code = samples.instrument_id.astype(np.int64) * len(SERIES) + samples.series
    unique, inverse = np.unique(code, return_inverse=True)
    table = [places[int(one) // len(SERIES), int(one) % len(SERIES)] for one in unique]
    return np.array(table, dtype=np.int64)[inverse] if table else np.empty(0, dtype=np.int64)
