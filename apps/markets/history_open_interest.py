"""Open interest at the end of each interval: per venue and in sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from apps.core.clock import iso_utc
from apps.marketdata.coverage import open_interest_slots
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.selectors import InstrumentRow, OpenInterestSeries
from apps.marketdata.universe import tier_of
from apps.markets.contracts import USD
from apps.markets.engines.open_interest import BASE_DECIMALS, USD_DECIMALS
from apps.markets.history import Page, Row, listings, sampled_page
from apps.markets.history_contracts import (
    OpenInterestHistoryAggregate,
    OpenInterestHistoryRow,
    OpenInterestHistoryVenue,
)
from apps.markets.history_samples import Cells, newest_cells, sampled_rows, slot_ends
from apps.markets.open_interest_samples import open_interest_samples
from apps.markets.queries import HistoryQuery, Intervals
from apps.markets.refresh_context import OI_HOLD_MS
from apps.markets.refresh_sources import as_datetime, or_none

INTERVALS: Final = Intervals({"5m": 300, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}, "1h")
METHOD: Final = ("open-interest-history", "1.0")
# A sample is stored a few seconds after it was taken.
_CLOSING_MS: Final = 10_000


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
    slots = np.asarray(block, dtype=np.int64)
    hold_ms = OI_HOLD_MS[tier_of(query.asset)]
    as_of_ms = query.selection.as_of_ms
    series = open_interest_samples(
        chosen,
        as_datetime(int(slots[0]) - hold_ms),
        as_datetime(int(slots[-1]) + query.interval_ms),
        None if as_of_ms is None else as_datetime(as_of_ms),
    )
    cells = newest_cells(series, chosen, slots, slot_ends(query, slots, moment), hold_ms)

    def venues(row: int) -> dict[str, OpenInterestHistoryVenue]:
        return {
            one.instrument.venue: _venue(series, int(cells.newest[row, position]))
            for position, one in enumerate(chosen)
            if cells.newest[row, position] >= 0
        }

    def more(row: int) -> dict[str, Any]:
        is_wanted = query.selection.with_aggregate
        return {"aggregate": _aggregate(series, cells, row, chosen)} if is_wanted else {}

    return sampled_rows(query, block, moment, _CLOSING_MS, venues, OpenInterestHistoryRow, more)


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
    series: OpenInterestSeries, cells: Cells, row: int, chosen: Sequence[InstrumentRow]
) -> OpenInterestHistoryAggregate:
    """Sum of the venues that were known together."""
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
