"""Taker flow from one-minute bars: window sums, delta, cumulative volume delta.

A trade is a taker buy when its aggressor bought. USD is price × base quantity of each trade. Totals are
summed exactly (``math.fsum``): a window equals the sum of its trades, in whatever order they came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
# Beyond venue resolution: takes off the rounding noise of adding doubles, nothing else.
USD_DECIMALS: Final = 6
BASE_DECIMALS: Final = 8

# Absolute reading of delta / volume (house cuts).
_DOMINANT_RATIO: Final = 0.20
_NET_RATIO: Final = 0.05


@dataclass(frozen=True, slots=True)
class MinuteBars:
    """One-minute bars of one instrument in ascending time, the bar in the making last.

    ``open_ms`` is each bar's opening; ``buy_*`` is the taker-buy part of ``volume_*`` and NaN where the
    venue does not say it; ``trades`` is -1 where unknown. Minutes without a trade have no bar.
    """

    open_ms: IntArray
    volume_base: FloatArray
    volume_usd: FloatArray
    buy_base: FloatArray
    buy_usd: FloatArray
    trades: IntArray

    @classmethod
    def empty(cls) -> MinuteBars:
        none = np.empty(0)
        return cls(np.empty(0, np.int64), none, none, none, none, np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class FlowSum:
    """Sums of one window. ``coverage`` is the part of it since data began; None with ``reason``."""

    volume_usd: float | None
    volume_base: float | None
    buy_usd: float | None
    buy_base: float | None
    trades: int | None
    coverage: float
    reason: str | None = None

    @property
    def sell_usd(self) -> float | None:
        return _less(self.volume_usd, self.buy_usd, USD_DECIMALS)

    @property
    def sell_base(self) -> float | None:
        return _less(self.volume_base, self.buy_base, BASE_DECIMALS)

    @property
    def delta_usd(self) -> float | None:
        """Taker buys less taker sells: ``2 buy - volume``."""
        return _less(self.buy_usd, self.sell_usd, USD_DECIMALS)

    @property
    def delta_base(self) -> float | None:
        return _less(self.buy_base, self.sell_base, BASE_DECIMALS)

    @property
    def taker_buy_ratio(self) -> float | None:
        """Share of taker buys in the USD volume, 0 to 1; None without volume."""
        if self.buy_usd is None or not self.volume_usd:
            return None
        return min(1.0, max(0.0, self.buy_usd / self.volume_usd))

    @property
    def delta_ratio(self) -> float | None:
        """``delta / volume``, -1 to 1; None without volume."""
        ratio = self.taker_buy_ratio
        return None if ratio is None else round(2.0 * ratio - 1.0, 9)


NO_FLOW: Final = FlowSum(None, None, None, None, None, 0.0, "no_data")


def session_start_ms(now_ms: int) -> int:
    """Midnight UTC: the anchor of the published CVD."""
    return now_ms - now_ms % DAY_MS


def window_sum(
    bars: MinuteBars,
    start_ms: int,
    end_ms: int,
    known_since_ms: int | None,
    known_until_ms: int | None = None,
) -> FlowSum:
    """One window of :func:`window_sums`."""
    return window_sums(bars, {"": start_ms}, end_ms, known_since_ms, known_until_ms)[""]


def window_sums(
    bars: MinuteBars,
    starts_ms: Mapping[str, int],
    end_ms: int,
    known_since_ms: int | None,
    known_until_ms: int | None = None,
) -> dict[str, FlowSum]:
    """By name, sums of the bars that opened in ``[start, end_ms)``.

    ``known_since_ms`` and ``known_until_ms`` (None: the end) are when data of this instrument begins and
    when its venue was last heard. Outside nothing is known; inside, a minute without a bar is a minute
    without a trade, so the sum is a true 0.
    """
    found = dict.fromkeys(starts_ms, NO_FLOW)
    if known_since_ms is None:
        return found
    heard_ms = end_ms if known_until_ms is None else min(end_ms, known_until_ms)
    *places, end = np.searchsorted(bars.open_ms, [*starts_ms.values(), end_ms]).tolist()
    totals = _totals(bars, places, end)
    for (name, start_ms), total in zip(starts_ms.items(), totals, strict=True):
        known_ms = heard_ms - max(start_ms, known_since_ms)
        if known_ms > 0:
            found[name] = FlowSum(*total, coverage=known_ms / (end_ms - start_ms))
    return found


_Total: TypeAlias = tuple[float | None, float | None, float | None, float | None, int | None]
# A double is cut in two whole numbers, of which a day's sum stays below 2^63: multiples of 2^-12 (up to
# 2^38 USD or coins a minute), and of 2^-64.
_COARSE: Final = 12
_FINE: Final = 52
_MOST_BARS: Final = 2000
_LARGEST: Final = 2.0**38


def _totals(bars: MinuteBars, places: Sequence[int], end: int) -> list[_Total]:
    """Volume and buys in USD and coins, and trades, of the bars from each place on."""
    base = min(places, default=end)
    columns = (bars.volume_usd, bars.volume_base, bars.buy_usd, bars.buy_base)
    values = np.array([column[base:end] for column in columns])
    trades = bars.trades[base:end]
    unknown = np.isnan(values)
    if unknown.any():
        values = np.where(unknown, 0.0, values)
    if not values.size or values.shape[1] > _MOST_BARS or not (np.abs(values) < _LARGEST).all():
        return [_total_of(columns, bars.trades, place, end) for place in places]
    scaled = values * 2.0**_COARSE
    whole = np.floor(scaled)
    parts = np.concatenate(
        [
            whole.astype(np.int64),
            ((scaled - whole) * 2.0**_FINE).astype(np.int64),
            unknown.astype(np.int64),
            trades[None],
            (trades < 0)[None].astype(np.int64),
        ]
    )
    # Sums between the places, then from each place to the end.
    cuts = sorted({place - base for place in places if place < end})
    summed = np.add.reduceat(parts, cuts, axis=1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    from_place = dict(zip(cuts, summed.T.tolist(), strict=True))
    nothing = [0] * parts.shape[0]
    return [_from_parts(from_place.get(place - base, nothing)) for place in places]


def _from_parts(parts: Sequence[int]) -> _Total:
    usd, base, buy_usd, buy_base = (
        None
        if parts[8 + at]
        else round(((parts[at] << _FINE) + parts[4 + at]) / (1 << (_COARSE + _FINE)), decimals)
        for at, decimals in enumerate((USD_DECIMALS, BASE_DECIMALS, USD_DECIMALS, BASE_DECIMALS))
    )
    return usd, base, buy_usd, buy_base, None if parts[13] else parts[12]


def _total_of(columns: Sequence[FloatArray], trades: IntArray, place: int, end: int) -> _Total:
    usd, base, buy_usd, buy_base = (column[place:end].tolist() for column in columns)
    counts = trades[place:end]
    return (
        _exact(usd, USD_DECIMALS),
        _exact(base, BASE_DECIMALS),
        _exact(buy_usd, USD_DECIMALS),
        _exact(buy_base, BASE_DECIMALS),
        None if (counts < 0).any() else int(counts.sum()),
    )


def add_sums(sums: Iterable[FlowSum]) -> FlowSum:
    """The same window over several venues; a venue without data is left out, coverage is the least."""
    known = [item for item in sums if item.reason is None]
    if not known:
        return NO_FLOW
    counts = [item.trades for item in known]
    return FlowSum(
        volume_usd=_total((item.volume_usd for item in known), USD_DECIMALS),
        volume_base=_total((item.volume_base for item in known), BASE_DECIMALS),
        buy_usd=_total((item.buy_usd for item in known), USD_DECIMALS),
        buy_base=_total((item.buy_base for item in known), BASE_DECIMALS),
        trades=None if None in counts else sum(count or 0 for count in counts),
        coverage=min(item.coverage for item in known),
    )


def rolling_delta(delta: FloatArray, slots: int) -> FloatArray:
    """Sum of the last ``slots`` values along the last axis, NaN until all of them are known.

    Parameters
    ----------
    delta
        Taker delta of each grid slot, USD; NaN where the slot is not known.
    slots
        Grid slots in the rolling hour: 12 on the 5-minute grid, 2 on the 30-minute one.
    """
    result = np.full(delta.shape, np.nan)
    if delta.shape[-1] < slots:
        return result
    view = np.lib.stride_tricks.sliding_window_view(delta, slots, axis=-1)
    result[..., slots - 1 :] = view.sum(axis=-1)
    return np.round(result, USD_DECIMALS)


def state_of(delta_ratio: float | None) -> str | None:
    """What the taker flow means by itself, from delta / volume."""
    if delta_ratio is None:
        return None
    if delta_ratio >= _DOMINANT_RATIO:
        return "buyers_dominate"
    if delta_ratio >= _NET_RATIO:
        return "net_buying"
    if delta_ratio > -_NET_RATIO:
        return "balanced"
    return "net_selling" if delta_ratio > -_DOMINANT_RATIO else "sellers_dominate"


def _exact(values: Iterable[float], decimals: int) -> float | None:
    """Exact sum; None when a part is missing."""
    total = math.fsum(values)
    return None if math.isnan(total) else round(total, decimals)


def _total(values: Iterable[float | None], decimals: int) -> float | None:
    parts = list(values)
    if None in parts:
        return None
    return round(math.fsum(part for part in parts if part is not None), decimals)


def _less(left: float | None, right: float | None, decimals: int) -> float | None:
    return None if left is None or right is None else round(left - right, decimals)
