"""One listing's day: bars, trade counts, volumes and forced lots, in closed form from the asset's day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from apps.sandbox.market.activity import LEAST_TRADES
from apps.sandbox.market.asset_days import AssetDay
from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import (
    AnyFloats,
    FloatArray,
    IntArray,
    day_noise,
    fractal_at,
    key_of,
    uniform_triples,
    whole,
)
from apps.sandbox.market.protocol import DAY_MINUTES

_STEPS: Final = np.arange(DAY_MINUTES, dtype=np.int64)
_RAMP: Final = np.arange(DAY_MINUTES + 1, dtype=np.float64) / DAY_MINUTES
_MINUTE: Final = 1.0 / math.sqrt(DAY_MINUTES)
# Venues differ from each other by this share of a minute's volatility.
_OWN_PRICE: Final = 0.12
_SHARE_DAYS: Final = (2.5, 7.0)
_SHARE_WEIGHTS: Final = (0.025, 0.07)
_TURNOVER_DAYS: Final = (2.5,)
_TURNOVER_WEIGHTS: Final = (0.25,)
_LEAST_FORCED_USD: Final = 400.0
_NOTHING: Final = np.zeros(DAY_MINUTES, dtype=np.int32)
SmallInts = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class VenueDay:
    """The 1440 minutes of a day; ``edge``: prices (ticks) at the minute boundaries; ``longs`` and
    ``shorts``: lots liquidated, part of the volume; ``before``: trades before each minute."""

    edge: SmallInts
    high: SmallInts
    low: SmallInts
    volume: SmallInts | IntArray
    buy_volume: SmallInts | IntArray
    longs: SmallInts | IntArray
    shorts: SmallInts | IntArray
    before: SmallInts
    first_id: int

    @property
    def trades(self) -> int:
        return int(self.before[-1])


class Gone(NamedTuple):
    """Minutes of a day, and the longs and shorts liquidated in each (see :mod:`leverage`)."""

    at: npt.NDArray[np.integer[Any]]
    longs: AnyFloats
    shorts: AnyFloats


def share_ends(seed: int, listing: Listing, day: int) -> tuple[float, float]:
    """Log of the listing's share of the asset's open interest against its usual one, at both ends of a
    day; in between it goes evenly."""
    key = key_of(seed, "share", listing.name)
    first, last = (fractal_at(key, at, _SHARE_DAYS, _SHARE_WEIGHTS) for at in (day, day + 1))
    return first, last


def usual_lots(listing: Listing) -> float:
    """Open interest in lots on an average day."""
    price = ASSET_MODELS[listing.asset].price * listing.price_mult
    return listing.open_interest_usd / (price * listing.lot)


def make_day(
    seed: int,
    listing: Listing,
    day: int,
    asset: AssetDay,
    away: FloatArray,
    plan: tuple[int, int, float],
) -> VenueDay:
    """``away``: price over index minus 1 at the minute boundaries; ``plan``: the first trade's number,
    trades of the day without scenarios, and the day's activity without scenarios."""
    daily = ASSET_MODELS[listing.asset].daily_volatility
    key = key_of(seed, "bars", listing.name)
    scale = listing.price_mult / listing.tick
    noise = day_noise(key + 4, day, 480) * (_OWN_PRICE * daily * _MINUTE)
    price = np.exp(asset.path) * (1.0 + (away + noise)) * scale
    edge = np.maximum(np.rint(price), 2.0)
    first, second, third = uniform_triples(key, day * DAY_MINUTES + _STEPS)
    reach = 0.8 + 0.4 * first
    at = edge[:-1]
    high = np.maximum(at, edge[1:]) + np.rint(asset.up * reach * at)
    low = np.maximum(np.minimum(at, edge[1:]) - np.rint(asset.down * reach * at), 1.0)
    first_id, count, activity = plan
    before = _counts(asset.pace, count, activity)
    trades = before[1:] - before[:-1]
    longs, shorts = (np.zeros(DAY_MINUTES, dtype=np.int64) for _ in range(2))
    if listing.is_perp:
        gone = gone_of(asset)
        longs[gone.at], shorts[gone.at] = forced_lots(seed, listing, day, gone)
    swing = [fractal_at(key + 7, at, _TURNOVER_DAYS, _TURNOVER_WEIGHTS) for at in (day, day + 1)]
    turnover = listing.daily_volume_usd / DAY_MINUTES / (listing.tick * listing.lot)
    usual = np.exp(swing[0] + (swing[1] - swing[0]) * _RAMP[:-1] + 1.4 * (second - 0.5))
    volume = np.maximum(whole(turnover * asset.pace * usual / at), 2 * trades + 2)
    pressure = np.tanh(0.7 * (edge[1:] - at) / (asset.sigma * at))
    tilt = _tilt(key_of(seed, "tilt", listing.asset), day)
    share = 0.5 + 0.2 * pressure + 0.035 * tilt + 0.10 * (third - 0.5)
    buys = np.clip(whole(volume * share), trades, volume - trades)
    return VenueDay(
        edge.astype(np.int32),
        high.astype(np.int32),
        low.astype(np.int32),
        _compact(volume + longs + shorts),
        _compact(buys + shorts),
        _compact(longs) if listing.is_perp else _NOTHING,
        _compact(shorts) if listing.is_perp else _NOTHING,
        before,
        first_id,
    )


@lru_cache(maxsize=200)
def _tilt(key: int, day: int) -> FloatArray:
    """Of the takers of all venues."""
    return day_noise(key, day, 16)[:-1]


def _counts(pace: AnyFloats, count: int, activity: float) -> SmallInts:
    """Trades before each minute and at the end: every minute has the least, the rest goes with the pace.

    Only what has happened counts, so a scenario changes no earlier minute's trades.
    """
    spare = count - LEAST_TRADES * DAY_MINUTES
    out = np.zeros(DAY_MINUTES + 1, dtype=np.int32)
    reached = np.rint(np.cumsum(pace, dtype=np.float64) * (spare / activity)).astype(np.int32)
    out[1:] = reached + LEAST_TRADES * (_STEPS + 1)
    return out


def _compact(values: IntArray) -> SmallInts | IntArray:
    """Half the memory where the numbers allow it: two days of every listing are kept."""
    return values.astype(np.int32) if int(values.max()) < 2**31 else values


def gone_of(asset: AssetDay) -> Gone:
    """The minutes of a day in which anything was liquidated."""
    at = np.flatnonzero(asset.longs + asset.shorts)
    return Gone(at.astype(np.int16), asset.longs[at], asset.shorts[at])


def forced_lots(seed: int, listing: Listing, day: int, gone: Gone) -> tuple[IntArray, IntArray]:
    """Lots liquidated in those minutes: long positions, short positions. Small sums wait for the next
    minute."""
    if not listing.is_perp:
        nothing = np.zeros(len(gone.at), dtype=np.int64)
        return nothing, nothing
    first, last = share_ends(seed, listing, day)
    size = usual_lots(listing) * np.exp(first + (last - first) * _RAMP[gone.at])
    price = ASSET_MODELS[listing.asset].price * listing.price_mult
    unit = max(1, round(_LEAST_FORCED_USD / (price * listing.lot)))
    longs, shorts = (
        np.floor(np.cumsum(size * side) / unit).astype(np.int64) * unit
        for side in (gone.longs, gone.shorts)
    )
    for sums in (longs, shorts):
        sums[1:] -= sums[:-1].copy()
    return longs, shorts
