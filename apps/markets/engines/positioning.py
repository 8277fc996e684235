"""Who is long: shares of longs over venues, weighted by open interest, and how far venues agree.

A long/short ratio has no mean of its own: 2 and 0.5 are the same distance from balance, and 1.25 is not
between them. Ratios become shares, shares are weighted, and the result becomes a ratio again. Source:
METHODS section 1 (long/short ratio, ls_consensus); the same form serves accounts, positions and takers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.markets.engines.funding import aggregate as weighted
from apps.markets.engines.funding import aggregate_window

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SHARE_DECIMALS: Final = 10
RATIO_DECIMALS: Final = 6
# A crowd of three longs to two shorts leans; of seven to three it is crowded.
_CROWDED: Final = 0.70
_LEANING: Final = 0.55
# Of takers: where the difference of buys and sells is 20 % and 5 % of the volume, as in volume-flow.
_DOMINATE: Final = 0.60
_NET: Final = 0.525

share_window = aggregate_window
"""The weighted share's own history on one venue set: see :func:`funding.aggregate_window`."""


@dataclass(frozen=True, slots=True)
class ShareAggregate:
    """One series over its venues; None with ``reason``. ``weighting`` is open_interest or none."""

    share: float | None
    weighting: str | None
    oi_usd: float | None
    consensus: float | None
    reason: str | None


def share_of_ratio(ratio: FloatArray) -> FloatArray:
    """``r / (1 + r)``: 1.5 longs per short are a share of 0.6."""
    share: FloatArray = ratio / (1.0 + ratio)
    return share


def ratio_of_share(share: float | None) -> float | None:
    """``s / (1 - s)``: longs per short; None where nobody is short.

    Examples
    --------
    >>> ratio_of_share(0.6)
    1.5
    """
    if share is None or share >= 1.0:
        return None
    return round(share / (1.0 - share), RATIO_DECIMALS)


def aggregate(share: FloatArray, oi_usd: FloatArray) -> ShareAggregate:
    """``sum(OI s) / sum(OI)`` over the venues, shape ``(venues,)`` each; NaN is left out.

    One venue alone is its own aggregate; of several those without open interest are left out.

    Examples
    --------
    >>> found = aggregate(share_of_ratio(np.array([1.5, 0.8])), np.array([0.7, 0.3]))
    >>> round(found.share, 6), ratio_of_share(found.share)
    (0.553333, 1.238806)
    """
    found = weighted(share, oi_usd)
    if found.rate_8h is None:
        return ShareAggregate(None, None, None, None, found.reason)
    mean = round(found.rate_8h, SHARE_DECIMALS)
    return ShareAggregate(mean, found.weighting, found.oi_usd, consensus(share, oi_usd), None)


def usable(share: FloatArray, oi_usd: FloatArray) -> BoolArray:
    """Venues inside :func:`aggregate`: all with a share and a weight, or the only one with a share."""
    present: BoolArray = np.isfinite(share)
    return present if present.sum() == 1 else present & (np.nan_to_num(oi_usd) > 0)


def consensus(share: FloatArray, oi_usd: FloatArray) -> float | None:
    """``(sum w d)² / (sum w × sum w d²)`` with ``d = share - 0.5``: 1 where all venues lean alike, 0 where
    they cancel out. None for fewer than two venues, and where all are in balance.

    Examples
    --------
    >>> round(consensus(np.array([0.9, 0.7, 0.4]), np.array([0.5, 0.3, 0.2])), 7)
    0.612766
    """
    inside = np.isfinite(share) & (np.nan_to_num(oi_usd) > 0)
    if inside.sum() < 2:
        return None
    weight, lean = oi_usd[inside], share[inside] - 0.5
    spread = float(weight.sum() * (weight * lean**2).sum())
    if spread <= 0:
        return None
    return min(1.0, float((weight * lean).sum()) ** 2 / spread)


def crowd_state(share: float | None) -> str | None:
    """What a share of accounts or positions means by itself."""
    if share is None:
        return None
    if share >= _CROWDED:
        return "longs_crowded"
    if share >= _LEANING:
        return "longs_lead"
    # 1 - 0.7 is not 0.3 in floating point: compare what is shown.
    rest = round(1.0 - share, SHARE_DECIMALS)
    if rest < _LEANING:
        return "balanced"
    return "shorts_lead" if rest < _CROWDED else "shorts_crowded"


def taker_state(share: float | None) -> str | None:
    """What a share of taker buys means by itself, in the words of volume-flow."""
    if share is None:
        return None
    if share >= _DOMINATE:
        return "buyers_dominate"
    if share >= _NET:
        return "net_buying"
    rest = round(1.0 - share, SHARE_DECIMALS)
    if rest < _NET:
        return "balanced"
    return "net_selling" if rest < _DOMINATE else "sellers_dominate"
