"""What a REST client offers, and what it may offer besides. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument


class RestClient(Protocol):
    """Public REST data of one venue; times in ms since the epoch, UTC.

    Raises :class:`~apps.venues.errors.VenueError`.
    """

    async def instruments(self) -> list[Instrument]: ...

    async def funding_intervals(self) -> dict[str, float]:
        """Hours per venue symbol. A symbol that is absent has the venue's default interval."""
        ...

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        """Settled rates with ``start_ms`` ≤ settlement < ``end_ms``, oldest first."""
        ...

    async def open_interest(self, instrument: Instrument) -> OpenInterest: ...

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> Sequence[OpenInterest]: ...

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> Sequence[Candle]:
        """Bars that open in [``start_ms``, ``end_ms``), oldest first; the last may be unfinished."""
        ...

    async def positioning(
        self, instrument: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> Sequence[PositioningRatio]: ...

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot: ...

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        """Mark price and predicted funding of every instrument, in as few calls as possible."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class ListsOpenInterest(Protocol):
    """A :class:`RestClient` whose venue has an all-in-one call: ingest then never asks one by one."""

    async def open_interests(self) -> list[OpenInterest]:
        """Open interest of every perpetual that we cover, in as few calls as possible."""
        ...


@runtime_checkable
class GivesMarkHistory(Protocol):
    """A :class:`RestClient` whose venue keeps past mark prices and indices."""

    async def mark_history(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> Sequence[MarkPrice]:
        """Mark and index at the close of every interval that opens in [``start_ms``, ``end_ms``)."""
        ...


@runtime_checkable
class GivesBookBodies(Protocol):
    """A :class:`RestClient` whose order books begin with a REST answer: recordings need its bytes."""

    async def book_body(self, instrument: Instrument) -> bytes: ...


class Drop(Protocol):
    """A listing of an asset of ours that a venue's list names but that is not followed."""

    @property
    def asset(self) -> str: ...
    @property
    def symbol(self) -> str | None:
        """None: the list does not name the asset at all."""
        ...

    @property
    def reason(self) -> str: ...


@runtime_checkable
class TellsDrops(Protocol):
    """A :class:`RestClient` that says what its last ``instruments()`` left out, and why."""

    def dropped(self) -> Sequence[Drop]: ...
