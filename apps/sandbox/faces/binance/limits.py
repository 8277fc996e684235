"""Request limits: weight per minute, and the pools of endpoints that are counted apart."""

from __future__ import annotations

from collections.abc import Callable

from apps.sandbox.faces.binance.errors import VenueError

_BAN_S = 120
# Calls over the limit before the venue bans the address instead of refusing.
_PATIENCE = 30


class Window:
    """A count that starts again every ``seconds``."""

    def __init__(self, limit: float, seconds: int, now_s: Callable[[], float]) -> None:
        self.limit = limit
        self.seconds = seconds
        self._now_s = now_s
        self._slot = -1
        self._used = 0

    def _roll(self) -> None:
        slot = int(self._now_s()) // self.seconds
        if slot != self._slot:
            self._slot, self._used = slot, 0

    @property
    def used(self) -> int:
        self._roll()
        return self._used

    def take(self, amount: int) -> bool:
        self._roll()
        self._used += amount
        return self._used <= self.limit

    def wait_s(self) -> int:
        return self.seconds - int(self._now_s()) % self.seconds


class Limits:
    """One address's budgets. Loopback has one address, so there is one of these per face."""

    def __init__(
        self, weight_per_minute: int, multiplier: float, now_s: Callable[[], float]
    ) -> None:
        self._now_s = now_s
        self._advertised = weight_per_minute
        self.weight = Window(weight_per_minute * multiplier, 60, now_s)
        self.pools = {
            "data": Window(1000 * multiplier, 300, now_s),
            "funding": Window(500 * multiplier, 300, now_s),
        }
        self._refused = 0
        self._banned_until_s = 0.0

    def charge(self, weight: int, pool: str | None) -> None:
        """Raises ``VenueError`` 429 when over, 418 for those who go on regardless."""
        now = self._now_s()
        if now < self._banned_until_s:
            raise self._ban()
        counted = self.pools[pool] if pool else self.weight
        if counted.take(1 if pool else weight):
            return
        self._refused += 1
        if self._refused > _PATIENCE:
            self._refused = 0
            self._banned_until_s = now + _BAN_S
            raise self._ban()
        raise VenueError(
            -1003,
            f"Too many requests; current limit is {self._advertised} request weight per 1 MINUTE. "
            "Please use the websocket for live updates to avoid polling the API.",
            429,
            counted.wait_s(),
        )

    def _ban(self) -> VenueError:
        until = self._banned_until_s
        return VenueError(
            -1003,
            f"Way too many requests; IP banned until {int(until * 1000)}. "
            "Please use the websocket for live updates to avoid bans.",
            418,
            max(1, int(until - self._now_s())),
        )
