"""Positions, and who is forced out of them.

Every hour opens a cohort of positions at that hour's price. A part of each is long, a part short, with
leverage spread so that after a move of ``x`` against it the share ``1 − exp(−(x / reach)^1.5)`` of it has
reached its maintenance margin; the rest is closed by its owners over eight days. Open interest is what is
left of all cohorts, and liquidations are what the extremes of the path take away from them; the boldest
positions are opened and lost within minutes, a little whenever a minute falls or rises far. So

    open interest after = before + opened − closed − liquidated

holds in every minute. Amounts are in units of the asset's usual open interest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.noise import AnyFloats, FloatArray
from apps.sandbox.market.protocol import DAY_MINUTES

HOURS_BACK: Final = 192
_DAY_HOURS: Final = 24
_HOUR: Final = 60
_ALL: Final = HOURS_BACK + _DAY_HOURS
# Leveraged share of what is opened, by side; a rising hour opens more longs.
_LEVERAGED: Final = 0.32
_CHASING: Final = 0.5
# Distance, in daily volatilities, at which most leveraged positions are gone.
_REACH: Final = 6.0
_BOLD: Final = 6e-6
_EDGE_HOURS: Final = np.arange(_DAY_HOURS + 1)
_AGE: Final = HOURS_BACK + _EDGE_HOURS[None, :] - np.arange(1, _ALL + 1)[:, None]
_KEPT: Final = np.where(_AGE >= 0, np.clip(1.0 - _AGE / HOURS_BACK, 0.0, 1.0) ** 2, 0.0)
"""Share of a cohort (row) that its owners have not closed at an hour of the day (column)."""
_USUAL: Final = 1.06 / float(_KEPT[:, 0].sum())


@dataclass(frozen=True, slots=True)
class Hours:
    """A day by hours: log prices, what was opened, and how far the hour moved (in its volatilities)."""

    entry: FloatArray
    low: FloatArray
    high: FloatArray
    opened: FloatArray
    trend: FloatArray


@dataclass(frozen=True, slots=True)
class ForcedDay:
    """Liquidated longs and shorts by minute, and open interest at the 1441 minute boundaries."""

    longs: FloatArray
    shorts: FloatArray
    interest: FloatArray


def hours_of(
    path: FloatArray, low: FloatArray, high: FloatArray, pace: AnyFloats, sigma: FloatArray
) -> Hours:
    """``path``: log price at minute boundaries; the rest by minute."""
    per_hour = (_DAY_HOURS, _HOUR)
    moved = np.diff(path[::_HOUR])
    usual = np.sqrt((sigma * sigma).reshape(per_hour).sum(axis=1))
    return Hours(
        path[:-1].reshape(per_hour).mean(axis=1),
        low.reshape(per_hour).min(axis=1),
        high.reshape(per_hour).max(axis=1),
        _USUAL * pace.reshape(per_hour).mean(axis=1, dtype=np.float64) ** 0.35,
        np.tanh(moved / usual),
    )


def _extremes(hourly: FloatArray) -> FloatArray:
    """Lowest of ``hourly`` after each cohort's own hour, at each hour of the day; +inf before any."""
    out = np.full((_ALL, _DAY_HOURS + 1), np.inf)
    past, today = hourly[:HOURS_BACK], hourly[HOURS_BACK:]
    later = np.full(HOURS_BACK, np.inf)
    later[:-1] = np.minimum.accumulate(past[:0:-1])[::-1]
    so_far = np.full(_DAY_HOURS + 1, np.inf)
    so_far[1:] = np.minimum.accumulate(today)
    np.minimum.outer(later, so_far, out=out[:HOURS_BACK])
    for hour in range(_DAY_HOURS - 1):
        np.minimum.accumulate(today[hour + 1 :], out=out[HOURS_BACK + hour, hour + 2 :])
    return out


def _reached(against: FloatArray, reach: float) -> FloatArray:
    """Share of leveraged positions whose margin is gone after a move of ``against``."""
    x = np.maximum(against, 0.0) / reach
    out: FloatArray = 1.0 - np.exp(-x * np.sqrt(x))
    return out


