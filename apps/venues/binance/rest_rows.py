"""Rows of Binance's REST answers, and their events. Pure.

A row that does not fit its struct raises ``msgspec.ValidationError``; :func:`rows` leaves it out and
counts it, so that one bad row does not cost a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from apps.marketdata.events import (
    Candle,
    FundingKind,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument
from apps.venues.binance.parse import NS_PER_MS, BadValue, rate_from
from apps.venues.binance.wire import Ms, Price, PriceOrZero, Qty, Seq, Volume

_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_INTERVALS_H: Final = frozenset({1.0, 2.0, 4.0, 6.0, 8.0})
Share = Annotated[float, Meta(ge=0, le=1)]
Row = TypeVar("Row", bound=Struct)


class FundingRow(Struct, gc=False):
    """``/fapi/v1/fundingRate``. ``rateType`` Special is a one-off correction, not a settlement."""

    symbol: str
    fundingTime: Ms
    fundingRate: str
    rateType: str | None = None


class FundingInfoRow(Struct, gc=False):
    """``/fapi/v1/fundingInfo``."""

    symbol: str
    fundingIntervalHours: Annotated[float, Meta(gt=0, le=24)]


class PremiumIndexRow(Struct, gc=False):
    """``/fapi/v1/premiumIndex``; ``lastFundingRate`` is the running estimate despite its name."""

    symbol: str
    markPrice: PriceOrZero
    time: Ms
    indexPrice: PriceOrZero = 0.0
    lastFundingRate: str = ""
    nextFundingTime: Ms = 0


class OpenInterestRow(Struct, gc=False):
    """``/fapi/v1/openInterest``: quoted units, single side."""

    symbol: str
    openInterest: Volume
    time: Ms


class OpenInterestHistRow(Struct, gc=False):
    """``/futures/data/openInterestHist``: quoted units and USDT."""

    timestamp: Ms
    sumOpenInterest: Volume
    sumOpenInterestValue: Volume


class KlineRow(Struct, array_like=True, gc=False):
    """``/fapi/v1/klines``, ``/api/v3/klines``: an array in this order."""

    open_time: Ms
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Volume
    close_time: Ms
    quote_volume: Volume
    trades: Seq
    taker_buy_base: Volume
    taker_buy_quote: Volume


class LongShortRow(Struct, gc=False):
    """``/futures/data/*LongShort*Ratio``: fractions of accounts or positions."""

    timestamp: Ms
    longAccount: Share


class TakerRow(Struct, gc=False):
    """``/futures/data/takerlongshortRatio``: quoted units."""

    timestamp: Ms
    buyVol: Qty
    sellVol: Qty


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
    """Settled rates, oldest first, each with the interval that ended with it."""
    ordered = sorted(
        (row for row in page if row.rateType != "Special"), key=lambda row: row.fundingTime
    )
    # Settlements are stamped up to some 50 ms late; the minute is the settlement.
    times = [row.fundingTime - row.fundingTime % _MINUTE_MS for row in ordered]
    events = []
    for index, row in enumerate(ordered):
        try:
            rate = rate_from(row.fundingRate)
        except BadValue:
            continue
        settled_ns = times[index] * NS_PER_MS
        events.append(
            FundingRate(
                instrument,
                settled_ns,
                ts_recv,
                FundingKind.SETTLED,
                rate,
                row.fundingRate,
                _interval_h(instrument, times, index),
                settled_ns,
            )
        )
    return events


def _interval_h(instrument: Instrument, times: Sequence[int], index: int) -> float | None:
    """Intervals change without notice: the gap before a settlement says what it was."""
    if len(times) < 2:
        return instrument.funding_interval_h
    later = max(index, 1)
    gap_h = (times[later] - times[later - 1]) / _HOUR_MS
    return gap_h if gap_h in _INTERVALS_H else instrument.funding_interval_h


def mark_and_rate(
    instrument: Instrument, row: PremiumIndexRow, ts_recv: int
) -> list[MarkPrice | FundingRate]:
    if not row.markPrice:
        return []
    mult, ts_event = instrument.price_mult, row.time * NS_PER_MS
    index = row.indexPrice / mult if row.indexPrice else None
    events: list[MarkPrice | FundingRate] = [
        MarkPrice(instrument, ts_event, ts_recv, row.markPrice / mult, index)
    ]
    if row.lastFundingRate and row.nextFundingTime:
        events.append(
            FundingRate(
                instrument,
                ts_event,
                ts_recv,
                FundingKind.PREDICTED,
                rate_from(row.lastFundingRate),
                row.lastFundingRate,
                instrument.funding_interval_h,
                row.nextFundingTime * NS_PER_MS,
            )
        )
    return events


def open_interest_now(instrument: Instrument, row: OpenInterestRow, ts_recv: int) -> OpenInterest:
    base = row.openInterest * instrument.price_mult
    ts_event = row.time * NS_PER_MS
    return OpenInterest(instrument, ts_event, ts_recv, row.openInterest, base, None)


def open_interest_then(
    instrument: Instrument, row: OpenInterestHistRow, ts_recv: int
) -> OpenInterest:
    base = row.sumOpenInterest * instrument.price_mult
    return OpenInterest(
        instrument,
        row.timestamp * NS_PER_MS,
        ts_recv,
        row.sumOpenInterest,
        base,
        row.sumOpenInterestValue,
    )


def candle(
    instrument: Instrument, row: KlineRow, interval_s: int, now_ms: int, ts_recv: int
) -> Candle:
    mult = instrument.price_mult
    return Candle(
        instrument,
        row.close_time * NS_PER_MS,
        ts_recv,
        interval_s,
        row.open_time * NS_PER_MS,
        row.open / mult,
        row.high / mult,
        row.low / mult,
        row.close / mult,
        volume_base=row.volume * mult,
        volume_usd=row.quote_volume,
        buy_base=row.taker_buy_base * mult,
        buy_usd=row.taker_buy_quote,
        trades=row.trades,
        is_closed=row.close_time < now_ms,
    )


def long_share(
    instrument: Instrument,
    series: str,
    row: LongShortRow | TakerRow,
    period_s: int,
    ts_recv: int,
) -> PositioningRatio | None:
    """The share of longs; None when takers did not trade."""
    if isinstance(row, TakerRow):
        total = row.buyVol + row.sellVol
        if not total:
            return None
        share = row.buyVol / total
    else:
        share = row.longAccount
    return PositioningRatio(instrument, row.timestamp * NS_PER_MS, ts_recv, series, share, period_s)
