"""Basis at the end of each interval: perpetuals per venue and over the venues, and dated contracts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from apps.core.clock import iso_utc
from apps.marketdata import selectors
from apps.marketdata.coverage import basis_slots
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.selectors import BasisSeries, InstrumentRow
from apps.marketdata.universe import tier_of
from apps.markets.basis_samples import HOLD_MS, dated_listings
from apps.markets.contracts_basis import PERCENT
from apps.markets.engines import basis as engine
from apps.markets.engines.history import weighted_rate
from apps.markets.history import Page, Row, listings, sampled_page
from apps.markets.history_contracts_basis import (
    BasisHistoryAggregate,
    BasisHistoryFuture,
    BasisHistoryRow,
    BasisHistoryVenue,
)
from apps.markets.history_samples import (
    Cells,
    interest_at,
    newest_cells,
    sampled_rows,
    slot_ends,
)
from apps.markets.queries import HistoryQuery, Intervals
from apps.markets.refresh_context import OI_HOLD_MS
from apps.markets.refresh_sources import as_datetime, or_none

INTERVALS: Final = Intervals({"5m": 300, "30m": 1800, "1h": 3600, "4h": 14_400, "1d": 86_400}, "1h")
METHOD: Final = ("basis-history", "1.0")
# A sample is stored a few seconds after it was taken.
_CLOSING_MS: Final = 10_000
_DECIMALS: Final = 12

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Listings of an answer: perpetuals first, then dated contracts, which have a column each."""

    perps: Sequence[InstrumentRow]
    dated: Sequence[InstrumentRow]

    @property
    def all(self) -> list[InstrumentRow]:
        return [*self.perps, *self.dated]


@dataclass(frozen=True, slots=True)
class _Cells:
    """``oi_usd`` is the open interest at each slot's end."""

    series: BasisSeries
    basis: FloatArray
    at: Cells
    oi_usd: FloatArray


def basis_page(query: HistoryQuery, now_ms: int) -> Page:
    """The page of samples that ``query`` asks for; ``now_ms`` decides which interval is still open."""
    wanted = query.selection.venues
    perps = listings(query.asset, wanted, InstrumentKind.PERP)
    dated = [
        row
        for row in dated_listings([query.asset], query.start_ms, is_past=True)
        if wanted is None or row.instrument.venue in wanted
    ]
    chosen = _Chosen(perps, dated)
    return sampled_page(
        query,
        now_ms,
        chosen.all,
        basis_slots,
        lambda block, moment: _rows(query, chosen, block, moment),
        named=perps,
    )


def _rows(query: HistoryQuery, chosen: _Chosen, block: Sequence[int], moment: int) -> list[Row]:
    cells = _cells(query, chosen, np.asarray(block, dtype=np.int64), moment)
    newest, perps = cells.at.newest, chosen.perps

    def venues(row: int) -> dict[str, BasisHistoryVenue]:
        return {
            one.instrument.venue: BasisHistoryVenue(**_sample(cells, row, position))
            for position, one in enumerate(perps)
            if newest[row, position] >= 0
        }

    def more(row: int) -> dict[str, Any]:
        futures = [
            _future(cells, row, position, one)
            for position, one in enumerate(chosen.dated, start=len(perps))
            if newest[row, position] >= 0
        ]
        is_wanted = query.selection.with_aggregate
        aggregate = {"aggregate": _aggregate(cells, row, perps)} if is_wanted else {}
        return {"futures": futures, **aggregate}

    return sampled_rows(query, block, moment, _CLOSING_MS, venues, BasisHistoryRow, more)


def _cells(query: HistoryQuery, chosen: _Chosen, slots: IntArray, moment: int) -> _Cells:
    tier = tier_of(query.asset)
    everyone = chosen.all
    as_of_ms = query.selection.as_of_ms
    series = selectors.basis_series(
        [one.id for one in everyone],
        as_datetime(int(slots[0]) - HOLD_MS[tier]),
        as_datetime(int(slots[-1]) + query.interval_ms),
        None if as_of_ms is None else as_datetime(as_of_ms),
    )
    ends = slot_ends(query, slots, moment)
    return _Cells(
        series,
        engine.basis(series.mark_price, series.index_price),
        newest_cells(series, everyone, slots, ends, HOLD_MS[tier]),
        interest_at(query, everyone, slots, ends, OI_HOLD_MS[tier]),
    )


def _sample(cells: _Cells, row: int, position: int) -> dict[str, Any]:
    series, index = cells.series, int(cells.at.newest[row, position])
    value = or_none(float(cells.basis[index]))
    return {
        "value": _percent(value),
        "unit": PERCENT,
        "basis": value,
        "mark_price": float(series.mark_price[index]),
        "index_price": float(series.index_price[index]),
        "oi_usd": or_none(float(cells.oi_usd[row, position])),
        "sampled_at": iso_utc(int(series.ts_ms[index])),
        **({"null_reason": "no_data"} if np.isnan(cells.oi_usd[row, position]) else {}),
    }


def _future(cells: _Cells, row: int, position: int, one: InstrumentRow) -> BasisHistoryFuture:
    instrument = one.instrument
    expiry_ms = instrument.expiry_ms or 0
    sample = _sample(cells, row, position)
    days = (expiry_ms - int(cells.series.ts_ms[cells.at.newest[row, position]])) / engine.DAY_MS
    value = np.array([sample["basis"]], dtype=float)
    annual = or_none(float(engine.annualised(value, np.array([days]))[0]))
    if annual is None:
        sample["null_reason"] = "degenerate"
    return BasisHistoryFuture(
        **sample,
        venue=instrument.venue,
        symbol=instrument.symbol,
        quote=instrument.quote,
        expiry=iso_utc(expiry_ms),
        annualised=annual,
        state=engine.state_of(annual),
    )


def _aggregate(cells: _Cells, row: int, perps: Sequence[InstrumentRow]) -> BasisHistoryAggregate:
    """Mean over the perpetuals that were known together, weighted by their open interest."""
    columns = slice(0, len(perps))
    newest = cells.at.newest[row, columns]
    values = np.full(len(perps), np.nan)
    current = cells.at.is_current[row, columns] & (newest >= 0)
    values[current] = cells.basis[newest[current]]
    found = weighted_rate(values, cells.oi_usd[row, columns])
    used = [perps[position].instrument.venue for position in found.used]
    value = None if found.value is None else round(found.value, _DECIMALS)
    optional: dict[str, Any] = {}
    if value is None:
        optional["null_reason"] = "no_weights" if np.isfinite(values).any() else "stale"
    elif found.oi_usd is None:
        optional["null_reason"] = "no_weights"
    return BasisHistoryAggregate(
        value=_percent(value),
        unit=PERCENT,
        basis=value,
        weighting=found.weighting,
        oi_usd=found.oi_usd,
        venues_used=used,
        venues_missing=[v for v in (one.instrument.venue for one in perps) if v not in used],
        **optional,
    )


def _percent(value: float | None) -> float | None:
    return None if value is None else round(value * 100.0, 10)
