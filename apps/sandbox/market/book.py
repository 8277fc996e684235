"""Order books as a pure function of their update number.

A level's size is drawn anew at intervals of its own, so between two steps most levels stay and a few
change; the difference of two books is a delta. Near the touch levels lie on a fine grid, further out on
a coarse one up to about 2 % (or further where one tick is large).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import IntArray, normals, uniforms
from apps.sandbox.market.protocol import Book, Touch

_FINE_BPS: Final = 0.2
_COARSE_BPS: Final = 2.0
_FINE_BLOCKS: Final = 3
_COARSE_LEVELS: Final = 100
# Steps between redraws of a level's size, by grid.
_FINE_LIFE: Final = 25
_COARSE_LIFE: Final = 400
# USD resting per basis point and side, as a share of a day's turnover: BTC about 6 million.
_DEPTH_PER_BPS: Final = 5e-4


@dataclass(frozen=True, slots=True)
class Grid:
    """Spacing of levels in ticks and their mean size in lots."""

    fine: int
    coarse: int
    fine_lots: float


def grid_of(listing: Listing, typical_ticks: int) -> Grid:
    """``typical_ticks``: a constant price level of the asset, so that the grid never moves."""
    bps = typical_ticks * 1e-4
    fine = max(1, round(_FINE_BPS * bps))
    coarse = max(1, round(_COARSE_BPS * bps / fine)) * fine
    usd = listing.daily_volume_usd * _DEPTH_PER_BPS * (fine / bps)
    return Grid(fine, coarse, max(2.0, usd / (typical_ticks * listing.tick * listing.lot)))


def make_book(key: int, listing: Listing, grid: Grid, touch: Touch, step: int) -> Book:
    bids = _side(key, grid, touch.bid, step, -1)
    asks = _side(key ^ 0x7F4A7C15, grid, touch.ask, step, +1)
    return Book(step, step * listing.book_step_ms, bids, asks)


def _side(key: int, grid: Grid, best: int, step: int, away: int) -> dict[int, int]:
    """One side's levels from the touch outwards."""
    block = grid.coarse
    anchor = (best // block) * block
    edge = anchor + away * _FINE_BLOCKS * block
    if away < 0:
        fine = np.arange(edge, best, grid.fine, dtype=np.int64)[::-1]
        coarse = edge - grid.coarse * np.arange(1, _COARSE_LEVELS + 1, dtype=np.int64)
        coarse = coarse[coarse > 0]
        fine = fine[fine > 0]
    else:
        fine = np.arange(edge, best, -grid.fine, dtype=np.int64)[::-1]
        coarse = edge + grid.coarse * np.arange(1, _COARSE_LEVELS + 1, dtype=np.int64)
    ratio = grid.coarse / grid.fine
    near = _sizes(key, fine, step, _FINE_LIFE, grid.fine_lots)
    far = _sizes(key + 1, coarse, step, _COARSE_LIFE, grid.fine_lots * ratio)
    # The touch changes at every step, so that no update is ever empty and ids form an unbroken chain.
    top = 1 + int(3.0 * grid.fine_lots * float(uniforms(key + 2, np.array([step]))[0]))
    levels = {best: top + (step & 1)}
    levels.update(zip(fine.tolist(), near.tolist(), strict=True))
    levels.update(zip(coarse.tolist(), far.tolist(), strict=True))
    return levels


def _sizes(key: int, ticks: IntArray, step: int, life: int, mean: float) -> IntArray:
    epoch = (step + ticks * 37) // life
    draw = normals(key, ticks * 1_000_003 + epoch)
    return np.maximum(1, np.rint(mean * np.exp(0.6 * draw - 0.18))).astype(np.int64)


def book_difference(old: dict[int, int], new: dict[int, int]) -> list[tuple[int, int]]:
    """Levels of ``new`` that differ from ``old``, 0 for those that went; ascending price."""
    changes = dict(new.items() - old.items())
    changes.update(dict.fromkeys(old.keys() - new.keys(), 0))
    return sorted(changes.items())
