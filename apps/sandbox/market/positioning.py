"""Open interest, long/short shares and liquidations."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from apps.sandbox.market.assets import ASSET_MODELS, AssetModel
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, floats, fractal_noise, key_of, uniforms
from apps.sandbox.market.protocol import DAY_MINUTES, MinuteBars, Tape

_HOUR_S: Final = 3_600.0
_OI_PERIODS: Final = (0.5 * _HOUR_S, 5 * _HOUR_S, 30 * _HOUR_S, 160 * _HOUR_S)
_OI_WEIGHTS: Final = (0.004, 0.02, 0.06, 0.12)
_SHARE_PERIODS: Final = (2 * _HOUR_S, 14 * _HOUR_S, 80 * _HOUR_S)
_SHARE_WEIGHTS: Final = (0.012, 0.03, 0.05)
_SHARE_MEAN: Final = {"accounts": 0.58, "top_accounts": 0.60, "top_positions": 0.54}
_MOST_FORCED: Final = 6


def open_interest_lots(seed: int, listing: Listing, t_ms: IntArray) -> FloatArray:
    """Single-sided open interest in lots, moving slowly around the listing's level."""
    key = key_of(seed, "open_interest", listing.name)
    swing = fractal_noise(key, t_ms / 1000.0, _OI_PERIODS, _OI_WEIGHTS)
    price = ASSET_MODELS[listing.asset].price * listing.price_mult
    level = listing.open_interest_usd / (price * listing.lot)
    return np.maximum(np.rint(level * np.exp(swing)), 1.0)


def long_share(seed: int, asset: str, series: str, t_ms: IntArray) -> FloatArray:
    """Share of longs; raises ``KeyError`` for an unknown series."""
    mean = _SHARE_MEAN[series]
    swing = fractal_noise(
        key_of(seed, "positioning", asset, series), t_ms / 1000.0, _SHARE_PERIODS, _SHARE_WEIGHTS
    )
    return floats(np.round(np.clip(mean + swing, 0.05, 0.95), 4))


def forced_trades(
    key: int, model: AssetModel, minute: int, tape: Tape, bar: MinuteBars
) -> list[int]:
    """Positions in the tape of the trades that closed a liquidated position, oldest first.

    A falling minute liquidates longs (forced sells), a rising one shorts.
    """
    sigma = model.daily_volatility / math.sqrt(DAY_MINUTES)
    move = float(bar.close[0] - bar.open[0]) / float(bar.open[0]) / sigma
    base = 0.25 if model.is_hot else 0.04
    expected = base * math.exp(min(abs(move), 5.0) * 0.8 - 0.6)
    draws = uniforms(key ^ 0x11D, minute * 64 + np.arange(_MOST_FORCED, dtype=np.int64))
    count = int((draws < 1.0 - math.exp(-expected / 2.0)).sum())
    if not count:
        return []
    suited = np.flatnonzero(tape.is_buy == (1 if move > 0 else 0))
    at = suited[(draws[:count] * 1e6).astype(np.int64) % len(suited)]
    return sorted(set(at.tolist()))
