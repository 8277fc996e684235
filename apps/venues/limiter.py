"""Request budgets: at most so much weight in any window of so many seconds.

Venues count per address, so processes that share one must share the count. A :class:`RequestPool` waits its
turn; where the spending is written down is a :class:`Budget`: in this process, or wherever the caller of
an adapter keeps it (ingest: Redis).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, Protocol

from apps.venues.timing import Sleep

LIVE_SHARE: Final = 0.4
"""Part of every budget that background work leaves alone."""
in_background: Final[ContextVar[bool]] = ContextVar("in_background", default=False)
"""Set around work that can wait: its requests give way to all others."""


class Budget(Protocol):
    """One window's spending, wherever it is kept."""

    async def take(self, weight: float, spare: float = 0.0) -> float:
        """Spend ``weight`` and answer 0; or spend nothing and answer the seconds to wait.

        ``spare`` is what must be left for others after it.
        """
        ...

    def block_for(self, seconds: float) -> None:
        """Nothing may be spent for so long, by anybody who shares this budget."""
        ...


class BudgetFactory(Protocol):
    """Makes the budget called ``name``, the same for everyone who asks for that name."""

    def __call__(self, name: str, weight: float, window_s: float) -> Budget: ...


class LocalBudget:
    """Exact sliding window of this process. ``monotonic`` is in seconds."""

    def __init__(self, weight: float, window_s: float, *, monotonic: Callable[[], float]) -> None:
        self._weight = weight
        self._window_s = window_s
        self._monotonic = monotonic
        self._spent: deque[tuple[float, float]] = deque()
        self._in_window = 0.0
        self._blocked_until = float("-inf")

    async def take(self, weight: float, spare: float = 0.0) -> float:
        return self.take_now(weight, spare)

    def take_now(self, weight: float, spare: float = 0.0) -> float:
        """See :meth:`Budget.take`."""
        wait_s = self._wait_s(weight + spare)
        if wait_s <= 0:
            self.note(weight)
        return max(wait_s, 0.0)

    def note(self, weight: float) -> None:
        """Spent, whatever this budget says: somebody else granted it."""
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
        # A request heavier than the whole budget goes alone.
        if not self._spent or self._in_window + weight <= self._weight:
            return 0.0
        return self._spent[0][0] + self._window_s - now


class RequestPool:
    """Waits until a budget has room. Callers of one process are served in the order in which they ask.

    Without ``budgets`` the budget is this process's own; with it, the one called ``name``
    (``venue:pool``, such as ``binance:data``). ``block_for`` closes the pool after the venue said when to
    come back.
    """

    def __init__(
        self,
        weight: float,
        window_s: float,
        *,
        monotonic: Callable[[], float],
        sleep: Sleep,
        name: str = "",
        budgets: BudgetFactory | None = None,
    ) -> None:
        self._budget: Budget = (
            LocalBudget(weight, window_s, monotonic=monotonic)
            if budgets is None
            else budgets(name, weight, window_s)
        )
        self._sleep = sleep
        self._spare = weight * LIVE_SHARE
        self._turn = asyncio.Lock()

    async def acquire(self, weight: float = 1.0) -> None:
        if in_background.get():
            await self._acquire_last(weight)
            return
        async with self._turn:
            while (wait_s := await self._budget.take(weight)) > 0:
                await self._sleep(wait_s)

    async def _acquire_last(self, weight: float) -> None:
        """After everybody who is waiting, and only from what live requests are sure not to need."""
        while True:
            async with self._turn:
                wait_s = await self._budget.take(weight, self._spare)
            if wait_s <= 0:
                return
            # Without the turn: whoever asks meanwhile goes first.
            await self._sleep(wait_s)

    def block_for(self, seconds: float) -> None:
        self._budget.block_for(seconds)
