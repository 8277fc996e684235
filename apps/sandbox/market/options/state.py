"""How volatile an asset is held to be: implied volatility follows what its price did, out of the market.

The short end follows the variance of the last half day, the long end hardly moves; a falling price lifts
volatility and steepens the skew (the leverage effect). Everything at a moment is made of prices up to it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, floats, fractal_noise, key_of
from apps.sandbox.market.options.effects import effects_of
from apps.sandbox.market.options.surface import WIDEST, Surface
from apps.sandbox.market.options.terms import TERMS
from apps.sandbox.market.protocol import MINUTE_MS, Market
from apps.sandbox.market.scenarios import Scenario

_HOUR_MINUTES: Final = 60
_HOURS_A_YEAR: Final = 8_760.0
_WINDOW_HOURS: Final = 240
_FAST_HOURS, _SLOW_HOURS = 12.0, 120.0
_HOUR_S: Final = 3_600.0
_NOISE_PERIODS: Final = (3 * _HOUR_S, 20 * _HOUR_S, 90 * _HOUR_S)
_NOISE_WEIGHTS: Final = (0.25, 0.5, 0.8)
_PREMIUM: Final = 1.10
"""Options cost more than what the price moves."""
_LEVERAGE: Final = 0.07
_CALMEST, _WILDEST = 0.35, 4.0
"""Bounds of volatility, in the asset's usual level."""
_CACHED_HOURS: Final = 12_000
_LEARNT_TOGETHER: Final = 1_000


def _weights(half_life_h: float) -> FloatArray:
    """Of the last hours, the newest last; they sum to 1."""
    age = np.arange(_WINDOW_HOURS - 1, -1, -1)
    weights = 0.5 ** (age / half_life_h)
    return floats(weights / weights.sum())


_FAST: Final = _weights(_FAST_HOURS)
_SLOW: Final = _weights(_SLOW_HOURS)


class VolatilityStates:
    """One asset's surface at any time. ``scenarios`` are those started so far."""

    def __init__(self, seed: int, market: Market, listing: Listing) -> None:
        self._market = market
        self._listing = listing
        self._terms = TERMS[listing.asset]
        self._key = key_of(seed, "option surface", listing.asset)
        self._hours: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def surfaces(self, minutes: IntArray, scenarios: Sequence[Scenario] = ()) -> Surface:
        """At the start of each minute."""
        spot = floats(np.log(self._market.index_path(self._listing, minutes)))
        return self._surfaces(floats(minutes * 60.0), minutes, spot, scenarios)

    def surface(self, t_ms: int, index: float, scenarios: Sequence[Scenario] = ()) -> Surface:
        """At a moment whose index price is known."""
        minutes = np.array([t_ms // MINUTE_MS], dtype=np.int64)
        spot = floats(np.log(np.array([index])))
        return self._surfaces(np.array([t_ms / 1000.0]), minutes, spot, scenarios)

    def _surfaces(
        self, t_s: FloatArray, minutes: IntArray, spot: FloatArray, scenarios: Sequence[Scenario]
    ) -> Surface:
        terms = self._terms
        fast, slow = self._variances(t_s, spot)
        day_ago = np.log(self._market.index_path(self._listing, minutes - 1_440))
        week_ago = np.log(self._market.index_path(self._listing, minutes - 7 * 1_440))
        usual = terms.level**2
        day_sigma = np.sqrt(usual / 365.0)
        fall = np.clip((day_ago - spot) / day_sigma, -3.0, 3.0)
        trend = np.tanh((spot - week_ago) / (day_sigma * np.sqrt(7.0)))
        mood = fractal_noise(self._key, t_s, _NOISE_PERIODS, _NOISE_WEIGHTS)
        tilt = fractal_noise(self._key ^ 0x511, t_s, _NOISE_PERIODS, _NOISE_WEIGHTS)
        effects = effects_of(scenarios, terms.asset, t_s)
        lift = np.exp(2.0 * (_LEVERAGE * fall + 0.05 * mood)) * effects.short
        short = _PREMIUM**2 * (0.5 * fast + 0.3 * slow + 0.2 * usual) * lift
        middle = _PREMIUM**2 * (0.12 * fast + 0.43 * slow + 0.45 * usual) * np.sqrt(lift)
        long = 1.05**2 * (0.25 * slow + 0.75 * usual) * np.exp(0.03 * mood) * effects.long
        rho = np.clip(terms.skew + 0.09 * trend + 0.05 * tilt + effects.skew, -0.6, 0.45)
        width = terms.width * np.exp(0.06 * (mood - tilt))
        low, high = _CALMEST**2 * usual, _WILDEST**2 * usual
        return Surface(
            short=floats(np.clip(short, low, high)),
            middle=floats(np.clip(middle, low, high)),
            long=floats(np.clip(long, low, high)),
            rho=floats(rho),
            eta=floats(np.minimum(width, WIDEST / (1.0 + np.abs(rho)))),
        )

    def _variances(self, t_s: FloatArray, spot: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Annual variance as lately seen: of whole hours, and of the hour in the making as far as it is."""
        hour = np.floor(t_s / _HOUR_S).astype(np.int64)
        part = t_s / _HOUR_S - hour
        begun = floats(np.log(self._market.index_path(self._listing, hour * _HOUR_MINUTES)))
        hours, at = np.unique(hour, return_inverse=True)
        self._learn([one for one in hours.tolist() if one not in self._hours])
        known = np.array([self._hours[one] for one in hours.tolist()])
        fast, slow = known[at, 0], known[at, 1]
        now = (spot - begun) ** 2 * _HOURS_A_YEAR
        out = []
        for past, weights in ((fast, _FAST), (slow, _SLOW)):
            share = weights[-1]
            kept = (1.0 - share) ** part
            out.append(floats(past * kept + share * now))
        return out[0], out[1]

    def _learn(self, hours: list[int]) -> None:
        """(fast, slow) variance of the hours before each of ``hours``, which are in order."""
        while len(self._hours) > _CACHED_HOURS:
            self._hours.popitem(last=False)
        while hours:
            # Hours close to each other share most of what is before them.
            near = [one for one in hours if one - hours[0] < _LEARNT_TOGETHER]
            hours = hours[len(near) :]
            edges = np.arange(near[0] - _WINDOW_HOURS, near[-1] + 1, dtype=np.int64)
            path = self._market.index_path(self._listing, edges * _HOUR_MINUTES)
            squares = np.diff(np.log(path)) ** 2 * _HOURS_A_YEAR
            fast, slow = (
                np.convolve(squares, weights[::-1], "valid") for weights in (_FAST, _SLOW)
            )
            for one in near:
                place = one - near[0]
                self._hours[one] = float(fast[place]), float(slow[place])
