"""The context layer: how unusual a value is against its own 30-day window.

All functions work on many series at once: ``current`` has shape ``(series,)``, ``window`` has shape
``(series, slots)`` with one last-value sample per slot of a fixed grid, NaN where a slot has none. The
window is half-open, ``[t - 30 d, t)``: the current value is never inside, and nothing later than ``t``.

Sources: Iglewicz & Hoaglin (1993) and Rousseeuw & Croux (1993) for the robust z; the percentile is the
mid-distribution rank (``scipy.stats.percentileofscore(kind="mean") / 100``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

# What a median (mean) absolute deviation is multiplied by to estimate a normal sigma: 1 / Φ⁻¹(3/4)
# and √(π/2).
MAD_TO_SIGMA: Final = 1.482602218505602
MEAN_DEVIATION_TO_SIGMA: Final = 1.2533141373155003

LABELS: Final = ("extreme_low", "low", "subdued", "normal", "elevated", "high", "extreme_high")
INSUFFICIENT_HISTORY: Final = "insufficient_history"
NO_DATA: Final = "no_data"
DEGENERATE: Final = "degenerate"
_EXTREME_LOW, _LOW, _SUBDUED, _NORMAL, _ELEVATED, _HIGH, _EXTREME_HIGH = range(7)


@dataclass(frozen=True, slots=True)
class ContextConfig:
    """House defaults; cuts are percentiles, ``clip`` and ``extreme_z`` are in robust sigmas."""

    min_samples: int = 30
    min_span_days: float = 10.0
    clip: float = 10.0
    extreme_z: float = 2.0
    cuts: tuple[float, float, float, float, float, float] = (0.02, 0.10, 0.25, 0.75, 0.90, 0.98)
    reference: tuple[float, ...] = (0.02, 0.10, 0.25, 0.50, 0.75, 0.90, 0.98)


DEFAULT: Final = ContextConfig()


@dataclass(frozen=True, slots=True)
class SortedWindow:
    """A window prepared once: rows in ascending order with NaN last, and how many are finite."""

    values: FloatArray
    samples: IntArray


@dataclass(frozen=True, slots=True)
class ContextRow:
    """The context of one series as plain Python values; None is missing, ``reason`` says why."""

    value: float | None
    percentile: float | None
    z_score: float | None
    label: str
    percentile_from: float | None
    percentile_to: float | None
    value_from: float | None
    value_to: float | None
    reference: tuple[float, ...] | None
    samples: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class ContextResult:
    """Contexts of all series; missing is NaN, label -1 is insufficient history.

    ``bands`` has shape ``(series, 4)``: percentile from, to, value from, to of the label given.
    ``reference`` has shape ``(series, len(config.reference))``.
    """

    current: FloatArray
    percentile: FloatArray
    z_score: FloatArray
    label: IntArray
    bands: FloatArray
    reference: FloatArray
    samples: IntArray
    config: ContextConfig = field(default=DEFAULT)
    z_has_history: BoolArray | None = None
    """False where the series of the z is too short, or has no value now; None: it is the value's own."""

    def row(self, index: int) -> ContextRow:
        value = _number(self.current.item(index))
        percentile = _number(self.percentile.item(index))
        z_score = _number(self.z_score.item(index))
        has_context = percentile is not None
        band = [_number(edge) for edge in self.bands[index].tolist()]
        return ContextRow(
            value=value,
            percentile=percentile,
            z_score=z_score,
            label=LABELS[self.label[index]] if has_context else INSUFFICIENT_HISTORY,
            percentile_from=band[0],
            percentile_to=band[1],
            value_from=band[2],
            value_to=band[3],
            reference=tuple(self.reference[index].tolist()) if has_context else None,
            samples=int(self.samples[index]),
            reason=_reason(value, percentile, z_score, self._has_z_history(index)),
        )

    def _has_z_history(self, index: int) -> bool:
        return self.z_has_history is None or bool(self.z_has_history[index])


def context_of(
    current: FloatArray,
    window: FloatArray,
    slot_s: float,
    *,
    allow_extreme: BoolArray | None = None,
    log_unit: float | None = None,
    z_of: tuple[FloatArray, FloatArray] | None = None,
    config: ContextConfig = DEFAULT,
) -> ContextResult:
    """Percentile, robust z, label and thresholds of every series.

    Parameters
    ----------
    current
        Values now, any unit, shape ``(series,)``.
    window
        Samples of the same series in the same unit, shape ``(series, slots)``, oldest first.
    slot_s
        Length of one slot of the grid, seconds: gives the span that the samples cover.
    allow_extreme
        False where coverage is too poor for an extreme label, shape ``(series,)``.
    log_unit
        For skewed positive metrics: the z is taken on ``log1p(value / log_unit)``.
    z_of
        For metrics that wander: ``(current, window)`` of the stationary series that the z is taken on,
        on the same grid.
    """
    prepared = prepare(window, slot_s, log_unit=log_unit, z_window=z_of and z_of[1], config=config)
    return rank(
        current,
        prepared,
        allow_extreme=allow_extreme,
        log_unit=log_unit,
        z_current=z_of and z_of[0],
        config=config,
    )


