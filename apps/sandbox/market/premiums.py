"""How far a venue's perpetual trades from its index; funding follows it.

Crowding moves all venues of an asset together, a part is the venue's own, and a rally pulls futures above
the index. The parts revert to their means, and so does funding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.asset_days import AssetPaths
from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.cache import Cache
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, day_noise, fractal_at, key_of
from apps.sandbox.market.protocol import DAY_MINUTES
from apps.sandbox.market.sectors import LOADINGS, SECTOR_OF
from apps.sandbox.market.traits import traits_of

_BPS: Final = 1e-4
_SLOW_DAYS: Final = (1.7, 8.0)
_SLOW_WEIGHTS: Final = (0.75, 0.7)
_OWN_DAYS: Final = (1.3, 5.0)
_OWN_WEIGHTS: Final = (0.35, 0.4)
_CROWD_DAYS: Final = (1.25,)
_CROWD_WEIGHTS: Final = (0.5,)
_EIGHT_HOURS: Final = (3, 0.55)
_NINETY_MINUTES: Final = (16, 0.35)
_MOMENTUM: Final = 0.6
_RAMP: Final = np.arange(DAY_MINUTES + 1, dtype=np.float64) / DAY_MINUTES
_CACHED: Final = 600


@dataclass(frozen=True, slots=True)
class PremiumDay:
    """At the 1441 minute boundaries, decimal; ``total`` is the running sum of those before each."""

    values: FloatArray
    total: FloatArray

    def mean(self, first: int, last: int) -> float:
        """Of the boundaries ``first`` … ``last`` inclusive (0 … 1439)."""
        return float((self.total[last + 1] - self.total[first]) / (last + 1 - first))


class Premiums:
    def __init__(self, seed: int, paths: AssetPaths) -> None:
        self._seed = seed
        self._paths = paths
        self._days: Cache[tuple[str, int], PremiumDay] = Cache(_CACHED)
        self._momenta: Cache[tuple[str, int], FloatArray] = Cache(_CACHED // 2)
        self._shared: Cache[tuple[str, int], tuple[FloatArray, FloatArray]] = Cache(_CACHED // 3)

    def forget(self, assets: frozenset[str], first_day: int) -> None:
        """``assets`` are names of listings."""
        self._days.forget(lambda key: key[1] >= first_day and key[0] in assets)

    def day(self, listing: Listing, day: int) -> PremiumDay:
        return self._days.get((listing.name, day), lambda _key: self._make(listing, day))

    def momentum(self, asset: str, day: int) -> FloatArray:
        """The last day's return in daily volatilities, at day boundaries eased over the day."""
        return self._momenta.get((asset, day), lambda _key: self._make_momentum(asset, day))

    def _make_momentum(self, asset: str, day: int) -> FloatArray:
        load, factors = LOADINGS[asset], self._paths.factors
        levels = np.zeros(3)
        for name, weight in zip(("market", SECTOR_OF[asset], asset), load, strict=True):
            levels += weight * np.array([factors.level(name, day + at) for at in (-1, 0, 1)])
        before, now = np.diff(levels) / ASSET_MODELS[asset].daily_volatility
        out: FloatArray = np.tanh(before + (now - before) * _RAMP)
        return out

    def _slow(
        self, key: int, day: int, days: tuple[float, ...], weights: tuple[float, ...]
    ) -> FloatArray:
        first, last = (fractal_at(key, at, days, weights) for at in (day, day + 1))
        out: FloatArray = first + (last - first) * _RAMP
        return out

    def _make_shared(self, key: int, day: int) -> tuple[FloatArray, FloatArray]:
        """What moves all venues of an asset: within weeks, and within the day."""
        crowding = self._slow(key, day, _SLOW_DAYS, _SLOW_WEIGHTS)
        crowd = key_of(self._seed, "premium", "market")
        crowding += self._slow(crowd, day, _CROWD_DAYS, _CROWD_WEIGHTS)
        per_day, weight = _EIGHT_HOURS
        return crowding, weight * day_noise(key + 1, day, per_day)

    def _make(self, listing: Listing, day: int) -> PremiumDay:
        model, traits = ASSET_MODELS[listing.asset], traits_of(listing)
        shared = key_of(self._seed, "premium", listing.asset)
        own = key_of(self._seed, "premium", listing.name)
        crowding, mood = self._shared.get(
            (listing.asset, day), lambda _key: self._make_shared(shared, day)
        )
        swing = crowding + self._slow(own, day, _OWN_DAYS, _OWN_WEIGHTS)
        swing += mood
        per_day, weight = _NINETY_MINUTES
        swing += weight * day_noise(own + 1, day, per_day)
        swing += _MOMENTUM * self.momentum(listing.asset, day)
        swing *= model.premium_swing_bps * traits.swing
        values = _BPS * (model.premium_bps + traits.premium_bps + swing)
        effects = self._paths.effects(listing.asset, day)
        if effects is not None:
            values += effects.premium
        total = np.zeros(DAY_MINUTES + 1)
        np.cumsum(values[:-1], out=total[1:])
        return PremiumDay(values, total)
