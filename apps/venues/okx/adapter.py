"""Everything of OKX in one place, for :mod:`apps.venues.registry`."""

from __future__ import annotations

from typing import Final

from apps.venues.base import VenueAdapter, VenueEndpoints
from apps.venues.offer import Offer, Reach
from apps.venues.okx.convert import VENUE
from apps.venues.okx.rest import OkxRestClient
from apps.venues.okx.stream import (
    BOOK_RULES,
    CONNECTIONS,
    OkxStreamClient,
    make_parser,
    stream_plan,
)
from apps.venues.okx.symbols import DEFAULT_FUNDING_INTERVAL_H

ADAPTER: Final = VenueAdapter(
    venue=VENUE,
    connections=CONNECTIONS,
    # Port 8443 was retired on 2026-10-31.
    endpoints=VenueEndpoints(rest="https://www.okx.com", ws="wss://ws.okx.com"),
    book_rules=BOOK_RULES,
    default_funding_interval_h=DEFAULT_FUNDING_INTERVAL_H,
    make_parser=make_parser,
    stream_plan=stream_plan,
    stream_client=OkxStreamClient,
    rest_client=OkxRestClient,
    offer=Offer(
        mark_page=100,
        taker_candles=False,
        connects=(3, 1.0),
        reach={
            "funding": Reach(days=90),
            "open_interest": Reach(rows=1440),
            "positioning": Reach(rows=1440),
        },
    ),
)
