"""The context layer: how unusual a value is against its own 30-day window.

All functions work on many series at once: ``current`` has shape ``(series,)``, ``window`` has shape
``(series, slots)`` with one last-value sample per slot of a fixed grid, NaN where a slot has none. The
window is half-open, ``[t - 30 d, t)``: the current value is never inside, and nothing later than ``t``.

The arithmetic of sorted windows is in :mod:`apps.markets.engines.order_statistics`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.markets.engines.order_statistics import (
    SortedWindow,
    centre,
    quantile,
    robust_z,
    sort_window,
    sorted_percentile,
    span_slots,
)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

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
    median, scale = centre(of_z)
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
    z_score = robust_z(of_z, prepared.median, prepared.scale, config.clip)
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
