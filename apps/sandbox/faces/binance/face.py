"""Binance's two faces: USDⓈ-M futures and spot, which share nothing but their messages' form."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Final

from apps.sandbox.faces.base import FaceContext, FaceFactory, StreamEntry
from apps.sandbox.faces.binance.limits import Limits
from apps.sandbox.faces.binance.listings import VENUE, perp_listing, spot_listing
from apps.sandbox.faces.binance.model_source import ModelSource
from apps.sandbox.faces.binance.publisher import Publisher
from apps.sandbox.faces.binance.replay_memory import BinanceMemory
from apps.sandbox.faces.binance.replay_source import ReplaySource
from apps.sandbox.faces.binance.rest import SPOT_ENDPOINTS, UM_ENDPOINTS, RestFace
from apps.sandbox.faces.binance.session import (
    LEGACY,
    MARKET,
    PUBLIC,
    SPOT,
    SPOT_RULES,
    UM_RULES,
    WebSocketFace,
    is_book_channel,
)
from apps.sandbox.faces.binance.source import Source
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.one_port import OnePortFace
from apps.sandbox.market.assets import ASSET_MODELS
from apps.sandbox.market.listing import Listing

_UM_PREFIXES: Final = {"/public": PUBLIC, "/market": MARKET, "": LEGACY}
_SPOT_PREFIXES: Final = {"": SPOT}
_WEIGHT_PER_MINUTE: Final = {False: 2400, True: 6000}
_STREAM: Final = re.compile(rb'^\{"stream":\s*"([^"]+)",\s*"data":\s*')
_KINDS: Final = (
    ("@aggTrade", "trade"),
    ("@trade", "trade"),
    ("@depth", "book"),
    ("bookTicker", "quote"),
    ("markPrice", "mark"),
    ("forceOrder", "liquidation"),
    ("icker", "ticker"),
    ("@kline", "candle"),
)


class BinanceFace(OnePortFace[Publisher]):
    """One of the two; see :class:`apps.sandbox.faces.base.Face`."""

    venue = VENUE
    rest: RestFace
    sockets: WebSocketFace

    def __init__(self, context: FaceContext, *, is_spot: bool) -> None:
        self._is_spot = is_spot
        self.port = SPOT if is_spot else "main"
        self.hub = Hub(context.faults)
        self.limits = Limits(_WEIGHT_PER_MINUTE[is_spot], context.limit_multiplier, context.wall_s)
        self.source = self._source(context)
        self.rest = RestFace(SPOT_ENDPOINTS if is_spot else UM_ENDPOINTS, self.source, self.limits)
        self.sockets = WebSocketFace(
            self.hub,
            SPOT_RULES if is_spot else UM_RULES,
            context.wall_s,
            _SPOT_PREFIXES if is_spot else _UM_PREFIXES,
            context.on_subscribed,
            context.limit_multiplier,
        )

    def _source(self, context: FaceContext) -> Source:
        listings = list(context.listings)
        if context.market is not None:
            self._publisher = Publisher(context.market, listings, self.hub, context.now_ms)
            # Coin-margined contracts share the streams, and have REST paths of their own.
            coins = [one for one in listings if one.is_inverse]
            own = [one for one in listings if not one.is_inverse]
            return ModelSource(context.market, own, context.now_ms, coins)
        if context.replay is None:
            raise ValueError("expected a market or a replay, got neither")
        memory = BinanceMemory(context.replay)
        return ReplaySource(
            listings, memory, context.now_ms, context.replay.shift_ms, is_spot=self._is_spot
        )


FACTORY: Final[FaceFactory] = partial(BinanceFace, is_spot=False)
SPOT_FACTORY: Final[FaceFactory] = partial(BinanceFace, is_spot=True)


def listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Perpetuals of the assets."""
    return tuple(perp_listing(ASSET_MODELS[asset]) for asset in assets)


def spot_listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    return tuple(spot_listing(ASSET_MODELS[asset]) for asset in assets)


def channel_of(frame: bytes) -> str | None:
    """Of a combined stream's frame; raw streams do not say which they are."""
    found = _STREAM.match(frame)
    return None if found is None else found.group(1).decode()


def data_start(frame: bytes) -> int:
    """Where the message begins inside a combined stream's wrapper."""
    found = _STREAM.match(frame)
    return 0 if found is None else found.end()


def _entry(channel: str, *, is_spot: bool) -> StreamEntry:
    symbol = channel.partition("@")[0].upper()
    connection = SPOT if is_spot else PUBLIC if is_book_channel(channel) else MARKET
    kind = next((kind for word, kind in _KINDS if word in channel), "")
    return StreamEntry(connection, channel, kind, "" if symbol.startswith("!") else symbol)


def stream_of(channel: str) -> StreamEntry:
    return _entry(channel, is_spot=False)


def spot_stream_of(channel: str) -> StreamEntry:
    return _entry(channel, is_spot=True)
