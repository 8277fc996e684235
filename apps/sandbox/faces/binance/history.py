"""History answers from the market model: candles, funding, open interest, ratios, 24 h figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from apps.sandbox.faces.binance.errors import invalid
from apps.sandbox.faces.binance.exchange_info import LISTED_MS
from apps.sandbox.faces.binance.source import TimeRange
from apps.sandbox.faces.tables import Fixed, Table, Whole
from apps.sandbox.market.candles import INTERVAL_MINUTES, aggregate, bars_until, floor_minute
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, key_of, uniforms
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS, Market, MinuteBars

_DAY_MS: Final = 86_400_000
_DATA_MS: Final = 30 * _DAY_MS
_DATA_SLACK_MS: Final = 3_600_000
# Settlements are stamped a few milliseconds late, as on the venue.
_SETTLE_JITTER_MS: Final = 16
# Now and then there is a special settlement, half an hour after the regular one.
_SPECIAL_SHARE: Final = 0.01
_SPECIAL_LATER_MS: Final = 1_800_000
_SPECIAL_SLOTS: Final = 1 << 40


def _minutes_of(interval: str, span: TimeRange, now_ms: int) -> tuple[int, int, int] | None:
    """(width, first minute, last minute) of the candles asked for, or None when there are none."""
    width = INTERVAL_MINUTES[interval]
    newest = floor_minute(now_ms // MINUTE_MS, width)
    last = newest if span.end is None else min(newest, floor_minute(span.end // MINUTE_MS, width))
    if span.start is None:
        first = last - (span.limit - 1) * width
    else:
        first = floor_minute(-(-span.start // MINUTE_MS) + width - 1, width)
        last = min(last, first + (span.limit - 1) * width)
    oldest = floor_minute(LISTED_MS // MINUTE_MS + width - 1, width)
    first = max(first, oldest)
    return None if last < first else (width, first, last)


def klines(
    market: Market, listing: Listing, interval: str, span: TimeRange, now_ms: int, started_ms: int
) -> Sequence[list[Any]]:
    """12-element candles, oldest first; the newest one is in the making."""
    # A candle begins with its first trade: the newest of those asked for may not exist yet.
    spare = span._replace(limit=span.limit + 1) if span.start is None else span
    wanted = _minutes_of(interval, spare, now_ms)
    if wanted is None:
        return []
    width, first, last = wanted
    bars = bars_until(
        market, listing, first, last + width - 1, now_ms, exact_from=started_ms // MINUTE_MS
    )
    if not len(bars):
        return []
    starts, candles = aggregate(bars, width)
    return kline_table(listing, starts, candles, width)[-span.limit :]


def kline_table(listing: Listing, starts: IntArray, bars: MinuteBars, width: int) -> Table:
    decimals = 8 if listing.kind == "spot" else 5
    opens, highs, lows, closes = (
        Fixed(ticks * listing.tick, listing.price_decimals)
        for ticks in (bars.open, bars.high, bars.low, bars.close)
    )
    volumes, buys = (
        Fixed(lots * listing.lot, listing.lot_decimals) for lots in (bars.volume, bars.buy_volume)
    )
    return Table(
        len(starts),
        (
            Whole(starts * MINUTE_MS), opens, highs, lows, closes, volumes,
            Whole((starts + width) * MINUTE_MS - 1), Fixed(bars.quote, decimals),
            Whole(bars.trades), buys, Fixed(bars.buy_quote, decimals), "0",
        ),
    )  # fmt: skip


def price_klines(
    market: Market, listing: Listing, series: str, interval: str, span: TimeRange, now_ms: int
) -> Sequence[list[Any]]:
    """Candles of mark price, index price or premium: no volumes."""
    wanted = _minutes_of(interval, span, now_ms)
    if wanted is None:
        return []
    width, first, last = wanted
    stop = min(last + width, now_ms // MINUTE_MS + 1)
    edges = _series_path(market, listing, series, np.arange(first, stop + 1, dtype=np.int64))
    at = np.arange(0, stop - first, width, dtype=np.int64)
    ends = np.minimum(at + width, stop - first)
    high = np.maximum(np.maximum.reduceat(edges[:-1], at), edges[ends])
    low = np.minimum(np.minimum.reduceat(edges[:-1], at), edges[ends])
    begins = Whole((first + at) * MINUTE_MS)
    ends_ms = Whole((first + at + width) * MINUTE_MS - 1)
    prices = (Fixed(values, 8) for values in (edges[at], high, low, edges[ends]))
    zero = "0"
    return Table(len(at), (begins, *prices, zero, ends_ms, zero, 60 * width, zero, zero, zero))


def _series_path(market: Market, listing: Listing, series: str, minutes: IntArray) -> FloatArray:
    if series == "premium":
        return market.premium_path(listing, minutes)
    index = market.index_path(listing, minutes)
    return index if series == "index" else index * (1.0 + market.premium_path(listing, minutes))


def funding_rates(
    market: Market, listings: Sequence[Listing], span: TimeRange, now_ms: int
) -> list[dict[str, Any]]:
    """Settled rates, oldest first; without a start the newest ``limit`` of them."""
    end = now_ms if span.end is None else min(span.end, now_ms)
    longest = max(listing.funding_interval_h or 8 for listing in listings) * 3_600_000
    start = span.start
    begin = end - span.limit * longest if start is None else max(start, LISTED_MS)
    rows = []
    earliest = begin - _SPECIAL_LATER_MS - _SETTLE_JITTER_MS
    for listing in listings:
        key = key_of(0, "settle", listing.name)
        for settled in market.settlements(listing, earliest, end):
            slot = np.array([settled.funding_ms // 3_600_000], dtype=np.int64)
            at = settled.funding_ms + int(uniforms(key, slot)[0] * _SETTLE_JITTER_MS)
            found = [(at, settled.rate, "Normal")]
            if uniforms(key, slot + _SPECIAL_SLOTS)[0] < _SPECIAL_SHARE:
                # Charged beside the regular one: not part of the series.
                found.append((at + _SPECIAL_LATER_MS, -0.5 * settled.rate, "Special"))
            rows += [
                {
                    "symbol": listing.symbol,
                    "fundingTime": time_ms,
                    "fundingRate": f"{rate:.8f}",
                    "markPrice": f"{settled.mark:.8f}",
                    "rateType": kind,
                }
                for time_ms, rate, kind in found
                if begin <= time_ms <= end
            ]
    rows.sort(key=lambda row: int(str(row["fundingTime"])))
    return rows[-span.limit :] if start is None else rows[: span.limit]


def _data_grid(period_ms: int, span: TimeRange, now_ms: int) -> IntArray:
    """Sample times of a /futures/data query: whole periods of the last 30 days."""
    oldest = now_ms - _DATA_MS - _DATA_SLACK_MS
    if span.start is not None and span.start < oldest:
        raise invalid("startTime")
    newest = now_ms // period_ms
    last = newest if span.end is None else min(newest, span.end // period_ms)
    if span.start is None:
        first = max(last - span.limit + 1, -(-oldest // period_ms))
    else:
        first = -(-span.start // period_ms)
        last = min(last, first + span.limit - 1)
    return np.arange(first, last + 1, dtype=np.int64) * period_ms


def open_interest(
    market: Market, listing: Listing, period_ms: int, span: TimeRange, now_ms: int
) -> Sequence[dict[str, Any]]:
    grid = _data_grid(period_ms, span, now_ms)
    if not len(grid):
        return []
    coins = market.open_interest(listing, grid) * listing.lot
    marks = _series_path(market, listing, "mark", grid // MINUTE_MS)
    keys = (
        "symbol",
        "sumOpenInterest",
        "sumOpenInterestValue",
        "CMCCirculatingSupply",
        "timestamp",
    )
    amounts = (Fixed(coins, 8), Fixed(coins * marks, 14))
    return Table(len(grid), (listing.symbol, *amounts, "0.00000000", Whole(grid)), keys)


def long_short(
    market: Market, listing: Listing, series: str, period_ms: int, span: TimeRange, now_ms: int
) -> Sequence[dict[str, Any]]:
    grid = _data_grid(period_ms, span, now_ms)
    if not len(grid):
        return []
    shares = market.long_share(listing, series, grid)
    keys = ("symbol", "longAccount", "longShortRatio", "shortAccount", "timestamp")
    texts = (Fixed(one, 4) for one in (shares, shares / (1.0 - shares), 1.0 - shares))
    return Table(len(grid), (listing.symbol, *texts, Whole(grid)), keys)


def taker_ratio(
    market: Market, listing: Listing, period_ms: int, span: TimeRange, now_ms: int
) -> Sequence[dict[str, Any]]:
    """Taker volumes of whole periods, from the same minutes as the candles."""
    grid = _data_grid(period_ms, span, now_ms)
    grid = grid[grid + period_ms <= now_ms]
    if not len(grid):
        return []
    width = period_ms // MINUTE_MS
    first = int(grid[0]) // MINUTE_MS
    _, bars = aggregate(market.minute_bars(listing, first, first + width * len(grid) - 1), width)
    buys = bars.buy_volume * listing.lot
    sells = (bars.volume - bars.buy_volume) * listing.lot
    keys = ("buySellRatio", "sellVol", "buyVol", "timestamp")
    return Table(
        len(grid), (*(Fixed(one, 4) for one in (buys / sells, sells, buys)), Whole(grid)), keys
    )


def rolling_day(market: Market, listing: Listing, now_ms: int) -> dict[str, Any]:
    """Figures of the last 1440 minutes, the one in the making included."""
    current = now_ms // MINUTE_MS
    bars = bars_until(
        market, listing, current - DAY_MINUTES + 1, current, now_ms, exact_from=current
    )
    first, last = int(bars.open[0]), int(bars.close[-1])
    volume, quote = int(bars.volume.sum()), float(bars.quote.sum())
    count = int(bars.trades.sum())
    first_id = int(bars.first_trade_id[0])
    before = {"prevClosePrice": listing.price(first)} if listing.kind == "spot" else {}
    return {
        "priceChange": listing.price(last - first),
        "priceChangePercent": f"{(last / first - 1.0) * 100.0:.3f}",
        "weightedAvgPrice": f"{quote / (volume * listing.lot):.{listing.price_decimals}f}",
        **before,
        "lastPrice": listing.price(last),
        "lastQty": listing.size(1),
        "openPrice": listing.price(first),
        "highPrice": listing.price(int(bars.high.max())),
        "lowPrice": listing.price(int(bars.low.min())),
        "volume": listing.size(volume),
        "quoteVolume": f"{quote:.8f}" if listing.kind == "spot" else f"{quote:.2f}",
        "openTime": now_ms - _DAY_MS,
        "closeTime": now_ms,
        "firstId": first_id,
        "lastId": first_id + count - 1,
        "count": count,
    }
