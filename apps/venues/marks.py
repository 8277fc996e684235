"""Past mark prices and indices, out of two series of candles. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from apps.marketdata.events import MarkPrice
from apps.marketdata.instruments import Instrument

_NS_PER_MS = 1_000_000


def paired(
    instrument: Instrument,
    interval_s: int,
    marks: Mapping[int, float],
    indices: Mapping[int, float],
    now_ns: int,
) -> list[MarkPrice]:
    """Closes of mark and index by the candles' opening (ms), at their common close, oldest first.

    Candles that one of the two lacks, and those that are still open, are left out. Prices are the venue's,
    of the quoted unit.
    """
    found = []
    for opening in sorted(marks.keys() & indices.keys()):
        close_ns = (opening + interval_s * 1000) * _NS_PER_MS
        if close_ns > now_ns:
            continue
        mark, index = (one[opening] / instrument.price_mult for one in (marks, indices))
        found.append(MarkPrice(instrument, close_ns, now_ns, mark, index))
    return found
