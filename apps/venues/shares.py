"""Shares of longs out of a venue's own figures. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apps.marketdata.columns import Columns
from apps.marketdata.events import PositioningRatio
from apps.marketdata.instruments import Instrument

FloatArray = npt.NDArray[np.float64]
_NS_PER_MS = 1_000_000


def shares_of(
    instrument: Instrument,
    series: str,
    times_ms: npt.NDArray[np.int64],
    shares: FloatArray,
    period_s: int,
    ts_recv: int,
) -> Columns[PositioningRatio]:
    """One per sample; those that are not finite (nobody traded) are left out."""
    found = Columns(
        PositioningRatio,
        len(shares),
        {
            "instrument": instrument,
            "ts_event": times_ms * _NS_PER_MS,
            "ts_recv": ts_recv,
            "series": series,
            "long_share": shares,
            "period_s": period_s,
        },
    )
    return found.where(np.isfinite(shares))


def bought(buys: FloatArray, sells: FloatArray) -> FloatArray:
    """The buyers' share of what takers traded; NaN where they did not."""
    total = buys + sells
    out: FloatArray = np.divide(buys, total, out=np.full(len(total), np.nan), where=total > 0)
    return out
