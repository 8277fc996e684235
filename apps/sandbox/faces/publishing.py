"""What the publishers of all faces have in common: ticks, a plan of what is read, pauses."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from apps.sandbox.faces.hub import Hub

# After a pause (a suspended laptop) streams go on from now: the venue would have cut us anyway.
LONGEST_CATCH_UP_MS: Final = 10_000


class TickingPublisher(ABC):
    """Publishes what fell due since the last tick, in batches, and plans anew when readers change."""

    tick_s: ClassVar[float] = 0.05

    def __init__(self, hub: Hub, now_ms: Callable[[], int]) -> None:
        self._hub = hub
        self._now_ms = now_ms
        self._is_stale = True
        self._last_ms = now_ms()
        hub.on_change.append(self._mark_stale)

    def _mark_stale(self) -> None:
        self._is_stale = True

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self.tick(self._now_ms())
            await asyncio.sleep(self.tick_s)

    def tick(self, now_ms: int) -> None:
        """Publish everything due up to ``now_ms``."""
        self._bring_up()
        if now_ms - self._last_ms > LONGEST_CATCH_UP_MS:
            self._go_on_from_now()
        self._last_ms = now_ms
        self._publish(now_ms)
        self._hub.flush()

    def _bring_up(self) -> None:
        if self._is_stale:
            self._is_stale = False
            self._replan()

    @abstractmethod
    def _replan(self) -> None:
        """Readers have come or gone."""

    @abstractmethod
    def _go_on_from_now(self) -> None:
        """Forget where the streams had got to."""

    @abstractmethod
    def _publish(self, now_ms: int) -> None:
        """What fell due since the last time."""
