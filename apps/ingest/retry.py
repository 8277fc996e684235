"""Asking a venue's REST again, as slowly as it wants, and naming it meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from apps.core.logs import get_logger
from apps.ingest.metrics import REST_ERRORS
from apps.ingest.sources import SourceTracker
from apps.venues.errors import VenueBadAnswer, VenueBadRequest, VenueError, VenueRefused

logger = get_logger(__name__)

_Answer = TypeVar("_Answer")
_FIRST_S: Final = 1.0
_LONGEST_S: Final = 30.0
_REFUSED_S: Final = 60.0
"""A venue that does not serve us here is asked once a minute: an operator must act."""
GIVE_UP_AFTER: Final = 5
"""Attempts at a request that the venue calls wrong or answers with nonsense."""


class RestCaller:
    """Calls of one venue. A back-off that the venue asked for holds all of them."""

    def __init__(
        self, tracker: SourceTracker, now_ms: Callable[[], int], rng: random.Random
    ) -> None:
        self._tracker = tracker
        self._now_ms = now_ms
        self._rng = rng
        self._open_at = 0.0

    def held_s(self) -> float:
        """How long nothing may be asked, because the venue wants it so."""
        return max(0.0, self._open_at - asyncio.get_running_loop().time())

    async def once(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """One attempt, after the venue's back-off if there is one; raises :class:`VenueError`."""
        loop = asyncio.get_running_loop()
        await self._until_allowed()
        try:
            answer = await call()
        except VenueError as error:
            REST_ERRORS.labels(error.venue).inc()
            self._tracker.rest_failed(error)
            if error.retry_after is not None:
                self._open_at = max(self._open_at, loop.time() + error.retry_after)
            raise
        self._tracker.rest_ok(self._now_ms())
        return answer

    async def _until_allowed(self) -> None:
        held_s = self.held_s()
        while held_s:
            await asyncio.sleep(held_s)
            # It may have been told to wait longer meanwhile.
            held_s = self.held_s()

    async def until_answered(self, call: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Attempts until there is an answer; gives up only on what repeating cannot help."""
        attempt = 0
        while True:
            try:
                return await self.once(call)
            except (VenueBadRequest, VenueBadAnswer) as error:
                attempt += 1
                if attempt >= GIVE_UP_AFTER:
                    raise
                logger.warning("venue_answer_unusable", error=str(error))
            except VenueError as error:
                attempt += 1
                logger.warning("venue_backed_off", error=str(error), attempt=attempt)
                if isinstance(error, VenueRefused):
                    await asyncio.sleep(_REFUSED_S)
            delay_s = min(_LONGEST_S, _FIRST_S * 2 ** min(attempt - 1, 5))
            await asyncio.sleep(delay_s * self._rng.uniform(0.5, 1.0))
