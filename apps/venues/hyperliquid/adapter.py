"""Everything of Hyperliquid in one place, for :mod:`apps.venues.registry`."""

from __future__ import annotations

from typing import Final

from apps.venues.base import Offer, Reach, VenueAdapter, VenueEndpoints
from apps.venues.hyperliquid.parse import FUNDING_INTERVAL_H, VENUE
from apps.venues.hyperliquid.rest import HyperliquidRestClient
from apps.venues.hyperliquid.stream import (
    BOOK_RULES,
    CONNECTIONS,
    HyperliquidStreamClient,
    make_parser,
    stream_plan,
)

ADAPTER: Final = VenueAdapter(
    venue=VENUE,
    connections=CONNECTIONS,
    endpoints=VenueEndpoints(rest="https://api.hyperliquid.xyz", ws="wss://api.hyperliquid.xyz"),
    book_rules=BOOK_RULES,
    default_funding_interval_h=FUNDING_INTERVAL_H,
    make_parser=make_parser,
    stream_plan=stream_plan,
    stream_client=HyperliquidStreamClient,
    rest_client=HyperliquidRestClient,
    offer=Offer(
        taker_candles=False,
        open_interest_history=False,
        positioning=frozenset(),
        max_connections=10,
        connects=(30, 60.0),
        reach={"bar": Reach(rows=5000)},
    ),
)
