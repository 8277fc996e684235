"""An adapter for a ccxt id: REST only, no wire code. Its numbers come at the cadence it is polled at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from apps.marketdata.books import BookSynchroniser
from apps.marketdata.events import Event
from apps.marketdata.instruments import Instrument
from apps.venues.base import VenueAdapter, VenueEndpoints
from apps.venues.ccxt_generic.rest import CcxtRestClient
from apps.venues.offer import Offer
from apps.venues.parsing import Parser, ParserStats
from apps.venues.stream_client import StreamSpec

OFFER: Final = Offer(
    candles=False,
    taker_candles=False,
    open_interest_history=False,
    positioning=frozenset(),
)


class NoParser:
    """There are no frames."""

    def __init__(self, stats: ParserStats) -> None:
        self.stats = stats

    def parse(self, raw: bytes, ts_recv: int) -> list[Event]:
        return []


class NoStream:
    """The stream client of a venue that is polled: waits until it is stopped."""

    def __init__(self, venue: str, **_options: object) -> None:
        self.books: Mapping[str, BookSynchroniser] = {}
        self.stats = ParserStats(venue)
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        await self._stopped.wait()

    async def stop(self) -> None:
        self._stopped.set()


def _no_parser(connection: str, instruments: Iterable[Instrument], stats: ParserStats) -> Parser:
    return NoParser(stats)


def _no_plan(instruments: Iterable[Instrument]) -> list[StreamSpec]:
    return []


def make_adapter(venue: str, poll_s: float) -> VenueAdapter:
    """``venue`` is ccxt's id; ``poll_s`` the time between two polls."""
    return VenueAdapter(
        venue=venue,
        connections=(),
        endpoints=VenueEndpoints(rest="", ws=""),
        book_rules={},
        default_funding_interval_h=None,
        make_parser=_no_parser,
        stream_plan=_no_plan,
        stream_client=partial(NoStream, venue),
        rest_client=partial(CcxtRestClient, venue=venue),
        offer=OFFER,
        poll_s=poll_s,
    )
