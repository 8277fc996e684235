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
    chosen: npt.NDArray[np.bool_]
    at: IntArray


def by_day(times: IntArray, length: int) -> Iterator[DaySpan]:
    """``length``: of a day in the unit of the times."""
    days = times // length
    for day in np.unique(days).tolist():
        chosen = days == day
        yield DaySpan(day, chosen, times[chosen] - day * length)
