"""Everything of Binance in one place, for :mod:`apps.venues.registry`."""

from __future__ import annotations

from typing import Final

from apps.venues.base import VenueAdapter, VenueEndpoints
from apps.venues.binance.parse import VENUE
from apps.venues.binance.rest import BinanceRestClient
from apps.venues.binance.stream import (
    BOOK_RULES,
    CONNECTIONS,
    BinanceStreamClient,
    make_parser,
    stream_plan,
)
from apps.venues.binance.symbols import DEFAULT_FUNDING_INTERVAL_H
from apps.venues.offer import Offer, Reach

ADAPTER: Final = VenueAdapter(
    venue=VENUE,
    connections=CONNECTIONS,
    endpoints=VenueEndpoints(
        rest="https://fapi.binance.com",
        ws="wss://fstream.binance.com",
        spot_rest="https://api.binance.com",
        spot_ws="wss://stream.binance.com:9443",
    ),
    book_rules=BOOK_RULES,
    default_funding_interval_h=DEFAULT_FUNDING_INTERVAL_H,
    make_parser=make_parser,
    stream_plan=stream_plan,
    stream_client=BinanceStreamClient,
    rest_client=BinanceRestClient,
    # /futures/data keeps a month.
    offer=Offer(
        mark_page=1500, reach={"open_interest": Reach(days=30), "positioning": Reach(days=30)}
    ),
)
