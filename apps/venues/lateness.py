"""How late an event loop wakes its sleepers.

A loop that was kept from running has not heard what lies in its sockets: the silence of that time is our own
and says nothing about a venue. Watches for silence take it off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from apps.venues.timing import Sleep

LEAST_S: Final = 0.25
"""Less is what timers and other tasks cost at any time."""
_REMEMBERED: Final = 512


class Lateness:
    """Spells in which the loop was late, as :meth:`sleep` met them.

    ``now`` is the clock of the watches (any unit, any speed): what is taken off is in its units.
    """

    __slots__ = ("_now", "_slept", "_spells", "late_s")

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._spells: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        """(when it ended, how long it was)."""
        self._slept: tuple[float, float, int] | None = None
        """Of the sleep under way: begin and seconds by the loop, begin by ``now``."""
        self.late_s = 0.0
        """By how much the last sleep was too long."""

    async def sleep(self, seconds: float, sleep: Sleep = asyncio.sleep) -> None:
        """Sleep, and note by how much it was too long."""
        self._slept = (asyncio.get_running_loop().time(), seconds, self._now())
        try:
            await sleep(seconds)
            spell = self._spell()
            self.late_s = 0.0
            if spell is not None:
                self._spells.append(spell[:2])
                self.late_s = spell[2]
        finally:
            self._slept = None

    def since(self, moment: int) -> int:
        """How much of the time since ``moment`` the loop was late, the sleep under way included."""
        spells = list(self._spells)
        under_way = self._spell()
        if under_way is not None:
            spells.append(under_way[:2])
        return sum(min(late, end - moment) for end, late in spells if end > moment)

    def _spell(self) -> tuple[int, int, float] | None:
        """(end, length, seconds) of the lateness of the sleep under way, if it is late."""
        if self._slept is None:
            return None
        began_s, seconds, began = self._slept
        took_s = asyncio.get_running_loop().time() - began_s
        late_s = took_s - seconds
        if late_s < LEAST_S:
            return None
        now = self._now()
        return now, int((now - began) * late_s / took_s), late_s
