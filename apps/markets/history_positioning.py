"""Shares of longs at the end of each interval: per venue and weighted by open interest of that time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.core.clock import iso_utc
from apps.marketdata.coverage import positioning_slots
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.positioning import (
    ACCOUNTS,
    SERIES,
    PositioningSeries,
    positioning_series,
    published_series,
)
from apps.marketdata.selectors import InstrumentRow
from apps.markets.contracts_positioning import (
    FURTHER_SERIES,
    SHARE,
    PositioningHistoryAggregate,
    PositioningHistoryRow,
    PositioningHistorySeries,
    PositioningHistoryTotal,
    PositioningHistoryVenue,
)
from apps.markets.engines import positioning as engine
from apps.markets.history import Page, Row, listings, sampled_page
from apps.markets.history_samples import (
    Cells,
    interest_at,
    newest_cells,
    sampled_rows,
    slot_ends,
)
from apps.markets.positioning_samples import WEIGHT_MAX_AGE_MS, hold_ms
from apps.markets.queries import HistoryQuery, Intervals
from apps.markets.refresh_sources import as_datetime

INTERVALS: Final = Intervals({"5m": 300, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}, "1h")
METHOD: Final = ("positioning-history", "1.0")
# A sample is stored some seconds after it was taken.
_CLOSING_MS: Final = 60_000
_LONGEST_HOLD_MS: Final = 45 * 60_000

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of each series. ``oi_usd``: what each venue weighs at each slot's end, NaN where it is not
    known."""

    samples: PositioningSeries
    series: dict[str, Cells]
    oi_usd: FloatArray


def positioning_page(query: HistoryQuery, now_ms: int) -> Page:
    """The page of shares that ``query`` asks for; ``now_ms`` decides which interval is still open."""
    chosen = tuple(
        one
        for one in listings(query.asset, query.selection.venues, InstrumentKind.PERP)
        if published_series(one.instrument.venue)
    )
    return sampled_page(
        query,
        now_ms,
        chosen,
        positioning_slots,
        lambda block, moment: _rows(query, chosen, block, moment),
    )


def _rows(
    query: HistoryQuery, chosen: Sequence[InstrumentRow], block: Sequence[int], moment: int
) -> list[Row]:
    cells = _cells(query, chosen, np.asarray(block, dtype=np.int64), moment)

    def venues(row: int) -> dict[str, PositioningHistoryVenue]:
        return {
            one.instrument.venue: _venue(cells, row, position)
            for position, one in enumerate(chosen)
            if any(found.newest[row, position] >= 0 for found in cells.series.values())
        }

    def more(row: int) -> dict[str, Any]:
        is_wanted = query.selection.with_aggregate
        return {"aggregate": _aggregate(cells, row, chosen)} if is_wanted else {}

    return sampled_rows(query, block, moment, _CLOSING_MS, venues, PositioningHistoryRow, more)


def _cells(
    query: HistoryQuery, chosen: Sequence[InstrumentRow], slots: IntArray, moment: int
) -> _Cells:
    as_of_ms = query.selection.as_of_ms
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)
    until = as_datetime(int(slots[-1]) + query.interval_ms)
    samples = positioning_series(
        [one.id for one in chosen], as_datetime(int(slots[0]) - _LONGEST_HOLD_MS), until, as_of
    )
    ends = slot_ends(query, slots, moment)
    held = hold_ms(samples)
    series = {
        name: newest_cells(samples, chosen, slots, ends, held, samples.series == place)
        for place, name in enumerate(SERIES)
    }
    oi_usd = interest_at(query, chosen, slots, ends, WEIGHT_MAX_AGE_MS)
    return _Cells(samples, series, oi_usd)


def _venue(cells: _Cells, row: int, position: int) -> PositioningHistoryVenue:
    at = int(cells.series[ACCOUNTS].newest[row, position])
    value = None if at < 0 else _share(cells.samples, at)
    further = {name: int(cells.series[name].newest[row, position]) for name in FURTHER_SERIES}
    return PositioningHistoryVenue(
        value=value,
        unit=SHARE,
        ratio=engine.ratio_of_share(value),
        sampled_at=None if at < 0 else iso_utc(int(cells.samples.ts_ms[at])),
        series={
            name: _sample(cells.samples, index) for name, index in further.items() if index >= 0
        },
        **_reason(value, "no_data"),
    )


def _sample(samples: PositioningSeries, index: int) -> PositioningHistorySeries:
    value = _share(samples, index)
    return PositioningHistorySeries(
        value=value,
        ratio=engine.ratio_of_share(value),
        sampled_at=iso_utc(int(samples.ts_ms[index])),
        **_reason(value, "no_data"),
    )


def _share(samples: PositioningSeries, index: int) -> float:
    return round(float(samples.long_share[index]), engine.SHARE_DECIMALS)


def _reason(share: float | None, absent: str) -> dict[str, Any]:
    """Why a number beside it is null: no share, or a share of 1 that no ratio goes with."""
    if share is None:
        return {"null_reason": absent}
    return {"null_reason": "degenerate"} if engine.ratio_of_share(share) is None else {}


def _aggregate(
    cells: _Cells, row: int, chosen: Sequence[InstrumentRow]
) -> PositioningHistoryAggregate:
    headline, weighting = _total(cells, ACCOUNTS, row, chosen)
    totals = {name: _total(cells, name, row, chosen)[0] for name in FURTHER_SERIES}
    expected = [one.instrument.venue for one in chosen]
    return PositioningHistoryAggregate(
        **headline,
        unit=SHARE,
        weighting=weighting,
        venues_missing=[venue for venue in expected if venue not in headline["venues_used"]],
        series={name: PositioningHistoryTotal(**total) for name, total in totals.items()},
    )


def _total(
    cells: _Cells, name: str, row: int, chosen: Sequence[InstrumentRow]
) -> tuple[dict[str, Any], str | None]:
    """One series over the venues that were known together, and how they were weighted."""
    of_series = cells.series[name]
    at = of_series.newest[row]
    share = np.array(
        [
            _share(cells.samples, int(index)) if is_current else np.nan
            for index, is_current in zip(at, of_series.is_current[row], strict=True)
        ],
        dtype=float,
    )
    oi_usd = cells.oi_usd[row]
    found = engine.aggregate(share, oi_usd)
    # Nothing at the end of the interval: it was published earlier in it, or not at all.
    absent = "stale" if (at >= 0).any() else "no_data"
    why = "no_weights" if found.reason == "no_weights" else absent
    inside = engine.usable(share, oi_usd)
    used = [one.instrument.venue for one, is_in in zip(chosen, inside, strict=True) if is_in]
    total = {
        "value": found.share,
        "ratio": engine.ratio_of_share(found.share),
        "venues_used": [] if found.share is None else used,
        **_reason(found.share, why),
    }
    return total, found.weighting
