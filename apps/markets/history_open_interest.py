"""Open interest at the end of each interval: per venue and in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.core.clock import iso_utc
from apps.marketdata.coverage import open_interest_slots
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.selectors import InstrumentRow, OpenInterestSeries
from apps.marketdata.universe import tier_of
from apps.markets.contracts import USD
from apps.markets.engines.history import newest_at
from apps.markets.engines.open_interest import BASE_DECIMALS, USD_DECIMALS
from apps.markets.history import Page, Row, listings, sampled_page
from apps.markets.history_contracts import (
    OpenInterestHistoryAggregate,
    OpenInterestHistoryRow,
    OpenInterestHistoryVenue,
    builtins,
)
from apps.markets.open_interest_samples import open_interest_samples
from apps.markets.queries import HistoryQuery, Intervals
from apps.markets.refresh_context import OI_HOLD_MS
from apps.markets.refresh_sources import as_datetime, or_none

INTERVALS: Final = Intervals({"5m": 300, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}, "1h")
METHOD: Final = ("open-interest-history", "1.0")
# A sample is stored a few seconds after it was taken.
_CLOSING_MS: Final = 10_000

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Cells:
    """The newest sample of each (slot, venue): its position in ``series``, -1 without one.

    ``is_current``: young enough at the slot's end to be added to other venues' samples.
    """

    series: OpenInterestSeries
    newest: IntArray
    is_current: npt.NDArray[np.bool_]


def open_interest_page(query: HistoryQuery, now_ms: int) -> Page:
    """The page of samples that ``query`` asks for; ``now_ms`` decides which interval is still open."""
    chosen = listings(query.asset, query.selection.venues, InstrumentKind.PERP)
    return sampled_page(
        query,
        now_ms,
        chosen,
        open_interest_slots,
        lambda block, moment: _rows(query, chosen, block, moment),
    )


def _rows(
    query: HistoryQuery, chosen: Sequence[InstrumentRow], block: Sequence[int], moment: int
) -> list[Row]:
    cells = _cells(query, chosen, np.asarray(block, dtype=np.int64), moment)
    rows = []
    for row, slot in enumerate(block):
        detail = {
            one.instrument.venue: _venue(cells.series, int(cells.newest[row, position]))
            for position, one in enumerate(chosen)
            if cells.newest[row, position] >= 0
        }
        optional: dict[str, Any] = (
            {"aggregate": _aggregate(cells, row, chosen)} if query.selection.with_aggregate else {}
        )
        rows.append(
            builtins(
                OpenInterestHistoryRow(
                    ts=iso_utc(slot),
                    closed=moment >= slot + query.interval_ms + _CLOSING_MS,
                    venues={v: one.value for v, one in detail.items() if one.value is not None},
                    venues_detail=detail,
                    **optional,
                )
            )
        )
    return rows


def _cells(
    query: HistoryQuery, chosen: Sequence[InstrumentRow], slots: IntArray, moment: int
) -> _Cells:
    hold_ms = OI_HOLD_MS[tier_of(query.asset)]
    as_of_ms = query.selection.as_of_ms
    series = open_interest_samples(
        chosen,
        as_datetime(int(slots[0]) - hold_ms),
        as_datetime(int(slots[-1]) + query.interval_ms),
        None if as_of_ms is None else as_datetime(as_of_ms),
    )
    # The last moment inside; the interval in the making ends now.
    ends = np.minimum(slots + query.interval_ms - 1, moment)
    newest = np.full((slots.size, len(chosen)), -1, dtype=np.int64)
    for position, one in enumerate(chosen):
        mine = np.flatnonzero(series.instrument_id == one.id)
        found = newest_at(series.ts_ms[mine], ends)
        newest[found >= 0, position] = mine[found[found >= 0]]
    if not series.ts_ms.size:
        return _Cells(series, newest, newest >= 0)
    sampled = np.where(newest >= 0, series.ts_ms[newest], np.iinfo(np.int64).min // 2)
    is_current = sampled >= ends[:, None] - hold_ms
    is_inside = sampled >= slots[:, None]
    return _Cells(series, np.where(is_current | is_inside, newest, -1), is_current)


def _venue(series: OpenInterestSeries, index: int) -> OpenInterestHistoryVenue:
    value = or_none(float(series.oi_usd[index]))
    return OpenInterestHistoryVenue(
        value=value,
        unit=USD,
        oi_base=or_none(float(series.oi_base[index])),
        oi_contracts=or_none(float(series.oi_contracts[index])),
        sampled_at=iso_utc(int(series.ts_ms[index])),
        **({"null_reason": "no_data"} if value is None else {}),
    )


def _aggregate(
    cells: _Cells, row: int, chosen: Sequence[InstrumentRow]
) -> OpenInterestHistoryAggregate:
    """Sum of the venues that were known together."""
    series = cells.series
    used = [
        position
        for position in range(len(chosen))
        if cells.is_current[row, position]
        and np.isfinite(series.oi_usd[cells.newest[row, position]])
    ]
    at = cells.newest[row, used]
    names = [chosen[position].instrument.venue for position in used]
    optional: dict[str, Any] = {} if used else {"null_reason": "stale"}
    return OpenInterestHistoryAggregate(
        value=round(float(series.oi_usd[at].sum()), USD_DECIMALS) if used else None,
        unit=USD,
        oi_base=round(float(series.oi_base[at].sum()), BASE_DECIMALS) if used else None,
        venues_used=names,
        venues_missing=[v for v in (one.instrument.venue for one in chosen) if v not in names],
        **optional,
    )
