"""What the streams of a venue do not bring is asked for: open interest, mark prices, predicted funding.

Nothing here knows a venue. A number is asked for when it is older than its cadence, so that a venue whose
stream brings it is never asked; one call for all where the venue has one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from apps.core.logs import get_logger
from apps.ingest.retry import RestCaller
from apps.ingest.state import Listing, MarketState
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import AssetTier, tier_of
from apps.venues.errors import VenueError
from apps.venues.rest_client import ListsOpenInterest, RestClient

logger = get_logger(__name__)

OPEN_INTEREST_EVERY_S: Final[dict[AssetTier, float]] = {AssetTier.HOT: 60.0, AssetTier.COLD: 300.0}
_IN_FLIGHT: Final = 4
_WITH_INTEREST: Final = (InstrumentKind.PERP, InstrumentKind.FUTURE)
_LOOK_EVERY_S: Final = 0.5
_MARK_CHECK_S: Final = 15.0
_MARK_TOO_OLD_MS: Final = 20_000
_RATE_TOO_OLD_MS: Final = 120_000
"""Predicted rates come with the mark on most venues, on OKX every 30 to 90 s."""


class Pollers:
    """Asks one venue's REST about the instruments that ``instruments`` names at the time."""

    def __init__(
        self,
        *,
        venue: str,
        rest: RestClient,
        caller: RestCaller,
        state: MarketState,
        instruments: Callable[[], Sequence[Instrument]],
        now_ms: Callable[[], int],
        rng: random.Random,
        every_s: Mapping[AssetTier, float] = OPEN_INTEREST_EVERY_S,
        poll_s: float | None = None,
    ) -> None:
        """``poll_s``: everything is asked for at this cadence, because there is no stream."""
        self._venue = venue
        self._rest = rest
        self._caller = caller
        self._state = state
        self._instruments = instruments
        self._now_ms = now_ms
        self._rng = rng
        self._every_s = every_s if poll_s is None else dict.fromkeys(AssetTier, poll_s)
        self._poll_s = poll_s
        self._due: dict[str, float] = {}
        self._slots = asyncio.Semaphore(_IN_FLIGHT)

    # --- open interest -----------------------------------------------------------------------------

    async def open_interest(self) -> None:
        """Each contract once a minute (HOT) or five (COLD), spread over that time."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                due = self._take_due(loop.time())
                if due and isinstance(self._rest, ListsOpenInterest):
                    # The answer is about everything: the others need not be asked for either.
                    await self._ask_all(self._rest, due, loop.time())
                else:
                    for one in due:
                        group.create_task(self._ask(one))
                await asyncio.sleep(_LOOK_EVERY_S)

    def _take_due(self, now: float) -> list[Instrument]:
        """Contracts to ask for now; those told of within half their period are put off."""
        due: list[Instrument] = []
        for one in self._contracts():
            if self._due.get(one.key, 0.0) > now:
                continue
            period_s = self._every_s[tier_of(one.asset)]
            # The first round comes at once; its places in the next are spread.
            is_first = one.key not in self._due
            self._due[one.key] = now + period_s * (self._rng.random() if is_first else 1.0)
            told_ms = self._listing(one).state.oi_ts_ms or 0
            if self._now_ms() - told_ms >= period_s * 500:
                due.append(one)
        return due

    async def _ask(self, one: Instrument) -> None:
        async with self._slots:
            try:
                sample = await self._caller.once(lambda: self._rest.open_interest(one))
            except VenueError as error:
                logger.warning("open_interest_missed", symbol=one.symbol, error=str(error))
                return
        self._state.apply(sample)

    async def _ask_all(
        self, rest: ListsOpenInterest, due: Iterable[Instrument], now: float
    ) -> None:
        shortest_s = min(self._every_s[tier_of(one.asset)] for one in due)
        for one in self._contracts():
            self._due[one.key] = now + shortest_s
        try:
            samples = await self._caller.once(rest.open_interests)
        except VenueError as error:
            logger.warning("open_interest_missed", venue=self._venue, error=str(error))
            return
        for sample in samples:
            self._state.apply(sample)

    # --- mark prices and predicted funding -----------------------------------------------------------

    async def marks(self) -> None:
        """At start, and whenever the stream does not bring them."""
        while True:
            if self._poll_s is not None or self._are_marks_old():
                try:
                    for event in await self._caller.once(self._rest.mark_prices):
                        self._state.apply(event)
                except VenueError as error:
                    logger.warning("mark_prices_missed", venue=self._venue, error=str(error))
            await asyncio.sleep(self._poll_s or _MARK_CHECK_S)

    def _are_marks_old(self) -> bool:
        now_ms = self._now_ms()
        states = [self._listing(one).state for one in self._perpetuals()]
        return any(
            now_ms - (state.mark_ts_ms or 0) > _MARK_TOO_OLD_MS
            or now_ms - (state.funding_ts_ms or 0) > _RATE_TOO_OLD_MS
            for state in states
        )

    # --- inside --------------------------------------------------------------------------------------

    def _perpetuals(self) -> list[Instrument]:
        return [one for one in self._instruments() if one.kind is InstrumentKind.PERP]

    def _contracts(self) -> list[Instrument]:
        """Perpetuals and dated futures."""
        return [one for one in self._instruments() if one.kind in _WITH_INTEREST]

    def _listing(self, one: Instrument) -> Listing:
        return self._state.listings[one.key]
