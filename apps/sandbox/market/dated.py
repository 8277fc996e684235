"""Dated futures: when they are delivered, and how far above the index they trade until then. Pure.

A contract's annual basis wanders around a level of its own asset, a little higher for later deliveries; its
premium is that, scaled by the time left, so that it is gone at delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from apps.sandbox.market.listing import Listing
from apps.sandbox.market.noise import FloatArray, fractal_noise, key_of

DELIVERY_HOUR: Final = 8
LISTED_MS: Final = 190 * 86_400_000
"""A contract is listed this long before its delivery: two quarters."""
_YEAR_MS: Final = 365 * 86_400_000
_HOUR_S: Final = 3_600.0
_PERIODS: Final = (0.7 * _HOUR_S, 7 * _HOUR_S, 60 * _HOUR_S, 400 * _HOUR_S)
_WEIGHTS: Final = (0.003, 0.008, 0.018, 0.03)
_LEVEL: Final = 0.065
_TERM: Final = 0.02
"""What a year more adds."""
_LISTED_AHEAD: Final = 6
"""Contracts made at start: those that are listed now, and a year of later ones."""


def delivery(year: int, month: int) -> datetime:
    """Last Friday of a month, 08:00 UTC."""
    first_after = datetime(year + month // 12, month % 12 + 1, 1, DELIVERY_HOUR, tzinfo=UTC)
    last = first_after - timedelta(days=1)
    return last - timedelta(days=(last.weekday() - 4) % 7)


def deliveries(from_ms: int, count: int = _LISTED_AHEAD) -> list[datetime]:
    """The next quarterly deliveries after a moment."""
    year = datetime.fromtimestamp(from_ms / 1000, tz=UTC).year
    all_ = [delivery(year + n // 4, 3 * (n % 4) + 3) for n in range(count + 5)]
    return [one for one in all_ if ms_of(one) > from_ms][:count]


def ms_of(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def is_listed(listing: Listing, t_ms: int) -> bool:
    """Whether the venue names it at this time; what has no delivery is always listed."""
    expiry_ms = listing.expiry_ms
    return expiry_ms is None or expiry_ms - LISTED_MS <= t_ms < expiry_ms


def listed(listings: Iterable[Listing], t_ms: int) -> list[Listing]:
    return [one for one in listings if is_listed(one, t_ms)]


def dated_listing(perpetual: Listing, symbol: str, expiry_ms: int) -> Listing:
    """A contract on the grid of its venue's perpetual, a tenth as busy."""
    return replace(
        perpetual,
        kind="future",
        symbol=symbol,
        expiry_ms=expiry_ms,
        funding_interval_h=None,
        daily_volume_usd=perpetual.daily_volume_usd * 0.02,
        open_interest_usd=perpetual.open_interest_usd * 0.1,
        trades_per_minute=max(5.0, perpetual.trades_per_minute * 0.05),
        book_step_ms=max(1_000, perpetual.book_step_ms),
    )


def quarterlies(
    perpetuals: Iterable[Listing], from_ms: int, symbol_of: Callable[[Listing, datetime], str]
) -> tuple[Listing, ...]:
    """Every perpetual's next quarterly contracts; ``symbol_of``: what a venue calls one."""
    return tuple(
        dated_listing(perpetual, symbol_of(perpetual, day), ms_of(day))
        for perpetual in perpetuals
        for day in deliveries(from_ms)
    )


def premium(seed: int, asset: str, expiry_ms: int, t_s: FloatArray, venue: str = "") -> FloatArray:
    """Mark over index, minus 1: the annual basis times the years left; 0 at delivery and after it.

    Venues follow one level per asset, each with a little of its own.
    """
    years = np.clip((expiry_ms / 1000.0 - t_s) * 1000.0 / _YEAR_MS, 0.0, None)
    level = fractal_noise(key_of(seed, "dated", asset), t_s, _PERIODS, _WEIGHTS)
    own = fractal_noise(
        key_of(seed, "dated", asset, expiry_ms, venue), t_s, _PERIODS[:2], _WEIGHTS[:2]
    )
    out: FloatArray = (_LEVEL + _TERM * years + level + own) * years
    return out
