"""Stored open interest in USD, and its 30-day windows.

Some venues' past open interest is in coins alone (Bybit's). It is valued at the venue's own last traded
price of that time: a few hundredths of a percent from the mark price, which has no past.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from apps.marketdata import selectors
from apps.marketdata.context_windows import Grid
from apps.marketdata.selectors import InstrumentRow, OpenInterestSeries
from apps.marketdata.universe import AssetTier, tier_of
from apps.markets.engines.history import last_at
from apps.markets.past import Past
from apps.markets.refresh_context import (
    DAY_MS,
    OI_HOLD_MS,
    TIER_GRIDS,
    held_slots,
    past_window,
)
from apps.markets.refresh_sources import as_datetime

FloatArray = npt.NDArray[np.float64]


def open_interest_samples(
    rows: Sequence[InstrumentRow], start: datetime, end: datetime, as_of: datetime | None
) -> OpenInterestSeries:
    """Samples of these listings with ``start <= ts < end``; USD is NaN only where no price is known."""
    series = selectors.open_interest_series([row.id for row in rows], start, end, as_of)
    bare = np.isnan(series.oi_usd) & np.isfinite(series.oi_base)
    if not bare.any():
        return series
    usd = series.oi_usd.copy()
    wanted = set(np.unique(series.instrument_id[bare]).tolist())
    for tier in AssetTier:
        mine = [
            row.id for row in rows if row.id in wanted and tier_of(row.instrument.asset) is tier
        ]
        _value(series, usd, bare, mine, tier, (start, end, as_of))
    return replace(series, oi_usd=usd)


def _value(
    series: OpenInterestSeries,
    usd: FloatArray,
    bare: npt.NDArray[np.bool_],
    ids: Sequence[int],
    tier: AssetTier,
    span: tuple[datetime, datetime, datetime | None],
) -> None:
    """Fill in ``usd`` of the ``bare`` samples: coins at the last close before each."""
    start, end, as_of = span
    slot_ms, hold_ms = TIER_GRIDS[tier].slot_ms, OI_HOLD_MS[tier]
    since = start - timedelta(milliseconds=hold_ms + slot_ms)
    bars = selectors.bar_series(ids, slot_ms // 1000, since, end, as_of)
    for one in ids:
        of_bars = bars.instrument_id == one
        at = np.flatnonzero(bare & (series.instrument_id == one))
        closed_ms = bars.ts_ms[of_bars] + slot_ms
        price = last_at(closed_ms, bars.close[of_bars], series.ts_ms[at], hold_ms)
        usd[at] = np.round(series.oi_base[at] * price, 2)


def open_interest_window(
    rows: Sequence[InstrumentRow],
    tier: AssetTier,
    t_ms: int,
    *,
    as_of_ms: int | None,
    generation: str,
) -> Past:
    """Open interest (USD) at each slot's end, one row per perpetual; the day before the window included."""
    grid = TIER_GRIDS[tier]
    wide = Grid(grid.slot_s, grid.slots + DAY_MS // grid.slot_ms)
    ids = [row.id for row in rows]
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)
    hold_ms = OI_HOLD_MS[tier]

    def load(first: int, end: int) -> FloatArray:
        start_ms, end_ms = wide.bounds_ms(first, end)
        series = open_interest_samples(
            rows, as_datetime(start_ms - hold_ms), as_datetime(end_ms), as_of
        )
        return held_slots(series, series.oi_usd, hold_ms, ids, wide, first, end)

    return past_window(
        f"open_interest_{tier.value}",
        wide,
        [row.instrument.key for row in rows],
        t_ms,
        load,
        as_of_ms=as_of_ms,
        generation=generation,
    )
