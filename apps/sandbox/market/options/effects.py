"""What scripted situations do to options. Nothing happens before a scenario's start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from apps.sandbox.market.noise import FloatArray, floats
from apps.sandbox.market.scenarios import Scenario, ScenarioKind

_FADE_S: Final = 6 * 3_600.0
_RISE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Effects:
    """``short`` and ``long`` multiply variances, ``skew`` is added to ρ; ``pin`` and ``flip`` (0 and more)
    are how strongly interest gathers at the strike next to the price, or in puts around it; ``flow``
    multiplies how often options trade."""

    short: FloatArray
    long: FloatArray
    skew: FloatArray
    pin: FloatArray
    flip: FloatArray
    flow: FloatArray


def _course(scenario: Scenario, t_s: FloatArray) -> FloatArray:
    """Rises from 0 to the strength in the first tenth, holds, and fades after the end."""
    since = (t_s - scenario.start_ms / 1000.0) / (scenario.duration_ms / 1000.0)
    after = np.maximum(t_s - scenario.end_ms / 1000.0, 0.0)
    return floats(scenario.strength * np.clip(since / _RISE, 0.0, 1.0) * np.exp(-after / _FADE_S))


def _until_end(scenario: Scenario, t_s: FloatArray) -> FloatArray:
    """Rises steadily to the strength at the end, and is gone after it."""
    since = (t_s - scenario.start_ms / 1000.0) / (scenario.duration_ms / 1000.0)
    return floats(scenario.strength * np.where((since > 0.0) & (since <= 1.0), since, 0.0))


def _calm(out: dict[str, FloatArray], course: FloatArray, _rise: FloatArray) -> None:
    out["short"] *= np.exp(-0.5 * course)
    out["flow"] *= np.exp(-0.7 * course)


def _cascade(out: dict[str, FloatArray], course: FloatArray, _rise: FloatArray) -> None:
    out["short"] *= 1.0 + 1.2 * course
    out["long"] *= 1.0 + 0.15 * course
    out["skew"] -= 0.15 * np.minimum(course, 1.5)
    out["flow"] *= 1.0 + 2.0 * course


def _expiry(out: dict[str, FloatArray], course: FloatArray, rise: FloatArray) -> None:
    out["short"] *= np.exp(-0.6 * rise)
    out["pin"] += rise
    out["flow"] *= 1.0 + 1.5 * course


def _flip(out: dict[str, FloatArray], course: FloatArray, _rise: FloatArray) -> None:
    out["short"] *= 1.0 + 0.5 * course
    out["skew"] -= 0.08 * np.minimum(course, 2.0)
    out["flip"] += course
    out["flow"] *= 1.0 + course


def _regime(out: dict[str, FloatArray], course: FloatArray, _rise: FloatArray) -> None:
    out["short"] *= 1.0 + 0.6 * course
    out["long"] *= 1.0 + 0.3 * course


def _trend(out: dict[str, FloatArray], course: FloatArray, _rise: FloatArray) -> None:
    out["flow"] *= 1.0 + 0.5 * course


_EFFECTS: Final[
    dict[ScenarioKind, Callable[[dict[str, FloatArray], FloatArray, FloatArray], None]]
] = {
    ScenarioKind.CALM: _calm,
    ScenarioKind.CASCADE: _cascade,
    ScenarioKind.OPTION_EXPIRY: _expiry,
    ScenarioKind.GAMMA_FLIP: _flip,
    ScenarioKind.REGIME_CHANGE: _regime,
    ScenarioKind.TREND_UP: _trend,
    ScenarioKind.TREND_DOWN: _trend,
}


def effects_of(scenarios: Sequence[Scenario], asset: str, t_s: FloatArray) -> Effects:
    """At each time, of all scenarios that touch the asset."""
    out = {name: np.ones_like(t_s) for name in ("short", "long", "flow")}
    out |= {name: np.zeros_like(t_s) for name in ("skew", "pin", "flip")}
    for scenario in scenarios:
        apply = _EFFECTS.get(scenario.kind)
        if apply is not None and scenario.touches(asset):
            apply(out, _course(scenario, t_s), _until_end(scenario, t_s))
    return Effects(**out)
