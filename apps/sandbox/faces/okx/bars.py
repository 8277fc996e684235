"""Names of OKX's bars and the grids they lie on."""

from __future__ import annotations

from typing import Final, NamedTuple


class Bar(NamedTuple):
    """Width and offset of a grid, in minutes: a bar starts at ``offset + n × minutes``."""

    minutes: int
    offset: int = 0


_UTC8: Final = -480
_SHORT: Final = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1H": 60, "2H": 120, "4H": 240,
}  # fmt: skip
_LONG: Final = {"6H": 360, "12H": 720, "1D": 1_440}
BARS: Final[dict[str, Bar]] = {
    **{name: Bar(minutes) for name, minutes in _SHORT.items()},
    # Bars of 6 h and more start at UTC+8 unless they say otherwise.
    **{name: Bar(minutes, _UTC8) for name, minutes in _LONG.items()},
    **{f"{name}utc": Bar(minutes) for name, minutes in _LONG.items()},
}
PERIODS: Final = frozenset(BARS) - {"1m", "3m"}
"""Periods of the trading statistics."""


def floor_to(minute: int, bar: Bar) -> int:
    return (minute - bar.offset) // bar.minutes * bar.minutes + bar.offset
