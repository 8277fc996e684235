"""What the venue lists: per asset its units, and by its rules expiries, strikes and names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
EXPIRY_HOUR_MS: Final = 8 * HOUR_MS
"""Everything expires, and everything new is listed, at 08:00 UTC."""
YEAR_MS: Final = 365.0 * DAY_MS
_MONTHS: Final = [
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
]
# Since the epoch (a Thursday): its second day was a Friday.
_FRIDAY: Final = 1


@dataclass(frozen=True, slots=True)
class AssetTerms:
    """``days`` … ``quarters``: how many expiries of each family follow tomorrow's; with 0 the family has
    none. ``ticks``: (tick, from this price on), the first from 0. Interest and sizes are in coins."""

    asset: str
    is_inverse: bool
    ticks: tuple[tuple[float, float], ...]
    contract_size: float
    min_amount: float
    block_amount: float
    days: int
    weeks: int
    months: int
    quarters: int
    level: float
    skew: float
    width: float
    open_interest: float
    trades_per_minute: float
    lot_decimals: int

    @property
    def currency(self) -> str:
        return self.asset if self.is_inverse else "USDC"

    @property
    def prefix(self) -> str:
        return self.asset if self.is_inverse else f"{self.asset}_USDC"

    @property
    def tick(self) -> float:
        return self.ticks[0][0]

    @property
    def price_decimals(self) -> int:
        return max(0, -math.floor(math.log10(self.tick) + 1e-9))


_COIN_TICKS: Final = ((0.0001, 0.0), (0.0005, 0.005))
TERMS: Final = {
    one.asset: one
    for one in (
        AssetTerms(
            "BTC", True, _COIN_TICKS, 1.0, 0.1, 25.0, 3, 3, 3, 4,
            0.44, -0.28, 0.85, 320_000.0, 5.0, 1,
        ),
        AssetTerms(
            "ETH", True, _COIN_TICKS, 1.0, 1.0, 250.0, 3, 3, 3, 4,
            0.66, -0.20, 0.95, 2_200_000.0, 3.5, 0,
        ),
        AssetTerms(
            "SOL", False, ((0.01, 0.0), (0.05, 1.0)), 10.0, 10.0, 2_500.0, 1, 2, 2, 1,
            0.78, -0.12, 0.90, 3_000_000.0, 0.8, 0,
        ),
        AssetTerms(
            "XRP", False, ((0.0001, 0.0), (0.0005, 0.02)), 1_000.0, 1_000.0, 250_000.0, 0, 2, 1, 1,
            0.84, 0.02, 0.95, 90_000_000.0, 0.4, 0,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expiry:
    """``period``: day, week or month, as the venue calls the family (quarters are months there).
    ``listed_ms``: when the first of its contracts came."""

    at_ms: int
    period: str
    listed_ms: int

    @property
    def name(self) -> str:
        return expiry_name(self.at_ms)


def board_day(t_ms: int) -> int:
    """The venue's day, from 08:00 to 08:00 UTC, that a moment lies in."""
    return (t_ms - EXPIRY_HOUR_MS) // DAY_MS


def board_start_ms(day: int) -> int:
    return day * DAY_MS + EXPIRY_HOUR_MS


def expiry_name(at_ms: int) -> str:
    """``25DEC26``; the day has no leading zero."""
    date = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    return f"{date.day}{_MONTHS[date.month - 1]}{date.year % 100:02d}"


def strike_name(strike: float) -> str:
    """``100000``; a decimal point is written ``d``."""
    return f"{strike:.10g}".replace(".", "d")


def _is_friday(day: int) -> bool:
    return day % 7 == _FRIDAY


def _is_last_friday(day: int, months: int) -> bool:
    """Whether a day is the last Friday of a month whose number ``months`` divides."""
    if not _is_friday(day):
        return False
    date = datetime.fromtimestamp(day * 86_400, tz=UTC)
    return date.month % months == 0 and (date + timedelta(days=7)).month != date.month


def _family(day: int, family: str) -> bool:
    if family == "day":
        return True
    if family == "week":
        return _is_friday(day)
    return _is_last_friday(day, 3 if family == "quarter" else 1)


_LONGEST_DAYS: Final = {"day": 10, "week": 60, "month": 200, "quarter": 600}


@cache
def _coming(after: int, family: str, count: int) -> tuple[int, ...]:
    """The first ``count`` days of a family after a day."""
    found = (one for one in range(after + 1, after + _LONGEST_DAYS[family]) if _family(one, family))
    return tuple(next(found) for _ in range(count))


@cache
def _listed_on(expiry: int, family: str, count: int) -> int:
    """The day on which an expiry of a family is listed: the day before the one ``count`` places ahead
    of it in its family expires."""
    back = expiry
    for _ in range(count):
        back = next(one for one in range(back - 1, back - 200, -1) if _family(one, family))
    return back - 1


@cache
def expiries(asset: str, day: int) -> tuple[Expiry, ...]:
    """What is listed on the venue's ``day``: tomorrow's expiry and those that follow, by family."""
    terms = TERMS[asset]
    counts = {
        "quarter": terms.quarters, "month": terms.months, "week": terms.weeks, "day": terms.days,
    }  # fmt: skip
    found: dict[int, Expiry] = {}
    for family, count in counts.items():
        if not count:
            continue
        own = _coming(day + 1, family, count)
        if _family(day + 1, family):
            own = (day + 1, *own)
        for one in own:
            listed_ms = board_start_ms(_listed_on(one, family, count))
            known = found.get(one)
            if known is not None:
                listed_ms = min(listed_ms, known.listed_ms)
            period = known.period if known is not None else family
            period = "month" if period == "quarter" else period
            found[one] = Expiry(board_start_ms(one), period, listed_ms)
    return tuple(found[one] for one in sorted(found))


def round_step(size: float) -> float:
    """The nearest of 1, 2, 2.5 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(size))
    steps = (1.0, 2.0, 2.5, 5.0, 10.0)
    return min((power * one for one in steps), key=lambda step: abs(math.log(step / size)))


_RINGS: Final = ((0.85, 1.0), (1.9, 2.5), (3.4, 5.0))
"""How far out, in standard deviations, strikes stand how many first steps apart."""


def strikes_around(asset: str, spot: float, life_years: float) -> frozenset[float]:
    """The strikes that the venue keeps listed around a price: close near it, wider further out."""
    spread = TERMS[asset].level * math.sqrt(max(life_years, 3.0 / 365.0))
    first = spot * min(0.07, max(0.006, 0.11 * spread))
    found: set[float] = set()
    for reach, multiple in _RINGS:
        step = round_step(first * multiple)
        low = math.ceil(spot * math.exp(-reach * spread) / step)
        high = math.floor(spot * math.exp(reach * spread) / step)
        found.update(round(number * step, 9) for number in range(max(low, 1), high + 1))
    return frozenset(found)
