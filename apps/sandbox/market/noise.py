"""Random numbers that are a pure function of (key, index): any part of a series can be asked for alone.

Counter-based (splitmix64 over the index), so a history of years needs no generator to be advanced, two
queries of the same range agree, and results do not depend on NumPy's own generators.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
AnyFloats: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_TO_UNIT: Final = 1.0 / (1 << 53)
_S32, _LOW_32, _TO_UNIT_32 = np.uint64(32), np.uint64(0xFFFFFFFF), 1.0 / (1 << 32)
_S21, _S42, _LOW_21 = np.uint64(21), np.uint64(42), np.uint64((1 << 21) - 1)
_TO_UNIT_21, _HALF_21 = 1.0 / (1 << 21), 0.5 / (1 << 21)
_DAY_MINUTES: Final = 1_440
_ALL_64: Final = (1 << 64) - 1
_TURN: Final = 0x5DEECE66D
_CHUNK: Final = 64
_MOST_CHUNKS: Final = 8


def floats(values: Any) -> FloatArray:
    """The same array, for the type checker: NumPy's stubs lose the width in mixed arithmetic."""
    return np.asarray(values, dtype=np.float64)


def whole(values: Any) -> IntArray:
    """Rounded to whole numbers."""
    out: IntArray = np.rint(values).astype(np.int64)
    return out


