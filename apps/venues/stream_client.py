"""What a streaming client is told, what it tells, and what it may offer besides. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

from apps.marketdata.books import BookSynchroniser
from apps.marketdata.events import BookSnapshot, Event
from apps.marketdata.instruments import Instrument
from apps.venues.parsing import ParserStats

if TYPE_CHECKING:
    from apps.venues.limiter import RequestPool

ALL_ASSETS: Final = "*"
"""Asset of a channel that carries every symbol of the venue."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One channel to subscribe to.

    ``kind`` is trade, book, quote, mark, liquidation, ticker or candle. ``symbol`` and ``asset`` are
    ``"*"`` for a channel of all symbols. ``max_silence_s`` is how long the channel may say nothing
    before it counts as stale; ``inf`` for channels whose silence means nothing (liquidations).
    """

    connection: str
    channel: str
    asset: str
    kind: str
    max_silence_s: float
    symbol: str = ALL_ASSETS


class StreamStatus(StrEnum):
    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    RECONNECTING = "reconnecting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class StreamState:
    """A change in one channel's health. ``ts`` is ``now_ns`` at the change."""

    venue: str
    connection: str
    channel: str
    asset: str
    kind: str
    status: StreamStatus
    reason: str
    ts: int


OnFrame: TypeAlias = Callable[[str, bytes, int], None]
OnEvent: TypeAlias = Callable[[Event], None]
OnState: TypeAlias = Callable[[StreamState], None]
FetchSnapshot: TypeAlias = Callable[[Instrument], Awaitable[BookSnapshot]]


class StreamClient(Protocol):
    """Keeps a stream plan subscribed until stopped: reconnects, repairs books, reports health."""

    @property
    def books(self) -> Mapping[str, BookSynchroniser]:
        """Books by ``Instrument.key``."""
        ...

    @property
    def stats(self) -> ParserStats: ...

    async def run(self) -> None:
        """Stream until :meth:`stop`. Network trouble never ends it."""
        ...

    async def stop(self) -> None: ...


@runtime_checkable
class Connecting(Protocol):
    """A :class:`StreamClient` that opens connections, which venues count per address."""

    def pace_connects(self, pool: RequestPool) -> None:
        """Ask this pool before each new connection; called before :meth:`StreamClient.run`."""
        ...

    def hold_at_most(self, count: int) -> None:
        """Pack the channels into so few connections, if they fit; called before
        :meth:`StreamClient.run`."""
        ...

    def postpone_books(self, until: Callable[[], Awaitable[None]]) -> None:
        """Wait for this before connecting for books alone; called before :meth:`StreamClient.run`."""
        ...

    @property
    def connection_count(self) -> int:
        """Connections held at once, replacements not counted."""
        ...


@runtime_checkable
class Forgetting(Protocol):
    """A :class:`StreamClient` that can stop following some instruments while it goes on with the others."""

    def forget(self, gone: Iterable[Instrument]) -> None:
        """These are listed no longer."""
        ...


@runtime_checkable
class Tappable(Protocol):
    """A :class:`StreamClient` whose raw frames can be listened to."""

    def tap(self, listener: OnFrame) -> None:
        """Call ``listener(connection, frame, ts_recv)`` for every frame of connections opened later."""
        ...
