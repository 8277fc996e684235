"""Hyperliquid's face: ``POST /info`` and ``/ws`` on one port."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from apps.sandbox.faces.base import FaceContext, FaceFactory, ReplayMemory
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.hyperliquid.info import InfoFace
from apps.sandbox.faces.hyperliquid.limits import Limits
from apps.sandbox.faces.hyperliquid.listings import VENUE, hyperliquid_listings
from apps.sandbox.faces.hyperliquid.names import channel_of, stream_of
from apps.sandbox.faces.hyperliquid.publisher import Publisher
from apps.sandbox.faces.hyperliquid.session import WebSocketFace
from apps.sandbox.faces.hyperliquid.source import ModelSource, ReplaySource, Source
from apps.sandbox.faces.one_port import OnePortFace
from apps.sandbox.market.listing import Listing

__all__ = ["FACTORY", "HyperliquidFace", "channel_of", "listings", "stream_of"]


class HyperliquidFace(OnePortFace[Publisher]):
    """See :class:`apps.sandbox.faces.base.Face`."""

    venue = VENUE
    rest: InfoFace
    sockets: WebSocketFace

    def __init__(self, context: FaceContext) -> None:
        self.hub = Hub(context.faults)
        self.limits = Limits(context.limit_multiplier, context.wall_s)
        self.source = self._source(context)
        self.rest = InfoFace(self.source, self.limits, context.now_ms)
        self.sockets = WebSocketFace(
            self.hub,
            {one.symbol: one for one in (*self.source.listings, *self.source.builders)},
            self.limits,
            context.wall_s,
            context.on_subscribed,
            self._first_frames(context.replay),
        )

    def _source(self, context: FaceContext) -> Source:
        if context.market is not None:
            model = ModelSource(context.market, context.listings, context.now_ms)
            self._publisher = Publisher(model, self.hub, context.now_ms)
            return model
        if context.replay is None:
            raise ValueError("expected a market or a replay, got neither")
        return ReplaySource(context.replay, context.listings)

    def _first_frames(self, replay: ReplayMemory | None) -> Any:
        if self._publisher is not None:
            return self._publisher.first_frames

        def latest(channel: str) -> list[bytes]:
            # Trades come once; whatever else has been played is the present state.
            frame = None if replay is None or channel.startswith("trades") else replay.last(channel)
            return [] if frame is None else [frame]

        return latest


FACTORY: Final[FaceFactory] = HyperliquidFace


def listings(assets: Iterable[str]) -> tuple[Listing, ...]:
    """Perpetuals of those assets that the venue lists."""
    return hyperliquid_listings(assets)