@dataclass(frozen=True, slots=True)
class Prepared:
    """All of a context that depends on the window alone: one row per series.

    ``values`` are ascending, NaN last. ``median`` and ``scale`` are those of the series of the z, of which
    a row is NaN where it has no sample; ``z_usable`` is None where the z is that of the values themselves.
    """

    values: FloatArray
    samples: IntArray
    usable: BoolArray
    median: FloatArray
    scale: FloatArray
    reference: FloatArray
    z_usable: BoolArray | None

    def put(self, rows: IntArray, other: Prepared) -> None:
        """Take over all rows of ``other`` as these."""
        for name in ("values", "samples", "usable", "median", "scale", "reference", "z_usable"):
            mine = getattr(self, name)
            if mine is not None:
                mine[rows] = getattr(other, name)


def prepare(
    window: FloatArray,
    slot_s: float,
    *,
    log_unit: float | None = None,
    z_window: FloatArray | None = None,
    config: ContextConfig = DEFAULT,
) -> Prepared:
    """Sort, medians, deviations and quantiles of every series: see :func:`context_of`.

    Nothing here depends on the value now, so that it may be kept for as long as the window stands.
    """
    infinite = np.isinf(window)
    if infinite.any():
        window = np.where(infinite, np.nan, window)
    prepared = sort_window(window)
    z_usable, of_z = None, prepared
    if z_window is not None:
        of_z = sort_window(z_window)
        z_usable = _is_enough(z_window, of_z, slot_s, config)
    elif log_unit is not None:
        of_z = _sorted_logs(prepared, log_unit)
    median, scale = _centre(of_z)
    return Prepared(
        values=prepared.values,
        samples=prepared.samples,
        usable=_is_enough(window, prepared, slot_s, config),
        median=median,
        scale=scale,
        reference=np.column_stack([quantile(prepared, q) for q in config.reference]),
        z_usable=z_usable,
    )


def rank(
    current: FloatArray,
    prepared: Prepared,
    *,
    allow_extreme: BoolArray | None = None,
    log_unit: float | None = None,
    z_current: FloatArray | None = None,
    config: ContextConfig = DEFAULT,
) -> ContextResult:
    """The context of values now among prepared windows: see :func:`context_of`."""
    current = np.where(np.isfinite(current), current, np.nan)
    held = SortedWindow(prepared.values, prepared.samples)
    percentile = np.where(prepared.usable, sorted_percentile(current, held), np.nan)
    of_z, z_has_history = current, None
    if z_current is not None and prepared.z_usable is not None:
        of_z, z_has_history = z_current, prepared.z_usable & ~np.isnan(z_current)
    elif log_unit is not None:
        of_z = _log1p(current, log_unit)
    z_score = _scaled(of_z, prepared.median, prepared.scale, config.clip)
    if z_has_history is not None:
        z_score = np.where(z_has_history, z_score, np.nan)
    z_score = np.where(np.isnan(percentile), np.nan, z_score)
    label = labels(percentile, z_score, allow_extreme=allow_extreme, config=config)
    return ContextResult(
        current=current,
        percentile=percentile,
        z_score=z_score,
        label=label,
        bands=_bands(label, percentile, z_score, held, allow_extreme, config),
        reference=prepared.reference.copy(),
        samples=prepared.samples.copy(),
        config=config,
        z_has_history=z_has_history,
    )


def _is_enough(
    window: FloatArray, prepared: SortedWindow, slot_s: float, config: ContextConfig
) -> BoolArray:
    """Enough samples over a long enough time to compare with."""
    long_enough: BoolArray = span_slots(window) * slot_s >= config.min_span_days * 86_400.0
    return long_enough & (prepared.samples >= config.min_samples)


def _sorted_logs(window: SortedWindow, unit: float) -> SortedWindow:
    """Logs keep the order; what is negative has none and is missing."""
    with np.errstate(invalid="ignore"):
        logs = _log1p(window.values, unit)
        return (
            SortedWindow(logs, window.samples)
            if not (window.values < 0).any()
            else sort_window(logs)
        )


def sort_window(window: FloatArray) -> SortedWindow:
    """Sort each row once: medians, deviations and quantiles are then look-ups."""
    return SortedWindow(np.sort(window, axis=1), np.count_nonzero(~np.isnan(window), axis=1))


