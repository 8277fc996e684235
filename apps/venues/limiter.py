"""A request budget: at most so much weight in any window of so many seconds."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from apps.venues.base import Sleep


class RequestPool:
    """Exact sliding window. Callers are served in the order in which they ask.

    ``monotonic`` is in seconds. ``block_for`` closes the pool after the venue said when to come back.
    """

    def __init__(
        self, weight: float, window_s: float, *, monotonic: Callable[[], float], sleep: Sleep
    ) -> None:
        self._weight = weight
        self._window_s = window_s
        self._monotonic = monotonic
        self._sleep = sleep
        self._spent: deque[tuple[float, float]] = deque()
        self._in_window = 0.0
        self._blocked_until = float("-inf")
        self._turn = asyncio.Lock()

    async def acquire(self, weight: float = 1.0) -> None:
        async with self._turn:
            while (wait_s := self._wait_s(weight)) > 0:
                await self._sleep(wait_s)
            self._spent.append((self._monotonic(), weight))
            self._in_window += weight

    def block_for(self, seconds: float) -> None:
        self._blocked_until = max(self._blocked_until, self._monotonic() + seconds)

    def _wait_s(self, weight: float) -> float:
        now = self._monotonic()
        if now < self._blocked_until:
            return self._blocked_until - now
        while self._spent and self._spent[0][0] <= now - self._window_s:
            self._in_window -= self._spent.popleft()[1]
        if not self._spent or self._in_window + weight <= self._weight:
            return 0.0
        return self._spent[0][0] + self._window_s - now
