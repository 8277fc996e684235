"""Index price paths, one point a minute: a common market factor plus each asset's own part.

A day's first point is a smooth function of the day number (octaves of noise from two to sixty-four
days), and inside a day the path is a Brownian bridge between those points. So the path is continuous,
stays around its level for years, and any day can be computed alone.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

import numpy as np

from apps.sandbox.market.assets import ASSET_MODELS, MARKET_DAILY_VOLATILITY
from apps.sandbox.market.noise import (
    FloatArray,
    floats,
    fractal_noise,
    key_of,
    normals,
    value_noise,
)
from apps.sandbox.market.protocol import DAY_MINUTES

_OCTAVES_DAYS: Final = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_OCTAVE_WEIGHTS: Final = tuple(0.5 * math.sqrt(period) for period in _OCTAVES_DAYS)
_HOUR_S: Final = 3_600.0
_STEPS: Final = np.arange(DAY_MINUTES, dtype=np.int64)
_RAMP: Final = np.arange(DAY_MINUTES + 1, dtype=np.float64) / DAY_MINUTES
_CACHED_DAYS: Final = 220


def volatility_factor(key: int, day: int) -> FloatArray:
    """Relative volatility of each minute of a day: busy hours and clusters, mean about 1."""
    t_s = floats((day * DAY_MINUTES + _STEPS) * 60.0)
    # The American open is the busiest part of the day.
    session = 1.0 + 0.35 * np.cos(2.0 * np.pi * (_STEPS / DAY_MINUTES - 15.0 / 24.0))
    clusters = fractal_noise(key, t_s, (0.4 * _HOUR_S, 4 * _HOUR_S), (0.25, 0.3))
    out: FloatArray = session * np.exp(clusters - 0.07)
    return out


class IndexPaths:
    """Log index price of every asset at minute boundaries, cached a day at a time."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._days: OrderedDict[tuple[str, int], FloatArray] = OrderedDict()

    def day(self, asset: str, day: int) -> FloatArray:
        """Log price (USD per token) at the 1441 minute boundaries of a day, both ends included."""
        found = self._days.get((asset, day))
        if found is not None:
            self._days.move_to_end((asset, day))
            return found
        path = self._compute(asset, day)
        path.flags.writeable = False
        self._days[(asset, day)] = path
        if len(self._days) > _CACHED_DAYS:
            self._days.popitem(last=False)
        return path

    def _compute(self, asset: str, day: int) -> FloatArray:
        if not asset:
            return self._bridge("market", day, MARKET_DAILY_VOLATILITY)
        model = ASSET_MODELS[asset]
        shared = model.beta * MARKET_DAILY_VOLATILITY
        own = math.sqrt(
            max(model.daily_volatility**2 - shared**2, (0.3 * model.daily_volatility) ** 2)
        )
        return (
            math.log(model.price) + model.beta * self.day("", day) + self._bridge(asset, day, own)
        )

    def _bridge(self, name: str, day: int, volatility: float) -> FloatArray:
        key = key_of(self._seed, "path", name)
        ends = volatility * fractal_noise(
            key, np.array([day, day + 1], dtype=np.float64), _OCTAVES_DAYS, _OCTAVE_WEIGHTS
        )
        moves = normals(key ^ 0xA5A5, day * DAY_MINUTES + _STEPS)
        moves *= volatility_factor(key_of(self._seed, "volatility", name), day)
        walk = np.zeros(DAY_MINUTES + 1)
        np.cumsum(moves, out=walk[1:])
        walk *= volatility / math.sqrt(DAY_MINUTES)
        out: FloatArray = ends[0] + walk + _RAMP * (ends[1] - ends[0] - walk[-1])
        return out


class Premiums:
    """How far each asset's perpetual trades from its index, as a decimal; it drives funding."""

    _PERIODS: Final = (1.5 * _HOUR_S, 9 * _HOUR_S, 40 * _HOUR_S, 200 * _HOUR_S)
    _WEIGHTS: Final = (0.35, 0.7, 0.9, 0.8)

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def at(self, asset: str, t_s: FloatArray) -> FloatArray:
        model = ASSET_MODELS[asset]
        key = key_of(self._seed, "premium", asset)
        swing = fractal_noise(key, t_s, self._PERIODS, self._WEIGHTS)
        crowd = value_noise(key_of(self._seed, "premium", "market"), t_s, 30 * _HOUR_S)
        out: FloatArray = 1e-4 * (
            model.premium_bps + model.premium_swing_bps * (swing + 0.5 * crowd)
        )
        return out
