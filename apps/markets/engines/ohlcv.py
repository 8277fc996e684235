"""Candles: longer ones out of shorter ones, one over venues out of one per venue. Pure arrays.

An interval without a trade has no candle: nothing is carried forward, nothing is made up. Intervals are
aligned to UTC; a week starts on Monday.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS
# 1970-01-01 was a Thursday: the first Monday came four days later.
_MONDAY_MS: Final = 4 * DAY_MS

# More minutes than any opening is away from 1970.
_SLOTS: Final = 1 << 32
# Rounding of a sum is not more volume.
_SLACK: Final = 1e-9
# Absolute reading of the hour's return, percent (house cuts).
_STRONG_PCT: Final = 2.0
_MOVE_PCT: Final = 0.25


@dataclass(frozen=True, slots=True)
class Candles:
    """Candles of several series, ordered by series, then time; one per (series, opening).

    Prices are quote per coin, volumes coins and USD; ``trades`` is NaN where the venue does not count
    them. ``is_partial`` marks an interval that was not watched from start to end.
    """

    series: IntArray
    open_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume_base: FloatArray
    volume_usd: FloatArray
    trades: FloatArray
    is_partial: BoolArray

    @property
    def size(self) -> int:
        return int(self.open_ms.size)

    def take(self, chosen: IntArray | BoolArray | slice) -> Candles:
        return Candles(
            self.series[chosen],
            self.open_ms[chosen],
            self.open[chosen],
            self.high[chosen],
            self.low[chosen],
            self.close[chosen],
            self.volume_base[chosen],
            self.volume_usd[chosen],
            self.trades[chosen],
            self.is_partial[chosen],
        )


_COLUMNS: Final = tuple(one.name for one in fields(Candles))


def no_candles() -> Candles:
    whole, real = np.empty(0, np.int64), np.empty(0)
    return Candles(
        *(whole, whole), *(real, real, real, real), *(real, real, real), np.empty(0, np.bool_)
    )


def joined(parts: Sequence[Candles]) -> Candles:
    """All candles in order; a (series, opening) must not occur twice."""
    if not parts:
        return no_candles()
    whole = Candles(*[np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS])
    return whole.take(np.lexsort((whole.open_ms, whole.series)))


def traded(candles: Candles) -> Candles:
    """Only intervals in which something was traded: some venues send flat candles for the others."""
    return candles.take((candles.volume_base > 0) & (candles.volume_usd > 0))


def origin_ms(interval_ms: int) -> int:
    """An opening of the interval's grid: midnight UTC, for whole weeks that of a Monday."""
    return _MONDAY_MS if interval_ms % WEEK_MS == 0 else 0


def slot_of(ts_ms: IntArray, interval_ms: int) -> IntArray:
    """Opening of the interval that each moment lies in."""
    origin = origin_ms(interval_ms)
    slots: IntArray = (ts_ms - origin) // interval_ms * interval_ms + origin
    return slots


def rolled_up(candles: Candles, interval_ms: int) -> Candles:
    """The same candles in longer intervals: first open, highest high, lowest low, last close, sums."""
    if not candles.size:
        return candles
    return _grouped(candles, slot_of(candles.open_ms, interval_ms))


def as_one(candles: Candles) -> Candles:
    """All candles of one series as one, whatever grid lines lie between them."""
    if not candles.size:
        return candles
    return _grouped(candles, np.full(candles.size, candles.open_ms[0], np.int64))


def _grouped(candles: Candles, slot: IntArray) -> Candles:
    """One candle for each run of equal (series, slot)."""
    first = _starts(candles.series, slot)
    last = np.append(first[1:], candles.size) - 1
    return Candles(
        series=candles.series[first],
        open_ms=slot[first],
        open=candles.open[first],
        high=np.maximum.reduceat(candles.high, first),
        low=np.minimum.reduceat(candles.low, first),
        close=candles.close[last],
        volume_base=np.add.reduceat(candles.volume_base, first),
        volume_usd=np.add.reduceat(candles.volume_usd, first),
        trades=np.add.reduceat(candles.trades, first),
        is_partial=np.logical_or.reduceat(candles.is_partial, first),
    )


def merged(longer: Candles, rolled: Candles) -> Candles:
    """Stored candles of one length, and shorter ones rolled up to it, as one.

    A whole stored candle stands. One that is missing or partial is replaced by the rolled one if that
    saw more volume: a missing minute can only lower a sum, never raise it.
    """
    both = Candles(
        *(np.concatenate([getattr(rolled, name), getattr(longer, name)]) for name in _COLUMNS)
    )
    if not both.size:
        return both
    is_stored = np.arange(both.size) >= rolled.size
    stands = is_stored & ~both.is_partial
    # The best of each cell comes last.
    order = np.lexsort((is_stored, both.volume_usd, stands, both.open_ms, both.series))
    ordered = both.take(order)
    first = _starts(ordered.series, ordered.open_ms)
    return ordered.take(np.append(first[1:], ordered.size) - 1)


def filled(minutes: Candles, coarse: Candles, coarse_ms: int) -> tuple[Candles, IntArray]:
    """Minutes of each series, and its longer candles where those saw more; and the length of each, ms."""
    rolled = rolled_up(minutes, coarse_ms)
    seen, slots = _keys(rolled, coarse_ms), _keys(coarse, coarse_ms)
    place = np.searchsorted(seen, slots)
    # One more at the end: nothing was seen beyond the last one.
    usd, seen = np.append(rolled.volume_usd, 0.0), np.append(seen, -1)
    had = np.where(seen[place] == slots, usd[place], 0.0)
    fuller = coarse.volume_usd > had * (1 + _SLACK)
    longer = coarse.take(fuller)
    kept = minutes.take(~np.isin(_keys(minutes, coarse_ms), slots[fuller]))
    both = joined([kept, longer])
    is_long = np.isin(_keys(both, MINUTE_MS), _keys(longer, MINUTE_MS))
    return both, np.where(is_long, coarse_ms, MINUTE_MS)


