"""Random numbers that are a pure function of (key, index): any part of a series can be asked for alone.

Counter-based (splitmix64 over the index), so a history of years needs no generator to be advanced, two
queries of the same range agree, and results do not depend on NumPy's own generators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT: Final = 1.0 / (1 << 53)


def floats(values: Any) -> FloatArray:
    """The same array, for the type checker: NumPy's stubs lose the width in mixed arithmetic."""
    return np.asarray(values, dtype=np.float64)


def whole(values: Any) -> IntArray:
    """Rounded to whole numbers."""
    out: IntArray = np.rint(values).astype(np.int64)
    return out


def key_of(seed: int, *parts: str | int) -> int:
    """A 64-bit key for one named series of one seed."""
    text = "\x1f".join([str(seed), *(str(part) for part in parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def bits(key: int, index: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """64 random bits per index (splitmix64)."""
    state = index.astype(np.int64).view(np.uint64) * _GOLDEN + np.uint64(key)
    state = (state ^ (state >> _S30)) * _MIX_1
    state = (state ^ (state >> _S27)) * _MIX_2
    return state ^ (state >> _S31)


def uniforms(key: int, index: npt.NDArray[Any]) -> FloatArray:
    """Uniform in (0, 1), both ends excluded."""
    out: FloatArray = ((bits(key, index) >> _S11).astype(np.float64) + 0.5) * _TO_UNIT
    return out


def uniform(key: int, index: int) -> float:
    return float(uniforms(key, np.array([index], dtype=np.int64))[0])


def normals(key: int, index: npt.NDArray[Any]) -> FloatArray:
    """Standard normal (Box–Muller over two uniforms)."""
    radius = np.sqrt(-2.0 * np.log(uniforms(key, index)))
    out: FloatArray = radius * np.cos(2.0 * np.pi * uniforms(key ^ 0x5DEECE66D, index))
    return out


def value_noise(key: int, t_s: FloatArray, period_s: float) -> FloatArray:
    """Smooth noise: a standard normal every ``period_s`` seconds, eased between them."""
    position = t_s / period_s
    left = np.floor(position)
    part = position - left
    ease = part * part * (3.0 - 2.0 * part)
    first = left.astype(np.int64)
    low = int(first.min())
    knots = normals(key, np.arange(low, int(first.max()) + 2, dtype=np.int64))
    at = first - low
    out: FloatArray = knots[at] * (1.0 - ease) + knots[at + 1] * ease
    return out


def fractal_noise(
    key: int, t_s: FloatArray, periods_s: Sequence[float], weights: Sequence[float]
) -> FloatArray:
    """A weighted sum of value noises of several periods."""
    total = np.zeros_like(t_s)
    for number, (period, weight) in enumerate(zip(periods_s, weights, strict=True)):
        total += weight * value_noise(key + 7919 * number, t_s, period)
    return total
