"""Bybit's face: one port with REST and the linear socket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from apps.sandbox.faces.base import FaceContext, FaceFactory, ReplayMemory, StreamEntry
from apps.sandbox.faces.bybit.listings import VENUE, listings
from apps.sandbox.faces.bybit.publisher import Publisher
from apps.sandbox.faces.bybit.rest import RestFace
from apps.sandbox.faces.bybit.session import PATH, SPOT, WebSocketFace, prefix_of
from apps.sandbox.faces.bybit.source import ModelSource, ReplaySource, Source
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.numbering import Numbering
from apps.sandbox.faces.one_port import OnePortFace

__all__ = ["FACTORY", "channel_of", "listings", "stream_of"]

_HEAD: Final = b'{"topic":"'
# An old recording of the venue's downloads has this depth; the stream does not.
_RECORDED: Final = ("orderbook.500", "liquidation")
_KINDS: Final = {
    "publicTrade": "trade",
    "orderbook": "book",
    "tickers": "mark",
    "allLiquidation": "liquidation",
    "liquidation": "liquidation",
    "kline": "candle",
}


class BybitFace(OnePortFace[Publisher]):
    """See :class:`apps.sandbox.faces.base.Face`."""

    venue = VENUE
    rest: RestFace
    sockets: WebSocketFace

    def __init__(self, context: FaceContext) -> None:
        self.hub = Hub(context.faults)
        self._spot: Publisher | None = None
        self._spot_source: Source | None = None
        self._memory: ReplayMemory | None = context.replay
        self.source = self._source(context)
        self.rest = RestFace(
            self.source, context.wall_s, context.limit_multiplier, self._spot_source
        )
        symbols: dict[str, Iterable[str]] = {PATH: self.source.listings}
        if self._spot_source is not None:
            symbols[SPOT] = self._spot_source.listings
        self.sockets = WebSocketFace(
            self.hub,
            symbols,
            context.wall_s,
            context.limit_multiplier,
            self._first_frames,
            context.on_subscribed,
            _RECORDED if context.replay is not None else (),
        )

    def _source(self, context: FaceContext) -> Source:
        if context.market is not None:
            market, now_ms = context.market, context.now_ms
            spot = tuple(one for one in context.listings if one.kind == "spot")
            own = tuple(one for one in context.listings if one.kind != "spot")
            numbers, spots = Numbering(), Numbering()
            self._publisher = Publisher(market, own, self.hub, now_ms, numbering=numbers)
            self._spot = Publisher(market, spot, self.hub, now_ms, prefix_of(SPOT), spots)
            self._spot_source = ModelSource(market, spot, now_ms, SPOT, spots)
            return ModelSource(market, own, now_ms, numbering=numbers)
        if context.replay is None:
            raise ValueError("expected a market or a replay, got neither")
        return ReplaySource(context.replay, context.listings, context.now_ms)

    def _first_frames(self, channel: str) -> list[bytes]:
        if self._publisher is not None and self._spot is not None:
            is_spot = channel.startswith(prefix_of(SPOT))
            return (self._spot if is_spot else self._publisher).first_frames(channel)
        # Trades and candles call themselves snapshots too, but nobody comes late to them.
        if self._memory is None or not channel.startswith(("orderbook.", "tickers.")):
            return []
        return self._memory.since_snapshot(channel)

    def publishers(self) -> list[Publisher]:
        return [one for one in (self._publisher, self._spot) if one]

    def restart_books(self, symbol: str) -> int:
        """See :class:`apps.sandbox.faces.base.Restarting`: a whole book with ``u`` 1."""
        return sum(one.restart(symbol) for one in self.publishers())


FACTORY: Final[FaceFactory] = BybitFace


def channel_of(frame: bytes) -> str | None:
    """The hub channel of a recorded push: its topic; None for answers and pongs."""
    if not frame.startswith(_HEAD):
        return None
    end = frame.find(b'"', len(_HEAD), 120)
    return None if end < 0 else frame[len(_HEAD) : end].decode("ascii", "replace")


def stream_of(channel: str) -> StreamEntry | None:
    """What the adapter calls it: the same."""
    kind = _KINDS.get(channel.partition(".")[0])
    if channel.startswith("orderbook.1."):
        kind = "quote"
    if kind is None:
        return None
    return StreamEntry(PATH, channel, kind, channel.rpartition(".")[2])
