"""A venue, complete: what joins its parts. Pure: no Django, no settings, no clock, no global state.

An adapter is a folder with the same files everywhere: ``wire`` (message shapes), ``parse`` (bytes in,
events out), ``symbols`` (instruments), ``stream`` (WebSocket client), ``rest`` (HTTP client). Its
``adapter.py`` joins them in one :class:`VenueAdapter`, listed in :mod:`apps.venues.registry`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from apps.marketdata.books import ContinuityRule
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.offer import Offer
from apps.venues.parsing import ParseIssue, Parser, ParserStats
from apps.venues.rest_client import RestClient
from apps.venues.stream_client import FetchSnapshot, OnEvent, OnState, StreamClient, StreamSpec
from apps.venues.timing import NowNs

if TYPE_CHECKING:
    from apps.venues.limiter import BudgetFactory


@dataclass(frozen=True, slots=True)
class VenueEndpoints:
    """Scheme, host and port (and base path, if any): all that differs between live and emulator."""

    rest: str
    ws: str
    spot_rest: str | None = None
    spot_ws: str | None = None


class StreamClientFactory(Protocol):
    def __call__(
        self,
        *,
        endpoints: VenueEndpoints,
        instruments: Iterable[Instrument],
        stream_plan: Iterable[StreamSpec],
        on_event: OnEvent,
        on_state: OnState,
        now_ns: NowNs,
        rng: random.Random,
        fetch_snapshot: FetchSnapshot | None = None,
        report: Callable[[ParseIssue], None] = ...,
    ) -> StreamClient: ...


class RestClientFactory(Protocol):
    def __call__(
        self,
        *,
        endpoints: VenueEndpoints,
        now_ns: NowNs,
        rate_multiplier: float = 1.0,
        budgets: BudgetFactory | None = None,
    ) -> RestClient:
        """``budgets`` keeps the client's request pools where processes share them; None: its own."""
        ...


@dataclass(frozen=True, slots=True)
class VenueAdapter:
    """One venue, complete. Differences between venues are data here, never ``if venue ==`` elsewhere."""

    venue: str
    connections: tuple[str, ...]
    """Connection groups of the venue's WebSocket, the values of ``StreamSpec.connection``."""
    endpoints: VenueEndpoints
    """The venue's own addresses; sandbox and replay put the emulator's in their place."""
    book_rules: Mapping[InstrumentKind, ContinuityRule]
    default_funding_interval_h: float | None
    """What a symbol has whose interval the venue does not name; None: then it is not known."""
    make_parser: Callable[[str, Iterable[Instrument], ParserStats], Parser]
    """(connection, instruments, stats) → parser for that connection's frames."""
    stream_plan: Callable[[Iterable[Instrument]], list[StreamSpec]]
    stream_client: StreamClientFactory
    rest_client: RestClientFactory
    offer: Offer = field(default_factory=Offer)
    poll_s: float | None = None
    """Seconds between two polls of a venue that has no stream here; None: it is streamed."""
