"""Everything of Hyperliquid in one place, for :mod:`apps.venues.registry`."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Final

from apps.marketdata.instruments import Instrument
from apps.venues.base import VenueAdapter, VenueEndpoints
from apps.venues.hyperliquid.liquidations import EstimatedLiquidations
from apps.venues.hyperliquid.parse import FUNDING_INTERVAL_H, VENUE
from apps.venues.hyperliquid.rest import HyperliquidRestClient
from apps.venues.hyperliquid.stream import (
    BOOK_RULES,
    CONNECTIONS,
    HyperliquidStreamClient,
    make_parser,
    stream_plan,
)
from apps.venues.offer import Offer, Reach
from apps.venues.parsing import ParseIssue
from apps.venues.stream_client import FetchSnapshot, OnEvent, OnState, StreamSpec
from apps.venues.timing import NowNs


def stream_client(
    *,
    endpoints: VenueEndpoints,
    instruments: Iterable[Instrument],
    stream_plan: Iterable[StreamSpec],
    on_event: OnEvent,
    on_state: OnState,
    now_ns: NowNs,
    rng: random.Random,
    fetch_snapshot: FetchSnapshot | None = None,
    report: Callable[[ParseIssue], None] = lambda issue: None,
) -> HyperliquidStreamClient:
    """The venue's stream, and what it does not say: liquidations, estimated."""
    return HyperliquidStreamClient(
        endpoints=endpoints,
        instruments=instruments,
        stream_plan=stream_plan,
        on_event=EstimatedLiquidations(on_event).on_event,
        on_state=on_state,
        now_ns=now_ns,
        rng=rng,
        fetch_snapshot=fetch_snapshot,
        report=report,
    )


ADAPTER: Final = VenueAdapter(
    venue=VENUE,
    connections=CONNECTIONS,
    endpoints=VenueEndpoints(rest="https://api.hyperliquid.xyz", ws="wss://api.hyperliquid.xyz"),
    book_rules=BOOK_RULES,
    default_funding_interval_h=FUNDING_INTERVAL_H,
    make_parser=make_parser,
    stream_plan=stream_plan,
    stream_client=stream_client,
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
