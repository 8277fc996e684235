"""Between the windows of marketdata and the context engine: loaders, files, contract fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import connections

from apps.core.redis import market_key, sync_redis
from apps.marketdata import selectors
from apps.marketdata.context_windows import (
    ContextWindow,
    Grid,
    Loader,
    last_value_slots,
    sum_slots,
)
from apps.marketdata.events import FundingKind
from apps.marketdata.selectors import FundingSeries, InstrumentRow
from apps.marketdata.universe import AssetTier
from apps.markets.contracts_common import Reference, Thresholds
from apps.markets.engines.context import DEFAULT, ContextRow
from apps.markets.engines.funding import rate_per_8h
from apps.markets.past import Past
from apps.markets.refresh_sources import as_datetime

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
FUNDING_GRID: Final = Grid(slot_s=3600, slots=720)
TIER_GRIDS: Final = {
    AssetTier.HOT: Grid(slot_s=300, slots=8640),
    AssetTier.COLD: Grid(slot_s=1800, slots=1440),
}
FLOW_GRIDS: Final = TIER_GRIDS
# Rows that arrive after their slot (a settlement polled late, a repaired minute) are picked up within
# this time.
_OVERLAP_MS: Final = 12 * HOUR_MS
FLOW_OVERLAP_MS: Final = 2 * HOUR_MS
_LONGEST_INTERVAL_H: Final = 8.0
_OI_HOLD_MS: Final = 2 * HOUR_MS
OI_HOLD_MS: Final = {AssetTier.HOT: 15 * 60_000, AssetTier.COLD: 90 * 60_000}
"""How long a sample of open interest stays valid: three of five minutes, one and a half of an hour."""


def history_generation() -> str:
    """Names the stored history: windows are loaded anew when a backfill ends or the database is another."""
    database = connections["market"].settings_dict
    found = sync_redis().hget(market_key("backfill"), "generation")
    word = found.decode() if isinstance(found, bytes) else ""
    return f"{database['HOST']}:{database['PORT']}/{database['NAME']} {word}"


def past_window(
    name: str,
    grid: Grid,
    series: Sequence[str],
    t_ms: int,
    load: Loader,
    *,
    as_of_ms: int | None,
    generation: str,
    overlap_ms: int = FLOW_OVERLAP_MS,
) -> Past:
    """A window from its mapped file, brought up to ``t_ms``; with ``as_of_ms`` straight from the tables."""
    if not series:
        return Past(None, lambda: np.empty((0, grid.slots)))
    if as_of_ms is not None:
        end = grid.end_slot(t_ms)
        return Past(None, lambda: load(end - grid.slots, end))
    path = settings.VAR_DIR / "context" / settings.MARKET / f"{name}.ring"
    window = ContextWindow(path, grid, series, overlap=max(1, overlap_ms // grid.slot_ms))
    version = window.version(t_ms, load, generation=generation)
    return Past(version, lambda: window.at(t_ms, load, generation=generation))


class Sampled(Protocol):
    """Stored samples."""

    @property
    def instrument_id(self) -> npt.NDArray[np.int32]: ...
    @property
    def known_at_ms(self) -> IntArray: ...


def held_slots(
    samples: Sampled,
    values: FloatArray,
    hold_ms: int,
    ids: Sequence[int],
    grid: Grid,
    first: int,
    end: int,
) -> FloatArray:
    """What was known at each slot's end and no older than ``hold_ms``, one row per id."""
    return last_value_slots(
        positions(samples.instrument_id, ids),
        samples.known_at_ms,
        values,
        np.full(values.size, hold_ms),
        len(ids),
        grid,
        first,
        end,
    )


def funding_windows(
    rows: Sequence[InstrumentRow], t_ms: int, *, as_of_ms: int | None, generation: str
) -> Past:
    """Settled rate (decimal per 8 h), open interest (USD) and settlements per slot: three blocks of one row
    per listing each."""
    return past_window(
        "funding",
        FUNDING_GRID,
        [f"{kind}|{row.instrument.key}" for kind in ("settled", "oi", "count") for row in rows],
        t_ms,
        _funding_loader(rows, as_of_ms),
        as_of_ms=as_of_ms,
        generation=generation,
        overlap_ms=_OVERLAP_MS,
    )


def _funding_loader(rows: Sequence[InstrumentRow], as_of_ms: int | None) -> Loader:
    ids = [row.id for row in rows]
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)

    def load(first: int, end: int) -> FloatArray:
        start_ms, end_ms = FUNDING_GRID.bounds_ms(first, end)
        # Far enough back for the rate in force at the first slot.
        since = as_datetime(start_ms - int(3 * _LONGEST_INTERVAL_H) * HOUR_MS)
        until = as_datetime(end_ms)
        series = selectors.funding_series(ids, FundingKind.SETTLED, since, until, as_of)
        interval_h = settled_intervals(series, rows)
        place = positions(series.instrument_id, ids)
        settled = last_value_slots(
            place,
            series.known_at_ms,
            rate_per_8h(series.rate, interval_h),
            (2 * HOUR_MS * np.nan_to_num(interval_h, nan=_LONGEST_INTERVAL_H)).astype(np.int64),
            len(ids),
            FUNDING_GRID,
            first,
            end,
        )
        count = sum_slots(
            place, series.ts_ms, np.ones(place.size), len(ids), FUNDING_GRID, first, end
        )
        oi = selectors.open_interest_series(ids, as_datetime(start_ms - _OI_HOLD_MS), until, as_of)
        held = held_slots(oi, oi.oi_usd, _OI_HOLD_MS, ids, FUNDING_GRID, first, end)
        return np.concatenate([settled, held, count])

    return load


