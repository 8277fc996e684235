"""Rows of history out of stored bars and settlements: pure arrays in, arrays out.

Bars of several lengths may be stored for the same time. The longest whole bar counts; where it is missing
or partial, the shorter ones do if they saw more: a missing bar can only lower a sum, never raise it.
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
class FlowGrid:
    """Bars of one length on a regular grid: row n opens at ``start_ms + n × length_ms``, one column each.

    Where ``present`` is False the sums are 0; NaN is a number that a present bar does not say. ``exact``
    marks whole bars: nothing shorter can add to them.
    """

    start_ms: int
    length_ms: int
    sums: dict[str, FloatArray]
    present: BoolArray
    exact: BoolArray


def bar_grid(
    start_ms: int,
    end_ms: int,
    length_ms: int,
    ts_ms: IntArray,
    column: IntArray,
    is_partial: BoolArray,
    values: dict[str, FloatArray],
    columns: int,
) -> FlowGrid:
    """Put stored bars of one length on the grid of ``[start, end)``; at most one bar a cell."""
    rows = max(0, -(-(end_ms - start_ms) // length_ms))
    row = (ts_ms - start_ms) // length_ms
    inside = (row >= 0) & (row < rows)
    at = (row[inside], column[inside])
    present = np.zeros((rows, columns), bool)
    present[at] = True
    exact = np.zeros((rows, columns), bool)
    exact[at] = ~is_partial[inside]
    sums = {}
    for name in FLOW_FIELDS:
        grid = np.zeros((rows, columns))
        grid[at] = values[name][inside]
        sums[name] = grid
    return FlowGrid(start_ms, length_ms, sums, present, exact)


def rolled_up(grid: FlowGrid, length_ms: int) -> FlowGrid:
    """The same bars summed to a longer length; never exact, as a missing bar may be a quiet one."""
    ratio = length_ms // grid.length_ms
    rows, columns = grid.present.shape
    whole = -(-rows // ratio)
    pad = ((0, whole * ratio - rows), (0, 0))

    def fold(array: npt.NDArray[np.float64]) -> FloatArray:
        total: FloatArray = np.pad(array, pad).reshape(whole, ratio, columns).sum(axis=1)
        return total

    sums = {name: fold(grid.sums[name]) for name in FLOW_FIELDS}
    present = fold(grid.present.astype(np.float64)) > 0
    return FlowGrid(grid.start_ms, length_ms, sums, present, np.zeros_like(present))


def merged(longer: FlowGrid, shorter: FlowGrid) -> FlowGrid:
    """``longer``, with every bar that is missing or partial replaced where the shorter bars saw more."""
    rolled = rolled_up(shorter, longer.length_ms)
    seen = np.where(longer.present, longer.sums["volume_usd"], -1.0)
    take = rolled.present & ~longer.exact & (rolled.sums["volume_usd"] > seen)
    sums = {name: np.where(take, rolled.sums[name], longer.sums[name]) for name in FLOW_FIELDS}
    return FlowGrid(
        longer.start_ms, longer.length_ms, sums, longer.present | rolled.present, longer.exact
    )


def open_cells(grid: FlowGrid) -> tuple[slice, IntArray] | None:
    """Rows (from the first to the last) and columns in which shorter bars may add; None where none can."""
    rows = np.flatnonzero(~grid.exact.all(axis=1))
    if not rows.size:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), np.flatnonzero(~grid.exact.all(axis=0))


def filled(grid: FlowGrid, rows: slice, columns: IntArray, shorter: FlowGrid) -> FlowGrid:
    """``grid`` with the shorter bars of these rows and columns merged in; they start where the rows do."""
    cells = (rows, columns)
    part = FlowGrid(
        grid.start_ms + rows.start * grid.length_ms,
        grid.length_ms,
        {name: values[cells] for name, values in grid.sums.items()},
        grid.present[cells],
        grid.exact[cells],
    )
    better = merged(part, shorter)
    for name, values in grid.sums.items():
        values[cells] = better.sums[name]
    grid.present[cells] = better.present
    return grid


def rows_at(grid: FlowGrid, slots_ms: IntArray) -> dict[str, FloatArray]:
    """The grid's rows of these openings, NaN where nothing is known."""
    row = (slots_ms - grid.start_ms) // grid.length_ms
    present = grid.present[row]
    return {name: np.where(present, grid.sums[name][row], np.nan) for name in FLOW_FIELDS}


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


def newest_at(sample_ms: IntArray, moments_ms: IntArray) -> IntArray:
    """Position of the newest sample at or before each moment, -1 before the first."""
    return np.searchsorted(sample_ms, moments_ms, side="right") - 1


def last_at(
    sample_ms: IntArray, values: FloatArray, moments_ms: IntArray, max_age_ms: int
) -> FloatArray:
    """The newest value at or before each moment, NaN when it is older than ``max_age_ms``."""
    if len(sample_ms) == 0:
        return np.full(len(moments_ms), np.nan)
    position = newest_at(sample_ms, moments_ms)
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
