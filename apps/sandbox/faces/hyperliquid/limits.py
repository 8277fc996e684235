"""Request weights and WebSocket messages of one address. Loopback has one, so there is one of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WEIGHT_PER_MINUTE: Final = 1_200
MESSAGES_PER_MINUTE: Final = 2_000
CONNECTS_PER_MINUTE: Final = 30
MAX_CONNECTIONS: Final = 10
MAX_SUBSCRIPTIONS: Final = 1_000
INFO_WEIGHT: Final = {"l2Book": 2, "allMids": 2, "exchangeStatus": 2}
OTHER_INFO_WEIGHT: Final = 20
ROWS_PER_WEIGHT: Final = {"fundingHistory": 20, "recentTrades": 20, "candleSnapshot": 60}


class Minute:
    """A count that starts again every minute."""

    def __init__(self, limit: float, now_s: Callable[[], float]) -> None:
        self.limit = limit
        self.used = 0.0
        self._now_s = now_s
        self._minute = -1

    def take(self, amount: float) -> bool:
        """Whether there is room; what has no room is not counted."""
        self._roll()
        if self.used + amount > self.limit:
            return False
        self.used += amount
        return True

    def add(self, amount: float) -> None:
        """Count what has been answered already."""
        self._roll()
        self.used += amount

    def _roll(self) -> None:
        minute = int(self._now_s()) // 60
        if minute != self._minute:
            self._minute, self.used = minute, 0.0


class Limits:
    """``multiplier`` loosens rates, not the number of connections and subscriptions."""

    def __init__(self, multiplier: float, now_s: Callable[[], float]) -> None:
        self.weight = Minute(WEIGHT_PER_MINUTE * multiplier, now_s)
        self.messages = Minute(MESSAGES_PER_MINUTE * multiplier, now_s)
        self.connects = Minute(CONNECTS_PER_MINUTE * multiplier, now_s)
