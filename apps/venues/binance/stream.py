"""Binance's WebSocket: addresses, subscribe messages, limits. The client itself is venue-independent.

UM channels live on two paths since 2026-04-23: books on ``/public``, the rest on ``/market``. A wrong
path acknowledges and stays silent, which the session's first-frame watch finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from apps.marketdata.books import BINANCE_SPOT, BINANCE_UM, ContinuityRule
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.universe import AssetTier, is_known_asset, tier_of
from apps.venues.base import VenueEndpoints
from apps.venues.binance.parse import VENUE, BinanceParser, Market
from apps.venues.dialect import Dialect
from apps.venues.parsing import ParserStats
from apps.venues.stream_client import ALL_ASSETS, StreamSpec
from apps.venues.streaming import BaseStreamClient

CONNECTIONS: Final = ("market", "public", "spot")
BOOK_RULES: Final[dict[InstrumentKind, ContinuityRule]] = {
    InstrumentKind.PERP: BINANCE_UM,
    InstrumentKind.SPOT: BINANCE_SPOT,
}
_STREAM_PREFIX: Final = b'{"stream":"'
_NEVER_SILENT_S: Final = float("inf")
# How long a channel may be quiet, by tier: books of small coins can rest for a while, trades longer.
_BOOK_SILENCE_S: Final = {AssetTier.HOT: 15.0, AssetTier.COLD: 90.0}
_TRADE_SILENCE_S: Final = {AssetTier.HOT: 180.0, AssetTier.COLD: 1_800.0}
_MARK_SILENCE_S: Final = 10.0


def stream_plan(instruments: Iterable[Instrument]) -> list[StreamSpec]:
    """Trades and books of every instrument; mark, funding and liquidations of all UM symbols at once."""
    plan: list[StreamSpec] = []
    has_perps = False
    for instrument in instruments:
        if instrument.kind is InstrumentKind.FUTURE:
            # Their marks and forced orders come with those of all symbols.
            has_perps = True
            continue
        tier = tier_of(instrument.asset) if is_known_asset(instrument.asset) else AssetTier.COLD
        is_spot = instrument.kind is InstrumentKind.SPOT
        has_perps = has_perps or not is_spot
        stream, asset = instrument.symbol.lower(), instrument.asset
        symbol = instrument.symbol
        trades, books = ("spot", "spot") if is_spot else ("market", "public")
        plan += [
            StreamSpec(
                trades, f"{stream}@aggTrade", asset, "trade", _TRADE_SILENCE_S[tier], symbol
            ),
            StreamSpec(
                books, f"{stream}@depth@100ms", asset, "book", _BOOK_SILENCE_S[tier], symbol
            ),
        ]
    if has_perps:
        plan += [
            StreamSpec("market", "!markPrice@arr@1s", ALL_ASSETS, "mark", _MARK_SILENCE_S),
            StreamSpec("market", "!forceOrder@arr", ALL_ASSETS, "liquidation", _NEVER_SILENT_S),
        ]
    return plan


class BinanceDialect(Dialect):
    """See :class:`apps.venues.dialect.Dialect`."""

    # The venue allows 1024; fewer keep a reconnect small.
    max_channels = 200

    def __init__(self, endpoints: VenueEndpoints) -> None:
        self._endpoints = endpoints

    def url(self, connection: str) -> str:
        # The combined form names the channel in every frame.
        if connection == "spot":
            if self._endpoints.spot_ws is None:
                raise ValueError("binance: expected a spot WebSocket address, received none")
            return f"{self._endpoints.spot_ws}/stream"
        return f"{self._endpoints.ws}/{connection}/stream"

    def batch_size(self, connection: str) -> int:
        return 50

    def message_gap_s(self, connection: str) -> float:
        # 10 (UM) and 5 (spot) messages a second at most, pings and pongs included.
        return 0.25 if connection == "spot" else 0.15

    def subscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("SUBSCRIBE", request_id, channels)

    def unsubscribe(self, request_id: int, channels: Iterable[str]) -> bytes:
        return _request("UNSUBSCRIBE", request_id, channels)

    def channel_of(self, frame: bytes) -> str | None:
        if not frame.startswith(_STREAM_PREFIX):
            return None
        end = frame.find(b'"', len(_STREAM_PREFIX), 120)
        return None if end < 0 else frame[len(_STREAM_PREFIX) : end].decode("ascii", "replace")


def _request(method: str, request_id: int, channels: Iterable[str]) -> bytes:
    return orjson.dumps({"method": method, "params": list(channels), "id": request_id})


def make_parser(
    connection: str, instruments: Iterable[Instrument], stats: ParserStats
) -> BinanceParser:
    """A parser for one connection group's frames."""
    market = Market.SPOT if connection == "spot" else Market.UM
    is_spot = market is Market.SPOT
    own = [item for item in instruments if (item.kind is InstrumentKind.SPOT) == is_spot]
    return BinanceParser(market, own, stats)


class BinanceStreamClient(BaseStreamClient):
    """Streams UM and spot; keeps their books when ``fetch_snapshot`` is given."""

    venue, connections, rules = VENUE, CONNECTIONS, BOOK_RULES
    parser_for = staticmethod(make_parser)

    def dialect_for(self, endpoints: VenueEndpoints, plan: Sequence[StreamSpec]) -> Dialect:
        return BinanceDialect(endpoints)
