"""How many trades a day has, so that trade numbers run on without holes over years.

The number of the first trade of a day is the floor of a rate times the activity of all days before it; so
a listing's numbers need no beginning to count from, and busy days have more trades than quiet ones.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from apps.sandbox.market.factors import Factors
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray
from apps.sandbox.market.protocol import DAY_MINUTES
from apps.sandbox.market.sectors import LOADINGS, SECTOR_OF

LEAST_TRADES: Final = 4
"""Of a minute: an opening, a closing, a highest and a lowest one."""
_FIRST_DAY: Final = 17_532  # 2018-01-01
_DAYS: Final = 22 * 366
_STEADY: Final = 4.6
_LEAST_SPARE: Final = 0.4
_EXPONENT: Final = 0.425


class Activity:
    """Activity of every asset by day, 1 on average, growing with its slow volatility."""

    def __init__(self, factors: Factors) -> None:
        self._factors = factors
        self._sums: dict[str, FloatArray] = {}

    def _until(self, asset: str, day: int) -> float:
        """Sum over the days since 2018 before ``day``."""
        sums = self._sums.get(asset)
        if sums is None:
            sums = self._sums[asset] = self._make(asset)
        at = min(max(day - _FIRST_DAY, 0), _DAYS)
        return float(sums[at]) + (day - _FIRST_DAY - at)

    def _make(self, asset: str) -> FloatArray:
        days = _FIRST_DAY + 0.5 + np.arange(_DAYS, dtype=np.float64)
        load = LOADINGS[asset]
        squares = np.zeros(_DAYS)
        for name, weight in zip(("market", SECTOR_OF[asset], asset), load, strict=True):
            squares += weight**2 * np.exp(2.0 * self._factors.long_volatility(name, days))
        level = (squares / sum(weight**2 for weight in load)) ** _EXPONENT
        out = np.zeros(_DAYS + 1)
        np.cumsum(level, out=out[1:])
        return out

    def of_day(self, asset: str, day: int) -> float:
        return self._until(asset, day + 1) - self._until(asset, day)

    def first_id(self, listing: Listing, day: int) -> int:
        """Number of a day's first trade, scenarios apart."""
        spare = max(listing.trades_per_minute - _STEADY, _LEAST_SPARE)
        trades = _STEADY * (day - _FIRST_DAY) + spare * self._until(listing.asset, day)
        return 1 + int(DAY_MINUTES * trades)
