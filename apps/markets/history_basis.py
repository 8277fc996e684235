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
from apps.markets.engines.history import last_at, newest_at, weighted_rate
from apps.markets.history import Page, Row, listings, plan_slots
from apps.markets.history_contracts import builtins
from apps.markets.history_contracts_basis import (
    BasisHistoryAggregate,
    BasisHistoryFuture,
    BasisHistoryRow,
    BasisHistoryVenue,
)
from apps.markets.open_interest_samples import open_interest_samples
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
    """The newest sample of each (slot, listing): its position in ``series``, -1 without one.

    ``is_current``: young enough at the slot's end to be averaged with other venues' samples. ``oi_usd`` is
    the open interest of that sample's time.
    """

    series: BasisSeries
    basis: FloatArray
    newest: IntArray
    is_current: npt.NDArray[np.bool_]
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
    ids = [one.id for one in chosen.all]
    as_of = query.selection.as_of_ms
    moment = now_ms if as_of is None else as_of

    def find(start_ms: int, end_ms: int) -> list[int]:
        return basis_slots(ids, query.interval_ms, start_ms, end_ms, as_of)

    slots, cursor = plan_slots(query, find)
    return Page(
        slots,
        cursor,
        lambda block: _rows(query, chosen, block, moment),
        tuple(one.instrument.venue for one in perps),
    )


def _rows(query: HistoryQuery, chosen: _Chosen, block: Sequence[int], moment: int) -> list[Row]:
    cells = _cells(query, chosen, np.asarray(block, dtype=np.int64), moment)
    rows = []
    for row, slot in enumerate(block):
        venues = {
            one.instrument.venue: BasisHistoryVenue(**_sample(cells, row, position))
            for position, one in enumerate(chosen.perps)
            if cells.newest[row, position] >= 0
        }
        optional: dict[str, Any] = (
            {"aggregate": _aggregate(cells, row, chosen.perps)}
            if query.selection.with_aggregate
            else {}
        )
        rows.append(
            builtins(
                BasisHistoryRow(
                    ts=iso_utc(slot),
                    closed=moment >= slot + query.interval_ms + _CLOSING_MS,
                    venues={v: one.value for v, one in venues.items() if one.value is not None},
                    venues_detail=venues,
                    futures=[
                        _future(cells, row, len(chosen.perps) + number, one)
                        for number, one in enumerate(chosen.dated)
                        if cells.newest[row, len(chosen.perps) + number] >= 0
                    ],
                    **optional,
                )
            )
        )
    return rows


def _cells(query: HistoryQuery, chosen: _Chosen, slots: IntArray, moment: int) -> _Cells:
    tier = tier_of(query.asset)
    everyone = chosen.all
    as_of_ms = query.selection.as_of_ms
    as_of = None if as_of_ms is None else as_datetime(as_of_ms)
    until = as_datetime(int(slots[-1]) + query.interval_ms)
    series = selectors.basis_series(
        [one.id for one in everyone],
        as_datetime(int(slots[0]) - HOLD_MS[tier]),
        until,
        as_of,
    )
    interest = open_interest_samples(
        everyone, as_datetime(int(slots[0]) - OI_HOLD_MS[tier]), until, as_of
    )
    # The last moment inside; the interval in the making ends now.
    ends = np.minimum(slots + query.interval_ms - 1, moment)
    newest = np.full((slots.size, len(everyone)), -1, dtype=np.int64)
    oi_usd = np.full(newest.shape, np.nan)
    for position, one in enumerate(everyone):
        mine = np.flatnonzero(series.instrument_id == one.id)
        found = newest_at(series.ts_ms[mine], ends)
        newest[found >= 0, position] = mine[found[found >= 0]]
        open_ = (interest.instrument_id == one.id) & np.isfinite(interest.oi_usd)
        oi_usd[:, position] = last_at(
            interest.ts_ms[open_], interest.oi_usd[open_], ends, OI_HOLD_MS[tier]
        )
    if not series.ts_ms.size:
        return _Cells(series, np.array([np.nan]), newest, newest >= 0, oi_usd)
    basis = engine.basis(series.mark_price, series.index_price)
    sampled = np.where(newest >= 0, series.ts_ms[newest], np.iinfo(np.int64).min // 2)
    is_current = sampled >= ends[:, None] - HOLD_MS[tier]
    is_inside = sampled >= slots[:, None]
    kept = np.where(is_current | is_inside, newest, -1)
    return _Cells(series, basis, kept, is_current, oi_usd)


def _sample(cells: _Cells, row: int, position: int) -> dict[str, Any]:
    series, index = cells.series, int(cells.newest[row, position])
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
    days = (expiry_ms - int(cells.series.ts_ms[cells.newest[row, position]])) / engine.DAY_MS
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
    values = np.where(
        cells.is_current[row, columns] & (cells.newest[row, columns] >= 0),
        cells.basis[cells.newest[row, columns]],
        np.nan,
    )
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
