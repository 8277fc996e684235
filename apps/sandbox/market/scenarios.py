"""Scripted situations. A market is a pure function of its seed, the scenarios started so far and time.

A scenario changes nothing before its ``start_ms``, so what the venues have already said stays true.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class ScenarioKind(StrEnum):
    """What happens while a scenario lasts.

    ``CALM``: volatility, flow and forced orders die down. ``TREND_UP``, ``TREND_DOWN``: a steady drift
    with one-sided flow and positions piling up behind it. ``CASCADE``: a fall that liquidates longs,
    whose forced sales deepen it; open interest drops, books thin out, funding turns. ``FUNDING_EXTREME``:
    futures pull far away from the index. ``OPTION_EXPIRY``: the price is drawn to a strike and calms
    down until the expiry (the scenario's end), then is let go. ``GAMMA_FLIP``: the price crosses to where
    hedging amplifies moves. ``REGIME_CHANGE``: volatility, depth and correlation rise for the whole time.
    """

    CALM = "calm"
    TREND_UP = "trend_up"
    TREND_DOWN = "trend_down"
    CASCADE = "cascade"
    FUNDING_EXTREME = "funding_extreme"
    OPTION_EXPIRY = "option_expiry"
    GAMMA_FLIP = "gamma_flip"
    REGIME_CHANGE = "regime_change"


MAX_STRENGTH: Final = 5.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """``strength`` 1 is the plain form of its kind; no ``assets`` means all of them.

    Raises ``ValueError`` for a duration or strength that is not above 0, or a strength above 5.
    """

    kind: ScenarioKind
    assets: tuple[str, ...]
    start_ms: int
    duration_ms: int
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.duration_ms <= 0:
            raise ValueError(f"a scenario's duration must be above 0 ms, got {self.duration_ms}")
        if not 0.0 < self.strength <= MAX_STRENGTH:
            raise ValueError(f"strength must be in (0, {MAX_STRENGTH}], got {self.strength}")

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.duration_ms

    def touches(self, asset: str) -> bool:
        return not self.assets or asset in self.assets
