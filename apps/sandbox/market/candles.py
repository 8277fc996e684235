"""Candles of any interval from minute bars."""

from __future__ import annotations

from typing import Final

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, floats
from apps.sandbox.market.protocol import MINUTE_MS, Market, MinuteBars, Tape

_EXACT_MINUTES: Final = 240
_WEEK_OFFSET_MINUTES: Final = 4 * 1_440
INTERVAL_MINUTES: Final[dict[str, int]] = {
    "1m": 1,
    "3m": 3,
    "5m": 5,
    "15m": 15,
    "30m": 30,
    "1h": 60,
    "2h": 120,
    "4h": 240,
    "6h": 360,
    "8h": 480,
    "12h": 720,
    "1d": 1_440,
    "3d": 4_320,
    "1w": 10_080,
}


def floor_minute(minute: int, span: int) -> int:
    """Start of the candle that a minute is in; weeks start on Monday (the epoch was a Thursday)."""
    offset = _WEEK_OFFSET_MINUTES if span == INTERVAL_MINUTES["1w"] else 0
    return (minute - offset) // span * span + offset


def aggregate(bars: MinuteBars, span: int) -> tuple[IntArray, MinuteBars]:
    """Candles of ``span`` minutes (the last may be unfinished) and the minute each starts at.

    ``bars`` must start on a candle's boundary.
    """
    starts = np.arange(0, len(bars), span, dtype=np.int64)
    last = np.minimum(starts + span, len(bars)) - 1
    return bars.first_minute + starts, MinuteBars(
        bars.first_minute,
        bars.open[starts],
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        bars.close[last],
        np.add.reduceat(bars.volume, starts),
        np.add.reduceat(bars.buy_volume, starts),
        np.add.reduceat(bars.quote, starts),
        np.add.reduceat(bars.buy_quote, starts),
        np.add.reduceat(bars.trades, starts),
        bars.first_trade_id[starts],
    )


def bar_of_trades(listing: Listing, tape: Tape, until_ms: int) -> tuple[float, ...] | None:
    """(o, h, l, c, volume, buy volume, quote, buy quote, trades) of trades up to ``until_ms``."""
    count = int(np.searchsorted(tape.time_ms, until_ms, side="right"))
    if not count:
        return None
    price, lots, buy = tape.price[:count], tape.lots[:count], tape.is_buy[:count]
    unit = listing.tick * listing.lot
    amount = price * lots
    return (
        int(price[0]),
        int(price.max()),
        int(price.min()),
        int(price[-1]),
        int(lots.sum()),
        int((lots * buy).sum()),
        float(int(amount.sum()) * unit),
        float(int((amount * buy).sum()) * unit),
        count,
    )


def _writable(bars: MinuteBars) -> tuple[IntArray | FloatArray, ...]:
    """Copies of the columns that trades can change, in the order of ``bar_of_trades``."""
    return tuple(
        column.copy()
        for column in (
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            bars.volume,
            bars.buy_volume,
            bars.quote,
            bars.buy_quote,
            bars.trades,
        )
    )


def bars_until(
    market: Market, listing: Listing, first: int, last: int, now_ms: int, exact_from: int
) -> MinuteBars:
    """Minute bars first … last as far as ``now_ms``: the minute in the making holds its trades so far.

    Minutes from ``exact_from`` on (but at most the last four hours) take their quote amounts from the
    trades themselves; everything else in a bar is the same either way.
    """
    current = now_ms // MINUTE_MS
    bars = market.minute_bars(listing, first, min(last, current))
    begin = max(exact_from, bars.first_minute, current - _EXACT_MINUTES)
    if begin >= bars.first_minute + len(bars):
        return bars
    columns = _writable(bars)
    keep = len(bars)
    for minute in range(begin, bars.first_minute + len(bars)):
        made = bar_of_trades(listing, market.tape(listing, minute), now_ms)
        at = minute - bars.first_minute
        if made is None:
            keep = at
            break
        for column, value in zip(columns, made, strict=True):
            column[at] = value
    open_, high, low, close, volume, buy, trades = (
        columns[at][:keep].astype(np.int64) for at in (0, 1, 2, 3, 4, 5, 8)
    )
    quote, buy_quote = (floats(columns[at][:keep]) for at in (6, 7))
    ids = bars.first_trade_id[:keep]
    return MinuteBars(
        bars.first_minute, open_, high, low, close, volume, buy, quote, buy_quote, trades, ids
    )