def span_slots(window: FloatArray) -> IntArray:
    """Slots from the first to the last sample of each row, both included; 0 for an empty row."""
    present = ~np.isnan(window)
    slots = window.shape[1]
    if slots == 0:
        return np.zeros(window.shape[0], dtype=np.int64)
    first = present.argmax(axis=1)
    last = slots - 1 - present[:, ::-1].argmax(axis=1)
    return np.where(present.any(axis=1), last - first + 1, 0)


def midrank_percentile(current: FloatArray, window: FloatArray) -> FloatArray:
    """``(#{v < x} + 0.5 #{v = x}) / n`` in [0, 1]; NaN for an empty row or a missing value.

    Examples
    --------
    >>> midrank_percentile(np.array([7.0]), np.arange(1.0, 11.0)[None, :])
    array([0.65])
    """
    below = np.count_nonzero(window < current[:, None], axis=1)
    equal = np.count_nonzero(window == current[:, None], axis=1)
    samples = np.count_nonzero(~np.isnan(window), axis=1)
    known = (samples > 0) & ~np.isnan(current)
    rank = (below + 0.5 * equal) / np.maximum(samples, 1)
    return np.where(known, rank, np.nan)


def sorted_percentile(current: FloatArray, window: SortedWindow) -> FloatArray:
    """:func:`midrank_percentile` by bisection of rows that are sorted already."""
    below = _places(current, window, is_right=False)
    equal = _places(current, window, is_right=True) - below
    known = (window.samples > 0) & ~np.isnan(current)
    return np.where(known, (below + 0.5 * equal) / np.maximum(window.samples, 1), np.nan)


def _places(current: FloatArray, window: SortedWindow, *, is_right: bool) -> IntArray:
    """``np.searchsorted`` of each row with its own value, all rows at once."""
    rows = np.arange(window.samples.size)
    low, high = np.zeros_like(window.samples), window.samples.copy()
    while (open_ := low < high).any():
        middle = (low + high) // 2
        # A row that is done may point behind its end.
        found = window.values[rows, np.minimum(middle, window.values.shape[1] - 1)]
        goes_on = open_ & ((found <= current) if is_right else (found < current))
        low = np.where(goes_on, middle + 1, low)
        high = np.where(open_ & ~goes_on, middle, high)
    return low


def robust_z(current: FloatArray, window: SortedWindow, *, clip: float = 10.0) -> FloatArray:
    """``(x - median) / s`` clipped to ±``clip``, with ``s = 1.4826 MAD``.

    A plain standard deviation is inflated by one spike and hides the next. Where more than half of the
    window is one value (funding at its base rate), MAD is 0 and ``s = 1.2533 mean|v - median|``; where
    that is 0 too, z is 0 on the median and NaN (degenerate) off it.

    Examples
    --------
    >>> robust_z(np.array([2.0]), sort_window(np.array([[1.0, 1.0, 1.0, 1.0, 2.0]]))).round(5)
    array([3.98942])
    """
    return _scaled(current, *_centre(window), clip)


def _centre(window: SortedWindow) -> tuple[FloatArray, FloatArray]:
    """Median and robust sigma of each row, NaN where it has no sample."""
    median = row_median(window)
    mad = row_mad(window, median)
    scale = MAD_TO_SIGMA * mad
    tied = np.flatnonzero(mad == 0)
    deviation = np.abs(window.values[tied] - median[tied, None])
    mean_deviation = np.nansum(deviation, axis=1) / np.maximum(window.samples[tied], 1)
    scale[tied] = MEAN_DEVIATION_TO_SIGMA * mean_deviation
    empty = window.samples == 0
    return np.where(empty, np.nan, median), np.where(empty, np.nan, scale)


def _scaled(current: FloatArray, median: FloatArray, scale: FloatArray, clip: float) -> FloatArray:
    distance = current - median
    # NaN, too, where there is no window.
    flat = np.where(distance == 0, 0.0, np.nan)
    with np.errstate(over="ignore"):
        scaled = np.clip(distance / np.where(scale > 0, scale, 1.0), -clip, clip)
    return np.where(scale > 0, scaled, flat)


