"""OKX's face: one port with REST and the public and business sockets."""

from __future__ import annotations

from typing import Final

from apps.sandbox.faces.base import FaceContext, FaceFactory, ReplayMemory, StreamEntry
from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.numbering import Numbering
from apps.sandbox.faces.okx.channels import connection_of, hub_channel, kind_of
from apps.sandbox.faces.okx.frames import SEQS_PER_STEP
from apps.sandbox.faces.okx.listings import VENUE, listings
from apps.sandbox.faces.okx.publisher import Publisher
from apps.sandbox.faces.okx.rest import RestFace
from apps.sandbox.faces.okx.session import WebSocketFace
from apps.sandbox.faces.okx.source import ModelSource, ReplaySource, Source
from apps.sandbox.faces.one_port import OnePortFace

__all__ = ["FACTORY", "channel_of", "listings", "stream_of"]

_HEAD: Final = b'{"arg":{"channel":"'


class OkxFace(OnePortFace[Publisher]):
    """See :class:`apps.sandbox.faces.base.Face`."""

    venue = VENUE
    rest: RestFace
    sockets: WebSocketFace

    def __init__(self, context: FaceContext) -> None:
        self.hub = Hub(context.faults)
        self._memory: ReplayMemory | None = context.replay
        self.source = self._source(context)
        self.rest = RestFace(self.source, context.wall_s, context.limit_multiplier)
        self.sockets = WebSocketFace(
            self.hub,
            self.source.wires,
            {wire.index for wire in self.source.wires.values()},
            context.wall_s,
            context.limit_multiplier,
            self._first_frames,
            context.on_subscribed,
        )

    def _source(self, context: FaceContext) -> Source:
        if context.market is not None:
            numbering = Numbering(SEQS_PER_STEP)
            about = context.market, context.listings
            self._publisher = Publisher(*about, self.hub, context.now_ms, numbering)
            return ModelSource(*about, context.now_ms, numbering)
        if context.replay is None:
            raise ValueError("expected a market or a replay, got neither")
        return ReplaySource(context.replay, context.listings, context.now_ms)

    def _first_frames(self, channel: str) -> list[bytes]:
        if self._publisher is not None:
            return self._publisher.first_frames(channel)
        return self._memory.since_snapshot(channel) if self._memory else []

    def restart_books(self, symbol: str) -> int:
        """See :class:`apps.sandbox.faces.base.Restarting`: a smaller number follows a larger one."""
        return self._publisher.restart(symbol) if self._publisher else 0


FACTORY: Final[FaceFactory] = OkxFace


def channel_of(frame: bytes) -> str | None:
    """The hub channel of a recorded push; None for answers and pongs."""
    if not frame.startswith(_HEAD):
        return None
    end = frame.find(b'"', len(_HEAD), 80)
    brace = frame.find(b"}", end, 300)
    if end < 0 or brace < 0:
        return None
    arg = {"channel": frame[len(_HEAD) : end].decode("ascii", "replace")}
    for name in ("instId", "instFamily", "instType", "uly"):
        word = b'"%b":"' % name.encode()
        at = frame.find(word, end, brace)
        if at >= 0:
            start = at + len(word)
            arg[name] = frame[start : frame.find(b'"', start, brace)].decode("ascii", "replace")
    return hub_channel(arg)


def stream_of(channel: str) -> StreamEntry | None:
    """What the adapter calls it: the same."""
    name, _, subject = channel.partition(":")
    kind = kind_of(name)
    if kind is None:
        return None
    suffix = "-SWAP" if name == "index-tickers" else ""
    symbol = "" if name == "liquidation-orders" else f"{subject}{suffix}"
    return StreamEntry(connection_of(name), channel, kind, symbol)
