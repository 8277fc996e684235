"""Forward prices of expiries: the index, and what holding a future to the expiry earns."""

from __future__ import annotations

from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, floats, fractal_noise, key_of
from apps.sandbox.market.options.terms import DAY_MS, YEAR_MS

_DAY_S: Final = 86_400.0
_PERIODS: Final = (0.5 * _DAY_S, 4 * _DAY_S, 25 * _DAY_S)
_SWINGS: Final = (0.004, 0.012, 0.022)
_MEAN: Final = 0.055
PRICE_DECIMALS: Final = 6


def forwards(
    seed: int, asset: str, index: FloatArray, expiry_ms: FloatArray, t_ms: FloatArray
) -> FloatArray:
    """Element by element. What expires within a day is priced on the index itself."""
    years = (expiry_ms - t_ms) / YEAR_MS
    rate = _MEAN + fractal_noise(
        key_of(seed, "option carry", asset), floats(t_ms / 1000.0), _PERIODS, _SWINGS
    )
    carry = np.where(expiry_ms - t_ms <= DAY_MS, 0.0, rate * years)
    return floats(np.round(index * np.exp(carry), PRICE_DECIMALS))