def row_median(window: SortedWindow) -> FloatArray:
    """Median of the finite values of each row; NaN for an empty row."""
    if window.values.shape[1] == 0:
        return np.full(window.values.shape[0], np.nan)
    rows = np.arange(window.values.shape[0])
    low: FloatArray = window.values[rows, np.maximum(window.samples - 1, 0) // 2]
    high = window.values[rows, np.minimum(window.samples // 2, window.values.shape[1] - 1)]
    median: FloatArray = low + 0.5 * (high - low)
    return median


def row_mad(window: SortedWindow, median: FloatArray) -> FloatArray:
    """Median absolute deviation from ``median`` of each row, without sorting the deviations.

    The k values nearest to the median are neighbours in sorted order, so the k-th smallest deviation is
    the least, over all runs of k neighbours, of the greater distance of the run's two ends.
    """
    result = np.full(window.samples.shape, np.nan)
    for samples in np.unique(window.samples).tolist():
        if samples == 0:
            continue
        rows = np.flatnonzero(window.samples == samples)
        values = window.values if rows.size == window.samples.size else window.values[rows]
        centre = median[rows, None]
        low = _nearest(values, centre, (samples + 1) // 2, samples)
        # An even number of samples has two middle deviations.
        high = low if samples % 2 else _nearest(values, centre, samples // 2 + 1, samples)
        result[rows] = low + 0.5 * (high - low)
    return result


def _nearest(values: FloatArray, centre: FloatArray, k: int, samples: int) -> FloatArray:
    """The k-th smallest distance to ``centre`` in ascending rows of ``samples`` values."""
    first, last = values[:, : samples - k + 1], values[:, k - 1 : samples]
    nearest: FloatArray = np.maximum(centre - first, last - centre).min(axis=1)
    return nearest


def quantile(window: SortedWindow, probability: float | FloatArray) -> FloatArray:
    """Hazen quantile of each row: the inverse of the mid-rank percentile, clamped to the extremes."""
    slots = window.values.shape[1]
    if slots == 0:
        return np.full(window.values.shape[0], np.nan)
    rows = np.arange(window.values.shape[0])
    position = np.clip(window.samples * probability - 0.5, 0.0, np.maximum(window.samples - 1, 0))
    lower = np.floor(position).astype(np.int64)
    upper = np.minimum(lower + 1, np.maximum(window.samples - 1, 0))
    low: FloatArray = window.values[rows, lower]
    high: FloatArray = window.values[rows, upper]
    value: FloatArray = low + (position - lower) * (high - low)
    return value


def labels(
    percentile: FloatArray,
    z_score: FloatArray,
    *,
    allow_extreme: BoolArray | None = None,
    config: ContextConfig = DEFAULT,
) -> IntArray:
    """Index into ``LABELS``; -1 where the percentile is missing.

    An extreme label also needs ``|z| >= 2``; without it (or without a z) the label is low or high.
    """
    p02, p10, p25, p75, p90, p98 = config.cuts
    label = np.select(
        [
            percentile <= p02,
            percentile <= p10,
            percentile <= p25,
            percentile < p75,
            percentile < p90,
            percentile < p98,
        ],
        [_EXTREME_LOW, _LOW, _SUBDUED, _NORMAL, _ELEVATED, _HIGH],
        default=_EXTREME_HIGH,
    )
    extreme = _is_extreme(z_score, allow_extreme, config)
    label = np.where((label == _EXTREME_LOW) & ~extreme, _LOW, label)
    label = np.where((label == _EXTREME_HIGH) & ~extreme, _HIGH, label)
    return np.where(np.isnan(percentile), -1, label).astype(np.int64)


def _is_extreme(
    z_score: FloatArray, allow_extreme: BoolArray | None, config: ContextConfig
) -> BoolArray:
    far: BoolArray = np.abs(z_score) >= config.extreme_z
    return far if allow_extreme is None else far & allow_extreme


def _bands(
    label: IntArray,
    percentile: FloatArray,
    z_score: FloatArray,
    window: SortedWindow,
    allow_extreme: BoolArray | None,
    config: ContextConfig,
) -> FloatArray:
    """Percentile and value edges of each label; low and high reach the end when they hold the extreme."""
    edges = np.array((0.0, *config.cuts, 1.0))
    safe = np.maximum(label, 0)
    start, end = edges[safe], edges[safe + 1]
    demoted = ~_is_extreme(z_score, allow_extreme, config)
    start = np.where((label == _LOW) & demoted, 0.0, start)
    end = np.where((label == _HIGH) & demoted, 1.0, end)
    stacked = np.column_stack([start, end, quantile(window, start), quantile(window, end)])
    return np.where(np.isnan(percentile)[:, None], np.nan, stacked)


def _log1p(values: FloatArray, unit: float) -> FloatArray:
    """Negative values have no place in a skewed positive series: they become missing."""
    return np.log1p(np.where(values >= 0, values, np.nan) / unit)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _reason(
    value: float | None, percentile: float | None, z_score: float | None, has_z_history: bool
) -> str | None:
    if value is None:
        return NO_DATA
    if percentile is None or (z_score is None and not has_z_history):
        return INSUFFICIENT_HISTORY
    return DEGENERATE if z_score is None else None
