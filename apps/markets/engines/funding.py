"""Funding rates of one kind, made comparable over venues. Longs pay when a rate is positive.

Predicted (running estimate) and settled rates never meet inside one aggregate: callers pass one kind.
Sources: the venues' funding documentation (interval per symbol) and METHODS section 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

HOURS_PER_YEAR: Final = 8_760.0
# Twelve decimals of a rate: far below any venue's resolution, and it keeps ties of the window ties
# after a weighted mean.
_DECIMALS: Final = 12

WEIGHTED: Final = "open_interest"
UNWEIGHTED: Final = "none"


@dataclass(frozen=True, slots=True)
class FundingAggregate:
    """``rate_8h`` decimal per 8 h (None with ``reason``), ``weighting`` open_interest or none."""

    rate_8h: float | None
    weighting: str | None
    oi_usd: float | None
    reason: str | None


def rate_per_8h(rate: FloatArray, interval_h: FloatArray) -> FloatArray:
    """``8 × rate / interval_h``: decimal per 8 hours from a decimal per the symbol's own interval.

    Examples
    --------
    >>> rate_per_8h(np.array([0.0000125]), np.array([1.0]))
    array([0.0001])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled: FloatArray = np.where(interval_h > 0, rate * 8.0 / interval_h, np.nan)
    return scaled.round(_DECIMALS)


def annual_rate(rate_8h: float) -> float:
    """Simple, not compounded: three intervals a day, 365 days (``rate_8h × 1095``)."""
    return rate_8h / 8.0 * HOURS_PER_YEAR


def percent_per_8h(rate_8h: float) -> float:
    """0.0001 per 8 h is shown as 0.01."""
    return round(rate_8h * 100.0, _DECIMALS - 2)


def weighted_rates(rate_8h: FloatArray, oi_usd: FloatArray) -> FloatArray:
    """``sum(OI f) / sum(OI)`` over the last axis, NaN where no venue has both a rate and a weight.

    Venues without a rate or without a positive weight are left out.
    """
    usable = np.isfinite(rate_8h) & (np.nan_to_num(oi_usd) > 0)
    weight = np.where(usable, oi_usd, 0.0)
    total = weight.sum(axis=-1)
    mean = (weight * np.where(usable, rate_8h, 0.0)).sum(axis=-1) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, np.round(mean, _DECIMALS), np.nan)


def aggregate(rate_8h: FloatArray, oi_usd: FloatArray) -> FundingAggregate:
    """One asset over its venues, shape ``(venues,)`` each.

    One venue alone is its own aggregate, with or without open interest. Several venues need open
    interest each: one without it is left out, and when none has any the reason is ``no_weights``.
    """
    present = np.isfinite(rate_8h)
    if not present.any():
        return FundingAggregate(None, None, None, "no_data")
    weights = np.where(present, np.nan_to_num(oi_usd), 0.0)
    total = float(weights.sum()) or None
    if present.sum() == 1:
        return FundingAggregate(float(rate_8h[present][0]), UNWEIGHTED, total, None)
    mean = float(weighted_rates(rate_8h, oi_usd))
    if np.isnan(mean):
        return FundingAggregate(None, None, None, "no_weights")
    return FundingAggregate(mean, WEIGHTED, total, None)


def history_weights(oi_window: FloatArray, oi_now: FloatArray) -> FloatArray:
    """Weights for the reference history, shape ``(venues, slots)``.

    A slot takes the open interest of its own time where every venue's is known; elsewhere all venues
    take today's, so that past and present weights never mix inside one mean.
    """
    known = np.isfinite(oi_window).all(axis=0, keepdims=True)
    return np.where(known, oi_window, oi_now[:, None])


def aggregate_window(
    rate_window: FloatArray, oi_window: FloatArray, oi_now: FloatArray
) -> FloatArray:
    """The aggregate's own history on the venue set used now, shape ``(slots,)``.

    A slot counts only where every one of these venues had a rate: a venue that drops out or joins is no
    move of the market.
    """
    if rate_window.shape[0] == 1:
        alone: FloatArray = rate_window[0]
        return alone
    complete = np.isfinite(rate_window).all(axis=0)
    mean = weighted_rates(rate_window.T, history_weights(oi_window, oi_now).T)
    return np.where(complete, mean, np.nan)


def state_of(rate_8h: float | None) -> str | None:
    """What a rate means by itself: the decimal per 8 h against METHODS' absolute cuts.

    The baseline of most venues is 0.01 % per 8 h, so a rate there says nothing about positioning.
    """
    if rate_8h is None:
        return None
    percent = percent_per_8h(rate_8h)
    if percent >= 0.05:
        return "longs_crowded"
    if percent > 0.015:
        return "longs_pay"
    if percent >= 0.005:
        return "baseline"
    if percent >= -0.005:
        return "flat"
    return "shorts_pay" if percent > -0.05 else "shorts_crowded"
