"""Settled funding by settlement hour, 8 hours or day: per venue and weighted by open interest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from apps.core.clock import iso_utc
from apps.marketdata import selectors
from apps.marketdata.coverage import settlement_slots
from apps.marketdata.events import FundingKind
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.selectors import InstrumentRow
from apps.markets.contracts import FUNDING_UNIT
from apps.markets.engines.history import SettledCells, last_at, settled_cells, weighted_rate
from apps.markets.history import Page, Row, listings, plan_slots
from apps.markets.history_contracts import (
    FundingHistoryAggregate,
    FundingHistoryRow,
    FundingHistoryVenue,
    builtins,
)
from apps.markets.queries import HistoryQuery, Intervals
from apps.markets.refresh_context import settled_intervals
from apps.markets.refresh_sources import as_datetime

INTERVALS: Final = Intervals(
    {"settlement": 3600, "1h": 3600, "8h": 28_800, "1d": 86_400}, "settlement"
)
METHOD: Final = ("funding-history", "1.0")

_HOUR_MS: Final = 3_600_000
_LONGEST_INTERVAL_MS: Final = 24 * _HOUR_MS
# Open interest older than this at the settlement does not weight it.
_OI_MAX_AGE_MS: Final = 2 * _HOUR_MS
_PERIODS_PER_YEAR: Final = 8760 / 8


def funding_page(query: HistoryQuery, _now_ms: int) -> Page:
    """The page of settled rates that ``query`` asks for."""
    chosen = listings(query.asset, query.selection.venues, InstrumentKind.PERP)
    ids = [one.id for one in chosen]
    as_of = query.selection.as_of_ms

    def find(start_ms: int, end_ms: int) -> list[int]:
        return settlement_slots(ids, query.interval_ms, start_ms, end_ms, as_of)

    slots, cursor = plan_slots(query, find)
    return Page(
        slots,
        cursor,
        lambda block: _rows(query, chosen, block),
        tuple(one.instrument.venue for one in chosen),
    )


def _rows(query: HistoryQuery, chosen: Sequence[InstrumentRow], block: Sequence[int]) -> list[Row]:
    slots = np.asarray(block, dtype=np.int64)
    start, end = int(slots[0]), int(slots[-1]) + query.interval_ms
    as_of_ms = query.selection.as_of_ms
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)
    ids = [one.id for one in chosen]
    # A settlement's interval may only be known from the settlement before it.
    early = as_datetime(start - _LONGEST_INTERVAL_MS)
    series = selectors.funding_series(ids, FundingKind.SETTLED, early, as_datetime(end), as_of)
    column_of = {one.id: position for position, one in enumerate(chosen)}
    column = np.array([column_of[int(one)] for one in series.instrument_id], dtype=np.int64)
    interval_h = settled_intervals(series, chosen)
    cells = settled_cells(
        slots, query.interval_ms, series.ts_ms, column, series.rate, interval_h, len(chosen)
    )
    weights = _open_interest(chosen, slots, cells, series.ts_ms, as_of)
    rows = []
    for row, slot in enumerate(block):
        detail = {
            one.instrument.venue: _venue(cells, series, interval_h, row, position)
            for position, one in enumerate(chosen)
            if cells.count[row, position] > 0
        }
        if not detail:
            continue
        rows.append(
            builtins(
                FundingHistoryRow(
                    ts=iso_utc(slot),
                    venues={
                        name: one.value for name, one in detail.items() if one.value is not None
                    },
                    venues_detail=detail,
                    **(
                        {"aggregate": _aggregate(cells, weights, row, chosen)}
                        if query.selection.with_aggregate
                        else {}
                    ),
                )
            )
        )
    return rows


def _open_interest(
    chosen: Sequence[InstrumentRow],
    slots: npt.NDArray[np.int64],
    cells: SettledCells,
    ts_ms: npt.NDArray[np.int64],
    as_of: datetime | None,
) -> npt.NDArray[np.float64]:
    """USD open interest per (slot, venue) at the slot's last settlement; one venue needs none."""
    weights = np.full(cells.rate_8h.shape, np.nan)
    if len(ts_ms) == 0:
        return weights
    last = cells.last.max(axis=1)
    moments = np.where(last >= 0, ts_ms[np.maximum(last, 0)], slots)
    samples = selectors.open_interest_series(
        [one.id for one in chosen],
        as_datetime(int(moments.min()) - _OI_MAX_AGE_MS),
        as_datetime(int(moments.max()) + 1),
        as_of,
    )
    for position, one in enumerate(chosen):
        mine = (samples.instrument_id == one.id) & np.isfinite(samples.oi_usd)
        weights[:, position] = last_at(
            samples.ts_ms[mine], samples.oi_usd[mine], moments, _OI_MAX_AGE_MS
        )
    return weights


def _venue(
    cells: SettledCells,
    series: selectors.FundingSeries,
    interval_h: npt.NDArray[np.float64],
    row: int,
    position: int,
) -> FundingHistoryVenue:
    last = int(cells.last[row, position])
    rate_8h = float(cells.rate_8h[row, position])
    return FundingHistoryVenue(
        value=_percent(rate_8h),
        unit=FUNDING_UNIT,
        rate_8h=rate_8h,
        rate=float(series.rate[last]),
        rate_raw=series.rate_raw[last],
        interval_h=float(interval_h[last]),
        settled_at=iso_utc(int(series.ts_ms[last])),
        settlements=int(cells.count[row, position]),
    )


def _percent(rate: float) -> float:
    # A decimal times 100 has digits that no venue sent: 12 decimals keep what is real.
    return round(rate * 100, 12)


def _aggregate(
    cells: SettledCells,
    weights: npt.NDArray[np.float64],
    row: int,
    chosen: Sequence[InstrumentRow],
) -> FundingHistoryAggregate:
    found = weighted_rate(cells.rate_8h[row], weights[row])
    used = [chosen[position].instrument.venue for position in found.used]
    if found.value is None:
        return FundingHistoryAggregate(
            value=None,
            unit=FUNDING_UNIT,
            rate_8h=None,
            apr=None,
            weighting=None,
            oi_usd=None,
            venues_used=used,
            null_reason="no_weights",
        )
    optional = {"null_reason": "no_weights"} if found.oi_usd is None else {}
    return FundingHistoryAggregate(
        value=_percent(found.value),
        unit=FUNDING_UNIT,
        rate_8h=found.value,
        apr=found.value * _PERIODS_PER_YEAR,
        weighting=found.weighting,
        oi_usd=found.oi_usd,
        venues_used=used,
        **optional,
    )
