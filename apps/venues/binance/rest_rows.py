"""Rows of Binance's REST answers, and their events. Pure.

A row that does not fit its struct raises ``msgspec.ValidationError``; :func:`rows` leaves it out and
counts it, so that one bad row does not cost a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta, Struct

from apps.marketdata.columns import Columns
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
from apps.venues.shares import bought, shares_of

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
    instrument: Instrument, rows: Sequence[OpenInterestHistRow], ts_recv: int
) -> Columns[OpenInterest]:
    found = Columns.of(OpenInterestHistRow, rows)
    contracts = found.array("sumOpenInterest")
    return Columns(
        OpenInterest,
        len(found),
        {
            "instrument": instrument,
            "ts_event": found.array("timestamp", np.int64) * NS_PER_MS,
            "ts_recv": ts_recv,
            "oi_contracts": contracts,
            "oi_base": contracts * instrument.price_mult,
            "oi_usd": found.array("sumOpenInterestValue"),
        },
    )


def candles(
    instrument: Instrument, rows: Sequence[KlineRow], interval_s: int, now_ms: int, ts_recv: int
) -> Columns[Candle]:
    found, mult = Columns.of(KlineRow, rows), instrument.price_mult
    close_ms = found.array("close_time", np.int64)
    return Columns(
        Candle,
        len(found),
        {
            "instrument": instrument,
            "ts_event": close_ms * NS_PER_MS,
            "ts_recv": ts_recv,
            "interval_s": interval_s,
            "open_ts": found.array("open_time", np.int64) * NS_PER_MS,
            **{name: found.array(name) / mult for name in ("open", "high", "low", "close")},
            "volume_base": found.array("volume") * mult,
            "volume_usd": found.array("quote_volume"),
            "buy_base": found.array("taker_buy_base") * mult,
            "buy_usd": found.array("taker_buy_quote"),
            "trades": found.array("trades", np.int64),
            "is_closed": close_ms < now_ms,
        },
    )


def long_shares(
    instrument: Instrument,
    series: str,
    rows: Sequence[LongShortRow] | Sequence[TakerRow],
    period_s: int,
    ts_recv: int,
) -> Columns[PositioningRatio]:
    """The shares of longs; none where takers did not trade."""
    found: Columns[Any] = Columns.of(TakerRow if series == "taker" else LongShortRow, rows)
    if series == "taker":
        shares = bought(found.array("buyVol"), found.array("sellVol"))
    else:
        shares = found.array("longAccount")
    times = found.array("timestamp", np.int64)
    return shares_of(instrument, series, times, shares, period_s, ts_recv)
