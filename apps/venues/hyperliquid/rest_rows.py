"""Rows of Hyperliquid's REST answers, and their events. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from apps.marketdata.events import Candle, FundingKind, FundingRate
from apps.marketdata.instruments import Instrument
from apps.venues.hyperliquid import wire
from apps.venues.hyperliquid.parse import (
    FUNDING_INTERVAL_H,
    NS_PER_MS,
    BadValue,
    candle_of,
    rate_from,
)

HOUR_MS: Final = 3_600_000
_FIRST_INTERVAL_H: Final = 8.0
"""Until 2023 rates were paid, and stated, per eight hours."""
Row = TypeVar("Row", bound=Struct)


class FundingRow(Struct, gc=False):
    """An element of ``fundingHistory``; ``time`` is some milliseconds past the hour."""

    coin: str
    fundingRate: str
    time: wire.Ms


def rows(body: object, row_type: type[Row]) -> tuple[list[Row], int]:
    """(good rows, number of bad ones). Raises ``TypeError`` when the body is no list."""
    if not isinstance(body, list):
        raise TypeError(f"expected a list of {row_type.__name__}, received {type(body).__name__}")
    good: list[Row] = []
    bad = 0
    for entry in body:
        try:
            good.append(msgspec.convert(entry, row_type, strict=False))
        except (msgspec.ValidationError, ValueError):
            bad += 1
    return good, bad


def settled_rates(
    instrument: Instrument, page: Sequence[FundingRow], ts_recv: int
) -> list[FundingRate]:
    """Settled rates, oldest first, each settlement once."""
    by_hour = {row.time - row.time % HOUR_MS: row for row in page}
    hours = sorted(by_hour)
    events: list[FundingRate] = []
    for index, settled_ms in enumerate(hours):
        text = by_hour[settled_ms].fundingRate
        try:
            rate = rate_from(text)
        except BadValue:
            continue
        settled_ns = settled_ms * NS_PER_MS
        events.append(
            FundingRate(
                instrument,
                settled_ns,
                ts_recv,
                FundingKind.SETTLED,
                rate,
                text,
                _interval_h(hours, index),
                settled_ns,
            )
        )
    return events


def _interval_h(hours: Sequence[int], index: int) -> float:
    """One hour; eight where the venue settled that often. Any other gap is a row that is missing."""
    if len(hours) < 2:
        return FUNDING_INTERVAL_H
    later = max(index, 1)
    gap_h = (hours[later] - hours[later - 1]) / HOUR_MS
    return _FIRST_INTERVAL_H if gap_h == _FIRST_INTERVAL_H else FUNDING_INTERVAL_H


def candles_of(
    instrument: Instrument, page: Sequence[wire.Bar], interval_s: int, now_ms: int, ts_recv: int
) -> list[Candle]:
    """Bars, oldest first."""
    return [
        candle_of(instrument, bar, interval_s, is_closed=now_ms > bar.T, ts_recv=ts_recv)
        for bar in sorted(page, key=lambda bar: bar.t)
    ]
