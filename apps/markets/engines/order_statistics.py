"""Ranks, medians and deviations of many windows at once, each row sorted once.

Windows have shape ``(series, slots)``, NaN where a slot has no sample; values now have shape ``(series,)``.

Sources: Iglewicz & Hoaglin (1993) and Rousseeuw & Croux (1993) for the robust z; the percentile is the
mid-distribution rank (``scipy.stats.percentileofscore(kind="mean") / 100``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

# What a median (mean) absolute deviation is multiplied by to estimate a normal sigma: 1 / Φ⁻¹(3/4)
# and √(π/2).
MAD_TO_SIGMA: Final = 1.482602218505602
MEAN_DEVIATION_TO_SIGMA: Final = 1.2533141373155003


@dataclass(frozen=True, slots=True)
class SortedWindow:
    """A window prepared once: rows in ascending order with NaN last, and how many are finite."""

    values: FloatArray
    samples: IntArray


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


def centre(window: SortedWindow) -> tuple[FloatArray, FloatArray]:
    """Median and robust sigma (``1.4826 MAD``) of each row, NaN where it has no sample."""
    median = row_median(window)
    mad = row_mad(window, median)
    scale = MAD_TO_SIGMA * mad
    tied = np.flatnonzero(mad == 0)
    deviation = np.abs(window.values[tied] - median[tied, None])
    mean_deviation = np.nansum(deviation, axis=1) / np.maximum(window.samples[tied], 1)
    scale[tied] = MEAN_DEVIATION_TO_SIGMA * mean_deviation
    empty = window.samples == 0
    return np.where(empty, np.nan, median), np.where(empty, np.nan, scale)


def robust_z(current: FloatArray, median: FloatArray, sigma: FloatArray, clip: float) -> FloatArray:
    """``(x - median) / s`` clipped to ±``clip``, with median and ``s`` of :func:`centre`.

    A plain standard deviation is inflated by one spike and hides the next. Where more than half of the
    window is one value (funding at its base rate), MAD is 0 and ``s = 1.2533 mean|v - median|``; where
    that is 0 too, z is 0 on the median and NaN (degenerate) off it.

    Examples
    --------
    >>> window = sort_window(np.array([[1.0, 1.0, 1.0, 1.0, 2.0]]))
    >>> robust_z(np.array([2.0]), *centre(window), clip=10.0).round(5)
    array([3.98942])
    """
    distance = current - median
    # NaN, too, where there is no window.
    flat = np.where(distance == 0, 0.0, np.nan)
    with np.errstate(over="ignore"):
        z_score = np.clip(distance / np.where(sigma > 0, sigma, 1.0), -clip, clip)
    return np.where(sigma > 0, z_score, flat)


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
