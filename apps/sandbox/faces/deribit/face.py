"""Deribit's face: one port, one WebSocket path, the same methods over both."""

from __future__ import annotations

from typing import Final

from apps.sandbox.faces.base import FaceContext, FaceFactory
from apps.sandbox.faces.deribit.channels import Channel, channel_of, stream_of
from apps.sandbox.faces.deribit.limits import Limits
from apps.sandbox.faces.deribit.listings import VENUE, listings
from apps.sandbox.faces.deribit.model_source import ModelSource
from apps.sandbox.faces.deribit.publisher import Publisher
from apps.sandbox.faces.deribit.replay_source import ReplaySource
from apps.sandbox.faces.deribit.rest import RestFace
from apps.sandbox.faces.deribit.session import WebSocketFace
from apps.sandbox.faces.deribit.source import Source
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.one_port import OnePortFace

__all__ = ["FACTORY", "channel_of", "listings", "stream_of"]
_OPTIONS_TOO: Final = frozenset(
    {"ticker", "changes of ticker", "trades", "book", "grouped book", "quote"}
)
_EVERYTHING: Final = frozenset({"all trades", "state"})


class DeribitFace(OnePortFace[Publisher]):
    """See :class:`apps.sandbox.faces.base.Face`."""

    venue = VENUE
    rest: RestFace
    sockets: WebSocketFace

    def __init__(self, context: FaceContext) -> None:
        self.hub = Hub(context.faults)
        self.limits = Limits(context.limit_multiplier, context.wall_s)
        self._context = context
        self._model: ModelSource | None = None
        self.source = self._make_source()
        self.rest = RestFace(self.source, self.limits, context.wall_s)
        self.sockets = WebSocketFace(
            self.hub,
            self.source,
            self.limits,
            context.wall_s,
            context.on_subscribed,
            self._first_frames,
            self._is_listed,
            # Recordings were made by those who may.
            allows_raw=context.replay is not None,
        )

    def _make_source(self) -> Source:
        context = self._context
        if context.market is not None:
            self._model = ModelSource(context.market, context.listings, context.now_ms)
            self._publisher = Publisher(self._model, self.hub, context.now_ms)
            return self._model
        if context.replay is None:
            raise ValueError("expected a market or a replay, got neither")
        return ReplaySource(context.listings, context.replay, context.now_ms)

    def _first_frames(self, channel: Channel) -> list[bytes]:
        if self._publisher is not None:
            return self._publisher.first_frames(channel)
        replay = self._context.replay
        return replay.since_snapshot(channel.channel) if replay is not None else []

    def _is_listed(self, channel: Channel) -> bool:
        model = self._model
        if model is None or channel.family in _EVERYTHING:
            return True
        if channel.family in ("marks", "index", "dvol"):
            if channel.family == "marks":
                return model.options.of_index(channel.name) is not None
            has_index = channel.name in model.by_index
            return has_index and (
                channel.family != "dvol" or channel.name in ("btc_usd", "eth_usd")
            )
        if channel.name in model.listings:
            return True
        return channel.family in _OPTIONS_TOO and model.options.find(channel.name) is not None


FACTORY: Final[FaceFactory] = DeribitFace