def settled_intervals(series: FundingSeries, rows: Sequence[InstrumentRow]) -> FloatArray:
    """Hours of the interval that each settlement ended.

    The row's own where the venue said it, else the gap to the settlement before (intervals change per
    symbol without notice), else the listing's current interval.
    """
    current = {row.id: row.instrument.funding_interval_h or np.nan for row in rows}
    interval = series.interval_h.copy()
    order = np.lexsort((series.ts_ms, series.instrument_id))
    ids, ts_ms = series.instrument_id[order], series.ts_ms[order]
    gap = np.full(ids.size, np.nan)
    gap[1:] = np.where(ids[1:] == ids[:-1], np.round(np.diff(ts_ms) / HOUR_MS), np.nan)
    gap[~((gap >= 1) & (gap <= _LONGEST_INTERVAL_H))] = np.nan
    fallback = np.array([current.get(int(one), np.nan) for one in ids])
    guess = np.empty(ids.size)
    guess[order] = np.where(np.isnan(gap), fallback, gap)
    return np.where(np.isnan(interval), guess, interval)


def flow_window(
    rows: Sequence[InstrumentRow],
    tier: AssetTier,
    t_ms: int,
    *,
    as_of_ms: int | None,
    generation: str,
) -> Past:
    """Taker delta (USD) of each grid slot, one row per perpetual; the hour before the window included."""
    grid = FLOW_GRIDS[tier]
    extra = HOUR_MS // grid.slot_ms - 1
    wide = Grid(grid.slot_s, grid.slots + extra)
    return past_window(
        f"volume_flow_{tier.value}",
        wide,
        [row.instrument.key for row in rows],
        t_ms,
        _flow_loader(rows, wide, as_of_ms),
        as_of_ms=as_of_ms,
        generation=generation,
    )


def _flow_loader(rows: Sequence[InstrumentRow], grid: Grid, as_of_ms: int | None) -> Loader:
    ids = [row.id for row in rows]
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)

    def bars(interval_s: int, first: int, end: int) -> FloatArray:
        start_ms, end_ms = grid.bounds_ms(first, end)
        series = selectors.bar_series(
            ids, interval_s, as_datetime(start_ms), as_datetime(end_ms), as_of
        )
        delta = 2.0 * series.buy_usd - series.volume_usd
        # A bar that was not watched from start to end would pass for a quiet one.
        delta[series.is_partial] = np.nan
        place = positions(series.instrument_id, ids)
        return sum_slots(place, series.ts_ms, delta, len(ids), grid, first, end)

    def load(first: int, end: int) -> FloatArray:
        values = bars(grid.slot_s, first, end)
        # The venue's own bars where we have them, our minutes where we do not.
        open_slots = np.flatnonzero(np.isnan(values).any(axis=0))
        if open_slots.size:
            low, high = int(open_slots[0]), int(open_slots[-1]) + 1
            minutes = bars(60, first + low, first + high)
            part = values[:, low:high]
            values[:, low:high] = np.where(np.isnan(part), minutes, part)
        return values

    return load


def has_history(window: FloatArray, grid: Grid) -> BoolArray:
    """Which series of a window reach back far enough to be ranked in."""
    enough = max(DEFAULT.min_samples, int(DEFAULT.min_span_days * DAY_MS / grid.slot_ms))
    found: BoolArray = np.isfinite(window).sum(axis=1) >= enough
    return found


def positions(instrument_id: npt.NDArray[np.int32], ids: Sequence[int]) -> IntArray:
    """Row of each instrument id in ``ids``."""
    place = {one: index for index, one in enumerate(ids)}
    unique, inverse = np.unique(instrument_id, return_inverse=True)
    table = np.array([place[int(one)] for one in unique], dtype=np.int64)
    return table[inverse] if unique.size else np.empty(0, dtype=np.int64)


def context_fields(row: ContextRow, unit: str, *, reason: str | None = None) -> dict[str, Any]:
    """The context part of a contract object; ``reason`` replaces the engine's where a value is null."""
    fields: dict[str, Any] = {
        "value": row.value,
        "unit": unit,
        "percentile_30d": _rounded(row.percentile),
        "z_score": _rounded(row.z_score),
        "interpretation": row.label,
        "thresholds": _thresholds(row),
        "reference": None if row.reference is None else _reference(row.reference),
        "samples": row.samples,
    }
    why = reason if row.value is None and reason else row.reason
    return fields if why is None else fields | {"null_reason": why}


def _thresholds(row: ContextRow) -> Thresholds | None:
    if (
        row.percentile_from is None
        or row.percentile_to is None
        or row.value_from is None
        or row.value_to is None
    ):
        return None
    return Thresholds(
        percentile_from=row.percentile_from,
        percentile_to=row.percentile_to,
        value_from=_display(row.value_from),
        value_to=_display(row.value_to),
    )


def _reference(values: Sequence[float]) -> Reference:
    p02, p10, p25, p50, p75, p90, p98 = (_display(value) for value in values)
    return Reference(p02=p02, p10=p10, p25=p25, p50=p50, p75=p75, p90=p90, p98=p98)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _display(value: float) -> float:
    return round(value, 10)
