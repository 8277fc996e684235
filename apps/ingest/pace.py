"""How much of the machine the background backfill may take: live work goes first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_SHARE: Final = 0.4
_LONGEST_S: Final = 5.0
_LAG_LOOK_S: Final = 0.05
_LATE_S: Final = 0.1
TOGETHER: Final = 2
"""Pieces under way at once, over all venues."""


class Pace:
    """Works a share of the time, and not at all while the event loop is late with its sockets."""

    def __init__(self, share: float = _SHARE) -> None:
        self._rest_per_work = (1.0 - share) / share
        self._slots = asyncio.Semaphore(TOGETHER)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """One piece of work, and the rest after it."""
        async with self._slots:
            started = time.monotonic()
            yield
            await asyncio.sleep(min(_LONGEST_S, (time.monotonic() - started) * self._rest_per_work))
            await _until_punctual()


async def _until_punctual() -> None:
    """Until the event loop wakes a sleeper on time again, within reason."""
    for _ in range(int(_LONGEST_S / _LAG_LOOK_S)):
        started = time.monotonic()
        await asyncio.sleep(_LAG_LOOK_S)
        if time.monotonic() - started - _LAG_LOOK_S < _LATE_S:
            return