def _within_hours(total: FloatArray, depth: FloatArray) -> FloatArray:
    """An hour's liquidations at the minutes that made new extremes; ``depth``: how far beyond the hour's
    opening each minute went."""
    deepest = np.maximum.accumulate(np.maximum(depth.reshape(_DAY_HOURS, _HOUR), 0.0), axis=1)
    squared = deepest * deepest
    weight = np.diff(squared, axis=1, prepend=0.0)
    whole = squared[:, -1:]
    share = np.divide(weight, whole, out=np.zeros_like(weight), where=whole > 0)
    out: FloatArray = (share * total[:, None]).ravel()
    return out


def _boldest(against: FloatArray, sigma: FloatArray, pace: AnyFloats) -> FloatArray:
    """Lost within the minute: ``against`` is how far (log) it went against them."""
    far = np.maximum(against / sigma - 1.0, 0.0)
    out: FloatArray = _BOLD * pace * (1.0 - np.exp(-far * far))
    return out


def forced_day(
    past: Sequence[Hours],
    today: Hours,
    path: FloatArray,
    low: FloatArray,
    high: FloatArray,
    pace: AnyFloats,
    sigma: FloatArray,
    daily_volatility: float,
) -> ForcedDay:
    """``past``: the eight days before, oldest first; the rest by minute, ``path`` at the boundaries."""
    days = (*past, today)
    entry, lows, highs, opened, trend = (
        np.concatenate([getattr(day, name) for day in days])
        for name in ("entry", "low", "high", "opened", "trend")
    )
    reach = _REACH * daily_volatility
    held = opened[:, None] * _KEPT
    long_share = (_LEVERAGED * (1.0 + _CHASING * trend))[:, None]
    short_share = (_LEVERAGED * (1.0 - _CHASING * trend))[:, None]
    long_gone = long_share * _reached(entry[:, None] - _extremes(lows), reach)
    short_gone = short_share * _reached(-_extremes(-highs) - entry[:, None], reach)
    interest = (held * (1.0 - long_gone - short_gone)).sum(axis=0)
    before = held[:, :-1]
    start = np.repeat(path[:-1:_HOUR], _HOUR)
    longs = _within_hours((before * np.diff(long_gone, axis=1)).sum(axis=0), start - low)
    shorts = _within_hours((before * np.diff(short_gone, axis=1)).sum(axis=0), high - start)
    longs += _boldest(path[:-1] - low, sigma, pace)
    shorts += _boldest(high - path[:-1], sigma, pace)
    return ForcedDay(longs, shorts, _by_minute(interest, longs + shorts, pace))


def _by_minute(interest: FloatArray, forced: FloatArray, pace: AnyFloats) -> FloatArray:
    """Between the hours, opening and closing go with the flow of trades."""
    per_hour = (_DAY_HOURS, _HOUR)
    gone = np.cumsum(forced.reshape(per_hour), axis=1)
    flow = np.cumsum(pace.reshape(per_hour), axis=1, dtype=np.float64)
    net = np.diff(interest) + gone[:, -1]
    out = np.empty(DAY_MINUTES + 1)
    out[0] = interest[0]
    out[1:] = (interest[:-1, None] + net[:, None] * flow / flow[:, -1:] - gone).ravel()
    out[_HOUR::_HOUR] = interest[1:]
    return out


def spliced(minute: int, old: ForcedDay, new: ForcedDay, pace: AnyFloats) -> ForcedDay:
    """``old`` before a minute, ``new`` after it: what has happened stays, and the hour's rest follows."""
    end = -(-minute // _HOUR) * _HOUR
    sides = []
    for was, becomes in ((old.longs, new.longs), (old.shorts, new.shorts)):
        begin = end - _HOUR if end > minute else minute
        rest = becomes[minute:end].copy()
        left = max(0.0, float(becomes[begin:end].sum() - was[begin:minute].sum()))
        if rest.size and rest.sum() > 0:
            rest *= left / rest.sum()
        sides.append(np.concatenate((was[:minute], rest, becomes[end:])))
    longs, shorts = sides
    interest = np.concatenate((old.interest[: minute + 1], new.interest[minute + 1 :]))
    if end > minute:
        gone = np.cumsum((longs + shorts)[minute:end])
        flow = np.cumsum(pace[minute:end], dtype=np.float64)
        net = new.interest[end] - interest[minute] + gone[-1]
        interest[minute + 1 : end + 1] = interest[minute] + net * flow / flow[-1] - gone
    return ForcedDay(longs, shorts, interest)
