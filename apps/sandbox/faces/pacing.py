"""How often something may be done: a count over the last so many seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Recent:
    """What is refused counts too, as it does at the venues."""

    def __init__(self, most: float, window_s: float, now_s: Callable[[], float]) -> None:
        self.most = most
        self._window_s = window_s
        self._now_s = now_s
        self._times: deque[float] = deque()

    def take(self) -> bool:
        """Whether there was room for one more."""
        now = self._now_s()
        while self._times and self._times[0] <= now - self._window_s:
            self._times.popleft()
        self._times.append(now)
        return len(self._times) <= self.most
