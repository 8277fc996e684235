"""Candles by interval: each venue's, and one over the venues."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from apps.core.clock import iso_utc
from apps.core.jsonout import PlainNumbers, are_plain
from apps.marketdata.coverage import bar_slots
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.selectors import InstrumentRow
from apps.markets.engines.ohlcv import Candles, FloatArray, origin_ms, over_venues
from apps.markets.engines.volume_flow import BASE_DECIMALS, USD_DECIMALS
from apps.markets.history import Page, Row, listings, plan_slots
from apps.markets.ohlcv_bars import lengths_of, stored_candles
from apps.markets.queries import HistoryQuery, Intervals

INTERVALS: Final = Intervals(
    {
        "1m": 60,
        "5m": 300,
        "15m": 900,
        "30m": 1800,
        "1h": 3600,
        "4h": 14_400,
        "1d": 86_400,
        "1w": 604_800,
    },
    "1h",
)
METHOD: Final = ("ohlcv", "1")
KINDS: Final = (InstrumentKind.PERP.value, InstrumentKind.SPOT.value)

# A minute's bar is stored a few seconds after the minute is over.
_CLOSING_MS: Final = 10_000
# Beyond any tick size: takes off what a weighted mean adds to the venues' own digits.
_SIGNIFICANT: Final = 12
# Up to here one by one is quicker than all at once.
_FEW: Final = 16
# Exact doubles up to here, so that dividing by one rounds to the nearest decimal.
_POWERS: Final = np.array([float(10**power) for power in range(23)])


def ohlcv_page(query: HistoryQuery, now_ms: int) -> Page:
    """The page of candles that ``query`` asks for; ``now_ms`` decides which one is still open."""
    rows = listings(query.asset, query.selection.venues, InstrumentKind(query.kind or KINDS[0]))
    ids = [one.id for one in rows]
    lengths = lengths_of(query.interval_ms)
    as_of_ms = query.selection.as_of_ms
    moment = now_ms if as_of_ms is None else as_of_ms
    origin = origin_ms(query.interval_ms)

    def find(start_ms: int, end_ms: int) -> list[int]:
        return bar_slots(
            ids, lengths, query.interval_ms, start_ms, end_ms, as_of_ms, origin_ms=origin
        )

    slots, cursor = plan_slots(query, find, origin)
    venues = tuple(one.instrument.venue for one in rows)
    return Page(slots, cursor, lambda block: _rows(query, rows, block, moment), venues)


def _rows(
    query: HistoryQuery, listed: Sequence[InstrumentRow], block: Sequence[int], moment: int
) -> list[Row]:
    found = stored_candles(
        [one.id for one in listed],
        query.interval_ms,
        block[0],
        block[-1] + query.interval_ms,
        query.selection.as_of_ms,
    )
    venues = [one.instrument.venue for one in listed]
    by_slot: dict[int, dict[str, Row]] = {slot: {} for slot in block}
    for series, slot, candle in zip(
        found.series.tolist(), found.open_ms.tolist(), numbers_of(found), strict=True
    ):
        # A bar stored since the page was planned belongs to no row of it.
        if slot in by_slot:
            by_slot[slot][venues[series]] = candle
    total = over_venues(found)
    means = dict(zip(total.open_ms.tolist(), numbers_of(total), strict=True))
    rows = (
        _row(query, slot, detail, means[slot], moment) for slot, detail in by_slot.items() if detail
    )
    # Thousands of numbers are looked at here at once, or by the encoder one by one.
    return [PlainNumbers(row) for row in rows] if _are_plain(found, total) else list(rows)


def _are_plain(*parts: Candles) -> bool:
    return all(
        are_plain(one.open, one.high, one.low, one.close, one.volume_base, one.volume_usd)
        for one in parts
    )


def _row(query: HistoryQuery, slot: int, detail: dict[str, Row], mean: Row, moment: int) -> Row:
    """An ``OhlcvHistoryRow`` of ``Candle`` in their order of fields, without making one of each: a page has
    tens of thousands."""
    # Candles come series after series, which is the order of the listings.
    more: Row = {"aggregate": mean} if query.selection.with_aggregate else {}
    return {
        "ts": iso_utc(slot),
        "kind": query.kind or KINDS[0],
        "closed": slot + query.interval_ms + _CLOSING_MS <= moment,
        **more,
        "venues": {name: one["close"] for name, one in detail.items()},
        "venues_detail": detail,
    }


def numbers_of(candles: Candles) -> list[dict[str, Any]]:
    """The fields of each candle as plain numbers."""
    prices = (candles.open, candles.high, candles.low, candles.close)
    columns = zip(
        *(_plain_prices(one) for one in prices),
        np.round(candles.volume_base, BASE_DECIMALS).tolist(),
        np.round(candles.volume_usd, USD_DECIMALS).tolist(),
        candles.trades.tolist(),
        candles.is_partial.tolist(),
        strict=True,
    )
    return [_numbers(*one) for one in columns]


def _numbers(
    open_: float,
    high: float,
    low: float,
    close: float,
    volume_base: float,
    volume_usd: float,
    trades: float,
    is_partial: bool,
) -> dict[str, Any]:
    is_counted = not math.isnan(trades)
    numbers: dict[str, Any] = {
        "open": open_,
        "high": high,
        "low": low,
        "close": close,
        "volume_base": volume_base,
        "volume_usd": volume_usd,
        "trades": int(trades) if is_counted else None,
        "complete": not is_partial,
    }
    if not is_counted:
        numbers["null_reason"] = "no_data"
    return numbers


def _plain_prices(values: FloatArray) -> list[float]:
    if values.size > _FEW:
        found: list[float] = significant(values).tolist()
        return found
    return [float(f"{value:.{_SIGNIFICANT}g}") for value in values.tolist()]


def significant(values: FloatArray) -> FloatArray:
    """Rounded to significant digits, not decimals: coins cost from 1e-8 to 1e5. Positive values only."""
    exponent = _SIGNIFICANT - 1 - np.floor(np.log10(values)).astype(np.int64)
    scale = _POWERS[np.clip(exponent, 0, len(_POWERS) - 1)]
    rounded: FloatArray = np.rint(values * scale) / scale
    return rounded


def csv_records(asset: str, row: Row) -> list[dict[str, Any]]:
    """One line per candle: the aggregate's, then the venues'."""
    base = {"asset": asset, "ts": row["ts"], "closed": row["closed"], "kind": row["kind"]}
    scopes = {"aggregate": row["aggregate"]} if "aggregate" in row else {}
    scopes |= row["venues_detail"]
    return [{**base, "venue": name, **block} for name, block in scopes.items()]
