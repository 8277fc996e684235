"""Rows of history out of stored bars and settlements: pure arrays in, arrays out.

A cell is one (slot, instrument). Bars of several lengths may be stored for the same time; each cell takes
the longest one that covers it whole, else the one that saw most volume: a missing bar can only lower a
sum, never raise it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

FLOW_FIELDS: Final = ("volume_usd", "buy_usd", "volume_base", "buy_base", "trades")


@dataclass(frozen=True, slots=True)
class FlowCells:
    """Sums per (slot, instrument); NaN where nothing is known. Notionals in USD, quantities in coins."""

    sums: dict[str, FloatArray]
    complete: BoolArray

    @classmethod
    def empty(cls, slots: int, instruments: int) -> FlowCells:
        shape = (slots, instruments)
        return cls({name: np.full(shape, np.nan) for name in FLOW_FIELDS}, np.zeros(shape, bool))


def flow_cells(
    slots_ms: IntArray,
    interval_ms: int,
    bar_ms: int,
    ts_ms: IntArray,
    column: IntArray,
    is_partial: BoolArray,
    values: dict[str, FloatArray],
    instruments: int,
) -> FlowCells:
    """Sum bars of length ``bar_ms`` into slots of ``interval_ms``.

    ``slots_ms`` are sorted slot openings, ``column`` the instrument's position of each bar. Bars outside
    of every slot are left out. A cell is complete when no bar of it is missing or partial.
    """
    shape = (len(slots_ms), instruments)
    if len(ts_ms) == 0 or len(slots_ms) == 0:
        return FlowCells.empty(*shape)
    opening = ts_ms // interval_ms * interval_ms
    row = np.searchsorted(slots_ms, opening)
    inside = row < len(slots_ms)
    inside[inside] = slots_ms[row[inside]] == opening[inside]
    cell = row[inside] * instruments + column[inside]
    size = shape[0] * shape[1]
    count = np.bincount(cell, minlength=size)
    partial = np.bincount(cell, weights=is_partial[inside].astype(float), minlength=size)
    sums: dict[str, FloatArray] = {}
    for name in FLOW_FIELDS:
        total = np.bincount(cell, weights=values[name][inside], minlength=size).astype(np.float64)
        total[count == 0] = np.nan
        sums[name] = total.reshape(shape)
    complete = (count == interval_ms // bar_ms) & (partial == 0)
    return FlowCells(sums, complete.reshape(shape))


def better_cells(held: FlowCells, other: FlowCells) -> FlowCells:
    """``held`` (longer bars) with every cell replaced that ``other`` (shorter bars) knows better."""
    seen = np.nan_to_num(held.sums["volume_usd"], nan=-1.0)
    offered = np.nan_to_num(other.sums["volume_usd"], nan=-1.0)
    take = ~held.complete & (offered > seen)
    sums = {name: np.where(take, other.sums[name], held.sums[name]) for name in FLOW_FIELDS}
    return FlowCells(sums, held.complete | (take & other.complete))


@dataclass(frozen=True, slots=True)
class SettledCells:
    """Settlements per (slot, instrument). ``rate_8h`` is a decimal per 8 hours, NaN without settlement.

    ``last`` is the position of the cell's last settlement in the input, -1 without one.
    """

    rate_8h: FloatArray
    count: IntArray
    last: IntArray


def settled_cells(
    slots_ms: IntArray,
    interval_ms: int,
    ts_ms: IntArray,
    column: IntArray,
    rate: FloatArray,
    interval_h: FloatArray,
    instruments: int,
) -> SettledCells:
    """Mean rate per 8 h of each slot, weighted by the hours that each settlement stands for.

    ``rate`` is a decimal per ``interval_h`` hours: rate_8h = 8 × Σ rate / Σ interval_h.
    """
    shape = (len(slots_ms), instruments)
    size = shape[0] * shape[1]
    opening = ts_ms // interval_ms * interval_ms
    row = np.searchsorted(slots_ms, opening)
    usable = (row < len(slots_ms)) & np.isfinite(rate) & (interval_h > 0)
    usable[usable] = slots_ms[row[usable]] == opening[usable]
    cell = row[usable] * instruments + column[usable]
    count = np.bincount(cell, minlength=size).astype(np.int64)
    paid = np.bincount(cell, weights=rate[usable], minlength=size)
    hours = np.bincount(cell, weights=interval_h[usable], minlength=size)
    last = np.full(size, -1, dtype=np.int64)
    # Input is ordered by time, so the last write of a cell is its last settlement.
    last[cell] = np.flatnonzero(usable)
    rate_8h = np.full(size, np.nan)
    has = count > 0
    rate_8h[has] = 8.0 * paid[has] / hours[has]
    return SettledCells(rate_8h.reshape(shape), count.reshape(shape), last.reshape(shape))


def last_at(
    sample_ms: IntArray, values: FloatArray, moments_ms: IntArray, max_age_ms: int
) -> FloatArray:
    """The newest value at or before each moment, NaN when it is older than ``max_age_ms``."""
    if len(sample_ms) == 0:
        return np.full(len(moments_ms), np.nan)
    position = np.searchsorted(sample_ms, moments_ms, side="right") - 1
    known = position >= 0
    found = np.full(len(moments_ms), np.nan)
    found[known] = values[position[known]]
    found[known & (moments_ms - sample_ms[np.maximum(position, 0)] > max_age_ms)] = np.nan
    return found


@dataclass(frozen=True, slots=True)
class WeightedRate:
    """An aggregate over venues; ``value`` is None when ≥ 2 venues have no weight at all."""

    value: float | None
    weighting: str | None
    oi_usd: float | None
    used: tuple[int, ...]


def weighted_rate(rates: FloatArray, oi_usd: FloatArray) -> WeightedRate:
    """Σ(oi × rate) / Σ oi over the venues that have both; one venue alone is its own aggregate."""
    present = np.flatnonzero(np.isfinite(rates))
    weighted = [int(one) for one in present if np.isfinite(oi_usd[one]) and oi_usd[one] > 0]
    if len(present) == 1:
        only = int(present[0])
        oi = float(oi_usd[only]) if weighted else None
        return WeightedRate(float(rates[only]), "none", oi, (only,))
    if not weighted:
        return WeightedRate(None, None, None, ())
    total = float(oi_usd[weighted].sum())
    value = float((oi_usd[weighted] * rates[weighted]).sum() / total)
    return WeightedRate(value, "open_interest", total, tuple(weighted))
