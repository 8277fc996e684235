"""A volatility surface that is free of arbitrage by its form: SSVI over a rising at-the-money variance.

``w(k) = θ/2 (1 + ρφk + √((φk + ρ)² + 1 − ρ²))``, with k = ln(strike / forward), w = σ²T and θ the
at-the-money total variance. With ``φ = η / √(θ(1 + θ))`` and ``η(1 + |ρ|) ≤ 2`` there is neither butterfly
nor calendar arbitrage while θ does not fall with T (Gatheral and Jacquier 2014). θ is the integral of a
forward variance that moves from a short level over a middle one to a long one, all above 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, floats
from apps.sandbox.market.options.black import price

SHORT_DECAY, MIDDLE_DECAY = 60.0, 5.0
"""Per year: the short level fades within a week, the middle one within a quarter."""
WIDEST: Final = 1.95
"""The most that η(1 + |ρ|) may be."""
INDEX_YEARS: Final = 30.0 / 365.0
_INDEX_POINTS: Final = 97
_INDEX_REACH: Final = 3.2
"""The grid goes out to its hyperbolic sine, in standard deviations."""


def _simpson(points: int) -> FloatArray:
    """Weights over a grid whose middle, where prices have a kink, ends one parabola and begins another."""
    weights = np.full(points, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return floats(weights * (2.0 * _INDEX_REACH / (points - 1)) / 3.0)


_REACH_GRID: Final = np.linspace(-_INDEX_REACH, _INDEX_REACH, _INDEX_POINTS)
_REACH_WEIGHTS: Final = _simpson(_INDEX_POINTS) * np.cosh(_REACH_GRID)


@dataclass(frozen=True, slots=True)
class Surface:
    """At one moment (numbers), or at several (arrays of one shape). Variances are annual."""

    short: FloatArray
    middle: FloatArray
    long: FloatArray
    rho: FloatArray
    eta: FloatArray

    def at_the_money(self, years: FloatArray) -> FloatArray:
        """Total variance θ(T)."""
        first = -np.expm1(-SHORT_DECAY * years) / SHORT_DECAY
        second = -np.expm1(-MIDDLE_DECAY * years) / MIDDLE_DECAY
        theta = self.long * (years - second) + self.middle * (second - first) + self.short * first
        return floats(theta)

    def total_variance(self, k: FloatArray, years: FloatArray) -> FloatArray:
        theta = self.at_the_money(years)
        scaled = self.eta / np.sqrt(theta * (1.0 + theta)) * k
        inner = np.sqrt((scaled + self.rho) ** 2 + 1.0 - self.rho**2)
        return floats(0.5 * theta * (1.0 + self.rho * scaled + inner))

    def volatility(self, k: FloatArray, years: FloatArray) -> FloatArray:
        return floats(np.sqrt(self.total_variance(k, years) / years))

    def at(self, chosen: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Surface:
        """Of a surface at several moments: one per element of ``chosen``."""
        return Surface(
            self.short[chosen], self.middle[chosen], self.long[chosen],
            self.rho[chosen], self.eta[chosen],
        )  # fmt: skip


def volatility_index(surface: Surface, years: float = INDEX_YEARS) -> FloatArray:
    """What a variance swap costs, as a volatility: out-of-the-money options over all strikes.

    ``σ² = 2/T ∫ O(K)/K² dK``, here over k = ln(K/F) with forward 1.
    """
    one = Surface(
        *(
            floats(part)[..., None]
            for part in (surface.short, surface.middle, surface.long, surface.rho, surface.eta)
        )
    )
    term = np.array(years)
    spread = np.sqrt(one.at_the_money(term))
    # The smile's wings are wider than its middle: room for both.
    k = floats(spread * np.sinh(_REACH_GRID))
    sigma = one.volatility(k, term)
    strike = np.exp(k)
    value = price(np.ones_like(k), strike, floats(term), sigma, k >= 0)
    total = (value / strike * spread * _REACH_WEIGHTS).sum(axis=-1)
    return floats(np.sqrt(2.0 / years * total))