def _keys(candles: Candles, step_ms: int) -> IntArray:
    """One number per (series, step), ascending as they are."""
    keys: IntArray = candles.series * _SLOTS + candles.open_ms // step_ms
    return keys


def known_share(candles: Candles, length_ms: IntArray, since_ms: int, until_ms: int) -> float:
    """Part of ``[since, until)`` that candles opening inside can speak of: 0 to 1.

    Nothing is known before the first candle of all; one that began before ``since`` hides its part.
    """
    if not candles.size:
        return 0.0
    before = int(np.searchsorted(candles.open_ms, since_ms))
    if before == 0:
        from_ms = int(candles.open_ms[0])
    else:
        from_ms = int(candles.open_ms[before - 1] + length_ms[before - 1])
    return max(0.0, (until_ms - max(since_ms, from_ms)) / (until_ms - since_ms))


def over_venues(candles: Candles) -> Candles:
    """One candle per opening: each of the four prices is the mean over the venues, weighted by the USD
    that each of them traded in that interval.

    All four have the same weights, so ``low <= open, close <= high`` holds as it does for each venue.
    Volumes and trades are sums; the trade count is NaN when one venue does not say its own.
    """
    if not candles.size:
        return candles
    ordered = candles.take(np.lexsort((candles.series, candles.open_ms)))
    first = _starts(ordered.open_ms, ordered.open_ms)
    total = np.add.reduceat(ordered.volume_usd, first)

    def mean(prices: FloatArray) -> FloatArray:
        # Weights that sum to exactly what they are divided by; the bounds take off the last rounding.
        value = np.add.reduceat(prices * ordered.volume_usd, first) / total
        low, high = np.minimum.reduceat(prices, first), np.maximum.reduceat(prices, first)
        clipped: FloatArray = np.clip(value, low, high)
        return clipped

    high, low = mean(ordered.high), mean(ordered.low)
    return Candles(
        series=np.zeros(first.size, np.int64),
        open_ms=ordered.open_ms[first],
        open=np.clip(mean(ordered.open), low, high),
        high=high,
        low=low,
        close=np.clip(mean(ordered.close), low, high),
        volume_base=np.add.reduceat(ordered.volume_base, first),
        volume_usd=total,
        trades=np.add.reduceat(ordered.trades, first),
        is_partial=np.logical_or.reduceat(ordered.is_partial, first),
    )


def _starts(series: IntArray, open_ms: IntArray) -> IntArray:
    """Positions at which (series, opening) changes."""
    changes = (series[1:] != series[:-1]) | (open_ms[1:] != open_ms[:-1])
    return np.concatenate([[0], np.flatnonzero(changes) + 1]).astype(np.int64)


def on_grid(candles: Candles, rows: int, slot_ms: int, first: int, end: int) -> FloatArray:
    """Open, close and USD volume per grid slot, shape ``(3, rows, end - first)``.

    ``candles`` are ``slot_ms`` long. NaN where a slot has no candle or was not watched to its end: a part
    of an interval would pass for a quiet one.
    """
    grid = np.full((3, rows, end - first), np.nan)
    slot = candles.open_ms // slot_ms - first
    keep = (slot >= 0) & (slot < end - first) & ~candles.is_partial
    at = (candles.series[keep], slot[keep])
    for layer, values in enumerate((candles.open, candles.close, candles.volume_usd)):
        grid[layer][at] = values[keep]
    return grid


def rolling(grid: FloatArray, slots: int) -> FloatArray:
    """Open, close and volume of every run of ``slots`` slots, NaN unless all of them are known.

    ``grid`` is that of :func:`on_grid`; the result is ``slots - 1`` columns narrower.
    """
    open_, close, volume = grid
    width = volume.shape[-1] - slots + 1
    if width <= 0:
        return np.empty((3, volume.shape[0], 0))
    total = np.lib.stride_tricks.sliding_window_view(volume, slots, axis=-1).sum(axis=-1)
    known = ~np.isnan(total)
    return np.stack(
        [
            np.where(known, open_[:, :width], np.nan),
            np.where(known, close[:, slots - 1 :], np.nan),
            total,
        ]
    )


def return_pct(open_: FloatArray, close: FloatArray) -> FloatArray:
    """``100 (close / open - 1)``, percent."""
    change: FloatArray = 100.0 * (close / open_ - 1.0)
    return np.round(change, 8)


def venue_mean(rolled: FloatArray) -> FloatArray:
    """Open, close and volume over the rows of :func:`rolling`, NaN unless all rows are known.

    Prices are weighted by USD volume; shape ``(3, slots)``.
    """
    open_, close, volume = rolled
    total = volume.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack(
            [(open_ * volume).sum(axis=0) / total, (close * volume).sum(axis=0) / total, total]
        )


def state_of(change_pct: float | None) -> str | None:
    """What an hour's return means by itself."""
    if change_pct is None:
        return None
    if abs(change_pct) < _MOVE_PCT:
        return "flat"
    word = "rising" if change_pct > 0 else "falling"
    return f"{word}_fast" if abs(change_pct) >= _STRONG_PCT else word
