"""Rows of OKX's REST answers, and their events. Pure.

Lists come newest first. A row that does not fit its struct is left out and counted, so that one bad row
does not cost a page. Rows that the stream has too are in :mod:`.wire`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from apps.marketdata.events import (
    BookSnapshot,
    FundingKind,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument
from apps.venues.okx import units
from apps.venues.okx.convert import (
    HOUR_MS,
    INTERVALS_H,
    NS_PER_MS,
    BadValue,
    number,
)
from apps.venues.okx.wire import BookRow, MarkPriceRow, Ms, Price, Qty, Volume

Row = TypeVar("Row", bound=Struct)
_MINUTE_MS: Final = 60_000


class FundingHistoryRow(Struct, gc=False):
    """``/public/funding-rate-history``: ``realizedRate`` is what was paid, ``fundingRate`` the forecast."""

    fundingTime: Ms
    realizedRate: str


class OpenInterestHistoryRow(Struct, array_like=True, gc=False):
    """``/rubik/stat/contracts/open-interest-history``: contracts, coins, USD."""

    ts: Ms
    contracts: Volume
    coins: Volume
    usd: Volume


class PriceRow(Struct, array_like=True, gc=False):
    """``/market/mark-price-candles``, ``index-candles``: no volumes."""

    ts: Ms
    open: Price
    high: Price
    low: Price
    close: Price


class RatioRow(Struct, array_like=True, gc=False):
    """``/rubik/stat/contracts/long-short-…``: longs over shorts."""

    ts: Ms
    ratio: Qty


class TakerRow(Struct, array_like=True, gc=False):
    """``/rubik/stat/taker-volume-contract``: sells come first."""

    ts: Ms
    sell: Volume
    buy: Volume


def rows(data: Iterable[object], row_type: type[Row]) -> tuple[list[Row], int]:
    """(good rows, number of bad ones)."""
    good: list[Row] = []
    bad = 0
    for entry in data:
        try:
            good.append(msgspec.convert(entry, row_type, strict=False))
        except (msgspec.ValidationError, ValueError):
            bad += 1
    return good, bad


def settled_rates(
    instrument: Instrument, found: Sequence[FundingHistoryRow], ts_recv: int
) -> list[FundingRate]:
    """Settled rates, oldest first, each with the interval that ended with it."""
    by_time = {row.fundingTime - row.fundingTime % _MINUTE_MS: row for row in found}
    times = sorted(by_time)
    events = []
    for index, time_ms in enumerate(times):
        raw = by_time[time_ms].realizedRate
        try:
            rate = number(raw, "realizedRate")
        except BadValue:
            continue
        settled_ns = time_ms * NS_PER_MS
        hours = _interval_h(instrument, times, index)
        events.append(
            FundingRate(
                instrument,
                settled_ns,
                ts_recv,
                FundingKind.SETTLED,
                rate,
                raw,
                hours,
                settled_ns,
            )
        )
    return events


def _interval_h(instrument: Instrument, times: Sequence[int], index: int) -> float | None:
    """Intervals change without notice: the gap before a settlement says what it was."""
    if len(times) < 2:
        return instrument.funding_interval_h
    later = max(index, 1)
    gap_h = (times[later] - times[later - 1]) / HOUR_MS
    return gap_h if gap_h in INTERVALS_H else instrument.funding_interval_h


def open_interest_then(
    instrument: Instrument, row: OpenInterestHistoryRow, ts_recv: int
) -> OpenInterest:
    return OpenInterest(instrument, row.ts * NS_PER_MS, ts_recv, row.contracts, row.coins, row.usd)


def long_share(
    instrument: Instrument,
    series: str,
    row: RatioRow | TakerRow,
    period_s: int,
    ts_recv: int,
) -> PositioningRatio | None:
    """The share of longs (of buying takers); None when takers did not trade."""
    if isinstance(row, TakerRow):
        total = row.buy + row.sell
        if not total:
            return None
        share = row.buy / total
    else:
        share = row.ratio / (1.0 + row.ratio)
    return PositioningRatio(instrument, row.ts * NS_PER_MS, ts_recv, series, share, period_s)


def mark_price(
    instrument: Instrument, row: MarkPriceRow, index_price: float | None, ts_recv: int
) -> MarkPrice:
    return MarkPrice(instrument, row.ts * NS_PER_MS, ts_recv, row.markPx, index_price)


def book_snapshot(instrument: Instrument, row: BookRow, ts_recv: int) -> BookSnapshot:
    return BookSnapshot(
        instrument,
        row.ts * NS_PER_MS,
        ts_recv,
        row.seqId,
        units.levels(instrument, row.bids),
        units.levels(instrument, row.asks),
    )
