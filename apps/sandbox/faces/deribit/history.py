"""History answers from the market model: candles, funding, 24 h figures, DVOL."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from apps.sandbox.faces.deribit.documents import LISTED_MS
from apps.sandbox.faces.deribit.listings import price_of
from apps.sandbox.market.candles import aggregate, bars_until, floor_minute
from apps.sandbox.market.listing import Listing
from apps.sandbox.market.options.market import AssetOptions
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS, Market

HOUR_MS: Final = 3_600_000
FUNDING_ROWS: Final = 744
CHART_ROWS: Final = 5_000
VOLATILITY_ROWS: Final = 1_000
VOLATILITY_KEPT_MS: Final = 400 * 24 * HOUR_MS
_EDGES: Final = 4
_REALISED_HOURS, _REALISED_ROWS = 240, 384
_EMPTY: Final = ("ticks", "open", "high", "low", "close", "volume", "cost")


def funding(
    market: Market, listing: Listing, start_ms: int, end_ms: int, now_ms: int
) -> list[dict[str, Any]]:
    """Hourly rows, oldest first; the oldest ones of a longer span than one answer holds."""
    start, end = max(start_ms, LISTED_MS), min(end_ms, now_ms)
    if end < start:
        return []
    first = -(-start // HOUR_MS) * HOUR_MS
    end = min(end, first + (FUNDING_ROWS - 1) * HOUR_MS)
    # Seven hours more, from which the first row's eight-hour rate is made.
    hours = market.settlements(listing, first - 7 * HOUR_MS, end)
    rates = [one.rate for one in hours]
    rows = []
    for at in range(7, len(hours)):
        index = round(hours[at].mark, listing.price_decimals + 1)
        rows.append(
            {
                "timestamp": hours[at].funding_ms,
                "index_price": index,
                "prev_index_price": round(hours[at - 1].mark, listing.price_decimals + 1),
                "interest_8h": round(sum(rates[at - 7 : at + 1]), 10),
                "interest_1h": round(rates[at], 10),
            }
        )
    return rows


def eight_hours(market: Market, listing: Listing, now_ms: int) -> float:
    """``funding_8h``: what the last eight hours cost."""
    hours = market.settlements(listing, now_ms - 8 * HOUR_MS + 1, now_ms)
    return round(sum(one.rate for one in hours), 8)


def chart(
    market: Market,
    listing: Listing,
    width: int,
    span: tuple[int, int],
    now_ms: int,
    started_minute: int,
) -> dict[str, Any]:
    """Columns of candles ``width`` minutes wide that begin inside ``span``."""
    start, end = max(span[0], LISTED_MS), min(span[1], now_ms)
    first = floor_minute(-(-start // MINUTE_MS) + width - 1, width)
    last = floor_minute(end // MINUTE_MS, width)
    last = min(last, first + (CHART_ROWS - 1) * width)
    columns: dict[str, Any] = {name: [] for name in _EMPTY}
    if last < first:
        return {**columns, "status": "no_data"}
    bars = bars_until(market, listing, first, last + width - 1, now_ms, exact_from=started_minute)
    if not len(bars):
        return {**columns, "status": "no_data"}
    starts, candles = aggregate(bars, width)
    columns["ticks"] = [minute * MINUTE_MS for minute in starts.tolist()]
    for name in ("open", "high", "low", "close"):
        columns[name] = [price_of(listing, ticks) for ticks in getattr(candles, name).tolist()]
    columns["volume"] = [
        round(lots * listing.lot, listing.lot_decimals) for lots in candles.volume.tolist()
    ]
    columns["cost"] = [round(usd, 2) for usd in candles.quote.tolist()]
    return {**columns, "status": "ok"}


def day_stats(market: Market, listing: Listing, now_ms: int) -> dict[str, Any]:
    """Figures of the last 1440 minutes, the one in the making included."""
    current = now_ms // MINUTE_MS
    bars = bars_until(
        market, listing, current - DAY_MINUTES + 1, current, now_ms, exact_from=current
    )
    first, last = int(bars.open[0]), int(bars.close[-1])
    usd = round(float(bars.quote.sum()), 2)
    return {
        "high": price_of(listing, int(bars.high.max())),
        "low": price_of(listing, int(bars.low.min())),
        "price_change": round((last / first - 1.0) * 100.0, 4),
        "volume": round(int(bars.volume.sum()) * listing.lot, 8),
        "volume_usd": usd,
        "volume_notional": usd,
    }


def volatility_rows(
    options: AssetOptions, step_ms: int, start_ms: int, end_ms: int, now_ms: int
) -> dict[str, Any]:
    """The newest rows of the span, oldest first; ``continuation`` is where the page before ends."""
    last = min(end_ms, now_ms) // step_ms * step_ms
    first = -(-max(start_ms, now_ms - VOLATILITY_KEPT_MS) // step_ms) * step_ms
    times = np.arange(max(first, last - (VOLATILITY_ROWS - 1) * step_ms), last + 1, step_ms)
    if not len(times):
        return {"data": [], "continuation": None}
    parts = np.arange(_EDGES, dtype=np.int64) * step_ms // (_EDGES - 1)
    # The last row is in the making: it knows nothing later than now.
    edges = np.minimum(times[:, None] + parts[None, :], now_ms)
    minutes, at = np.unique(edges.ravel() // MINUTE_MS, return_inverse=True)
    levels = np.round(options.volatility_path(minutes) * 100.0, 2)[at].reshape(edges.shape)
    columns = (levels[:, 0], levels.max(axis=1), levels.min(axis=1), levels[:, -1])
    rows = [
        [time, *row]
        for time, *row in zip(times.tolist(), *(one.tolist() for one in columns), strict=True)
    ]
    return {"data": rows, "continuation": rows[0][0] - 1 if rows[0][0] > first else None}


def realised_volatility(market: Market, listing: Listing, now_ms: int) -> list[list[float]]:
    """Hourly: annualised percent of the ten days before each full hour, of the last sixteen days."""
    last = now_ms // HOUR_MS
    hours = np.arange(last - _REALISED_ROWS - _REALISED_HOURS, last + 1, dtype=np.int64)
    moves = np.diff(np.log(market.index_path(listing, hours * 60)))
    windows = np.lib.stride_tricks.sliding_window_view(moves, _REALISED_HOURS)
    levels = np.round(windows.std(axis=1, ddof=1) * np.sqrt(8_760.0) * 100.0, 4)
    return [
        [int(hour) * HOUR_MS, float(level)]
        for hour, level in zip(hours[_REALISED_HOURS:], levels, strict=True)
    ]
