"""Venue history as rows. Pure: events in, rows out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apps.marketdata.events import Candle, FundingKind, FundingRate, MarkPrice, OpenInterest
from apps.marketdata.models import Origin
from apps.marketdata.rows import BarRow, BasisRow, FundingRow, OpenInterestRow

_NS_PER_MS: Final = 1_000_000
_VENUE: Final = Origin.VENUE.value


def bar_rows(row_id: int, candles: Iterable[Candle]) -> list[BarRow]:
    """Closed bars that had trades; known at their close."""
    rows: list[BarRow] = []
    for candle in candles:
        if not candle.is_closed or candle.volume_base <= 0 or candle.trades == 0:
            continue
        ts = candle.open_ts // _NS_PER_MS
        rows.append(
            BarRow(
                instrument_id=row_id,
                interval_s=candle.interval_s,
                ts=ts,
                known_at=ts + candle.interval_s * 1000,
                open=candle.open,
                high=candle.high,
                low=candle.low,
                close=candle.close,
                volume_base=candle.volume_base,
                volume_usd=candle.volume_usd,
                buy_base=candle.buy_base,
                buy_usd=candle.buy_usd,
                trades=candle.trades,
                is_partial=False,
                origin=_VENUE,
            )
        )
    return rows


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
        if rate.kind is not FundingKind.SETTLED:
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
                kind=FundingKind.SETTLED.value,
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


def open_interest_rows(row_id: int, samples: Iterable[OpenInterest]) -> list[OpenInterestRow]:
    """Samples known at their own time."""
    rows: list[OpenInterestRow] = []
    for sample in samples:
        ts = sample.ts_event // _NS_PER_MS
        rows.append(
            OpenInterestRow(
                instrument_id=row_id,
                ts=ts,
                known_at=ts,
                oi_contracts=sample.oi_contracts,
                oi_base=sample.oi_base,
                oi_usd=sample.oi_usd,
                origin=_VENUE,
            )
        )
    return rows


def basis_rows(row_id: int, marks: Iterable[MarkPrice]) -> list[BasisRow]:
    """Marks with their index, known at their own time."""
    rows: list[BasisRow] = []
    for one in marks:
        if one.index_price is None:
            continue
        ts = one.ts_event // _NS_PER_MS
        rows.append(BasisRow(row_id, ts, ts, one.mark_price, one.index_price, _VENUE))
    return rows
