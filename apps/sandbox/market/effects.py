"""What scenarios do to an asset's market, minute by minute.

Effects begin at the first whole minute after a scenario's start, so that the minute that venues are
streaming stays as it was. A displacement of the price that a scenario leaves behind dies away over days.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from apps.sandbox.market.noise import FloatArray
from apps.sandbox.market.protocol import DAY_MINUTES, MINUTE_MS
from apps.sandbox.market.scenarios import Scenario, ScenarioKind

_EDGES: Final = np.arange(DAY_MINUTES + 1, dtype=np.float64)
FADE: Final = 0.5 ** (1.0 / (2 * DAY_MINUTES))
"""A displacement loses half of itself in two days."""
FADED_DAYS: Final = 24
_RELEASE_MINUTES: Final = 90
# A fall in parts of its duration: slow, then fast, then half a bounce.
_CASCADE_AT: Final = (0.0, 0.15, 0.35, 0.5, 0.62, 1.0)
_CASCADE_DEPTH: Final = (0.0, 0.10, 0.45, 0.95, 1.0, 0.72)


@dataclass(slots=True)
class DayEffects:
    """Factors (1 = no effect) and additions (0) at the minutes, or 1441 boundaries, of one day.

    ``shared``: on the market's part of the moves only; ``drift``: added to each minute's log return, in
    the asset's daily volatilities; ``premium``: added to futures' premium, decimal; ``pull``: how much of
    the way to a strike the price is drawn.
    """

    volatility: FloatArray
    shared: FloatArray
    pace: FloatArray
    depth: FloatArray
    drift: FloatArray
    premium: FloatArray
    pull: FloatArray


def _nothing() -> DayEffects:
    first, second, third, fourth = (np.ones(DAY_MINUTES) for _ in range(4))
    premium, pull = (np.zeros(DAY_MINUTES + 1) for _ in range(2))
    return DayEffects(first, second, third, fourth, np.zeros(DAY_MINUTES), premium, pull)


def first_minute(scenario: Scenario) -> int:
    """The first whole minute that a scenario changes."""
    return -(-scenario.start_ms // MINUTE_MS)


class _Window:
    """Where a scenario is at the minute boundaries of a day."""

    def __init__(self, scenario: Scenario, day: int) -> None:
        self.minutes = max(1.0, scenario.duration_ms / MINUTE_MS)
        self.past = _EDGES + (day * DAY_MINUTES - first_minute(scenario))
        """Minutes since the start."""
        self.part = np.clip(self.past / self.minutes, 0.0, 1.0)
        inside = (self.past >= 0) & (self.past < self.minutes)
        ramp = min(10.0, self.minutes / 4.0)
        first, last = self.past, self.minutes - self.past
        edges = np.clip(np.minimum(first, last) / ramp, 0.0, 1.0)
        self.edges = np.where(inside, edges, 0.0)
        """1 while it lasts, with soft ends; at the start itself still 0."""
        minutes = np.clip(np.minimum(first + 1.0, last) / ramp, 0.0, 1.0)
        self.weight = np.where(inside, minutes, 0.0)[:DAY_MINUTES]
        """The same for whole minutes."""


_Effect: TypeAlias = Callable[[DayEffects, _Window, float], None]


def _scale(values: FloatArray, window: _Window, to: float) -> None:
    """Multiply by ``to`` while the scenario lasts."""
    values *= np.exp(math.log(to) * window.weight)


def _calm(day: DayEffects, window: _Window, strength: float) -> None:
    _scale(day.volatility, window, 1.0 / (1.0 + 0.9 * strength))
    _scale(day.pace, window, 1.0 / (1.0 + 0.6 * strength))
    _scale(day.depth, window, 1.0 + 0.4 * strength)


def _trend(sign: float) -> _Effect:
    def effect(day: DayEffects, window: _Window, strength: float) -> None:
        size = sign * strength * max(0.6, math.sqrt(window.minutes / DAY_MINUTES) * 1.5)
        day.drift += np.diff(window.part) * size
        day.premium += sign * 3e-4 * strength * window.edges
        _scale(day.pace, window, 1.0 + 0.5 * strength)

    return effect


def _cascade(day: DayEffects, window: _Window, strength: float) -> None:
    fall = np.interp(window.part, _CASCADE_AT, _CASCADE_DEPTH)
    day.drift -= np.diff(fall) * 3.0 * strength
    day.premium -= 9e-4 * strength * window.edges
    _scale(day.volatility, window, 1.0 + 1.5 * strength)
    _scale(day.pace, window, 1.0 + 3.0 * strength)
    _scale(day.depth, window, 1.0 / (1.0 + 1.5 * strength))


def _funding_extreme(day: DayEffects, window: _Window, strength: float) -> None:
    day.premium += 2.2e-3 * strength * window.edges
    _scale(day.pace, window, 1.0 + 0.2 * strength)


def _option_expiry(day: DayEffects, window: _Window, strength: float) -> None:
    """Drawn to the strike until the end, then let go."""
    most = 1.0 - 0.4 / (1.0 + strength)
    before = np.where((window.past >= 0) & (window.past < window.minutes), window.part, 0.0)
    after = np.where(
        window.past >= window.minutes,
        0.5 ** ((window.past - window.minutes) / (_RELEASE_MINUTES / 6)),
        0.0,
    )
    after[window.past >= window.minutes + _RELEASE_MINUTES] = 0.0
    pull = most * np.where(before > 0, np.minimum(1.0, 3.0 * before), after)
    np.maximum(day.pull, pull, out=day.pull)
    _scale(day.pace, window, 1.0 + 0.3 * strength)


def _gamma_flip(day: DayEffects, window: _Window, strength: float) -> None:
    day.drift -= np.diff(np.minimum(window.part * 8.0, 1.0)) * strength
    _scale(day.volatility, window, 1.0 + 0.8 * strength)
    _scale(day.pace, window, 1.0 + 0.6 * strength)
    _scale(day.depth, window, 1.0 / (1.0 + 0.5 * strength))


def _regime_change(day: DayEffects, window: _Window, strength: float) -> None:
    """All move together: the market's part grows most."""
    _scale(day.shared, window, 1.0 + 1.2 * strength)
    _scale(day.volatility, window, 1.0 + 0.3 * strength)
    _scale(day.pace, window, 1.0 + 0.4 * strength)
    _scale(day.depth, window, 1.0 / (1.0 + 0.8 * strength))


