"""The trades of one minute, made to add up exactly to that minute's bar."""

from __future__ import annotations

import numpy as np

from apps.sandbox.market.noise import FloatArray, IntArray, uniforms
from apps.sandbox.market.protocol import MINUTE_MS, Tape


def _prices(open_: int, high: int, low: int, close: int, draw: FloatArray) -> IntArray:
    """Prices from open to close that touch high and low once, wandering in between."""
    count = len(draw)
    inner = 1 + int(draw[0] * (count - 2))
    other = 1 + int(draw[1] * (count - 3))
    other += other >= inner
    first, second = sorted((inner, other))
    # A rising minute mostly dips first.
    dips_first = (close >= open_) == bool(draw[2] < 0.75)
    extremes = (low, high) if dips_first else (high, low)
    at = np.array([0, first, second, count - 1])
    knots = np.array([open_, *extremes, close], dtype=np.float64)
    path = np.interp(np.arange(count), at, knots)
    path += (draw - 0.5) * 0.5 * (high - low)
    prices: IntArray = np.clip(np.rint(path), low, high).astype(np.int64)
    prices[at] = knots.astype(np.int64)
    return prices


def _split(total: int, weights: FloatArray) -> IntArray:
    """Whole lots, at least one each, that sum to ``total``."""
    spare = total - len(weights)
    lots: IntArray = 1 + np.floor(spare * (weights / weights.sum())).astype(np.int64)
    lots[int(np.argmax(weights))] += total - int(lots.sum())
    return lots


def make_tape(
    key: int,
    minute: int,
    first_id: int,
    bar: tuple[int, int, int, int],
    volume: int,
    buy_volume: int,
    count: int,
) -> Tape:
    """Trades of a minute. ``bar`` is (open, high, low, close); needs ``count`` ≥ 4 and enough lots."""
    draws = uniforms(key, minute * 16_384 + np.arange(4 * count, dtype=np.int64)).reshape(4, count)
    prices = _prices(*bar, draws[0])
    moves = np.diff(prices, prepend=prices[0])
    is_buy = np.where(moves == 0, draws[1] < buy_volume / volume, moves > 0)
    if is_buy.all() or not is_buy.any():
        is_buy[0] = not is_buy[0]
    # Pareto weights: most trades are small, a few are large.
    weights = draws[2] ** -0.7
    lots = np.empty(count, dtype=np.int64)
    lots[is_buy] = _split(buy_volume, weights[is_buy])
    lots[~is_buy] = _split(volume - buy_volume, weights[~is_buy])
    times = minute * MINUTE_MS + np.sort((draws[3] * MINUTE_MS).astype(np.int64))
    return Tape(first_id, times, prices, lots, is_buy.astype(np.int64))
