"""What decides the size of resting orders: depth of the moment, persistent walls, occasional spoofing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, bits, uniform_triples

_FINE_BPS: Final = 0.2
_COARSE_BPS: Final = 2.0
# USD resting per basis point and side, as a share of a day's turnover: BTC about 6 million.
_DEPTH_PER_BPS: Final = 5e-4
# How long a level keeps its size: near the touch seconds, further out a minute.
_FINE_LIFE_MS: Final = 5_000
_COARSE_LIFE_MS: Final = 60_000
_WALL_MS: Final = 4 * 3_600_000
_WALL_CHANCE: Final = 0.02
_ROUND_CHANCE: Final = 0.5
_ROUND_LEVELS: Final = 25
_SIZE_SPREAD: Final = 0.6


@dataclass(frozen=True, slots=True)
class Grid:
    """Spacing of levels in ticks, their mean size in lots, and steps for which a level keeps its size."""

    fine: int
    coarse: int
    fine_lots: float
    fine_life: int
    coarse_life: int
    step_ms: int

    @property
    def coarse_lots(self) -> float:
        return self.fine_lots * self.coarse / self.fine


def grid_of(listing: Listing, typical_ticks: int) -> Grid:
    """``typical_ticks``: a constant price level of the asset, so that the grid never moves."""
    bps = typical_ticks * 1e-4
    fine = max(1, round(_FINE_BPS * bps))
    coarse = max(1, round(_COARSE_BPS * bps / fine)) * fine
    usd = listing.daily_volume_usd * _DEPTH_PER_BPS * (fine / bps)
    lots = max(2.0, usd / (typical_ticks * listing.tick * listing.lot))
    step_ms = listing.book_step_ms
    near, far = (max(4, life // step_ms) for life in (_FINE_LIFE_MS, _COARSE_LIFE_MS))
    return Grid(fine, coarse, lots, near, far, step_ms)


class Depths(NamedTuple):
    """Resting orders against usual ones by minute, from ``first`` on, for bids and asks."""

    first: int
    bids: FloatArray
    asks: FloatArray


def phases(ticks: IntArray, life: int) -> IntArray:
    """Steps by which each level's renewal is shifted, so that few change at once."""
    out: IntArray = ticks * 37 % life
    return out


def sizes(
    key: int,
    ticks: IntArray,
    renewed_ms: IntArray,
    mean: float,
    depth: FloatArray,
    first_minute: int,
) -> IntArray:
    """Lots of levels that were last renewed at ``renewed_ms``: orders of the depth of that minute."""
    first, second, third = uniform_triples(key, ticks * 1_000_003 + renewed_ms)
    # Three uniforms make a bell.
    draw = 2.0 * (first + second + third - 1.5)
    at = np.minimum(np.maximum(renewed_ms // 60_000 - first_minute, 0), len(depth) - 1)
    lots = mean * depth[at] * np.exp(_SIZE_SPREAD * draw - 0.18)
    out: IntArray = np.maximum(np.rint(lots), 1.0).astype(np.int64)
    return out


def walls(key: int, ticks: IntArray, renewed_ms: IntArray, grid: Grid) -> FloatArray:
    """How many times its usual size a coarse level holds: mostly 1, for hours at a time far more.

    Round prices attract walls.
    """
    epoch = (renewed_ms + ticks % 997 * 14_431) // _WALL_MS
    chance, size, _ = uniform_triples(key ^ 0x3A11, ticks * 7_919 + epoch)
    is_round = ticks // grid.coarse % _ROUND_LEVELS == 0
    is_wall = chance < np.where(is_round, _ROUND_CHANCE, _WALL_CHANCE)
    out: FloatArray = np.where(is_wall, 8.0 + 14.0 * size, 1.0)
    return out


class Spoof(NamedTuple):
    """Orders that are placed to be seen and pulled before they trade."""

    start_ms: int
    end_ms: int
    is_bid: bool
    ticks: tuple[int, ...]
    lots: int


_SPOOF_CHANCE: Final = {100: 0.10, 200: 0.08, 250: 0.06, 500: 0.03}
_SPOOF_CHANCE_OTHERS: Final = 0.02
_SPOOF_SIZE: Final = 9.0


def spoof_of(
    key: int, listing: Listing, grid: Grid, minute: int, middle: Sequence[float], depth: float
) -> Spoof | None:
    """The spoof of a minute, if it has one. ``middle``: mid price in ticks at steps of 200 ms."""
    draws = bits(key ^ 0x5B00F, np.array([minute], dtype=np.int64))
    draw = int(draws[0])
    chance = _SPOOF_CHANCE.get(listing.book_step_ms, _SPOOF_CHANCE_OTHERS)
    if (draw & 0xFFFF) >= chance * 65_536:
        return None
    start = 2_000 + (draw >> 16 & 0xFFFF) * 54_000 // 65_536
    length = max(600 + (draw >> 32 & 0x3FF) * 1_200 // 1_024, 2 * listing.book_step_ms)
    is_bid = bool(draw >> 42 & 1)
    away = 4 + (draw >> 43 & 0x1F) % 20
    price = int(middle[start // 200]) // grid.fine
    sign = -1 if is_bid else 1
    ticks = tuple((price + sign * (away + level)) * grid.fine for level in range(3))
    lots = max(2, round(_SPOOF_SIZE * grid.coarse_lots * depth))
    begin = minute * 60_000 + start
    return Spoof(begin, begin + length, is_bid, ticks, lots)
