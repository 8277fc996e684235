"""The path of one minute in steps of 200 ms: an asset's, and how a venue follows it.

All venues of an asset follow one path, each with its own delay, so one of them leads. The path reaches
the extremes that the minute's bars have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.asset_days import AssetDay
from apps.sandbox.market.noise import FloatArray, floats, normal_pairs
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS

STEP_MS: Final = 200
POINTS: Final = MINUTE_MS // STEP_MS
TIMES: Final = np.arange(POINTS + 1, dtype=np.float64) * STEP_MS
_RAMP: Final = np.arange(POINTS + 1, dtype=np.float64) / POINTS
_TENT: Final = 1.0 - np.abs(np.arange(-40, 41)) / 41.0
# A venue's delay fades in and out at the ends of a minute, where all prices are given.
_FADE_MS: Final = 5_000.0


@dataclass(frozen=True, slots=True)
class AssetMinute:
    """Log price at steps of 200 ms, and the steps of the highest and the lowest."""

    path: FloatArray
    highest: int
    lowest: int


def asset_minute(key: int, minute: int, asset: AssetDay) -> AssetMinute:
    at = minute % DAY_MINUTES
    first, last = float(asset.path[at]), float(asset.path[at + 1])
    steps = normal_pairs(key, minute * POINTS, POINTS)
    walk = np.zeros(POINTS + 1)
    np.cumsum(steps, out=walk[1:])
    walk *= float(asset.sigma[at]) / POINTS**0.5
    path = first + walk + _RAMP * (last - first - walk[-1])
    up = _stretch(path - max(first, last), float(asset.up[at]))
    path = up + max(first, last)
    down = _stretch(min(first, last) - path, float(asset.down[at]))
    path = min(first, last) - down
    path[0], path[-1] = first, last
    return AssetMinute(path, int(path.argmax()), int(path.argmin()))


def _stretch(beyond: FloatArray, to: float) -> FloatArray:
    """``beyond``: how far the path is past the minute's ends; what is positive is made to reach ``to``."""
    most = float(beyond.max())
    if most < 0.2 * to:
        # It hardly went there by itself: it is taken there once.
        at = min(max(int(beyond.argmax()), 45), POINTS - 45)
        beyond[at - 40 : at + 41] += _TENT * (to - beyond[at])
        return np.minimum(beyond, to)
    out: FloatArray = np.where(beyond > 0, beyond * (to / most), beyond)
    return out


def followed(times: FloatArray, lag_ms: int) -> FloatArray:
    """The times on the leader's path that a venue shows at ``times`` (ms of the minute)."""
    weight = np.minimum(times, MINUTE_MS - times) / _FADE_MS
    out: FloatArray = times - lag_ms * np.minimum(weight, 1.0)
    return out


def venue_ticks(
    shared: AssetMinute, lag_ms: int, ends: tuple[int, int], low: int, high: int
) -> FloatArray:
    """The middle of a venue's prices in ticks at steps of 200 ms."""
    path = shared.path
    if lag_ms:
        path = np.interp(followed(TIMES, lag_ms), TIMES, path)
    moved = np.exp(path - path[0])
    # What separates the venue from the index changes little within a minute.
    drift = ends[1] / ends[0] / float(moved[-1])
    ticks = ends[0] * moved * (1.0 + (drift - 1.0) * _RAMP)
    return floats(np.clip(ticks, low, high))
