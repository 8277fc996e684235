"""Reading of query parameters, with the venue's refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from apps.sandbox.faces.binance.errors import (
    VenueError,
    invalid,
    invalid_interval,
    invalid_symbol,
    missing,
)
from apps.sandbox.faces.binance.source import Source, TimeRange
from apps.sandbox.market.candles import INTERVAL_MINUTES

DATA_PERIODS_MS: Final = {
    name: INTERVAL_MINUTES[name] * 60_000
    for name in ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
}
_LARGEST: Final = 1 << 53


def integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or int(text) > _LARGEST:
        raise VenueError(
            -1100,
            f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.",
        )
    return int(text)


def known_symbol(query: Mapping[str, str], source: Source, name: str = "symbol") -> str:
    symbol = query.get(name, "")
    if not symbol:
        raise missing(name)
    if not source.has_symbol(symbol):
        raise invalid_symbol()
    return symbol


def optional_symbol(query: Mapping[str, str], source: Source) -> str | None:
    return known_symbol(query, source) if query.get("symbol") else None


def limit_of(query: Mapping[str, str], default: int, most: int, *, clamp: bool = False) -> int:
    """``clamp``: spot quietly lowers a limit that futures refuses."""
    limit = integer(query, "limit")
    if limit is None:
        return default
    if limit > most and clamp:
        return most
    if not 1 <= limit <= most:
        raise invalid("limit")
    return limit


def span_of(query: Mapping[str, str], default: int, most: int, *, clamp: bool = False) -> TimeRange:
    start, end = integer(query, "startTime"), integer(query, "endTime")
    if start is not None and end is not None and start > end:
        raise VenueError(-1023, "Start time is greater than end time.")
    return TimeRange(start, end, limit_of(query, default, most, clamp=clamp))


def interval_of(query: Mapping[str, str]) -> str:
    interval = query.get("interval", "")
    if not interval:
        raise missing("interval")
    if interval not in INTERVAL_MINUTES:
        raise invalid_interval()
    return interval


def period_of(query: Mapping[str, str]) -> int:
    period = query.get("period", "")
    if not period:
        raise missing("period")
    if period not in DATA_PERIODS_MS:
        raise invalid("period")
    return DATA_PERIODS_MS[period]
