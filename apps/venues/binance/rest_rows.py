"""Rows of Binance's REST answers, and their events. Pure.

A row that does not fit its struct raises ``msgspec.ValidationError``; :func:`rows` leaves it out and
counts it, so that one bad row does not cost a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

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
from apps.venues import settlements
from apps.venues.binance.parse import NS_PER_MS, rate_from
from apps.venues.binance.wire import Ms, Price, PriceOrZero, Qty, Seq, Volume
from apps.venues.settlements import MINUTE_MS

_INTERVALS_H: Final = frozenset({1.0, 2.0, 4.0, 6.0, 8.0})
Share = Annotated[float, Meta(ge=0, le=1)]


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


def settled_rates(
    instrument: Instrument, page: Sequence[FundingRow], ts_recv: int
) -> list[FundingRate]:
    """See :func:`apps.venues.settlements.settled_rates`."""
    # Settlements are stamped up to some 50 ms late; the minute is the settlement.
    raw_by_ms = {
        row.fundingTime - row.fundingTime % MINUTE_MS: row.fundingRate
        for row in page
        if row.rateType != "Special"
    }
    usual_h = instrument.funding_interval_h
    return settlements.settled_rates(
        instrument, raw_by_ms, rate_from, ts_recv, intervals_h=_INTERVALS_H, usual_h=usual_h
    )


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
