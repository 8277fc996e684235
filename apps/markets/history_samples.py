"""What histories made of samples have in common: the newest sample of each interval, and their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from apps.core.clock import iso_utc
from apps.marketdata.selectors import InstrumentRow
from apps.markets.engines.history import last_at, newest_at
from apps.markets.history import Row
from apps.markets.history_contracts import builtins
from apps.markets.open_interest_samples import open_interest_samples
from apps.markets.queries import HistoryQuery
from apps.markets.refresh_sources import as_datetime

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Samples(Protocol):
    """Stored samples, by time."""

    @property
    def instrument_id(self) -> npt.NDArray[np.int32]: ...
    @property
    def ts_ms(self) -> IntArray: ...


class VenueCell(Protocol):
    @property
    def value(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Cells:
    """The newest sample of each (slot, listing): its position among the samples, -1 without one.

    ``is_current``: young enough at the slot's end to stand beside other venues' samples.
    """

    newest: IntArray
    is_current: BoolArray


def slot_ends(query: HistoryQuery, slots: IntArray, moment: int) -> IntArray:
    """The last moment inside each slot; the interval in the making ends now."""
    return np.minimum(slots + query.interval_ms - 1, moment)


def newest_cells(
    samples: Samples,
    chosen: Sequence[InstrumentRow],
    slots: IntArray,
    ends: IntArray,
    hold_ms: int | IntArray,
    wanted: BoolArray | None = None,
) -> Cells:
    """Samples taken inside their slot, or still held at its end. ``hold_ms``: of all, or of each;
    ``wanted``: which samples count."""
    newest = np.full((slots.size, len(chosen)), -1, dtype=np.int64)
    for position, one in enumerate(chosen):
        is_mine = samples.instrument_id == one.id
        mine = np.flatnonzero(is_mine if wanted is None else is_mine & wanted)
        found = newest_at(samples.ts_ms[mine], ends)
        newest[found >= 0, position] = mine[found[found >= 0]]
    known = newest >= 0
    if not samples.ts_ms.size:
        return Cells(newest, known)
    sampled, held = samples.ts_ms[newest], np.broadcast_to(hold_ms, samples.ts_ms.shape)[newest]
    is_current = known & (sampled >= ends[:, None] - held)
    is_inside = known & (sampled >= slots[:, None])
    return Cells(np.where(is_current | is_inside, newest, -1), is_current)


def interest_at(
    query: HistoryQuery,
    chosen: Sequence[InstrumentRow],
    slots: IntArray,
    ends: IntArray,
    max_age_ms: int,
) -> FloatArray:
    """Open interest (USD) of each listing at each slot's end, NaN where it is not known."""
    as_of_ms = query.selection.as_of_ms
    interest = open_interest_samples(
        chosen,
        as_datetime(int(slots[0]) - max_age_ms),
        as_datetime(int(slots[-1]) + query.interval_ms),
        None if as_of_ms is None else as_datetime(as_of_ms),
    )
    oi_usd = np.full((slots.size, len(chosen)), np.nan)
    for position, one in enumerate(chosen):
        mine = (interest.instrument_id == one.id) & np.isfinite(interest.oi_usd)
        oi_usd[:, position] = last_at(interest.ts_ms[mine], interest.oi_usd[mine], ends, max_age_ms)
    return oi_usd


def sampled_rows(
    query: HistoryQuery,
    block: Sequence[int],
    moment: int,
    closing_ms: int,
    venues: Callable[[int], Mapping[str, VenueCell]],
    row: Callable[..., msgspec.Struct],
    more: Callable[[int], Mapping[str, Any]],
) -> list[Row]:
    """Rows of neighbouring slots. ``closing_ms``: so much later a sample may still be stored;
    ``venues``, ``more``: what is known by venue, and a row's other fields, of the n-th slot."""
    found = []
    for number, slot in enumerate(block):
        detail = venues(number)
        one = row(
            ts=iso_utc(slot),
            closed=moment >= slot + query.interval_ms + closing_ms,
            venues={v: cell.value for v, cell in detail.items() if cell.value is not None},
            venues_detail=detail,
            **more(number),
        )
        found.append(builtins(one))
    return found
