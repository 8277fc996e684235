"""Past mark prices and indices, out of two series of candles. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from apps.marketdata.columns import Columns
from apps.marketdata.events import MarkPrice
from apps.marketdata.instruments import Instrument

_NS_PER_MS = 1_000_000


def paired(
    instrument: Instrument,
    interval_s: int,
    marks: Mapping[int, float],
    indices: Mapping[int, float],
    now_ns: int,
) -> Columns[MarkPrice]:
    """Closes of mark and index by the candles' opening (ms), at their common close, oldest first.

    Candles that one of the two lacks, and those that are still open, are left out. Prices are the venue's,
    of the quoted unit.
    """
    last_ms = now_ns // _NS_PER_MS - interval_s * 1000
    openings = [one for one in sorted(marks.keys() & indices.keys()) if one <= last_ms]
    mark, index = (
        np.array([prices[one] for one in openings], dtype=np.float64) / instrument.price_mult
        for prices in (marks, indices)
    )
    return Columns(
        MarkPrice,
        len(openings),
        {
            "instrument": instrument,
            "ts_event": (np.array(openings, dtype=np.int64) + interval_s * 1000) * _NS_PER_MS,
            "ts_recv": now_ns,
            "mark_price": mark,
            "index_price": index,
        },
    )
