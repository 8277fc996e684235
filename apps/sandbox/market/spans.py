"""Times of several days, day by day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from apps.sandbox.market.noise import IntArray


class DaySpan(NamedTuple):
    """``chosen``: which of the times are of the day; ``at``: how far into it each of them is."""

    day: int
    chosen: slice | npt.NDArray[np.bool_]
    at: IntArray


def by_day(times: IntArray, length: int) -> Iterator[DaySpan]:
    """``length``: of a day in the unit of the times."""
    if not len(times):
        return
    rising, count = times, len(times)
    if times[0] > times[-1]:
        # Venues answer the newest first.
        rising = times[::-1]
    if (rising[1:] >= rising[:-1]).all():
        first, last = int(rising[0]) // length, int(rising[-1]) // length
        ends = np.searchsorted(rising, np.arange(first, last + 2) * length).tolist()
        for day, begin, end in zip(range(first, last + 1), ends, ends[1:], strict=False):
            if begin < end:
                chosen = slice(begin, end) if rising is times else slice(count - end, count - begin)
                yield DaySpan(day, chosen, times[chosen] - day * length)
        return
    days = times // length
    for day in np.unique(days).tolist():
        chosen = days == day
        yield DaySpan(day, chosen, times[chosen] - day * length)
