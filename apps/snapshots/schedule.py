"""Which slots are due: pure arithmetic on market time.

Slots lie on multiples of the tier's cadence. The slot that is due is always the newest one: a worker that
was away does not work off the past. A market that has ended (a replay at its last frame) has no new
slots in market time; there the slots go on in wall time, so that what was still on its way at the end is
published and a lost snapshot comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from apps.core.clock import NS_PER_MS, ClockLine

# Minute bars close 1.5 s after their minute and reach the tables within a second.
GRACE_MS: Final = 4_000
_END_GRACE_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Slot:
    """``name`` is unique among the slots of one clock line and tier."""

    name: str


def due_slot(line: ClockLine, wall_ns: int, cadence_s: int) -> Slot:
    """The newest slot at this moment.

    The grace is wall time: it waits for the writers, which do not run faster in a fast replay.
    """
    cadence_ms = cadence_s * 1000
    end_wall_ns = wall_at_end(line)
    if end_wall_ns is not None and wall_ns >= end_wall_ns + _END_GRACE_MS * NS_PER_MS:
        since_ms = (wall_ns - end_wall_ns) // NS_PER_MS - _END_GRACE_MS
        return Slot(f"{line.wall_anchor_ns}:end{since_ms // cadence_ms}")
    market_ms = line.at(wall_ns - GRACE_MS * NS_PER_MS) // NS_PER_MS
    return Slot(f"{line.wall_anchor_ns}:{market_ms // cadence_ms}")


def wall_at_end(line: ClockLine) -> int | None:
    """Wall time at which a market that ends reaches its end; None for one that goes on."""
    if line.market_end_ns is None:
        return None
    return line.wall_anchor_ns + int((line.market_end_ns - line.market_anchor_ns) / line.speed)
