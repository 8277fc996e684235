"""Funding from the premium, by the venue's formula, so that the settled rate is the last prediction.

``rate = (P + clamp(interest − P, ±0.05 %)) × interval / 8 h`` with P the mean premium of the interval so
far and interest 0.01 % per 8 h (Binance, Bybit and OKX publish the same form).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, IntArray, floats

_INTEREST: Final = 1e-4
_CLAMP: Final = 5e-4
_CAP: Final = 0.02
HOUR_MS: Final = 3_600_000


def funding_rate(mean_premium: FloatArray, interval_h: int) -> FloatArray:
    """Rate per interval, rounded to the 8 decimals that the venue publishes."""
    per_8h = mean_premium + np.clip(_INTEREST - mean_premium, -_CLAMP, _CLAMP)
    return floats(np.round(np.clip(per_8h * interval_h / 8.0, -_CAP, _CAP), 8))


def settlement_grid(start_ms: int, end_ms: int, interval_h: int) -> IntArray:
    """Settlement times t with start ≤ t ≤ end."""
    interval_ms = interval_h * HOUR_MS
    first = -(-start_ms // interval_ms)
    return np.arange(first, end_ms // interval_ms + 1, dtype=np.int64) * interval_ms
