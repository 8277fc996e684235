"""Request budgets and back-off, on a hand-moved clock."""

from __future__ import annotations

import random

from apps.venues.backoff import Backoff
from apps.venues.limiter import RequestPool


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def pool(clock: Clock, weight: float = 10, window_s: float = 60) -> RequestPool:
    return RequestPool(weight, window_s, monotonic=clock.monotonic, sleep=clock.sleep)


async def test_no_window_holds_more_than_the_budget() -> None:
    clock = Clock()
    budget = pool(clock)
    granted: list[float] = []
    for _ in range(35):
        await budget.acquire()
        granted.append(clock.now)
        clock.now += 1.0
    for start in granted:
        assert sum(start <= at < start + 60 for at in granted) <= 10
    assert granted[10] == 60.0


async def test_weights_count_and_a_request_heavier_than_the_budget_still_goes() -> None:
    clock = Clock()
    budget = pool(clock)
    await budget.acquire(6)
    await budget.acquire(5)
    assert clock.now == 60.0
    await budget.acquire(50)
    assert clock.now == 120.0


async def test_the_venue_s_own_delay_closes_the_pool() -> None:
    clock = Clock()
    budget = pool(clock)
    budget.block_for(17)
    await budget.acquire()
    assert clock.now == 17.0


def test_back_off_doubles_to_thirty_seconds_and_starts_anew() -> None:
    backoff = Backoff(random.Random(3))
    delays = [backoff.next_s() for _ in range(50)]
    for delay, nominal in zip(delays, (1, 2, 4, 8, 16, *[30] * 45), strict=True):
        assert nominal * 0.75 <= delay <= nominal * 1.25
    assert len(set(delays)) == 50
    backoff.reset()
    assert backoff.next_s() <= 1.25
