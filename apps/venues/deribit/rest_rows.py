"""Rows of Deribit's REST answers, and their events. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from apps.marketdata.events import (
    Candle,
    FundingKind,
    FundingRate,
    MarkPrice,
    OpenInterest,
    OptionQuote,
    VolatilityIndex,
)
from apps.marketdata.instruments import Instrument
from apps.venues.deribit import convert, wire
from apps.venues.deribit.convert import NS_PER_MS, VENUE
from apps.venues.errors import VenueBadAnswer
from apps.venues.values import BadValue


class FundingRow(Struct, gc=False):
    """Hourly: ``interest_1h`` is that hour's rate; ``interest_8h`` the last eight hours', overlapping."""

    timestamp: wire.Ms
    interest_1h: msgspec.Raw


class SummaryRow(Struct, gc=False):
    """``get_book_summary_by_currency``: options have ``mark_iv`` (percent) and the underlying, futures
    ``current_funding`` (perpetuals only). Neither has greeks."""

    instrument_name: wire.Name
    creation_timestamp: wire.Ms
    mark_price: wire.AnyPrice
    open_interest: wire.Amount
    bid_price: wire.AnyPrice | None = None
    ask_price: wire.AnyPrice | None = None
    volume: wire.AnyPrice | None = None
    mark_iv: wire.AnyPrice | None = None
    underlying_price: wire.AnyPrice | None = None
    underlying_index: str = ""
    interest_rate: wire.AnyPrice | None = None
    estimated_delivery_price: wire.AnyPrice | None = None
    current_funding: msgspec.Raw = wire.ABSENT


class ChartData(Struct, gc=False):
    """``get_tradingview_chart_data``: columns; ``volume`` in coins, ``cost`` in USD."""

    status: str
    ticks: list[wire.Ms] = []
    open: list[wire.Price] = []
    high: list[wire.Price] = []
    low: list[wire.Price] = []
    close: list[wire.Price] = []
    volume: list[wire.Amount] = []
    cost: list[wire.Amount] = []


class TradesPage(Struct, gc=False):
    trades: list[wire.Trade]
    has_more: bool = False


class DvolPage(Struct, gc=False):
    """Rows of time, open, high, low, close (percent), oldest first. ``continuation`` is the end of the
    page before it, null when there is none."""

    data: list[tuple[wire.Ms, wire.Price, wire.Price, wire.Price, wire.Price]]
    continuation: Annotated[int, Meta(ge=0)] | None = None


class IndexAnswer(Struct, gc=False):
    index_price: wire.Price


def settled_rates(
    instrument: Instrument, rows: Iterable[FundingRow], ts_recv: int
) -> list[FundingRate]:
    """One rate per hour, oldest first; rows that two pages share count once."""
    by_time = {row.timestamp: row for row in rows}
    return [_settled(instrument, by_time[at], ts_recv) for at in sorted(by_time)]


def _settled(instrument: Instrument, row: FundingRow, ts_recv: int) -> FundingRate:
    text = convert.raw_text(row.interest_1h)
    ts = row.timestamp * NS_PER_MS
    return FundingRate(
        instrument,
        ts,
        ts_recv,
        FundingKind.SETTLED,
        rate=convert.rate_from(text),
        rate_raw=text,
        interval_h=convert.HISTORY_HOURS,
        funding_ts=ts,
    )


def summary_mark(
    instrument: Instrument, row: SummaryRow, ts_recv: int
) -> list[MarkPrice | FundingRate]:
    """Mark, index and running funding of a perpetual."""
    if row.mark_price <= 0:
        return []
    ts = row.creation_timestamp * NS_PER_MS
    # A perpetual's estimated delivery price is its index; a dated one's becomes a mean before delivery.
    is_perp = instrument.expiry_ms is None
    index = convert.positive(row.estimated_delivery_price) if is_perp else None
    events: list[MarkPrice | FundingRate] = [
        MarkPrice(instrument, ts, ts_recv, row.mark_price, index)
    ]
    text = convert.raw_text(row.current_funding)
    if text:
        events.append(convert.predicted(instrument, text, ts, ts_recv))
    return events


def summary_interest(instrument: Instrument, row: SummaryRow, ts_recv: int) -> OpenInterest | None:
    if row.mark_price <= 0:
        return None
    ts = row.creation_timestamp * NS_PER_MS
    return convert.open_interest(instrument, row.open_interest, row.mark_price, ts, ts_recv)


def summary_quote(instrument: Instrument, row: SummaryRow, ts_recv: int) -> OptionQuote:
    """One option of a chain. Its greeks have to be computed from ``mark_iv``."""
    if row.mark_price < 0:
        raise BadValue(f"mark price {row.mark_price!r}")
    return OptionQuote(
        instrument,
        row.creation_timestamp * NS_PER_MS,
        ts_recv,
        mark_price=row.mark_price,
        mark_iv=convert.fraction(row.mark_iv),
        bid_price=convert.positive(row.bid_price),
        ask_price=convert.positive(row.ask_price),
        bid_iv=None,
        ask_iv=None,
        underlying_price=convert.positive(row.underlying_price),
        underlying_index=row.underlying_index[:80],
        oi_base=row.open_interest,
        volume_24h_base=max(row.volume, 0.0) if row.volume is not None else None,
        interest_rate=row.interest_rate,
    )


def candles(
    instrument: Instrument, data: ChartData, interval_s: int, now_ms: int, ts_recv: int
) -> list[Candle]:
    columns = (data.ticks, data.open, data.high, data.low, data.close, data.volume, data.cost)
    if len({len(column) for column in columns}) > 1:
        raise VenueBadAnswer(VENUE, "chart data: columns of different lengths")
    return [
        Candle(
            instrument,
            at * NS_PER_MS,
            ts_recv,
            interval_s,
            at * NS_PER_MS,
            open_,
            high,
            low,
            close,
            volume_base=volume,
            volume_usd=cost,
            buy_base=None,
            buy_usd=None,
            trades=None,
            is_closed=at + interval_s * 1000 <= now_ms,
        )
        for at, open_, high, low, close, volume, cost in zip(*columns, strict=True)
    ]


def volatility_indices(
    asset: str, index_name: str, page: DvolPage, ts_recv: int
) -> list[VolatilityIndex]:
    """The closes; the last one's period may not be over."""
    return [
        VolatilityIndex(VENUE, asset, index_name, at * NS_PER_MS, ts_recv, close / 100.0)
        for at, _, _, _, close in page.data
    ]
