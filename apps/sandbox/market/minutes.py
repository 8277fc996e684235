"""Minute bars of one listing, a day at a time, in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import (
    FloatArray,
    IntArray,
    floats,
    key_of,
    normals,
    uniforms,
    value_noise,
    whole,
)
from apps.sandbox.market.paths import IndexPaths, Premiums, volatility_factor
from apps.sandbox.market.protocol import DAY_MINUTES

# A bar needs an opening, a closing, a highest and a lowest trade.
_MIN_TRADES: Final = 4
_STEPS: Final = np.arange(DAY_MINUTES, dtype=np.int64)
_BOUNDS_S: Final = np.arange(DAY_MINUTES + 1, dtype=np.float64) * 60.0
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class DayBars:
    """The 1440 bars of a day; ``edge`` are prices (ticks) at minute boundaries."""

    edge: IntArray
    high: IntArray
    low: IntArray
    volume: IntArray
    buy_volume: IntArray
    trades: IntArray
    trades_before: IntArray
    first_id: int


def trades_per_day(listing: Listing) -> int:
    """Constant, so that trade ids are a running number without a start of time."""
    return max(DAY_MINUTES * (_MIN_TRADES + 1), int(listing.trades_per_minute * DAY_MINUTES))


def compute_day(
    seed: int, paths: IndexPaths, premiums: Premiums, listing: Listing, day: int
) -> DayBars:
    model = ASSET_MODELS[listing.asset]
    key = key_of(seed, "bars", listing.name)
    minutes = day * DAY_MINUTES + _STEPS
    edge = _edges(key, paths, premiums, listing, day)
    sigma = model.daily_volatility / math.sqrt(DAY_MINUTES)
    moves = np.diff(edge) / edge[:-1]
    wick = np.abs(normals(key + 1, minutes)) * 0.45 * sigma * edge[:-1]
    tail = np.abs(normals(key + 2, minutes)) * 0.45 * sigma * edge[:-1]
    high = np.maximum(edge[:-1], edge[1:]) + np.rint(wick).astype(np.int64)
    low = np.maximum(np.minimum(edge[:-1], edge[1:]) - np.rint(tail).astype(np.int64), 1)
    pace = volatility_factor(key_of(seed, "volatility", listing.asset), day)
    pace = (
        pace
        * np.exp(0.35 * np.minimum(np.abs(moves) / sigma, 4.0))
        * (0.6 + 0.8 * uniforms(key + 3, minutes))
    )
    trades = _spread_trades(pace, trades_per_day(listing))
    volume = _volumes(key, listing, day, pace, edge, trades)
    pressure = np.tanh(0.7 * moves / sigma)
    tilt = value_noise(key + 5, floats(minutes * 60.0), 5_400.0)
    share = 0.5 + 0.22 * pressure + 0.05 * tilt + 0.08 * (uniforms(key + 6, minutes) - 0.5)
    buy = np.clip(np.rint(volume * share).astype(np.int64), trades, volume - trades)
    before = np.concatenate(([0], np.cumsum(trades)))
    return DayBars(edge, high, low, volume, buy, trades, before, 1 + day * trades_per_day(listing))


def _edges(key: int, paths: IndexPaths, premiums: Premiums, listing: Listing, day: int) -> IntArray:
    t_s = day * _DAY_S + _BOUNDS_S
    log_price = paths.day(listing.asset, day)
    away = (
        premiums.at(listing.asset, t_s)
        if listing.is_perp
        else 3e-5 * value_noise(key + 4, t_s, 240.0)
    )
    price = np.exp(log_price) * (1.0 + away) * listing.price_mult
    return np.maximum(whole(price / listing.tick), 2)


def _spread_trades(pace: FloatArray, per_day: int) -> IntArray:
    spare = per_day - _MIN_TRADES * DAY_MINUTES
    reached = whole(np.cumsum(pace) / pace.sum() * spare)
    out: IntArray = _MIN_TRADES + np.diff(reached, prepend=0)
    return out


def _volumes(
    key: int, listing: Listing, day: int, pace: FloatArray, edge: IntArray, trades: IntArray
) -> IntArray:
    """Lots per minute; a day's turnover swings around the listing's average."""
    minutes = day * DAY_MINUTES + _STEPS
    swing = np.exp(0.35 * value_noise(key + 7, floats(minutes * 60.0), 2.5 * _DAY_S) - 0.06)
    busy = pace * np.exp(0.4 * normals(key + 8, minutes) - 0.08) * swing
    usd = listing.daily_volume_usd / DAY_MINUTES * busy / pace.mean()
    lots = whole(usd / (edge[:-1] * listing.tick * listing.lot))
    return np.maximum(lots, 2 * trades + 2)
