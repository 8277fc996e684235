"""Volatility that clusters on every scale: a log-normal cascade (Bacry–Muzy, Calvet–Fisher).

The log volatility of a factor is a sum of smooth noises with periods from a quarter of an hour to weeks,
each worth about the same variance. So |returns| stay correlated for days, returns have fat tails, and the
volatility of any minute can be had without simulating from a beginning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, day_noise, floats, fractal_at, fractal_noise

# Knots a day and their weight: 15 minutes, 1, 4 and 12 hours.
_SHORT: Final = ((96, 0.28), (24, 0.28), (6, 0.26), (2, 0.24))
_LONG_DAYS: Final = (2.5, 9.0, 36.0)
_LONG_WEIGHTS: Final = (0.26, 0.24, 0.20)
# A smooth noise of standard normal knots has this variance on average.
_NOISE_VARIANCE: Final = 26.0 / 35.0
_WEEKEND: Final = 0.12
_DAY_MINUTES: Final = 1_440
_MINUTES: Final = np.arange(_DAY_MINUTES, dtype=np.float64)
_RAMP: Final = np.arange(_DAY_MINUTES + 1, dtype=np.float64) / _DAY_MINUTES


def _variance(weights: Sequence[float]) -> float:
    return _NOISE_VARIANCE * sum(weight * weight for weight in weights)


LONG_VARIANCE: Final = _variance(_LONG_WEIGHTS)
VARIANCE: Final = LONG_VARIANCE + _variance([weight for _, weight in _SHORT])
"""Of the log volatility."""


def _season() -> FloatArray:
    """Relative volatility by minute of the day (UTC), mean square 1: the American open is the busiest
    part, and every hour begins with a small burst."""
    hours = _MINUTES / 60.0
    wave = 1.0 + 0.30 * np.cos(2.0 * np.pi * (hours - 15.0) / 24.0)
    wave += 0.08 * np.cos(4.0 * np.pi * (hours - 2.0) / 24.0)
    wave *= 1.0 + 0.25 * np.exp(-(_MINUTES % 60.0) / 4.0)
    out: FloatArray = wave / math.sqrt(float((wave * wave).mean()))
    return out


SEASON: Final = _season()


def _week(day: float) -> float:
    # Day 0 was a Thursday: the middle of the weekend is the end of day 2.
    return _WEEKEND * math.cos(2.0 * math.pi * (day - 3.0) / 7.0)


def long_level(key: int, days: FloatArray) -> FloatArray:
    """Slow part of the log volatility at times in days; quiet weekends are in it."""
    week = _WEEKEND * np.cos(2.0 * np.pi * (days - 3.0) / 7.0)
    out: FloatArray = fractal_noise(key, days, _LONG_DAYS, _LONG_WEIGHTS) - week
    return out


def log_volatility(key: int, day: int) -> FloatArray:
    """Log volatility at the minutes of a day, without its seasons."""
    first, last = (
        fractal_at(key, at, _LONG_DAYS, _LONG_WEIGHTS) - _week(at) for at in (day, day + 1)
    )
    total = first + (last - first) * _RAMP
    for number, (per_day, weight) in enumerate(_SHORT):
        total += weight * day_noise(key + 104_729 * (number + 1), day, per_day)
    return floats(total[:-1])


def relative(log_level: FloatArray) -> FloatArray:
    """Volatility of each minute of a day against the long-run mean square."""
    out: FloatArray = np.exp(log_level - VARIANCE) * SEASON
    return out
