"""What a venue face is to the emulator: a few ports, a hub, and work that runs beside them.

Each venue is a folder here whose ``face.py`` exports

- ``FACTORY``: a :class:`FaceFactory`;
- ``listings(assets)``: how the venue lists those assets (its own subset, symbols, grids);
- ``channel_of(frame)``: the hub channel that a recorded wire frame belongs to, None for control frames;
- ``stream_of(channel)``: what FOCSAL's adapter calls that hub channel (:class:`StreamEntry`), None for
  channels that the adapter never asks for.

:mod:`apps.sandbox.faces.registry` lists the venues; nothing else in the emulator knows one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from aiohttp import web

    from apps.sandbox.faces.hub import Hub
    from apps.sandbox.faults import Faults
    from apps.sandbox.market.listing import Listing
    from apps.sandbox.market.protocol import Market


class StreamEntry(NamedTuple):
    """A stream as the control face's manifest names it, in the words of the venue's adapter.

    ``kind``: trade, book, quote, mark, liquidation, ticker or candle. ``symbol`` is empty for a stream
    of every symbol.
    """

    connection: str
    channel: str
    kind: str
    symbol: str


class PlayedFrame(Protocol):
    """A recorded line as the player sees it. ``channel`` is empty for a REST order book."""

    @property
    def channel(self) -> str: ...

    @property
    def symbol(self) -> str: ...

    @property
    def data(self) -> bytes:
        """The message without a combined stream's wrapper, its times as recorded."""
        ...


class PlayListener(Protocol):
    """A face that must see every frame, for example to keep a REST order book."""

    def note(self, frame: PlayedFrame) -> None: ...

    def reset(self) -> None:
        """The recording begins again."""
        ...


class ReplayMemory(Protocol):
    """What a replay has played so far, and what was recorded beside the stream."""

    @property
    def books(self) -> Mapping[str, bytes]:
        """The first REST order book recorded of each symbol, times as recorded."""
        ...

    @property
    def shift_ms(self) -> Callable[[str], int]:
        """How far a symbol's recorded times are moved at present."""
        ...

    def listen(self, listener: PlayListener) -> None: ...

    def last(self, channel: str) -> bytes | None:
        """The newest frame played on a hub channel; its times are already moved to the market's clock."""
        ...

    def since_snapshot(self, channel: str) -> list[bytes]:
        """Frames to send first to whoever comes late to a book that begins with a snapshot: the last
        snapshot and every change after it. Empty before the first one and for other channels."""
        ...

    def body(self, name: str) -> bytes | None:
        """A recorded REST body by the name that the manifest gives it, for example ``instruments``."""
        ...


@dataclass(frozen=True, slots=True)
class FaceContext:
    """What a face is given. Exactly one of ``market`` and ``replay`` is there.

    ``now_ms`` is market time; ``wall_s`` the wall clock, for pings, life spans and request limits, which
    ``limit_multiplier`` scales. ``on_subscribed`` must be told the hub channels that a client asked for
    and gets: a replay starts when all of its streams have a reader.
    """

    listings: tuple[Listing, ...]
    faults: Faults
    now_ms: Callable[[], int]
    wall_s: Callable[[], float]
    limit_multiplier: float
    on_subscribed: Callable[[set[str]], None]
    market: Market | None = None
    replay: ReplayMemory | None = None


class Face(Protocol):
    """One venue's interfaces on top of one hub, whose channels have the venue's own names."""

    @property
    def venue(self) -> str: ...

    @property
    def hub(self) -> Hub: ...

    @property
    def requests(self) -> int:
        """REST requests answered or refused so far."""
        ...

    def ports(self) -> Mapping[str, web.Application]:
        """Applications by port name; the registry says which port each name gets."""
        ...

    def work(self) -> list[Coroutine[Any, Any, None]]:
        """Publishers (none in a replay) and keep-alives; they run until cancelled."""
        ...

    def drop(self, path: str) -> int:
        """Cut connections without a goodbye: those on a path, or all for an empty one; how many."""
        ...

    async def close(self) -> None:
        """Say goodbye to every socket."""
        ...


@runtime_checkable
class Restarting(Protocol):
    """A face whose venue may begin the numbers of its books anew, and has words for it."""

    def restart_books(self, symbol: str) -> int:
        """Number a symbol's books from the start again, or all for ``*``; how many books."""
        ...


class FaceFactory(Protocol):
    def __call__(self, context: FaceContext) -> Face: ...
