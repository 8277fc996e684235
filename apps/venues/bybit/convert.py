"""Rows of Bybit as events, shared by the stream and REST. Pure.

Raises :class:`UnknownValue` and :class:`BadValue` for rows that must not become events. Prices are divided
and sizes multiplied by the instrument's ``price_mult`` (1000PEPE is 1000 PEPE).
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from apps.marketdata.events import (
    Candle,
    FundingKind,
    FundingRate,
    Levels,
    Liquidation,
    PositionSide,
    Quality,
    Side,
    Trade,
)
from apps.marketdata.instruments import Instrument
from apps.venues.bybit import wire
from apps.venues.values import BadValue, UnknownValue

VENUE: Final = "bybit"
NS_PER_MS: Final = 1_000_000
_SIDES: Final = {"Buy": Side.BUY, "Sell": Side.SELL}
# The position's own side, spelled as the order that opened it.
_LIQUIDATED: Final = {"Buy": PositionSide.LONG, "Sell": PositionSide.SHORT}


def number(text: str, what: str, *, signed: bool = False, most: float = 1e24) -> float:
    """A finite number, not negative unless ``signed``; raises :class:`BadValue`."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or abs(value) > most or (value < 0 and not signed):
        raise BadValue(f"{what} {text[:20]!r}")
    return value


def price(text: str, what: str) -> float | None:
    """None for a price that is not there: empty or zero."""
    return number(text, what, most=1e15) or None if text else None


def time_ms(text: str, what: str) -> int:
    """Milliseconds from a field that may be empty (0); raises :class:`BadValue`."""
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 13):
        raise BadValue(f"{what} {text[:20]!r}")
    return min(int(text), 9_000_000_000_000)


def levels(instrument: Instrument, found: list[wire.Level]) -> Levels:
    """The decoder made pairs of floats already: most listings need nothing more."""
    mult = instrument.price_mult
    if mult == 1.0:
        return found
    return [(price / mult, size * mult) for price, size in found]


def trade(instrument: Instrument, row: wire.TradeRow, ts_recv: int) -> Trade:
    side = _SIDES.get(row.S)
    if side is None:
        raise UnknownValue(f"S={row.S[:20]}")
    mult = instrument.price_mult
    return Trade(
        instrument,
        row.T * NS_PER_MS,
        ts_recv,
        row.p / mult,
        row.v * mult,
        side,
        row.i,
        row.BT,
    )


def liquidation(
    instrument: Instrument, row: wire.LiquidationRow, ts_recv: int, at: int, quality: Quality
) -> Liquidation:
    """``at``: the row's place in its frame; equal orders of one moment are told apart by it."""
    side = _LIQUIDATED.get(row.S)
    if side is None:
        raise UnknownValue(f"S={row.S[:20]}")
    mult = instrument.price_mult
    return Liquidation(
        instrument,
        row.T * NS_PER_MS,
        ts_recv,
        side,
        price=row.p / mult,
        qty_base=row.v * mult,
        notional_usd=row.v * row.p,
        quality=quality,
        event_id=f"{instrument.symbol}:{row.T}:{row.S}:{row.v!r}:{row.p!r}:{at}",
    )


def candle(instrument: Instrument, row: wire.CandleRow, interval_s: int, ts_recv: int) -> Candle:
    close_ms = row.start + interval_s * 1000
    mult = instrument.price_mult
    return Candle(
        instrument,
        (close_ms if row.confirm else min(row.timestamp, close_ms)) * NS_PER_MS,
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
        is_closed=row.confirm,
    )


def predicted(
    instrument: Instrument,
    ts_event: int,
    ts_recv: int,
    rate_raw: str,
    interval_h: float | None,
    next_ms: int,
) -> FundingRate:
    rate = number(rate_raw, "fundingRate", signed=True)
    return FundingRate(
        instrument,
        ts_event,
        ts_recv,
        FundingKind.PREDICTED,
        rate,
        rate_raw,
        interval_h,
        next_ms * NS_PER_MS,
    )
