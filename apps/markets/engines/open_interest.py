"""Open interest over venues: totals, changes, shares. One side of each contract, in USD and in coins.

A change compares the same venues then and now: one that joins or drops out is no move of the market.
Source: METHODS section 1 (sum of one side; open interest wanders, so its z is taken on the 24-hour log
change and its percentile on the level).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

USD_DECIMALS: Final = 2
BASE_DECIMALS: Final = 8
PERCENT_DECIMALS: Final = 6
# Absolute reading of the 24-hour change in percent.
_FAST: Final = 5.0
_SLOW: Final = 1.0


@dataclass(frozen=True, slots=True)
class Amounts:
    """Open interest of each venue at one moment, NaN where unknown: shape ``(venues,)`` each."""

    usd: FloatArray
    base: FloatArray


@dataclass(frozen=True, slots=True)
class Change:
    """Of the venues in ``venues`` (positions); numbers are None where there is none."""

    usd: float | None
    usd_percent: float | None
    base: float | None
    base_percent: float | None
    venues: tuple[int, ...]


def total(values: FloatArray, inside: BoolArray, decimals: int) -> float | None:
    """Sum of the known values of the venues inside; None when none is known."""
    known = inside & np.isfinite(values)
    return round(float(values[known].sum()), decimals) if known.any() else None


def change(now: Amounts, then: Amounts, inside: BoolArray) -> Change:
    """From ``then`` to ``now`` over the venues inside that are known at both moments.

    Examples
    --------
    >>> now = Amounts(np.array([110.0, 50.0]), np.array([1.1, 0.5]))
    >>> then = Amounts(np.array([100.0, np.nan]), np.array([1.0, np.nan]))
    >>> found = change(now, then, np.array([True, True]))
    >>> found.usd, found.usd_percent, found.base, found.venues
    (10.0, 10.0, 0.1, (0,))
    """
    both = inside & np.isfinite(now.usd) & np.isfinite(then.usd)
    if not both.any():
        return Change(None, None, None, None, ())
    usd = _difference(now.usd[both], then.usd[both], USD_DECIMALS)
    base = _difference(now.base[both], then.base[both], BASE_DECIMALS)
    return Change(*usd, *base, tuple(np.flatnonzero(both).tolist()))


def _difference(
    now: FloatArray, then: FloatArray, decimals: int
) -> tuple[float | None, float | None]:
    """Absolute and in percent of the earlier total."""
    before, difference = float(then.sum()), float(now.sum() - then.sum())
    if np.isnan(difference):
        return None, None
    percent = round(100.0 * difference / before, PERCENT_DECIMALS) if before > 0 else None
    return round(difference, decimals), percent


def shares(usd: FloatArray, inside: BoolArray) -> FloatArray:
    """Each venue's part of the total of the venues inside, NaN elsewhere."""
    counted = np.where(inside & np.isfinite(usd), usd, np.nan)
    whole = np.nansum(counted)
    found: FloatArray = counted / whole if whole > 0 else np.full(usd.shape, np.nan)
    return found


def total_window(window: FloatArray) -> FloatArray:
    """The total's own history, shape ``(slots,)``: only slots in which every venue is known."""
    if window.shape[0] == 0:
        return np.full(window.shape[1], np.nan)
    summed: FloatArray = window.sum(axis=0)
    return summed


def log_change(now: FloatArray, then: FloatArray) -> FloatArray:
    """``ln(now / then)``, NaN unless both are above 0."""
    usable = (now > 0) & (then > 0)
    ratio = np.where(usable, now, 1.0) / np.where(usable, then, 1.0)
    return np.where(usable, np.log(ratio), np.nan)


def log_change_window(level: FloatArray, lag: int) -> FloatArray:
    """Log change over ``lag`` slots; the first ``lag`` columns of ``level`` only serve as the past."""
    return log_change(level[:, lag:], level[:, : level.shape[1] - lag])


def state_of(percent_24h: float | None) -> str | None:
    """What positions are doing, by the change of the last 24 hours in percent."""
    if percent_24h is None:
        return None
    if percent_24h >= _FAST:
        return "building"
    if percent_24h >= _SLOW:
        return "rising"
    if percent_24h > -_SLOW:
        return "steady"
    return "falling" if percent_24h > -_FAST else "unwinding"
