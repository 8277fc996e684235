"""Hyperliquid's WebSocket: subscriptions, limits, keep-alive. The client itself is venue-independent.

One message per subscription, acknowledged by an echo of it; ``{"method": "ping"}`` keeps a quiet
connection from being closed after 60 s. Every book message is a whole book.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import orjson

from apps.marketdata.books import HYPERLIQUID, ContinuityRule
from apps.marketdata.events import Control
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import AssetTier, is_known_asset, tier_of
from apps.venues.base import VenueEndpoints
from apps.venues.dialect import Dialect
from apps.venues.hyperliquid.channels import FAST, channel_of, subscription_of
from apps.venues.hyperliquid.parse import VENUE, HyperliquidParser
from apps.venues.parsing import ParserStats
from apps.venues.session import Session
from apps.venues.stream_client import StreamSpec
from apps.venues.streaming import BaseStreamClient

CONNECTIONS: Final = ("ws",)
BOOK_RULES: Final[dict[InstrumentKind, ContinuityRule]] = {InstrumentKind.PERP: HYPERLIQUID}
BOOK_CADENCE_S: Final = 5.0
FAST_BOOK_CADENCE_S: Final = 0.5
_MISSED_BOOKS: Final = 3
_TRADE_SILENCE_S: Final = {AssetTier.HOT: 180.0, AssetTier.COLD: 1_800.0}
_STATE_SILENCE_S: Final = 30.0
_PING_EVERY_S: Final = 20.0


def stream_plan(
    instruments: Iterable[Instrument], fast_books: Collection[str] = ()
) -> list[StreamSpec]:
    """Trades, book and state of every coin; ``fast_books``: assets with 5 levels each 0.5 s instead of
    20 each 5 s."""
    plan: list[StreamSpec] = []
    for instrument in instruments:
        asset, coin = instrument.asset, instrument.symbol
        tier = tier_of(asset) if is_known_asset(asset) else AssetTier.COLD
        is_fast = asset in fast_books
        cadence_s = FAST_BOOK_CADENCE_S if is_fast else BOOK_CADENCE_S
        book = f"l2Book:{coin}{FAST if is_fast else ''}"
        plan += [
            StreamSpec("ws", f"trades:{coin}", asset, "trade", _TRADE_SILENCE_S[tier], coin),
            StreamSpec("ws", book, asset, "book", _MISSED_BOOKS * cadence_s, coin),
            StreamSpec("ws", f"activeAssetCtx:{coin}", asset, "mark", _STATE_SILENCE_S, coin),
        ]
    return plan


class HyperliquidDialect(Dialect):
    """See :class:`apps.venues.dialect.Dialect`."""

    # 1000 subscriptions and 10 connections an address: two lanes carry the whole universe.
    max_channels = 200
    answers_pings = False

    def __init__(self, endpoints: VenueEndpoints, fast: Collection[str] = ()) -> None:
        self._endpoints = endpoints
        self._fast = {name.removesuffix(FAST): name for name in fast}

    def url(self, connection: str) -> str:
        return f"{self._endpoints.ws}/ws"

    def batch_size(self, connection: str) -> int:
        return 1

    def message_gap_s(self, connection: str) -> float:
        # 2000 messages a minute an address: a lane may take up to 1200 of them for a few seconds.
        return 0.05

    def subscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("subscribe", channels)

    def unsubscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("unsubscribe", channels)

    def channel_of(self, frame: bytes) -> str | None:
        name = channel_of(frame)
        return self._fast.get(name, name) if name is not None else None

    def keep_alive(self, connection: str) -> tuple[float, bytes] | None:
        return _PING_EVERY_S, b'{"method":"ping"}'


def _request(method: str, channels: Iterable[str]) -> bytes:
    (name,) = channels
    return orjson.dumps({"method": method, "subscription": subscription_of(name)})


def make_parser(
    connection: str, instruments: Iterable[Instrument], stats: ParserStats
) -> HyperliquidParser:
    """A parser for the venue's one connection group."""
    return HyperliquidParser(
        [item for item in instruments if item.kind is InstrumentKind.PERP], stats
    )


class HyperliquidStreamClient(BaseStreamClient):
    """Streams perpetuals and keeps their books, whose snapshots come in the stream."""

    venue, connections, rules = VENUE, CONNECTIONS, BOOK_RULES
    parser_for = staticmethod(make_parser)

    def dialect_for(self, endpoints: VenueEndpoints, plan: Sequence[StreamSpec]) -> Dialect:
        return HyperliquidDialect(
            endpoints, [spec.channel for spec in plan if spec.channel.endswith(FAST)]
        )

    def _control(self, session: Session, event: Control) -> None:
        # An echo may leave "fast" out.
        if event.channel not in session.channels and event.channel + FAST in session.channels:
            event = replace_channel(event, event.channel + FAST)
        super()._control(session, event)


def replace_channel(event: Control, channel: str) -> Control:
    return Control(event.venue, event.ts_recv, event.kind, event.request_id, event.detail, channel)
