"""Forced closes: what was liquidated, of which side, in which part of the time that was listened to.

Amounts are USD. A long that is liquidated is sold by force, a short is bought back (METHODS section 1).
A sum is stated only where at least ``FULL`` of its time was listened to: an hour in which nobody listened
is not an hour without liquidations. Venues that publish a sample make every sum a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.markets.engines.quality import FULL

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

USD_DECIMALS: Final = 2
SHARE_DECIMALS: Final = 6
LOG_UNIT: Final = 1.0
"""USD. Liquidations are skewed: their z is taken on ``log1p(value / LOG_UNIT)``."""
# Absolute reading of the imbalance: three of four dollars on one side.
_ONE_SIDED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sums:
    """Liquidated in one stretch of time. ``largest``: position of the largest event, -1 without any."""

    long_usd: float
    short_usd: float
    count: int
    largest: int

    @property
    def total_usd(self) -> float:
        return round(self.long_usd + self.short_usd, USD_DECIMALS)


def sums_of(is_long: BoolArray, usd: FloatArray, inside: BoolArray) -> Sums:
    """Over the events inside; of equal events the newest is the largest.

    Examples
    --------
    >>> sums_of(np.array([True, False, True]), np.array([5.0, 2.0, 5.0]), np.array([True] * 3))
    Sums(long_usd=10.0, short_usd=2.0, count=3, largest=2)
    """
    rows = np.flatnonzero(inside)
    if not rows.size:
        return Sums(0.0, 0.0, 0, -1)
    amounts, longs = usd[rows], is_long[rows]
    newest_first = amounts[::-1]
    return Sums(
        long_usd=round(float(amounts[longs].sum()), USD_DECIMALS),
        short_usd=round(float(amounts[~longs].sum()), USD_DECIMALS),
        count=int(rows.size),
        largest=int(rows[rows.size - 1 - int(newest_first.argmax())]),
    )


def imbalance(long_usd: float, short_usd: float) -> float | None:
    """``(L - S) / (L + S)`` in [-1, 1]: 1 when only longs were liquidated; None without any.

    Examples
    --------
    >>> imbalance(3.0, 1.0), imbalance(0.0, 2.0), imbalance(0.0, 0.0)
    (0.5, -1.0, None)
    """
    total = long_usd + short_usd
    return round((long_usd - short_usd) / total, SHARE_DECIMALS) if total > 0 else None


def state_of(long_usd: float, short_usd: float) -> str:
    """Which side is being closed by force."""
    skew = imbalance(long_usd, short_usd)
    if skew is None:
        return "quiet"
    if skew >= _ONE_SIDED:
        return "longs_liquidated"
    return "shorts_liquidated" if skew <= -_ONE_SIDED else "both_sides"


def union(since_ms: IntArray, until_ms: IntArray) -> tuple[IntArray, IntArray]:
    """The same time as spans that neither touch nor overlap, in order.

    Examples
    --------
    >>> [one.tolist() for one in union(np.array([5, 0, 20]), np.array([9, 6, 30]))]
    [[0, 20], [9, 30]]
    """
    order = np.argsort(since_ms, kind="stable")
    since, until = since_ms[order], np.maximum.accumulate(until_ms[order])
    if not since.size:
        return since, until
    begins = np.append(True, since[1:] > until[:-1])
    ends = np.append(begins[1:], True)
    return since[begins], until[ends]


def watched_ms(since_ms: IntArray, until_ms: IntArray, edges_ms: IntArray) -> FloatArray:
    """Milliseconds inside any span before each edge (ascending or not): differences are time watched.

    Examples
    --------
    >>> watched_ms(np.array([10, 50]), np.array([20, 60]), np.array([0, 15, 40, 55, 99])).tolist()
    [0.0, 5.0, 10.0, 15.0, 20.0]
    """
    since, until = union(since_ms, until_ms)
    if not since.size:
        return np.zeros(len(edges_ms))
    length = until - since
    before = np.cumsum(length) - length
    span = np.searchsorted(since, edges_ms, side="right") - 1
    held = np.clip(edges_ms - since[span], 0, length[span])
    return np.where(span >= 0, before[span] + held, 0).astype(np.float64)


def is_stated(share: float | FloatArray) -> BoolArray:
    """Whether enough of the time was watched for a sum to be the sum of that time."""
    found: BoolArray = np.asarray(share) >= FULL - 1e-9
    return found


def rolling_total(usd: FloatArray, watched: FloatArray, width: int) -> FloatArray:
    """Sum of the last ``width`` slots at each slot's end, NaN where too little of them was watched.

    Parameters
    ----------
    usd
        Liquidated in each slot, 0 or more, shape ``(series, slots)``.
    watched
        Share of each slot that was watched, NaN or 0 to 1.

    Returns
    -------
    Array of shape ``(series, slots - width + 1)``.
    """
    total = _rolled(np.nan_to_num(usd), width)
    share = _rolled(np.nan_to_num(watched), width) / width
    # Differences of running sums leave dust where nothing was liquidated.
    return np.where(is_stated(share), np.maximum(total.round(USD_DECIMALS), 0.0), np.nan)


def _rolled(values: FloatArray, width: int) -> FloatArray:
    summed = np.cumsum(values, axis=1)
    summed = np.hstack([np.zeros((values.shape[0], 1)), summed])
    rolled: FloatArray = summed[:, width:] - summed[:, :-width]
    return rolled


@dataclass(frozen=True, slots=True)
class Buckets:
    """Sums per (slot, series): USD by side, events, and the largest event's USD; 0 where none was."""

    long_usd: FloatArray
    short_usd: FloatArray
    count: IntArray
    largest_usd: FloatArray


def bucketed(
    slots_ms: IntArray,
    interval_ms: int,
    ts_ms: IntArray,
    series: IntArray,
    is_long: BoolArray,
    usd: FloatArray,
    count: int,
) -> Buckets:
    """Events into the slots of ``slots_ms`` (openings, ascending); those of other slots are left out."""
    shape = (len(slots_ms), count)
    opening = ts_ms // interval_ms * interval_ms
    row = np.searchsorted(slots_ms, opening)
    inside = row < len(slots_ms)
    inside[inside] = slots_ms[row[inside]] == opening[inside]
    cell = row[inside] * count + series[inside]
    amounts, longs = usd[inside], is_long[inside]
    size = shape[0] * shape[1]
    largest = np.zeros(size)
    np.maximum.at(largest, cell, amounts)
    long_usd: FloatArray = np.zeros(size) + np.bincount(cell, amounts * longs, size)
    short_usd: FloatArray = np.zeros(size) + np.bincount(cell, amounts * ~longs, size)
    return Buckets(
        long_usd=long_usd.reshape(shape),
        short_usd=short_usd.reshape(shape),
        count=np.bincount(cell, minlength=size).astype(np.int64).reshape(shape),
        largest_usd=largest.reshape(shape),
    )
