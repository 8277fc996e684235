"""How much of the machine the background backfill may take, live work going first; and how far apart venues
may be that one emulator answers for."""

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
AHEAD: Final = 4
"""Assets between the first venue of a convoy and the last."""


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


class Convoy:
    """Venues go through the assets side by side, none far ahead of the slowest.

    An emulator works out an asset's days once for all venues, and keeps them for a while. A venue that does
    not get on holds the others up for ``patience_s`` at most, once.
    """

    def __init__(self, ahead: int = AHEAD, patience_s: float = _LONGEST_S) -> None:
        self._ahead = ahead
        self._patience_s = patience_s
        self._at: dict[str, int] = {}
        self._moved = asyncio.Event()

    def join(self, venue: str) -> None:
        self._at[venue] = 0

    def leave(self, venue: str) -> None:
        """Done, or not followed any more."""
        if self._at.pop(venue, None) is not None:
            self._wake()

    async def reach(self, venue: str, rank: int) -> None:
        """The venue turns to the asset of this rank, as soon as the others are near it."""
        if rank > self._at.get(venue, rank):
            self._at[venue] = rank
            self._wake()
        while late := [one for one, at in self._at.items() if at < rank - self._ahead]:
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._moved.wait()
            except TimeoutError:
                for one in late:
                    self.leave(one)

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
