"""Rows of OKX as events, shared by the stream and REST. Pure.

Raises :class:`UnknownValue` and :class:`BadValue` for rows that must not become events.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from apps.marketdata.events import (
    BestQuote,
    Candle,
    Event,
    FundingKind,
    FundingRate,
    Liquidation,
    OpenInterest,
    PositionSide,
    Quality,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.okx import units, wire
from apps.venues.values import BadValue, UnknownValue

VENUE: Final = "okx"
NS_PER_MS: Final = 1_000_000
HOUR_MS: Final = 3_600_000
INTERVALS_H: Final = frozenset({1.0, 2.0, 4.0, 6.0, 8.0})
_LIQUIDATED: Final = {
    ("long", "sell"): PositionSide.LONG,
    ("long", "buy"): PositionSide.LONG,
    ("short", "buy"): PositionSide.SHORT,
    ("short", "sell"): PositionSide.SHORT,
    # One-way positions say only which way the closing order went.
    ("net", "sell"): PositionSide.LONG,
    ("net", "buy"): PositionSide.SHORT,
}


def number(text: str, what: str) -> float:
    """A finite number; raises :class:`BadValue`."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise BadValue(f"{what} {text[:20]!r}")
    return value


def time_ms(text: str, what: str) -> int:
    """Milliseconds from a field that may be empty (0); raises :class:`BadValue`."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 13):
        raise BadValue(f"{what} {text[:20]!r}")
    return min(int(text), 9_000_000_000_000)


def open_interest(instrument: Instrument, row: wire.OpenInterestRow, ts_recv: int) -> OpenInterest:
    if row.oiUsd:
        usd: float | None = number(row.oiUsd, "oiUsd")
    else:
        usd = row.oi * instrument.contract_size if instrument.is_inverse else None
    if usd is not None and usd < 0:
        raise BadValue(f"oiUsd {row.oiUsd[:20]!r}")
    return OpenInterest(instrument, row.ts * NS_PER_MS, ts_recv, row.oi, row.oiCcy, usd)


def interval_h(row: wire.FundingRateRow) -> float | None:
    """Hours between the coming settlement and the one after it; None when the row does not say."""
    following = time_ms(row.nextFundingTime, "nextFundingTime")
    hours = (following - row.fundingTime) / HOUR_MS
    return hours if hours in INTERVALS_H else None


def funding_rates(
    instrument: Instrument, row: wire.FundingRateRow, ts_recv: int
) -> list[FundingRate]:
    """The forecast, and the rate settled last where the venue says when that was."""
    ts_event = ts_recv if row.ts is None else row.ts * NS_PER_MS
    rates = []
    if row.fundingRate:
        rates.append(
            FundingRate(
                instrument,
                ts_event,
                ts_recv,
                FundingKind.PREDICTED,
                number(row.fundingRate, "fundingRate"),
                row.fundingRate,
                interval_h(row),
                row.fundingTime * NS_PER_MS,
            )
        )
    settled_ms = time_ms(row.prevFundingTime, "prevFundingTime")
    if settled_ms and row.settFundingRate and row.settState == "settled":
        rates.append(
            FundingRate(
                instrument,
                ts_event,
                ts_recv,
                FundingKind.SETTLED,
                number(row.settFundingRate, "settFundingRate"),
                row.settFundingRate,
                # Its own interval ended before: what follows it may differ.
                None,
                settled_ms * NS_PER_MS,
            )
        )
    return rates


def candle(instrument: Instrument, row: wire.CandleRow, interval_s: int, ts_recv: int) -> Candle:
    if row.confirm not in ("0", "1"):
        raise UnknownValue(f"confirm={row.confirm[:20]}")
    is_closed = row.confirm == "1"
    if instrument.kind is InstrumentKind.SPOT:
        base, usd = row.vol, row.volCcyQuote
    elif instrument.is_inverse:
        base, usd = row.volCcy, row.vol * instrument.contract_size
    else:
        base, usd = row.volCcy, row.volCcyQuote
    close_ts = (row.ts + interval_s * 1000) * NS_PER_MS
    return Candle(
        instrument,
        close_ts if is_closed else min(close_ts, max(ts_recv, row.ts * NS_PER_MS)),
        ts_recv,
        interval_s,
        row.ts * NS_PER_MS,
        row.open,
        row.high,
        row.low,
        row.close,
        volume_base=base,
        volume_usd=usd,
        buy_base=None,
        buy_usd=None,
        trades=None,
        is_closed=is_closed,
    )


def best_quote(
    instrument: Instrument, row: wire.BookRow, ts_event: int, ts_recv: int
) -> list[Event]:
    """``bbo-tbt`` and ``books5``: whole each time. A side may be empty: no quote then."""
    if not (row.bids and row.asks):
        return []
    (bid, bid_qty), (ask, ask_qty) = (
        units.levels(instrument, side[:1])[0] for side in (row.bids, row.asks)
    )
    return [BestQuote(instrument, ts_event, ts_recv, bid, bid_qty, ask, ask_qty)]


def liquidation(
    instrument: Instrument, detail: wire.LiquidationDetail, ts_recv: int, at: int
) -> Liquidation:
    side = _LIQUIDATED.get((detail.posSide, detail.side))
    if side is None:
        raise UnknownValue(f"posSide={detail.posSide[:20]} side={detail.side[:20]}")
    what = f"{detail.posSide}:{detail.side}:{detail.sz!r}:{detail.bkPx!r}"
    return Liquidation(
        instrument,
        detail.ts * NS_PER_MS,
        ts_recv,
        side,
        price=detail.bkPx,
        qty_base=units.base_qty(instrument, detail.sz, detail.bkPx),
        notional_usd=units.notional_usd(instrument, detail.sz, detail.bkPx),
        quality=Quality.PARTIAL,
        event_id=f"{instrument.symbol}:{detail.ts}:{what}:{at}",
    )
