"""History from the market model, newest first as the venue answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from apps.sandbox.faces.bybit.frames import trimmed
from apps.sandbox.faces.tables import Fixed, Table, Whole
from apps.sandbox.market.candles import aggregate, bars_until
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray
from apps.sandbox.market.protocol import MINUTE_MS, Market

LISTED_MS: Final = 1_704_067_200_000
"""2024-01-01: nothing is older."""
INTERVALS: Final[dict[str, int]] = {
    "1": 1, "3": 3, "5": 5, "15": 15, "30": 30, "60": 60, "120": 120, "240": 240, "360": 360,
    "720": 720, "D": 1_440,
}  # fmt: skip
PERIODS: Final[dict[str, int]] = {
    "5min": 5, "15min": 15, "30min": 30, "1h": 60, "4h": 240, "1d": 1_440,
}  # fmt: skip


class Span(NamedTuple):
    """Rows with ``start`` ≤ time ≤ ``end`` (ms, None: open), at most ``limit``, the newest ones."""

    start: int | None
    end: int | None
    limit: int


def grid(minutes: int, span: Span, now_ms: int) -> tuple[int, int] | None:
    """(first, last) starting minutes of the rows of a page."""
    newest = now_ms if span.end is None else min(now_ms, span.end)
    last = newest // MINUTE_MS // minutes * minutes
    first = last - (span.limit - 1) * minutes
    oldest = max(LISTED_MS, span.start or 0)
    first = max(first, -(-oldest // MINUTE_MS // minutes) * minutes)
    return None if last < first else (first, last)


def candles(
    market: Market, listing: Listing, minutes: int, span: Span, now_ms: int, started_ms: int
) -> Sequence[list[str]]:
    """``[start, o, h, l, c, coins, turnover]``; the newest may be in the making."""
    wanted = grid(minutes, span, now_ms)
    if wanted is None:
        return []
    first, last = wanted
    made = bars_until(
        market, listing, first, last + minutes - 1, now_ms, exact_from=started_ms // MINUTE_MS
    )
    if not len(made):
        return []
    starts, bars = aggregate(made, minutes)
    prices = (
        Fixed(ticks * listing.tick, listing.price_decimals)
        for ticks in (bars.open, bars.high, bars.low, bars.close)
    )
    volumes = Fixed(bars.volume * listing.lot, listing.lot_decimals)
    quotes = Fixed(bars.quote, 4, trimmed=True)
    begins = Whole(starts * MINUTE_MS, quoted=True)
    return Table(len(starts), (begins, *prices, volumes, quotes))[::-1]


def price_path(market: Market, listing: Listing, series: str, minutes: IntArray) -> FloatArray:
    premium = market.premium_path(listing, minutes)
    if series == "premium":
        return premium
    index = market.index_path(listing, minutes)
    return index if series == "index" else index * (1.0 + premium)


def price_candles(
    market: Market, listing: Listing, series: str, minutes: int, span: Span, now_ms: int
) -> Sequence[list[str]]:
    """Of ``mark``, ``index`` or ``premium``: ``[start, o, h, l, c]``."""
    wanted = grid(minutes, span, now_ms)
    if wanted is None:
        return []
    first, last = wanted
    stop = min(last + minutes, now_ms // MINUTE_MS + 1)
    edges = price_path(market, listing, series, np.arange(first, stop + 1, dtype=np.int64))
    decimals = 8 if series == "premium" else listing.price_decimals + 1
    at = np.arange(0, stop - first, minutes, dtype=np.int64)
    ends = np.minimum(at + minutes, stop - first)
    high = np.maximum(np.maximum.reduceat(edges[:-1], at), edges[ends])
    low = np.minimum(np.minimum.reduceat(edges[:-1], at), edges[ends])
    begins = Whole((first + at) * MINUTE_MS, quoted=True)
    prices = (Fixed(values, decimals) for values in (edges[at], high, low, edges[ends]))
    return Table(len(at), (begins, *prices))[::-1]


def funding(market: Market, listing: Listing, span: Span, now_ms: int) -> list[dict[str, Any]]:
    interval_ms = (listing.funding_interval_h or 8) * 3_600_000
    end = now_ms if span.end is None else min(now_ms, span.end)
    begin = max(LISTED_MS, end - span.limit * interval_ms + 1, span.start or 0)
    if begin > end:
        return []
    settled = market.settlements(listing, begin, end)[-span.limit :]
    return [
        {
            "symbol": listing.symbol,
            "fundingRate": trimmed(one.rate, 8),
            "fundingRateTimestamp": str(one.funding_ms),
        }
        for one in reversed(settled)
    ]


def _samples(minutes: int, span: Span, now_ms: int) -> IntArray:
    """Sample times (ms), newest first."""
    wanted = grid(minutes, span, now_ms)
    if wanted is None:
        return np.empty(0, dtype=np.int64)
    return np.arange(wanted[1], wanted[0] - 1, -minutes, dtype=np.int64) * MINUTE_MS


def open_interest(
    market: Market, listing: Listing, minutes: int, span: Span, now_ms: int
) -> Sequence[dict[str, Any]]:
    times = _samples(minutes, span, now_ms)
    if not len(times):
        return []
    lots = np.rint(market.open_interest(listing, times)).astype(np.int64)
    both = Fixed(2 * lots * listing.lot, 8)
    one = Fixed(lots * listing.lot, listing.lot_decimals)
    keys = ("openInterest", "singleOpenInterest", "timestamp")
    return Table(len(times), (both, one, Whole(times, quoted=True)), keys)


def account_ratio(
    market: Market, listing: Listing, minutes: int, span: Span, now_ms: int
) -> Sequence[dict[str, Any]]:
    times = _samples(minutes, span, now_ms)
    if not len(times):
        return []
    shares = market.long_share(listing, "accounts", times)
    keys = ("symbol", "buyRatio", "sellRatio", "timestamp")
    ratios = (Fixed(one, 4) for one in (shares, 1.0 - np.round(shares, 4)))
    return Table(len(times), (listing.symbol, *ratios, Whole(times, quoted=True)), keys)
