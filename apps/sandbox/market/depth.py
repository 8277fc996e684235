"""Order books as a pure function of their update number.

A level's size is drawn anew at intervals of its own, with the depth of that moment: so between two steps
most levels stay and a few change, and a book that was swept or that volatility has thinned fills up again
within its levels' lives. Near the touch levels lie on a fine grid, further out on a coarse one up to about
2 % (or further where one tick is large). What is kept between calls only saves work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, mixed
from apps.sandbox.market.protocol import Book, Touch
from apps.sandbox.market.resting import Depths, Grid, Spoof, phases, sizes, walls

_FINE_BLOCKS: Final = 3
_FINE_STRETCH: Final = 6
_COARSE_LEVELS: Final = 100
_COARSE_STRETCH: Final = 25
_ASK_KEY: Final = 0x7F4A7C15
_TO_UNIT: Final = 1.0 / (1 << 64)


class _Levels:
    """Levels of one grid and side between two prices, renewed as steps go by."""

    def __init__(self, key: int, first: int, last: int, grid: Grid, *, is_fine: bool) -> None:
        self._key = key
        self._grid = grid
        self._is_fine = is_fine
        self._life = grid.fine_life if is_fine else grid.coarse_life
        self._mean = grid.fine_lots if is_fine else grid.coarse_lots
        spacing = grid.fine if is_fine else grid.coarse
        self._ticks = np.arange(max(first, spacing), last + 1, spacing, dtype=np.int64)
        self._phase = phases(self._ticks, self._life)
        self._epoch: IntArray = np.full(len(self._ticks), -1, dtype=np.int64)
        self._lots = np.zeros(len(self._ticks), dtype=np.int64)

    def between(
        self, low: int, high: int, step: int, depth: FloatArray, first_minute: int
    ) -> Iterable[tuple[int, int]]:
        """(tick, lots) of the levels low ≤ tick < high."""
        epoch = (step + self._phase) // self._life
        stale = (epoch != self._epoch).nonzero()[0]
        if stale.size:
            ticks = self._ticks[stale]
            renewed = (epoch[stale] * self._life - self._phase[stale]) * self._grid.step_ms
            lots = sizes(self._key, ticks, renewed, self._mean, depth, first_minute)
            if not self._is_fine:
                lots = (lots * walls(self._key, ticks, renewed, self._grid)).astype(np.int64)
            self._lots[stale] = lots
            self._epoch = epoch
        begin, end = self._ticks.searchsorted((low, high)).tolist()
        return zip(self._ticks[begin:end].tolist(), self._lots[begin:end].tolist(), strict=True)


class _Side:
    """One side of one listing's book. Levels are kept for a wider stretch than is shown, so that a price
    that moves a little meets levels that are there already."""

    def __init__(self, key: int, grid: Grid, away: int) -> None:
        self._key = key
        self._grid = grid
        self._away = away
        self._kept: list[tuple[int, _Levels | None]] = [(-1, None), (-1, None)]

    def _levels(self, block: int, number: int, widths: tuple[int, int]) -> _Levels:
        """Of the fine (0) or the coarse (1) grid around a block."""
        stretch, reach = widths
        anchor = block // stretch
        known, levels = self._kept[number]
        if known != anchor or levels is None:
            low, high = anchor * stretch, (anchor + 1) * stretch
            low, high = (low - reach, high) if self._away < 0 else (low, high + reach)
            size = self._grid.coarse
            levels = _Levels(
                self._key + number, low * size, high * size, self._grid, is_fine=number == 0
            )
            self._kept[number] = (anchor, levels)
        return levels

    def levels(
        self, best: int, top: int, step: int, depth: FloatArray, first_minute: int
    ) -> dict[int, int]:
        """A new dict from the touch outwards."""
        size = self._grid.coarse
        block = best // size
        fine = self._levels(block, 0, (_FINE_STRETCH, _FINE_BLOCKS))
        coarse = self._levels(block, 1, (_COARSE_STRETCH, _FINE_BLOCKS + _COARSE_LEVELS))
        edge = (block + self._away * _FINE_BLOCKS) * size
        far = edge + self._away * _COARSE_LEVELS * size
        out = {best: top}
        if self._away < 0:
            out.update(fine.between(edge, best, step, depth, first_minute))
            out.update(coarse.between(far, edge, step, depth, first_minute))
        else:
            out.update(fine.between(best + 1, edge + 1, step, depth, first_minute))
            out.update(coarse.between(edge + 1, far + 1, step, depth, first_minute))
        return out


class BookMaker:
    """Books of one listing."""

    def __init__(self, key: int, listing: Listing, grid: Grid) -> None:
        self._key = key
        self._listing = listing
        self.grid = grid
        self._bids = _Side(key, grid, -1)
        self._asks = _Side(key ^ _ASK_KEY, grid, +1)

    def make(
        self,
        step: int,
        touch: Touch,
        depths: Depths,
        left: tuple[float, float],
        spoof: Spoof | None,
    ) -> Book:
        """``left``: what recent trades have left of each side's best level (0–1)."""
        time_ms = step * self._listing.book_step_ms
        tops = [
            # The touch changes at every step, so that no update is empty and ids form an unbroken chain.
            1 + int(3.0 * self.grid.fine_lots * share * mixed(key, step) * _TO_UNIT) + (step & 1)
            for key, share in zip((self._key + 2, self._key + 3), left, strict=True)
        ]
        bids = self._bids.levels(touch.bid, tops[0], step, depths.bids, depths.first)
        asks = self._asks.levels(touch.ask, tops[1], step, depths.asks, depths.first)
        if spoof is not None and spoof.start_ms <= time_ms < spoof.end_ms:
            side = bids if spoof.is_bid else asks
            for tick in spoof.ticks:
                if 0 < tick < touch.bid if spoof.is_bid else tick > touch.ask:
                    side[tick] = side.get(tick, 0) + spoof.lots
        return Book(step, time_ms, bids, asks)
