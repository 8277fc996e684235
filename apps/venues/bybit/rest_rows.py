"""Rows of Bybit's REST answers, and their events. Pure.

Lists come newest first. A row that does not fit its struct is left out and counted, so that one bad row
does not cost a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    FundingKind,
    FundingRate,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument
from apps.venues.base import VenueBadAnswer
from apps.venues.bybit import convert, tickers
from apps.venues.bybit.convert import NS_PER_MS, VENUE, BadValue
from apps.venues.bybit.wire import INTERVAL_S, Level, Ms, Price, Seq, Volume

Row = TypeVar("Row", bound=Struct)
_HOUR_MS: Final = 3_600_000
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


def named(names: dict[int, str], seconds: int) -> str:
    """The venue's word for an interval."""
    try:
        return names[seconds]
    except KeyError:
        expected = ", ".join(str(known) for known in names)
        raise ValueError(f"expected an interval of {expected} s, received {seconds}") from None


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
    by_time = {row.fundingRateTimestamp: row.fundingRate for row in found}
    times = sorted(by_time)
    events = []
    for index, at_ms in enumerate(times):
        raw = by_time[at_ms]
        try:
            rate = convert.number(raw, "fundingRate", signed=True)
        except BadValue:
            continue
        settled_ns = at_ms * NS_PER_MS
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
    gap_h = (times[later] - times[later - 1]) / _HOUR_MS
    return gap_h if gap_h in (1.0, 2.0, 4.0, 8.0) else instrument.funding_interval_h


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


def long_share(
    instrument: Instrument, row: RatioRow, period_s: int, ts_recv: int
) -> PositioningRatio:
    ts_event = row.timestamp * NS_PER_MS
    return PositioningRatio(instrument, ts_event, ts_recv, "accounts", row.buyRatio, period_s)


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