@lru_cache(maxsize=8_192)
def key_of(seed: int, *parts: str | int) -> int:
    """A 64-bit key for one named series of one seed."""
    text = "\x1f".join([str(seed), *(str(part) for part in parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def bits(key: int, index: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """64 random bits per index (splitmix64)."""
    return _mix(index.astype(np.int64).view(np.uint64) * _GOLDEN + np.uint64(key))


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """In place, but for what is shifted: short series are many, and each array costs."""
    state ^= state >> _S30
    state *= _MIX_1
    state ^= state >> _S27
    state *= _MIX_2
    state ^= state >> _S31
    return state


def mixed(key: int, index: int) -> int:
    """The same 64 bits for one index, without arrays."""
    state = (index * 0x9E3779B97F4A7C15 + key) & _ALL_64
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _ALL_64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _ALL_64
    return state ^ (state >> 31)


def uniforms(key: int, index: npt.NDArray[Any]) -> FloatArray:
    """Uniform in (0, 1), both ends excluded."""
    out: FloatArray = ((bits(key, index) >> _S11).astype(np.float64) + 0.5) * _TO_UNIT
    return out


def uniform(key: int, index: int) -> float:
    return float(uniforms(key, np.array([index], dtype=np.int64))[0])


def normals(key: int, index: npt.NDArray[Any]) -> FloatArray:
    """Standard normal (Box–Muller over two uniforms)."""
    keys = np.array([[key], [key ^ _TURN]], dtype=np.uint64)
    draws = _mix(index.astype(np.int64).view(np.uint64) * _GOLDEN + keys)
    draws >>= _S11
    both = (draws.astype(np.float64) + 0.5) * _TO_UNIT
    radius = np.sqrt(-2.0 * np.log(both[0]))
    out: FloatArray = radius * np.cos(2.0 * np.pi * both[1])
    return out


def normal_pairs(key: int, first: int, count: int) -> FloatArray:
    """Standard normals first … first + count - 1 of a series, both even: half the work of ``normals``.

    Each pair shares one draw of 64 bits (Box–Muller, cosine and sine).
    """
    draws = bits(key, np.arange(first // 2, (first + count) // 2, dtype=np.int64))
    angle = (draws & _LOW_32).astype(np.float64) * (2.0 * np.pi * _TO_UNIT_32)
    radius = np.sqrt(-2.0 * np.log(((draws >> _S32).astype(np.float64) + 0.5) * _TO_UNIT_32))
    out = np.empty((len(draws), 2))
    out[:, 0] = radius * np.cos(angle)
    out[:, 1] = radius * np.sin(angle)
    return out.ravel()


def uniform_triples(key: int, index: npt.NDArray[Any]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Three uniforms of 21 bits per index, for the price of one."""
    draws = bits(key, index)
    first, second, third = (
        floats((part & _LOW_21) * _TO_UNIT_21 + _HALF_21)
        for part in (draws, draws >> _S21, draws >> _S42)
    )
    return first, second, third


@cache
def _ease(steps: int) -> FloatArray:
    part = np.arange(steps, dtype=np.float64) / steps
    return part * part * (3.0 - 2.0 * part)


def day_noise(key: int, day: int, per_day: int) -> FloatArray:
    """Value noise of ``per_day`` knots (a divisor of 1440) at the 1441 minute boundaries of a day."""
    knots = normals(key, np.arange(day * per_day, (day + 1) * per_day + 1, dtype=np.int64))
    ease = _ease(_DAY_MINUTES // per_day)
    out = np.empty(_DAY_MINUTES + 1)
    inner = out[:-1].reshape(per_day, -1)
    np.multiply((knots[1:] - knots[:-1])[:, None], ease[None, :], out=inner)
    inner += knots[:-1, None]
    out[-1] = knots[-1]
    return out


def value_noise(key: int, t_s: FloatArray, period_s: float) -> FloatArray:
    """Smooth noise: a standard normal every ``period_s`` seconds, eased between them."""
    position = t_s / period_s
    left = np.floor(position)
    part = position - left
    ease = part * part * (3.0 - 2.0 * part)
    first = left.astype(np.int64)
    low = int(first.min())
    knots = _knots(key, low, int(first.max()) + 1)
    at = first - low
    out: FloatArray = knots[at] * (1.0 - ease) + knots[at + 1] * ease
    return out


def _knots(key: int, first: int, last: int) -> FloatArray:
    """``normals`` first … last. A page of history has few of them, and the next page the same."""
    begin, end = first // _CHUNK, last // _CHUNK
    if end - begin > _MOST_CHUNKS:
        return normals(key, np.arange(first, last + 1, dtype=np.int64))
    chunks = [_chunk_of_knots(key, chunk) for chunk in range(begin, end + 1)]
    knots = np.concatenate(chunks) if len(chunks) > 1 else chunks[0]
    return knots[first - begin * _CHUNK : last + 1 - begin * _CHUNK]


@lru_cache(maxsize=4_096)
def _chunk_of_knots(key: int, chunk: int) -> FloatArray:
    return normals(key, np.arange(chunk * _CHUNK, (chunk + 1) * _CHUNK, dtype=np.int64))


@lru_cache(maxsize=20_000)
def _knot(key: int, index: int) -> float:
    """``normals`` of one index, without arrays."""
    radius = math.sqrt(-2.0 * math.log(((mixed(key, index) >> 11) + 0.5) * _TO_UNIT))
    return radius * math.cos(2.0 * math.pi * ((mixed(key ^ _TURN, index) >> 11) + 0.5) * _TO_UNIT)


@lru_cache(maxsize=8_192)
def fractal_at(
    key: int, t_s: float, periods_s: tuple[float, ...], weights: tuple[float, ...]
) -> float:
    """``fractal_noise`` at one time."""
    total = 0.0
    for number, (period, weight) in enumerate(zip(periods_s, weights, strict=True)):
        left, part = divmod(t_s / period, 1.0)
        ease = part * part * (3.0 - 2.0 * part)
        own = (key + 7919 * number) & _ALL_64
        first = _knot(own, int(left))
        total += weight * (first + (_knot(own, int(left) + 1) - first) * ease)
    return total


def fractal_noise(
    key: int, t_s: FloatArray, periods_s: Sequence[float], weights: Sequence[float]
) -> FloatArray:
    """A weighted sum of value noises of several periods."""
    total = np.zeros_like(t_s)
    for number, (period, weight) in enumerate(zip(periods_s, weights, strict=True)):
        total += weight * value_noise(key + 7919 * number, t_s, period)
    return total
