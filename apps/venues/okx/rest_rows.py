"""Rows of OKX's REST answers, and their events. Pure.

Lists come newest first. A row that does not fit its struct is left out and counted, so that one bad row
does not cost a page. Rows that the stream has too are in :mod:`.wire`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from apps.marketdata.columns import Columns
from apps.marketdata.events import (
    BookSnapshot,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument
from apps.venues import settlements
from apps.venues.okx import units
from apps.venues.okx.convert import (
    INTERVALS_H,
    NS_PER_MS,
    number,
)
from apps.venues.okx.wire import BookRow, MarkPriceRow, Ms, Price, Qty, Volume
from apps.venues.settlements import MINUTE_MS
from apps.venues.shares import bought, shares_of


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


def settled_rates(
    instrument: Instrument, found: Sequence[FundingHistoryRow], ts_recv: int
) -> list[FundingRate]:
    """See :func:`apps.venues.settlements.settled_rates`."""
    return settlements.settled_rates(
        instrument,
        {row.fundingTime - row.fundingTime % MINUTE_MS: row.realizedRate for row in found},
        lambda raw: number(raw, "realizedRate"),
        ts_recv,
        intervals_h=INTERVALS_H,
        usual_h=instrument.funding_interval_h,
    )


def open_interest_then(
    instrument: Instrument, rows: Sequence[OpenInterestHistoryRow], ts_recv: int
) -> Columns[OpenInterest]:
    found = Columns.of(OpenInterestHistoryRow, rows)
    return Columns(
        OpenInterest,
        len(found),
        {
            "instrument": instrument,
            "ts_event": found.array("ts", np.int64) * NS_PER_MS,
            "ts_recv": ts_recv,
            "oi_contracts": found.array("contracts"),
            "oi_base": found.array("coins"),
            "oi_usd": found.array("usd"),
        },
    )


def long_shares(
    instrument: Instrument,
    series: str,
    rows: Sequence[RatioRow] | Sequence[TakerRow],
    period_s: int,
    ts_recv: int,
) -> Columns[PositioningRatio]:
    """The shares of longs (of buying takers); none where takers did not trade."""
    found: Columns[Any] = Columns.of(TakerRow if series == "taker" else RatioRow, rows)
    if series == "taker":
        shares = bought(found.array("buy"), found.array("sell"))
    else:
        ratios = found.array("ratio")
        shares = ratios / (1.0 + ratios)
    return shares_of(instrument, series, found.array("ts", np.int64), shares, period_s, ts_recv)


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
