"""Everything of Deribit in one place, for :mod:`apps.venues.registry`."""

from __future__ import annotations

from typing import Final

from apps.venues.base import VenueAdapter, VenueEndpoints
from apps.venues.deribit.convert import RATE_HOURS, VENUE
from apps.venues.deribit.rest import DeribitRestClient
from apps.venues.deribit.stream import (
    BOOK_RULES,
    CONNECTIONS,
    DeribitStreamClient,
    make_parser,
    stream_plan,
)
from apps.venues.offer import Offer

ADAPTER: Final = VenueAdapter(
    venue=VENUE,
    connections=CONNECTIONS,
    endpoints=VenueEndpoints(rest="https://www.deribit.com", ws="wss://www.deribit.com"),
    book_rules=BOOK_RULES,
    default_funding_interval_h=RATE_HOURS,
    make_parser=make_parser,
    stream_plan=stream_plan,
    stream_client=DeribitStreamClient,
    rest_client=DeribitRestClient,
    offer=Offer(
        taker_candles=False,
        open_interest_history=False,
        positioning=frozenset(),
        max_connections=32,
    ),
)
