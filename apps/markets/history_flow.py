"""Taker flow by interval: perpetuals per venue and in sum, spot apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from apps.core.clock import iso_utc
from apps.marketdata import selectors
from apps.marketdata.coverage import bar_slots
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.selectors import InstrumentRow
from apps.markets.engines.history import (
    FLOW_FIELDS,
    FloatArray,
    FlowGrid,
    bar_grid,
    filled,
    open_cells,
    rolled_up,
    rows_at,
)
from apps.markets.engines.volume_flow import BASE_DECIMALS, USD_DECIMALS
from apps.markets.history import Page, Row, listings, plan_slots
from apps.markets.history_contracts import FlowBar, FlowHistoryRow, builtins
from apps.markets.queries import HistoryQuery, Intervals
from apps.markets.refresh_sources import as_datetime

INTERVALS: Final = Intervals({"5m": 300, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}, "1h")
METHOD: Final = ("volume-flow-history", "1.0")

# Stored bar lengths in seconds, longest first.
_BAR_LENGTHS: Final = (3600, 1800, 300, 60)
# A minute's bar is stored a few seconds after the minute is over.
_CLOSING_MS: Final = 10_000


def flow_page(query: HistoryQuery, now_ms: int) -> Page:
    """The page of flow bars that ``query`` asks for; ``now_ms`` decides which bar is still open."""
    venues = query.selection.venues
    perps = listings(query.asset, venues, InstrumentKind.PERP)
    spots = listings(query.asset, venues, InstrumentKind.SPOT)
    ids = [one.id for one in (*perps, *spots)]
    lengths = _lengths(query.interval_ms)
    moment = now_ms if query.selection.as_of_ms is None else query.selection.as_of_ms

    def find(start_ms: int, end_ms: int) -> list[int]:
        as_of = query.selection.as_of_ms
        return bar_slots(ids, lengths, query.interval_ms, start_ms, end_ms, as_of)

    slots, cursor = plan_slots(query, find)
    names = tuple(dict.fromkeys(one.instrument.venue for one in (*perps, *spots)))
    return Page(slots, cursor, lambda block: _rows(query, perps, spots, block, moment), names)


def _lengths(interval_ms: int) -> tuple[int, ...]:
    return tuple(one for one in _BAR_LENGTHS if interval_ms % (one * 1000) == 0)


def _rows(
    query: HistoryQuery,
    perps: Sequence[InstrumentRow],
    spots: Sequence[InstrumentRow],
    block: Sequence[int],
    moment: int,
) -> list[Row]:
    cells = _cells(query, [one.id for one in (*perps, *spots)], block)
    rows = []
    for row, slot in enumerate(block):
        detail = _venues(cells, row, perps, 0)
        spot = _venues(cells, row, spots, len(perps))
        total = _total(list(detail.values())) if query.selection.with_aggregate else None
        rows.append(
            builtins(
                FlowHistoryRow(
                    ts=iso_utc(slot),
                    closed=slot + query.interval_ms + _CLOSING_MS <= moment,
                    venues={
                        name: one.delta_usd
                        for name, one in detail.items()
                        if one.delta_usd is not None
                    },
                    venues_detail=detail,
                    spot=spot,
                    **({} if total is None else {"aggregate": total}),
                )
            )
        )
    return rows


def _cells(query: HistoryQuery, ids: Sequence[int], block: Sequence[int]) -> dict[str, FloatArray]:
    """Sums per (slot, instrument) of the block, NaN where no bar is stored."""
    start, end = block[0], block[-1] + query.interval_ms
    as_of_ms = query.selection.as_of_ms
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)
    best = _best_grid(ids, _lengths(query.interval_ms), start, end, as_of)
    return rows_at(rolled_up(best, query.interval_ms), np.asarray(block, dtype=np.int64))


def _best_grid(
    ids: Sequence[int],
    lengths_s: Sequence[int],
    start_ms: int,
    end_ms: int,
    as_of: datetime | None,
) -> FlowGrid:
    """The longest bars, and shorter ones read only where those are missing or partial."""
    longest, *shorter = lengths_s
    grid = _read_grid(ids, longest, start_ms, end_ms, as_of)
    gaps = open_cells(grid) if shorter else None
    if gaps is None:
        return grid
    rows, columns = gaps
    step_ms = longest * 1000
    part = _best_grid(
        [ids[column] for column in columns.tolist()],
        shorter,
        start_ms + rows.start * step_ms,
        min(end_ms, start_ms + rows.stop * step_ms),
        as_of,
    )
    return filled(grid, rows, columns, part)


def _read_grid(
    ids: Sequence[int], length_s: int, start_ms: int, end_ms: int, as_of: datetime | None
) -> FlowGrid:
    bars = selectors.bar_series(ids, length_s, as_datetime(start_ms), as_datetime(end_ms), as_of)
    column_of = {instrument_id: position for position, instrument_id in enumerate(ids)}
    column = np.array([column_of[int(one)] for one in bars.instrument_id], dtype=np.int64)
    trades = bars.trades.astype(np.float64)
    values = {
        "volume_usd": bars.volume_usd,
        "buy_usd": bars.buy_usd,
        "volume_base": bars.volume_base,
        "buy_base": bars.buy_base,
        "trades": np.where(trades < 0, np.nan, trades),
    }
    return bar_grid(
        start_ms, end_ms, length_s * 1000, bars.ts_ms, column, bars.is_partial, values, len(ids)
    )


def _venues(
    cells: dict[str, FloatArray], row: int, chosen: Sequence[InstrumentRow], offset: int
) -> dict[str, FlowBar]:
    """Bars by venue; a venue without any bar in the slot is left out."""
    bars = {}
    for position, one in enumerate(chosen, start=offset):
        sums = {name: float(cells[name][row, position]) for name in FLOW_FIELDS}
        if not math.isnan(sums["volume_usd"]):
            bars[one.instrument.venue] = _bar(sums)
    return bars


def _total(bars: Sequence[FlowBar]) -> FlowBar:
    """The sum over venues; a number that one venue does not publish is null, not understated."""
    return _bar(
        {
            "volume_usd": _sum([one.volume_usd for one in bars]),
            "buy_usd": _sum([one.buy_usd for one in bars]),
            "volume_base": _sum([one.volume_base for one in bars]),
            "buy_base": _sum([one.buy_base for one in bars]),
            "trades": _sum([one.trades for one in bars]),
        }
    )


def _sum(values: Sequence[float | None]) -> float:
    known = [one for one in values if one is not None]
    return math.fsum(known) if known and len(known) == len(values) else math.nan


def _bar(sums: dict[str, float]) -> FlowBar:
    volume, buy = _known(sums["volume_usd"], USD_DECIMALS), _known(sums["buy_usd"], USD_DECIMALS)
    volume_base = _known(sums["volume_base"], BASE_DECIMALS)
    buy_base = _known(sums["buy_base"], BASE_DECIMALS)
    sell = _less(volume, buy, USD_DECIMALS)
    trades = sums["trades"]
    numbers: dict[str, Any] = {
        "buy_usd": buy,
        "sell_usd": sell,
        "delta_usd": _less(buy, sell, USD_DECIMALS),
        "volume_usd": volume,
        "buy_base": buy_base,
        "sell_base": _less(volume_base, buy_base, BASE_DECIMALS),
        "volume_base": volume_base,
        "taker_buy_ratio": buy / volume if buy is not None and volume else None,
    }
    count = None if math.isnan(trades) else int(trades)
    if count is None or None in numbers.values():
        return FlowBar(**numbers, trades=count, null_reason="no_data")
    return FlowBar(**numbers, trades=count)


def _known(value: float, decimals: int) -> float | None:
    return None if math.isnan(value) else round(value, decimals)


def _less(total: float | None, part: float | None, decimals: int) -> float | None:
    return None if total is None or part is None else round(total - part, decimals)
