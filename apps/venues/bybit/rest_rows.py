"""Rows of Bybit's REST answers, and their events. Pure.

Lists come newest first. A row that does not fit its struct is left out and counted, so that one bad row
does not cost a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta, Struct

from apps.marketdata.columns import Columns
from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    FundingRate,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument
from apps.venues import settlements
from apps.venues.bybit import convert, tickers
from apps.venues.bybit.convert import NS_PER_MS, VENUE
from apps.venues.bybit.wire import INTERVAL_S, Level, Ms, Price, Seq, Volume
from apps.venues.errors import VenueBadAnswer
from apps.venues.shares import shares_of
from apps.venues.values import BadValue

_INTERVALS_H: Final = frozenset({1.0, 2.0, 4.0, 8.0})
INTERVAL: Final = {seconds: name for name, seconds in INTERVAL_S.items()}
PERIOD: Final = {
    300: "5min",
    900: "15min",
    1_800: "30min",
    3_600: "1h",
    14_400: "4h",
    86_400: "1d",
}


class FundingHistoryRow(Struct, gc=False):
    """``/v5/market/funding/history``."""

    fundingRate: str
    fundingRateTimestamp: Ms


class OpenInterestRow(Struct, gc=False):
    """``/v5/market/open-interest``: ``openInterest`` counts both sides."""

    openInterest: str
    timestamp: Ms
    singleOpenInterest: str = ""


class RatioRow(Struct, gc=False):
    """``/v5/market/account-ratio``: shares of holders."""

    buyRatio: Annotated[float, Meta(ge=0, le=1)]
    timestamp: Ms


class KlineRow(Struct, array_like=True, gc=False):
    """``/v5/market/kline``."""

    start: Ms
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    turnover: Volume


class PriceRow(Struct, array_like=True, gc=False):
    """``/v5/market/mark-price-kline``, ``index-price-kline``: no volumes."""

    start: Ms
    open: Price
    high: Price
    low: Price
    close: Price


class BookBody(Struct, gc=False):
    """``/v5/market/orderbook``."""

    s: str
    b: list[Level]
    a: list[Level]
    ts: Ms
    u: Seq
    cts: Ms | None = None


def list_of(name: str, result: dict[str, Any]) -> list[Any]:
    """``list`` of a result."""
    rows = result.get("list")
    if not isinstance(rows, list):
        raise VenueBadAnswer(VENUE, f"{name}: expected a list")
    return rows


def settled_rates(
    instrument: Instrument, found: Sequence[FundingHistoryRow], ts_recv: int
) -> list[FundingRate]:
    """See :func:`apps.venues.settlements.settled_rates`."""
    return settlements.settled_rates(
        instrument,
        {row.fundingRateTimestamp: row.fundingRate for row in found},
        lambda raw: convert.number(raw, "fundingRate", signed=True),
        ts_recv,
        intervals_h=_INTERVALS_H,
        usual_h=instrument.funding_interval_h,
    )


def open_interest_then(
    instrument: Instrument, row: OpenInterestRow, ts_recv: int
) -> OpenInterest | None:
    """One side; USD needs the mark price of that time. None for an amount that is no number."""
    try:
        amount = tickers.one_side(row.singleOpenInterest, row.openInterest, "openInterest")
    except BadValue:
        return None
    if amount is None:
        return None
    base = amount * instrument.price_mult
    return OpenInterest(instrument, row.timestamp * NS_PER_MS, ts_recv, amount, base, None)


def long_shares(
    instrument: Instrument, rows: Sequence[RatioRow], period_s: int, ts_recv: int
) -> Columns[PositioningRatio]:
    found = Columns.of(RatioRow, rows)
    times, shares = found.array("timestamp", np.int64), found.array("buyRatio")
    return shares_of(instrument, "accounts", times, shares, period_s, ts_recv)


def candle(instrument: Instrument, row: KlineRow, interval_s: int, ts_recv: int) -> Candle:
    """The list does not say what is closed: the time does."""
    mult = instrument.price_mult
    close_ts = (row.start + interval_s * 1000) * NS_PER_MS
    return Candle(
        instrument,
        min(close_ts, max(ts_recv, row.start * NS_PER_MS)),
        ts_recv,
        interval_s,
        row.start * NS_PER_MS,
        row.open / mult,
        row.high / mult,
        row.low / mult,
        row.close / mult,
        volume_base=row.volume * mult,
        volume_usd=row.turnover,
        buy_base=None,
        buy_usd=None,
        trades=None,
        is_closed=close_ts <= ts_recv,
    )


def book_snapshot(instrument: Instrument, body: BookBody, ts_recv: int) -> BookSnapshot:
    return BookSnapshot(
        instrument,
        (body.ts if body.cts is None else body.cts) * NS_PER_MS,
        ts_recv,
        body.u,
        convert.levels(instrument, body.b),
        convert.levels(instrument, body.a),
    )
