"""History from the market model, newest first as the venue answers: candles, funding, statistics."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from apps.sandbox.faces.okx.bars import Bar, floor_to
from apps.sandbox.faces.okx.frames import Wire, trimmed
from apps.sandbox.market.candles import aggregate, bars_until
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, IntArray, floats, key_of, uniforms
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS, Market, MinuteBars

LISTED_MS: Final = 1_704_067_200_000
"""2024-01-01: nothing is older."""
_FUNDING_MS: Final = 92 * 86_400_000
_STATISTICS_ROWS: Final = 1_440
_UTC8_MINUTES: Final = 480


class Page(NamedTuple):
    """Rows strictly between ``newer_than`` and ``older_than`` (ms), at most ``limit``, the newest ones."""

    newer_than: int | None
    older_than: int | None
    limit: int


def _grid(bar: Bar, page: Page, now_ms: int, rows: int | None) -> tuple[int, int] | None:
    """(first, last) starting minutes of the bars of a page; ``rows``: how far back there are any."""
    newest = floor_to(now_ms // MINUTE_MS, bar)
    last = newest
    if page.older_than is not None:
        last = min(newest, floor_to((page.older_than - 1) // MINUTE_MS, bar))
    first = last - (page.limit - 1) * bar.minutes
    if page.newer_than is not None:
        first = max(first, floor_to(page.newer_than // MINUTE_MS, bar) + bar.minutes)
    oldest = LISTED_MS // MINUTE_MS if rows is None else newest - (rows - 1) * bar.minutes
    first = max(first, floor_to(max(oldest, LISTED_MS // MINUTE_MS), bar))
    return None if last < first else (first, last)


def candles(
    market: Market,
    wire: Wire,
    bar: Bar,
    page: Page,
    now_ms: int,
    started_ms: int,
    rows: int | None = None,
) -> list[list[str]]:
    """``[ts, o, h, l, c, contracts, coins, quote, confirm]``; the newest one is in the making."""
    wanted = _grid(bar, page, now_ms, rows)
    if wanted is None:
        return []
    first, last = wanted
    made = bars_until(
        market,
        wire.listing,
        first,
        last + bar.minutes - 1,
        now_ms,
        exact_from=started_ms // MINUTE_MS,
    )
    if not len(made):
        return []
    starts, bars = aggregate(made, bar.minutes)
    return _candle_rows(wire, starts, bars, bar, now_ms)[::-1]


def _candle_rows(
    wire: Wire, starts: IntArray, bars: MinuteBars, bar: Bar, now_ms: int
) -> list[list[str]]:
    price, traded, coins = wire.price, wire.traded, wire.coins
    columns = (starts, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.quote)
    return [
        [
            str(minute * MINUTE_MS),
            price(o),
            price(h),
            price(low),
            price(c),
            traded(volume, quote),
            coins(volume),
            trimmed(quote, 4),
            "1" if (minute + bar.minutes) * MINUTE_MS <= now_ms else "0",
        ]
        for minute, o, h, low, c, volume, quote in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def price_candles(
    market: Market, wire: Wire, series: str, bar: Bar, page: Page, now_ms: int
) -> list[list[str]]:
    """Of ``mark`` or ``index``: ``[ts, o, h, l, c, confirm]``."""
    wanted = _grid(bar, page, now_ms, None)
    if wanted is None:
        return []
    first, last = wanted
    stop = min(last + bar.minutes, now_ms // MINUTE_MS + 1)
    edges = price_path(market, wire.listing, series, np.arange(first, stop + 1, dtype=np.int64))
    at = np.arange(0, stop - first, bar.minutes, dtype=np.int64)
    ends = np.minimum(at + bar.minutes, stop - first)
    high = np.maximum(np.maximum.reduceat(edges[:-1], at), edges[ends])
    low = np.minimum(np.minimum.reduceat(edges[:-1], at), edges[ends])
    columns = (at, edges[at], high, low, edges[ends])
    rows = []
    for start, *ohlc in zip(*(column.tolist() for column in columns), strict=True):
        begin = first + int(start)
        closed = "1" if (begin + bar.minutes) * MINUTE_MS <= now_ms else "0"
        rows.append([str(begin * MINUTE_MS), *(wire.quote(value) for value in ohlc), closed])
    return rows[::-1]


def price_path(market: Market, listing: Listing, series: str, minutes: IntArray) -> FloatArray:
    index = market.index_path(listing, minutes)
    return index if series == "index" else index * (1.0 + market.premium_path(listing, minutes))


def funding_history(
    market: Market, listing: Listing, page: Page, now_ms: int
) -> list[dict[str, Any]]:
    """Settled rates of the last three months."""
    end = now_ms if page.older_than is None else min(now_ms, page.older_than - 1)
    interval_ms = (listing.funding_interval_h or 8) * 3_600_000
    begin = max(now_ms - _FUNDING_MS, end - page.limit * interval_ms + 1)
    if page.newer_than is not None:
        begin = max(begin, page.newer_than + 1)
    settled = market.settlements(listing, begin, end)[-page.limit :]
    return [
        {
            "formulaType": "withRate",
            "fundingRate": f"{one.rate + _forecast_error(listing, one.funding_ms):.10f}",
            "fundingTime": str(one.funding_ms),
            "instId": listing.symbol,
            "instType": "SWAP",
            "method": "current_period",
            "realizedRate": f"{one.rate:.10f}",
        }
        for one in reversed(settled)
    ]


def _forecast_error(listing: Listing, funding_ms: int) -> float:
    """What was forecast last is not quite what was paid."""
    slot = np.array([funding_ms // 3_600_000], dtype=np.int64)
    return float((uniforms(key_of(0, "forecast", listing.name), slot)[0] - 0.5) * 4e-6)


def _samples(bar: Bar, page: Page, now_ms: int) -> IntArray:
    """Sample times (ms) of a statistic, newest first."""
    wanted = _grid(bar, page, now_ms, _STATISTICS_ROWS)
    if wanted is None:
        return np.empty(0, dtype=np.int64)
    first, last = wanted
    return np.arange(last, first - 1, -bar.minutes, dtype=np.int64) * MINUTE_MS


def open_interest(market: Market, wire: Wire, bar: Bar, page: Page, now_ms: int) -> list[list[str]]:
    times = _samples(bar, page, now_ms)
    if not len(times):
        return []
    lots = market.open_interest(wire.listing, times)
    marks = price_path(market, wire.listing, "mark", times // MINUTE_MS)
    usd = lots * wire.listing.lot * marks
    return [
        [str(at), wire.traded(amount, worth), wire.coins(amount), trimmed(worth, 4)]
        for at, amount, worth in zip(times.tolist(), lots.tolist(), usd.tolist(), strict=True)
    ]


def long_short(
    market: Market, listing: Listing, series: str, bar: Bar, page: Page, now_ms: int
) -> list[list[str]]:
    times = _samples(bar, page, now_ms)
    if not len(times):
        return []
    shares = market.long_share(listing, series, times).tolist()
    return [
        [str(at), trimmed(share / (1.0 - share), 16)]
        for at, share in zip(times.tolist(), shares, strict=True)
    ]


def taker_volume(
    market: Market, wire: Wire, bar: Bar, page: Page, unit: str, now_ms: int
) -> list[list[str]]:
    """``[ts, sells, buys]`` of whole periods, from the same minutes as the candles."""
    times = _samples(bar, page, now_ms)
    times = times[times + bar.minutes * MINUTE_MS <= now_ms]
    if not len(times):
        return []
    first = int(times[-1]) // MINUTE_MS
    span = bar.minutes * len(times)
    _, bars = aggregate(market.minute_bars(wire.listing, first, first + span - 1), bar.minutes)
    buys: FloatArray
    sells: FloatArray
    if unit == "2" or (unit == "1" and wire.listing.is_inverse):
        buys, sells = bars.buy_quote, bars.quote - bars.buy_quote
        if unit == "1":
            buys, sells = (floats(side / wire.listing.contract_size) for side in (buys, sells))
    else:
        each = wire.listing.lot if unit == "0" else wire.lot_contracts
        buys = floats(bars.buy_volume * each)
        sells = floats((bars.volume - bars.buy_volume) * each)
    return [
        [str(at), trimmed(sell, 8), trimmed(buy, 8)]
        for at, sell, buy in zip(
            times.tolist(), sells[::-1].tolist(), buys[::-1].tolist(), strict=True
        )
    ]


def day_figures(market: Market, wire: Wire, now_ms: int) -> dict[str, str]:
    """Rolling 24 h: contracts and coins."""
    current = now_ms // MINUTE_MS
    bars = bars_until(
        market, wire.listing, current - DAY_MINUTES + 1, current, now_ms, exact_from=current
    )
    volume = int(bars.volume.sum())
    opens = bars.open

    def opened_at(offset: int) -> str:
        """At the last beginning of a day that starts so many minutes after 00:00 UTC."""
        start = floor_to(current, Bar(DAY_MINUTES, offset)) - (current - DAY_MINUTES + 1)
        return wire.price(int(opens[max(start, 0)]))

    return {
        "last": wire.price(int(bars.close[-1])),
        "lastSz": wire.size(1),
        "open24h": wire.price(int(opens[0])),
        "high24h": wire.price(int(bars.high.max())),
        "low24h": wire.price(int(bars.low.min())),
        "volCcy24h": wire.coins(volume),
        "vol24h": wire.traded(volume, float(bars.quote.sum())),
        "sodUtc0": opened_at(0),
        "sodUtc8": opened_at(-_UTC8_MINUTES),
    }
