"""Bybit's WebSocket: addresses, subscribe messages, limits. The client itself is venue-independent.

Each category has its own path (``/v5/public/linear``, ``/v5/public/spot``). A book is repaired by
subscribing to it anew: every subscription begins with a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from apps.marketdata.books import BYBIT, ContinuityRule
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import AssetTier, is_known_asset, tier_of
from apps.venues.base import VenueEndpoints
from apps.venues.bybit.convert import VENUE
from apps.venues.bybit.parse import BybitParser
from apps.venues.dialect import Dialect
from apps.venues.parsing import ParserStats
from apps.venues.stream_client import StreamSpec
from apps.venues.streaming import BaseStreamClient

CONNECTIONS: Final = ("linear", "spot")
BOOK_RULES: Final[dict[InstrumentKind, ContinuityRule]] = {
    InstrumentKind.PERP: BYBIT,
    InstrumentKind.SPOT: BYBIT,
}
BOOK: Final = "orderbook.200"
"""Every 100 ms; 50 levels would come every 20 ms, 1000 every 200 ms."""
MAX_ARGS_CHARS: Final = 21_000
"""The venue's limit on all topics of one connection."""
_NEVER_SILENT_S: Final = float("inf")
_BOOK_SILENCE_S: Final = {AssetTier.HOT: 15.0, AssetTier.COLD: 90.0}
_TRADE_SILENCE_S: Final = {AssetTier.HOT: 180.0, AssetTier.COLD: 1_800.0}
_TICKER_SILENCE_S: Final = 60.0
_PING_EVERY_S: Final = 20.0
_HEAD: Final = b'{"topic":"'


def stream_plan(instruments: Iterable[Instrument]) -> list[StreamSpec]:
    """Trades and books of every instrument; prices, funding, interest and liquidations of perpetuals."""
    plan: list[StreamSpec] = []
    for instrument in instruments:
        if instrument.kind is InstrumentKind.FUTURE:
            channel = f"tickers.{instrument.symbol}"
            spec = ("linear", channel, instrument.asset, "mark", _TICKER_SILENCE_S)
            plan.append(StreamSpec(*spec, instrument.symbol))
            continue
        tier = tier_of(instrument.asset) if is_known_asset(instrument.asset) else AssetTier.COLD
        topics: tuple[tuple[str, str, float], ...] = (
            ("publicTrade", "trade", _TRADE_SILENCE_S[tier]),
            (BOOK, "book", _BOOK_SILENCE_S[tier]),
        )
        connection = "spot"
        if instrument.kind is InstrumentKind.PERP:
            connection = "linear"
            topics += (
                ("tickers", "mark", _TICKER_SILENCE_S),
                ("allLiquidation", "liquidation", _NEVER_SILENT_S),
            )
        symbol = instrument.symbol
        plan += [
            StreamSpec(connection, f"{topic}.{symbol}", instrument.asset, kind, silence_s, symbol)
            for topic, kind, silence_s in topics
        ]
    return plan


def channel_of(frame: bytes) -> str | None:
    """Topic of a push, read without decoding it; None for answers and pongs."""
    if not frame.startswith(_HEAD):
        return None
    end = frame.find(b'"', len(_HEAD), 120)
    return None if end < 0 else frame[len(_HEAD) : end].decode("ascii", "replace")


class BybitDialect(Dialect):
    """See :class:`apps.venues.dialect.Dialect`."""

    # 200 topics of the longest kind are 8,000 characters, well inside MAX_ARGS_CHARS.
    max_channels = 200
    # The venue promises an answer to its own ping message only.
    answers_pings = False

    def __init__(self, endpoints: VenueEndpoints) -> None:
        self._endpoints = endpoints

    def url(self, connection: str) -> str:
        return f"{self._endpoints.ws}/v5/public/{connection}"

    def batch_size(self, connection: str) -> int:
        return 10 if connection == "spot" else 50

    def message_gap_s(self, connection: str) -> float:
        return 0.1

    def subscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("subscribe", request_id, channels)

    def unsubscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("unsubscribe", request_id, channels)

    def channel_of(self, frame: bytes) -> str | None:
        return channel_of(frame)

    def keep_alive(self, connection: str) -> tuple[float, bytes] | None:
        return _PING_EVERY_S, b'{"op":"ping"}'


def _request(op: str, request_id: int, channels: Iterable[str]) -> bytes:
    return orjson.dumps({"op": op, "args": list(channels), "req_id": str(request_id)})


def make_parser(
    connection: str, instruments: Iterable[Instrument], stats: ParserStats
) -> BybitParser:
    """A parser for one connection group's frames; spot and perpetuals share their symbols."""
    is_spot = connection == "spot"
    own = [item for item in instruments if (item.kind is InstrumentKind.SPOT) == is_spot]
    return BybitParser(own, stats)


class BybitStreamClient(BaseStreamClient):
    """Streams linear perpetuals and spot. Books come whole in the stream: no ``fetch_snapshot`` needed."""

    venue, connections, rules = VENUE, CONNECTIONS, BOOK_RULES
    parser_for = staticmethod(make_parser)

    def dialect_for(self, endpoints: VenueEndpoints, plan: Sequence[StreamSpec]) -> Dialect:
        return BybitDialect(endpoints)
