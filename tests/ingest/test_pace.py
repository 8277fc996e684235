"""Venues that one emulator answers for keep together."""

from __future__ import annotations

import asyncio

from apps.ingest.pace import Convoy


async def _settle() -> None:
    """Everything that can go on has."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_nobody_is_far_ahead_of_the_slowest() -> None:
    reached: list[int] = []

    async def fast(convoy: Convoy) -> None:
        for rank in range(6):
            await convoy.reach("binance", rank)
            reached.append(rank)

    async def scenario() -> None:
        convoy = Convoy(ahead=2, patience_s=60.0)
        for venue in ("binance", "okx"):
            convoy.join(venue)
        going = asyncio.create_task(fast(convoy))
        await _settle()
        assert reached == [0, 1, 2]
        await convoy.reach("okx", 1)
        await _settle()
        assert reached == [0, 1, 2, 3]
        convoy.leave("okx")
        await going

    asyncio.run(scenario())
    assert reached == [0, 1, 2, 3, 4, 5]


def test_one_that_does_not_get_on_holds_the_others_up_once() -> None:
    async def scenario() -> tuple[float, float]:
        convoy = Convoy(ahead=2, patience_s=0.05)
        for venue in ("binance", "okx"):
            convoy.join(venue)
        loop = asyncio.get_running_loop()
        started = loop.time()
        await convoy.reach("binance", 3)
        waited = loop.time() - started
        await convoy.reach("binance", 50)
        return waited, loop.time() - started - waited

    first, second = asyncio.run(scenario())
    assert first >= 0.05
    assert second < 0.05


def test_a_step_back_is_no_reason_to_wait() -> None:
    """Jobs of one venue run side by side: an earlier asset's may begin after a later one's."""

    async def scenario() -> None:
        convoy = Convoy(ahead=0, patience_s=60.0)
        convoy.join("binance")
        await convoy.reach("binance", 7)
        await convoy.reach("binance", 6)

    asyncio.run(scenario())