_EFFECTS: Final[dict[ScenarioKind, _Effect]] = {
    ScenarioKind.CALM: _calm,
    ScenarioKind.TREND_UP: _trend(1.0),
    ScenarioKind.TREND_DOWN: _trend(-1.0),
    ScenarioKind.CASCADE: _cascade,
    ScenarioKind.FUNDING_EXTREME: _funding_extreme,
    ScenarioKind.OPTION_EXPIRY: _option_expiry,
    ScenarioKind.GAMMA_FLIP: _gamma_flip,
    ScenarioKind.REGIME_CHANGE: _regime_change,
}


class Script:
    """The scenarios started so far, in order of their start."""

    def __init__(self) -> None:
        self.scenarios: tuple[Scenario, ...] = ()

    def add(self, scenario: Scenario) -> None:
        self.scenarios = tuple(
            sorted((*self.scenarios, scenario), key=lambda one: (one.start_ms, one.kind))
        )

    def of(self, asset: str, day: int) -> tuple[Scenario, ...]:
        """Those that began to touch an asset before the end of a day."""
        if not self.scenarios:
            return ()
        end = (day + 1) * DAY_MINUTES
        return tuple(
            one for one in self.scenarios if one.touches(asset) and first_minute(one) < end
        )


def day_effects(scenarios: tuple[Scenario, ...], day: int) -> DayEffects | None:
    """The joint effect on a day; None when none of them is at work any more."""
    begin = day * DAY_MINUTES
    active = [
        one
        for one in scenarios
        if first_minute(one) + one.duration_ms // MINUTE_MS + 1 + _RELEASE_MINUTES > begin
    ]
    if not active:
        return None
    found = _nothing()
    for one in active:
        _EFFECTS[one.kind](found, _Window(one, day), one.strength)
    return found
