"""Settled funding out of a venue's list of settlements. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from apps.marketdata.events import FundingKind, FundingRate
from apps.marketdata.instruments import Instrument
from apps.venues.values import BadValue

HOUR_MS: Final = 3_600_000
MINUTE_MS: Final = 60_000
NS_PER_MS: Final = 1_000_000
_SETTLED: Final = FundingKind.SETTLED


def settled_rates(
    instrument: Instrument,
    raw_by_ms: Mapping[int, str],
    read: Callable[[str], float],
    ts_recv: int,
    *,
    intervals_h: Collection[float],
    usual_h: float | None,
) -> list[FundingRate]:
    """Settled rates, oldest first, each with the interval that ended with it.

    ``raw_by_ms``: the venue's own string by settlement time; ``read`` makes it a decimal per interval, or
    raises :class:`BadValue` for one that is none, which is left out. Intervals change without notice: the
    gap before a settlement says what it was, if it is one of ``intervals_h``; else it is ``usual_h``.
    """
    times = sorted(raw_by_ms)
    events: list[FundingRate] = []
    for index, at_ms in enumerate(times):
        raw, settled_ns = raw_by_ms[at_ms], at_ms * NS_PER_MS
        try:
            rate = read(raw)
        except BadValue:
            continue
        gap_h = _gap_h(times, index)
        hours = gap_h if gap_h in intervals_h else usual_h
        events.append(
            FundingRate(instrument, settled_ns, ts_recv, _SETTLED, rate, raw, hours, settled_ns)
        )
    return events


def _gap_h(times: Sequence[int], index: int) -> float | None:
    """Hours before a settlement; the first has those of the second."""
    if len(times) < 2:
        return None
    later = max(index, 1)
    return (times[later] - times[later - 1]) / HOUR_MS
