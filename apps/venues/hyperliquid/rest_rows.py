"""Rows of Hyperliquid's REST answers, and their events. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from apps.marketdata.events import Candle, FundingRate
from apps.marketdata.instruments import Instrument
from apps.venues import settlements
from apps.venues.hyperliquid import wire
from apps.venues.hyperliquid.parse import (
    FUNDING_INTERVAL_H,
    candle_of,
    rate_from,
)

HOUR_MS: Final = 3_600_000
_FIRST_INTERVAL_H: Final = 8.0
"""Until 2023 rates were paid, and stated, per eight hours."""


class FundingRow(Struct, gc=False):
    """An element of ``fundingHistory``; ``time`` is some milliseconds past the hour."""

    coin: str
    fundingRate: str
    time: wire.Ms


def settled_rates(
    instrument: Instrument, page: Sequence[FundingRow], ts_recv: int
) -> list[FundingRate]:
    """See :func:`apps.venues.settlements.settled_rates`. One hour; eight where the venue settled that
    often. Any other gap is a row that is missing."""
    return settlements.settled_rates(
        instrument,
        {row.time - row.time % HOUR_MS: row.fundingRate for row in page},
        rate_from,
        ts_recv,
        intervals_h=(FUNDING_INTERVAL_H, _FIRST_INTERVAL_H),
        usual_h=FUNDING_INTERVAL_H,
    )


def candles_of(
    instrument: Instrument, page: Sequence[wire.Bar], interval_s: int, now_ms: int, ts_recv: int
) -> list[Candle]:
    """Bars, oldest first."""
    return [
        candle_of(instrument, bar, interval_s, is_closed=now_ms > bar.T, ts_recv=ts_recv)
        for bar in sorted(page, key=lambda bar: bar.t)
    ]
