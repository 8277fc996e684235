"""Black-76 without interest, for arrays: prices, greeks, implied volatility.

Money is USD per coin of the underlying; volatilities are fractions, times in years.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr

from apps.sandbox.market.noise import FloatArray, floats

DAYS_A_YEAR: Final = 365.0
_ROOT_TWO_PI: Final = float(np.sqrt(2.0 * np.pi))
_LEAST_VOLATILITY, _MOST_VOLATILITY = 1e-4, 10.0
_STEPS: Final = 60
_LEAST_DEVIATION: Final = 1e-9


class Greeks(NamedTuple):
    """``delta`` of the forward; ``gamma`` per USD; ``vega`` and ``rho`` per percentage point; ``theta`` of
    the coming day, or of what is left if that is less, and never more than the option is worth."""

    delta: FloatArray
    gamma: FloatArray
    vega: FloatArray
    theta: FloatArray
    rho: FloatArray


def density(x: FloatArray) -> FloatArray:
    out: FloatArray = np.exp(-0.5 * x * x) / _ROOT_TWO_PI
    return out


def _d1(
    forward: FloatArray, strike: FloatArray, years: FloatArray, sigma: FloatArray
) -> tuple[FloatArray, FloatArray]:
    deviation = np.maximum(sigma * np.sqrt(years), _LEAST_DEVIATION)
    return floats(np.log(forward / strike) / deviation + 0.5 * deviation), floats(deviation)


def price(
    forward: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    sigma: FloatArray,
    is_call: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> FloatArray:
    """The out-of-the-money side is computed, the other follows from put–call parity: exact at any depth."""
    d1, deviation = _d1(forward, strike, years, sigma)
    d2 = d1 - deviation
    sign = np.where(strike >= forward, 1.0, -1.0)
    outside = np.maximum(sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * d2)), 0.0)
    has_value = (sign > 0) != is_call
    intrinsic = np.where(is_call, forward - strike, strike - forward)
    return floats(np.where(has_value, outside + intrinsic, outside))


def greeks(
    forward: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    sigma: FloatArray,
    is_call: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> Greeks:
    d1, deviation = _d1(forward, strike, years, sigma)
    sign = np.where(is_call, 1.0, -1.0)
    bell, root = density(d1), np.sqrt(years)
    days = np.minimum(1.0, years * DAYS_A_YEAR)
    decay = forward * bell * sigma / (2.0 * root) * days / DAYS_A_YEAR
    return Greeks(
        delta=floats(sign * ndtr(sign * d1)),
        gamma=floats(bell / (forward * deviation)),
        vega=floats(forward * bell * root / 100.0),
        theta=floats(-np.minimum(decay, price(forward, strike, years, sigma, is_call))),
        rho=floats(sign * strike * years * ndtr(sign * (d1 - deviation)) / 100.0),
    )


def implied_volatility(
    value: FloatArray,
    forward: FloatArray,
    strike: FloatArray,
    years: FloatArray,
    is_call: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
) -> FloatArray:
    """NaN at or below the intrinsic value, and at or above the most an option can cost."""
    intrinsic = np.maximum(np.where(is_call, forward - strike, strike - forward), 0.0)
    most = np.where(is_call, forward, strike)
    is_possible = (value > intrinsic) & (value < most)
    low = np.full_like(floats(value), _LEAST_VOLATILITY)
    high = np.full_like(low, _MOST_VOLATILITY)
    sigma = np.full_like(low, 0.6)
    for _ in range(_STEPS):
        error = price(forward, strike, years, sigma, is_call) - value
        high = np.where(error > 0, np.minimum(high, sigma), high)
        low = np.where(error > 0, low, np.maximum(low, sigma))
        d1, _ = _d1(forward, strike, years, sigma)
        slope = np.maximum(forward * density(d1) * np.sqrt(years), 1e-300)
        step = sigma - error / slope
        following = np.where((step > low) & (step < high), step, 0.5 * (low + high))
        is_done = np.abs(following - sigma) <= 1e-13 * sigma
        sigma = floats(following)
        if bool((is_done | ~is_possible).all()):
            break
    return floats(np.where(is_possible, sigma, np.nan))
