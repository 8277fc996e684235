"""Basis: how far a contract's mark price stands above its index, and what that is a year.

All values are decimals (0.001 is 0.1 %); NaN is unknown. A perpetual has no date at which its basis must
be gone: what holding it costs a year is its funding, so its annual figure is the funding APR. A dated
contract converges at expiry, and its basis is scaled by the days left, simple and not compounded.

Source: METHODS section 1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DAY_MS: Final = 86_400_000
DAYS_PER_YEAR: Final = 365.0
LEAST_DAYS: Final = 1.0
"""With less left, a few dollars of noise would read as hundreds of percent a year."""
SAME_MOMENT_MS: Final = 5_000
"""Mark price and index belong together when their times differ by no more."""
# Twelve decimals: far below any tick, and ties of the window stay ties after a weighted mean.
_DECIMALS: Final = 12
# Absolute reading, decimal per year.
_FLAT: Final = 0.0
_CONTANGO: Final = 0.05
_STEEP: Final = 0.15


def basis(mark: FloatArray, index: FloatArray) -> FloatArray:
    """``mark / index - 1``, NaN unless both are above 0.

    Examples
    --------
    >>> basis(np.array([67_134.0]), np.array([67_000.0]))
    array([0.002])
    """
    usable = (mark > 0) & (index > 0)
    ratio = np.where(usable, mark, np.nan) / np.where(usable, index, 1.0)
    return np.round(ratio - 1.0, _DECIMALS)


def days_left(expiry_ms: IntArray, at_ms: IntArray | int) -> FloatArray:
    """Days to expiry, negative behind it."""
    found: FloatArray = (expiry_ms - at_ms) / DAY_MS
    return found


def annualised(value: FloatArray, days: FloatArray) -> FloatArray:
    """Basis of a dated contract a year: ``basis × 365 / days``; NaN with less than a day left.

    Examples
    --------
    >>> annualised(np.array([0.02, 0.02]), np.array([73.0, 0.5]))
    array([0.1, nan])
    """
    enough = days >= LEAST_DAYS
    scaled = value * DAYS_PER_YEAR / np.where(enough, days, 1.0)
    return np.where(enough, np.round(scaled, _DECIMALS), np.nan)


def expiry_groups(expiry_ms: IntArray) -> list[tuple[int, IntArray]]:
    """Positions of the contracts of each expiry, nearest first.

    Venues deliver at one hour or another of the same UTC day: that day is one point of the curve, at the
    earliest of its times.
    """
    day = expiry_ms // DAY_MS
    groups = [np.flatnonzero(day == one) for one in np.unique(day)]
    return [(int(expiry_ms[at].min()), at) for at in groups]


def state_of(annual: float | None) -> str | None:
    """What a basis means by itself: decimal per year against METHODS' absolute cuts."""
    if annual is None:
        return None
    if annual < _FLAT:
        return "backwardation"
    if annual <= _CONTANGO:
        return "flat"
    return "contango" if annual <= _STEEP else "steep"
