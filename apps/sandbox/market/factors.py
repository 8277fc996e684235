"""Factor paths: mean-reverting walks with clustered volatility and jumps, any day of which stands alone.

The level at the start of a day is an AR(1) process of daily shocks, summed over the last 400 days (older
ones are worth nothing). Inside a day the path is a bridge between the levels: independent minute moves
conditioned on their sum, which is exactly how independent moves of those volatilities look when their sum
is known.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.noise import (
    FloatArray,
    floats,
    key_of,
    normal_pairs,
    normals,
    uniforms,
)
from apps.sandbox.market.protocol import DAY_MINUTES
from apps.sandbox.market.volatility import LONG_VARIANCE, log_volatility, long_level, relative

_HALF_LIFE_DAYS: Final = 40.0
_MEMORY_DAYS: Final = 400
_KEEP: Final = 0.5 ** (1.0 / _HALF_LIFE_DAYS)
_KERNEL: Final = _KEEP ** np.arange(_MEMORY_DAYS, dtype=np.float64)
_CHUNK_DAYS: Final = 64
_CACHED_DAYS: Final = 200
_CACHED_CHUNKS: Final = 400
# Up to three jumps a day; the size in daily volatilities has a power tail.
_JUMP_SLOTS: Final = 3
_JUMP_LEAST: Final = 0.13
_JUMP_MOST: Final = 1.2
_JUMP_TAIL: Final = 0.4
_JUMP_SHAPE: Final = np.array([0.6, 0.25, 0.15])
# Volatility after a jump: so many times more, dying away over a quarter of an hour.
_AFTERSHOCK: Final = 1.5 * np.exp(-np.arange(90) / 15.0)
_MINUTE: Final = 1.0 / math.sqrt(DAY_MINUTES)


@dataclass(frozen=True, slots=True)
class FactorDay:
    """``path``: level at the 1441 minute boundaries, in daily volatilities; ``sigma``: standard deviation
    of each minute's move; ``log_volatility``: before seasons and jumps."""

    path: FloatArray
    sigma: FloatArray
    log_volatility: FloatArray


class Factors:
    """Paths of named factors of one seed. A factor's volatility follows the market's to a degree."""

    _FOLLOW: Final = 0.75
    _OWN: Final = 0.66
    _JUMP_CHANCE: Final = {"market": 0.07}
    _JUMP_CHANCE_OTHERS: Final = 0.12

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._days: OrderedDict[tuple[str, int], FactorDay] = OrderedDict()
        self._levels: OrderedDict[tuple[str, int], FloatArray] = OrderedDict()

    def level(self, name: str, day: int) -> float:
        """At the start of a day."""
        chunk, at = divmod(day, _CHUNK_DAYS)
        found = self._levels.get((name, chunk))
        if found is None:
            found = self._levels[(name, chunk)] = self._chunk(name, chunk)
            if len(self._levels) > _CACHED_CHUNKS:
                self._levels.popitem(last=False)
        return float(found[at])

    def long_volatility(self, name: str, days: FloatArray) -> FloatArray:
        """Slow part of the log volatility at times in days, its mean square made 1."""
        own = long_level(key_of(self._seed, "volatility", name), days)
        if name != "market":
            shared = long_level(key_of(self._seed, "volatility", "market"), days)
            own = self._FOLLOW * shared + self._OWN * own
        out: FloatArray = own - LONG_VARIANCE
        return out

    def _chunk(self, name: str, chunk: int) -> FloatArray:
        first = chunk * _CHUNK_DAYS - _MEMORY_DAYS
        days = np.arange(first, first + _MEMORY_DAYS + _CHUNK_DAYS, dtype=np.int64)
        shocks = normals(key_of(self._seed, "shock", name), days)
        shocks *= np.exp(self.long_volatility(name, floats(days + 0.5)))
        # The level at the start of a day ends with the shock of the day before.
        out: FloatArray = np.convolve(shocks, _KERNEL, mode="valid")[:_CHUNK_DAYS]
        return out

    def day(self, name: str, day: int) -> FactorDay:
        found = self._days.get((name, day))
        if found is None:
            found = self._days[(name, day)] = self.compute(name, day)
            if len(self._days) > _CACHED_DAYS:
                self._days.popitem(last=False)
        else:
            self._days.move_to_end((name, day))
        return found

    def compute(self, name: str, day: int) -> FactorDay:
        """Uncached: for factors that only one asset uses."""
        own = log_volatility(key_of(self._seed, "volatility", name), day)
        if name != "market":
            own = self._FOLLOW * self.day("market", day).log_volatility + self._OWN * own
        sigma = relative(own)
        key = key_of(self._seed, "moves", name)
        jumps = self._jumps(key ^ 0x1A3, name, day, sigma)
        moves = sigma * normal_pairs(key, day * DAY_MINUTES, DAY_MINUTES)
        moves *= _MINUTE
        for minute, size in jumps:
            shape = _JUMP_SHAPE[: DAY_MINUTES - minute]
            moves[minute : minute + 3] += size * shape
        variance = np.cumsum(sigma * sigma)
        walk = np.cumsum(moves)
        start, end = self.level(name, day), self.level(name, day + 1)
        path = np.empty(DAY_MINUTES + 1)
        path[0] = start
        path[1:] = start + walk + variance * ((end - start - walk[-1]) / variance[-1])
        path[-1] = end
        sigma *= _MINUTE
        return FactorDay(path, sigma, own)

    def _jumps(self, key: int, name: str, day: int, sigma: FloatArray) -> list[tuple[int, float]]:
        """(minute, size in daily volatilities) of a day's jumps; volatility rises after each."""
        draws = uniforms(key, np.arange(4 * _JUMP_SLOTS, dtype=np.int64) + day * 4 * _JUMP_SLOTS)
        chance = self._JUMP_CHANCE.get(name, self._JUMP_CHANCE_OTHERS)
        found = []
        for slot in range(_JUMP_SLOTS):
            happens, when, which, how = draws[4 * slot : 4 * slot + 4].tolist()
            if happens >= chance:
                continue
            minute = int(when * DAY_MINUTES)
            size = min(_JUMP_LEAST * how**-_JUMP_TAIL, _JUMP_MOST)
            found.append((minute, size if which < 0.5 else -size))
            after = sigma[minute : minute + len(_AFTERSHOCK)]
            after *= 1.0 + _AFTERSHOCK[: len(after)]
        return found
