"""Open interest by venue, and shares of longs."""

from __future__ import annotations

from typing import Final

import numpy as np

from apps.sandbox.market.asset_days import AssetPaths
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, floats, fractal_noise, key_of
from apps.sandbox.market.premiums import Premiums
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS
from apps.sandbox.market.spans import by_day
from apps.sandbox.market.venue_days import share_ends, usual_lots

_HOUR_S: Final = 3_600.0
_FIVE_MS: Final = 5 * MINUTE_MS
_DAY_MS: Final = DAY_MINUTES * MINUTE_MS
_SHARE_PERIODS: Final = (2 * _HOUR_S, 14 * _HOUR_S, 80 * _HOUR_S)
_SHARE_WEIGHTS: Final = (0.006, 0.016, 0.03)
_VENUE_WEIGHTS: Final = (0.003, 0.006, 0.012)
# Small accounts buy what falls; the largest positions go with the trend.
_SERIES: Final = {
    "accounts": (0.58, -0.05),
    "top_accounts": (0.60, -0.025),
    "top_positions": (0.54, 0.035),
}


class Positioning:
    def __init__(self, seed: int, paths: AssetPaths, premiums: Premiums) -> None:
        self._seed = seed
        self._paths = paths
        self._premiums = premiums

    def open_interest(self, listing: Listing, t_ms: IntArray) -> FloatArray:
        """Single-sided, whole lots."""
        out = np.empty(len(t_ms))
        is_coarse = not (t_ms % _FIVE_MS).any()
        for day, chosen, part in by_day(t_ms, _DAY_MS):
            if is_coarse:
                held = self._paths.five_minutes(listing.asset, day).interest[part // _FIVE_MS]
            else:
                interest = self._paths.day(listing.asset, day).interest
                at = part // MINUTE_MS
                held = interest[at] + (interest[at + 1] - interest[at]) * (
                    part % MINUTE_MS / MINUTE_MS
                )
            first, last = share_ends(self._seed, listing, day)
            out[chosen] = held * np.exp(first + (last - first) * (part / _DAY_MS))
        return np.maximum(np.rint(out * usual_lots(listing)), 1.0)

    def long_share(self, listing: Listing, series: str, t_ms: IntArray) -> FloatArray:
        """Share of longs; raises ``KeyError`` for an unknown series."""
        mean, follows = _SERIES[series]
        t_s = t_ms / 1000.0
        shared = key_of(self._seed, "positioning", listing.asset, series)
        own = key_of(self._seed, "positioning", listing.name, series)
        share = mean + fractal_noise(shared, t_s, _SHARE_PERIODS, _SHARE_WEIGHTS)
        share += fractal_noise(own, t_s, _SHARE_PERIODS, _VENUE_WEIGHTS)
        for day, chosen, part in by_day(t_ms, _DAY_MS):
            share[chosen] += (
                follows * self._premiums.momentum(listing.asset, day)[part // MINUTE_MS]
            )
        return floats(np.round(np.clip(share, 0.05, 0.95), 4))
