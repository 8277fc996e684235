"""Venue history as rows. Pure: events in, rows out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from apps.marketdata.columns import Columns
from apps.marketdata.events import Candle, FundingKind, FundingRate, MarkPrice, OpenInterest
from apps.marketdata.models import Origin
from apps.marketdata.rows import BarRow, BasisRow, FundingRow, OpenInterestRow

_NS_PER_MS: Final = 1_000_000
_VENUE: Final = Origin.VENUE.value
# Named once: each look into an enumeration costs as much as the rest of a row.
_SETTLED: Final = FundingKind.SETTLED
_SETTLED_NAME: Final = _SETTLED.value


def bar_rows(row_id: int, candles: Iterable[Candle]) -> Columns[BarRow]:
    """Closed bars that had trades; known at their close."""
    found = Columns.of(Candle, candles)
    traded = (found.array("volume_base") > 0) & (found.array("trades") != 0)
    found = found.where(found.array("is_closed", np.bool_) & traded)
    ts = found.array("open_ts", np.int64) // _NS_PER_MS
    interval_s = found.array("interval_s", np.int64)
    same = ("open", "high", "low", "close", "volume_base", "volume_usd", "buy_base", "buy_usd")
    return Columns(
        BarRow,
        len(found),
        {
            "instrument_id": row_id,
            "interval_s": interval_s,
            "ts": ts,
            "known_at": ts + interval_s * 1000,
            **{name: found.column(name) for name in (*same, "trades")},
            "is_partial": False,
            "origin": _VENUE,
        },
    )


def funding_rows(
    row_id: int, rates: Iterable[FundingRate], interval_h: float | None
) -> list[FundingRow]:
    """Settled rates by settlement. Venues stamp them some ms late: ``ts`` is the full second.

    A row without an interval gets the distance to the settlement before it, since intervals change; the
    first row, which has none before it, gets the instrument's present interval.
    """
    rows: list[FundingRow] = []
    previous_ms: int | None = None
    for rate in sorted(rates, key=lambda one: one.funding_ts):
        if rate.kind is not _SETTLED:
            continue
        known_at = rate.funding_ts // _NS_PER_MS
        ts = known_at - known_at % 1000
        hours = rate.interval_h
        if hours is None and previous_ms is not None:
            hours = round((ts - previous_ms) / 3_600_000, 3)
            # A hole in the history is no longer interval.
            if hours not in _INTERVALS_H:
                hours = interval_h
        rows.append(
            FundingRow(
                instrument_id=row_id,
                kind=_SETTLED_NAME,
                ts=ts,
                known_at=known_at,
                funding_ts=ts,
                rate=rate.rate,
                rate_raw=rate.rate_raw,
                interval_h=hours if hours is not None else interval_h,
                origin=_VENUE,
            )
        )
        previous_ms = ts
    return rows


_INTERVALS_H: Final = frozenset({1.0, 2.0, 4.0, 6.0, 8.0})


def open_interest_rows(
    row_id: int, samples: Iterable[OpenInterest], origin: str = _VENUE
) -> Columns[OpenInterestRow]:
    """Samples known at their own time."""
    found = Columns.of(OpenInterest, samples)
    ts = found.array("ts_event", np.int64) // _NS_PER_MS
    amounts = {name: found.column(name) for name in ("oi_contracts", "oi_base", "oi_usd")}
    return Columns(
        OpenInterestRow,
        len(found),
        {"instrument_id": row_id, "ts": ts, "known_at": ts, **amounts, "origin": origin},
    )


def basis_rows(row_id: int, marks: Iterable[MarkPrice]) -> Columns[BasisRow]:
    """Marks with their index, known at their own time."""
    found = Columns.of(MarkPrice, marks)
    found = found.where(np.isfinite(found.array("index_price")))
    ts = found.array("ts_event", np.int64) // _NS_PER_MS
    prices = {name: found.column(name) for name in ("mark_price", "index_price")}
    return Columns(
        BasisRow,
        len(found),
        {"instrument_id": row_id, "ts": ts, "known_at": ts, **prices, "origin": _VENUE},
    )
