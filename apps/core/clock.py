"""Two clocks. Wall time is for keys, limits, billing and tasks; market time is for everything about data.

Market time equals wall time, except in a replay that follows its recording: there it is a line
``market = market_anchor + (wall - wall_anchor) × speed``, capped at the recording's end. The emulator
owns that line; ``ingest`` copies it into Redis and every process reads it from there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ClockLine:
    """How market time follows wall time; all in nanoseconds."""

    wall_anchor_ns: int
    market_anchor_ns: int
    speed: float = 1.0
    market_end_ns: int | None = None

    def at(self, wall_ns: int) -> int:
        market = self.market_anchor_ns + int((wall_ns - self.wall_anchor_ns) * self.speed)
        return market if self.market_end_ns is None else min(market, self.market_end_ns)


WALL_LINE: Final = ClockLine(0, 0)


class MarketClock:
    """Market time of one process. ``set_line`` is called by whoever follows the emulator's clock."""

    def __init__(self) -> None:
        self._line = WALL_LINE
        self._frozen_ns: int | None = None

    @property
    def line(self) -> ClockLine:
        return self._line

    def set_line(self, line: ClockLine) -> None:
        self._line = line

    def freeze(self, market_ns: int | None) -> None:
        """Hold market time still (tests); None lets it run again."""
        self._frozen_ns = market_ns

    def now_ns(self) -> int:
        if self._frozen_ns is not None:
            return self._frozen_ns
        return self._line.at(time.time_ns())

    def now_ms(self) -> int:
        return self.now_ns() // NS_PER_MS

    def now_s(self) -> float:
        return self.now_ns() / NS_PER_S


market_clock: Final = MarketClock()


def wall_now_ns() -> int:
    return time.time_ns()


def iso_moment(moment: datetime | None) -> str | None:
    """As it is kept, with Z; None stays None."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def iso_utc(ts_ms: int) -> str:
    """ISO 8601 UTC with Z; milliseconds only when they are not zero."""
    moment = datetime.fromtimestamp(ts_ms / 1000, tz=UTC)
    spec = "milliseconds" if ts_ms % 1000 else "seconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")
