"""Everything of Bybit in one place, for :mod:`apps.venues.registry`."""

from __future__ import annotations

from typing import Final

from apps.venues.base import VenueAdapter, VenueEndpoints
from apps.venues.bybit.convert import VENUE
from apps.venues.bybit.rest import BybitRestClient
from apps.venues.bybit.stream import (
    BOOK_RULES,
    CONNECTIONS,
    BybitStreamClient,
    make_parser,
    stream_plan,
)
from apps.venues.bybit.symbols import DEFAULT_FUNDING_INTERVAL_H
from apps.venues.offer import Offer

ADAPTER: Final = VenueAdapter(
    venue=VENUE,
    connections=CONNECTIONS,
    endpoints=VenueEndpoints(rest="https://api.bybit.com", ws="wss://stream.bybit.com"),
    book_rules=BOOK_RULES,
    default_funding_interval_h=DEFAULT_FUNDING_INTERVAL_H,
    make_parser=make_parser,
    stream_plan=stream_plan,
    stream_client=BybitStreamClient,
    rest_client=BybitRestClient,
    offer=Offer(
        taker_candles=False,
        mark_page=1000,
        positioning=frozenset({"accounts"}),
        connects=(500, 300.0),
    ),
)
