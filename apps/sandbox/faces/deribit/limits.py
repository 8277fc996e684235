"""Deribit's credits: a pool that refills continuously; who empties it is refused with 10028."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apps.sandbox.faces.deribit.errors import too_many

REQUEST_CREDITS: Final = 500.0
POOL_CREDITS: Final = 50_000.0
REFILL_PER_S: Final = 10_000.0
# get_instruments and subscribing have rates of their own.
_INSTRUMENTS_PER_S: Final = 1.0
_SUBSCRIBES_PER_S: Final = 3.3
_SUBSCRIBE_BURST: Final = 10.0


class Bucket:
    """Holds up to ``capacity``, refilled by ``per_s``."""

    def __init__(self, capacity: float, per_s: float, now_s: Callable[[], float]) -> None:
        self._capacity = capacity
        self._per_s = per_s
        self._now_s = now_s
        self._left = capacity
        self._at = now_s()

    def take(self, amount: float) -> None:
        """Raises 10028 when there is not enough left."""
        now = self._now_s()
        self._left = min(self._capacity, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < amount:
            raise too_many()
        self._left -= amount


class Limits:
    """One address's budgets. Loopback has one address, so there is one of these per face."""

    def __init__(self, multiplier: float, now_s: Callable[[], float]) -> None:
        self.multiplier = multiplier
        self._now_s = now_s
        self._credits = Bucket(POOL_CREDITS * multiplier, REFILL_PER_S * multiplier, now_s)
        self._instruments = Bucket(multiplier, _INSTRUMENTS_PER_S * multiplier, now_s)

    def charge(self, method: str) -> None:
        if method == "get_instruments":
            self._instruments.take(1.0)
        else:
            self._credits.take(REQUEST_CREDITS)

    def subscribe_bucket(self) -> Bucket:
        """Counted per connection."""
        many = self.multiplier
        return Bucket(_SUBSCRIBE_BURST * many, _SUBSCRIBES_PER_S * many, self._now_s)
