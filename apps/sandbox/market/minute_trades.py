"""The trades of one minute, made to add up exactly to that minute's bar.

Trades come in bursts (a Hawkes process seen as clusters: some trades come by themselves, each is followed
by others, and these again), take the touch of their side, and the biggest moves hold the forced ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.sandbox.market.minute_path import STEP_MS, TIMES
from apps.sandbox.market.noise import FloatArray, IntArray, uniforms
from apps.sandbox.market.protocol import MINUTE_MS, Tape

BRANCHING: Final = 0.65
"""Trades that one trade causes on average, at first hand."""
_DELAY_MS: Final = 450.0
_SAME_SIDE: Final = 0.85
_DRAWS: Final = 5
_MOST_TRADES: Final = 16_384
# A few large trades, many small ones.
_SIZE_TAIL: Final = -0.7
_FORCED_LOTS: Final = 25.0
"""Lots of a forced order against a usual trade's, above which it is split."""


@dataclass(frozen=True, slots=True)
class MinutePlan:
    """What a minute's trades must add up to; prices in ticks, amounts in lots."""

    minute: int
    first_id: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    buy_volume: int
    longs: int
    shorts: int
    count: int


def _times(draw: FloatArray) -> tuple[IntArray, IntArray]:
    """(milliseconds, the trade that began the burst) of each trade, unsorted."""
    generation = np.floor(np.log(draw[0]) / np.log(BRANCHING)).astype(np.int64)
    first = np.flatnonzero(generation == 0)
    if not len(first):
        first = np.zeros(1, dtype=np.int64)
    root = first[(draw[1] * len(first)).astype(np.int64)]
    root[first] = first
    delay = generation * _DELAY_MS * -np.log(draw[2])
    delay[first] = 0.0
    times = (draw[3, root] * MINUTE_MS + delay).astype(np.int64) % MINUTE_MS
    return times, root


def _sides(
    draw: FloatArray, root: IntArray, share: float, moves: FloatArray
) -> npt.NDArray[np.bool_]:
    """Takers' sides: bursts keep theirs, and buyers are more where the path rises."""
    lean = np.clip(share + 0.25 * moves, 0.05, 0.95)
    begins = draw[3] * 977.0 % 1.0 < lean
    own = draw[4] < share
    follows = draw[2] * 997.0 % 1.0 < _SAME_SIDE
    sides: npt.NDArray[np.bool_] = np.where(follows, begins[root], own)
    # Both sides trade at least twice, so that a forced order never is the only one of its side.
    for wanted in (True, False):
        missing = 2 - int((sides == wanted).sum())
        if missing > 0:
            sides[np.flatnonzero(sides != wanted)[:missing]] = wanted
    return sides


def _split(total: int, weights: FloatArray) -> IntArray:
    """Whole lots, at least one each, that sum to ``total``."""
    spare = total - len(weights)
    lots: IntArray = 1 + np.floor(spare * (weights / weights.sum())).astype(np.int64)
    lots[int(np.argmax(weights))] += total - int(lots.sum())
    return lots


def _pinned(count: int, times: IntArray, highest: int, lowest: int) -> tuple[int, int]:
    """Two different inner trades for the minute's extremes, near where the path has them."""
    at = np.searchsorted(times, np.array([highest, lowest]) * STEP_MS)
    high, low = (min(max(int(one), 1), count - 2) for one in at)
    if high == low:
        low = low + 1 if low + 1 <= count - 2 else low - 1
    return high, low


def make_tape(
    key: int, plan: MinutePlan, middle: FloatArray, spread: int, extremes: tuple[int, int]
) -> tuple[Tape, list[int]]:
    """Trades of a minute and the positions of the forced ones.

    ``middle``: the middle of the book in ticks at steps of 200 ms; ``extremes``: the steps of its highest
    and lowest. Needs ``count`` ≥ 4 and a volume of at least two lots a trade.
    """
    count = plan.count
    index = plan.minute * _MOST_TRADES + np.arange(_DRAWS * count, dtype=np.int64)
    draw = uniforms(key, index).reshape(_DRAWS, count)
    times, root = _times(draw)
    order = np.argsort(times, kind="stable")
    times = times[order]
    mids = np.interp(times.astype(np.float64), TIMES, middle)
    ahead = np.interp(np.minimum(times + 500.0, MINUTE_MS), TIMES, middle) - mids
    reach = max(1.0, float(plan.high - plan.low))
    toward = np.empty(count)
    toward[order] = np.clip(6.0 * ahead / reach, -1.0, 1.0)
    is_buy = _sides(draw, root, plan.buy_volume / plan.volume, toward)[order]
    bid = np.floor(mids - 0.5 * spread + 0.5).astype(np.int64)
    prices = np.clip(np.where(is_buy, bid + spread, bid), plan.low, plan.high)
    high, low = _pinned(count, times, *extremes)
    prices[0], prices[-1] = plan.open, plan.close
    prices[high], prices[low] = plan.high, plan.low
    weights = draw[4, order] ** _SIZE_TAIL
    lots = np.empty(count, dtype=np.int64)
    forced: list[int] = []
    for buys, total, gone in (
        (True, plan.buy_volume, plan.shorts),
        (False, plan.volume - plan.buy_volume, plan.longs),
    ):
        own = np.flatnonzero(is_buy == buys)
        chosen = _forced(own, prices, gone, total, buys)
        rest = own[~np.isin(own, chosen)] if len(chosen) else own
        lots[rest] = _split(total - gone, weights[rest])
        if len(chosen):
            lots[chosen] = _split(gone, weights[chosen])
            forced += chosen.tolist()
    tape = Tape(
        plan.first_id, plan.minute * MINUTE_MS + times, prices, lots, is_buy.astype(np.int64)
    )
    return tape, sorted(forced)


def _forced(own: IntArray, prices: IntArray, gone: int, total: int, is_buy: bool) -> IntArray:
    """Which of a side's trades are forced: those nearest to the extreme that forced them."""
    if not gone:
        return own[:0]
    usual = (total - gone) / len(own)
    many = min(1 + int(gone / (usual * _FORCED_LOTS)), len(own) // 2, gone)
    ranks = np.argsort(prices[own], kind="stable")
    return np.sort(own[ranks[-many:] if is_buy else ranks[:many]])
