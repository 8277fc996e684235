"""What a venue has and how far back, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a venue's own history of a series goes: so many days, so many rows, or both."""

    days: float = math.inf
    rows: float = math.inf

    def days_at(self, interval_s: int) -> float:
        """Days that can be had at an interval; 0 stands for a series without a fixed one."""
        return min(self.days, self.rows * interval_s / 86_400) if interval_s else self.days


@dataclass(frozen=True, slots=True)
class Offer:
    """What a venue has, where venues differ; the defaults are those of a full one."""

    candles: bool = True
    taker_candles: bool = True
    """Candles say what takers bought: past taker flow can be had."""
    open_interest_history: bool = True
    liquidation_history: bool = False
    """No venue keeps past liquidations; the emulator's recorder does."""
    positioning: frozenset[str] = frozenset({"accounts", "top_accounts", "top_positions", "taker"})
    """Series of :meth:`RestClient.positioning`."""
    mark_page: int = 0
    """Candles of past mark prices and indices in one answer; 0: it keeps none."""
    max_connections: int | None = None
    """WebSockets an address may hold at once; None: more than we ever need."""
    connects: tuple[int, float] = (100, 300.0)
    """New WebSockets an address may open, in so many seconds."""
    reach: Mapping[str, Reach] = field(default_factory=dict)
    """By name of the series (``apps.ingest.series``); one that is not here has no known end."""
