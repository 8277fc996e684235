"""What every venue adapter offers. Pure: no Django, no settings, no clock, no global state.

An adapter is a folder with the same files everywhere: ``wire`` (message shapes), ``parse`` (bytes in,
events out), ``symbols`` (instruments), ``stream`` (WebSocket client), ``rest`` (HTTP client). Its
``adapter.py`` joins them in one :class:`VenueAdapter`, listed in :mod:`apps.venues.registry`.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable

from apps.marketdata.books import BookSynchroniser, ContinuityRule
from apps.marketdata.events import (
    BookSnapshot,
    Candle,
    Event,
    FundingRate,
    MarkPrice,
    OpenInterest,
    PositioningRatio,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.offer import Offer as Offer
from apps.venues.offer import Reach as Reach

if TYPE_CHECKING:
    from apps.venues.limiter import BudgetFactory, RequestPool

SAMPLE_BYTES: Final = 300
"""How much of an offending message goes into the log."""

MAX_ISSUE_KINDS: Final = 64
"""Kinds come from the wire; a hostile or broken peer must not fill memory or the log with them."""

ALL_ASSETS: Final = "*"
"""Asset of a channel that carries every symbol of the venue."""


# --- parsing ---------------------------------------------------------------------------------------


class ParseOutcome(StrEnum):
    """What became of one wire message; every message has exactly one outcome."""

    OK = "ok"
    CONTROL = "control"
    """Acks, errors, pongs: no market data."""
    IGNORED = "ignored"
    """Well formed, but outside of what FOCSAL covers: a foreign symbol, a print that is no trade."""
    UNKNOWN = "unknown"
    """A message type, or a value of an enumeration, that the adapter does not know."""
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class ParseIssue:
    """The first unknown or malformed message of its kind; ``sample`` is its truncated beginning."""

    venue: str
    outcome: ParseOutcome
    kind: str
    reason: str
    sample: str


@dataclass(slots=True)
class ParserStats:
    """Messages per kind, by what became of them; in an array frame every element is a message.

    Each unknown or malformed kind is reported once, with a sample.
    """

    venue: str
    report: Callable[[ParseIssue], None] = lambda issue: None
    ok: Counter[str] = field(default_factory=Counter)
    control: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)

    def issue(self, outcome: ParseOutcome, kind: str, reason: str, raw: bytes) -> None:
        """Count an unknown or malformed message and report the first of its kind."""
        counter = self.unknown if outcome is ParseOutcome.UNKNOWN else self.malformed
        if len(counter) >= MAX_ISSUE_KINDS and kind not in counter:
            kind = "other"
        counter[kind] += 1
        if counter[kind] == 1:
            sample = raw[:SAMPLE_BYTES].decode("utf-8", "backslashreplace")
            self.report(ParseIssue(self.venue, outcome, kind, reason, sample))

    @property
    def messages(self) -> int:
        counters = (self.ok, self.control, self.ignored, self.unknown, self.malformed)
        return sum(counter.total() for counter in counters)


class Parser(Protocol):
    """Bytes of one connection in, events out. Never raises; keeps no market state."""

    @property
    def stats(self) -> ParserStats: ...

    def parse(self, raw: bytes, ts_recv: int) -> list[Event]:
        """Events of one frame; ``ts_recv`` in ns. Empty for ignored, unknown and malformed frames."""
        ...


# --- streaming -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VenueEndpoints:
    """Scheme, host and port (and base path, if any): all that differs between live and emulator."""

    rest: str
    ws: str
    spot_rest: str | None = None
    spot_ws: str | None = None


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
Sleep: TypeAlias = Callable[[float], Awaitable[None]]
NowNs: TypeAlias = Callable[[], int]


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


# --- REST ------------------------------------------------------------------------------------------


class VenueError(Exception):
    """A venue's REST answer that is no answer. The caller backs off for ``retry_after`` seconds."""

    def __init__(
        self,
        venue: str,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{venue}: {detail}")
        self.venue = venue
        self.detail = detail
        self.status = status
        self.retry_after = retry_after


class VenueThrottled(VenueError):
    """Too many requests (429), or an IP ban (418): stop asking for ``retry_after`` seconds."""


class VenueRefused(VenueError):
    """The venue does not serve us here (403, 451): the operator must act."""


class VenueUnavailable(VenueError):
    """5xx, time-out or no connection: try again later."""


class VenueBadRequest(VenueError):
    """Another 4xx: the request is wrong, repeating it does not help."""


class VenueBadAnswer(VenueError):
    """The body is not what the venue documents."""


class RestClient(Protocol):
    """Public REST data of one venue. Raises :class:`VenueError`; times in ms since the epoch, UTC."""

    async def instruments(self) -> list[Instrument]: ...

    async def funding_intervals(self) -> dict[str, float]:
        """Hours per venue symbol. A symbol that is absent has the venue's default interval."""
        ...

    async def funding_history(
        self, instrument: Instrument, start_ms: int, end_ms: int
    ) -> list[FundingRate]:
        """Settled rates with ``start_ms`` ≤ settlement < ``end_ms``, oldest first."""
        ...

    async def open_interest(self, instrument: Instrument) -> OpenInterest: ...

    async def open_interest_history(
        self, instrument: Instrument, period_s: int, start_ms: int, end_ms: int
    ) -> list[OpenInterest]: ...

    async def candles(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[Candle]:
        """Bars that open in [``start_ms``, ``end_ms``), oldest first; the last may be unfinished."""
        ...

    async def positioning(
        self, instrument: Instrument, series: str, period_s: int, start_ms: int, end_ms: int
    ) -> list[PositioningRatio]: ...

    async def book_snapshot(self, instrument: Instrument) -> BookSnapshot: ...

    async def mark_prices(self) -> list[MarkPrice | FundingRate]:
        """Mark price and predicted funding of every instrument, in as few calls as possible."""
        ...

    async def close(self) -> None: ...


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
class ListsOpenInterest(Protocol):
    """A :class:`RestClient` whose venue has an all-in-one call: ingest then never asks one by one."""

    async def open_interests(self) -> list[OpenInterest]:
        """Open interest of every perpetual that we cover, in as few calls as possible."""
        ...


@runtime_checkable
class GivesMarkHistory(Protocol):
    """A :class:`RestClient` whose venue keeps past mark prices and indices."""

    async def mark_history(
        self, instrument: Instrument, interval_s: int, start_ms: int, end_ms: int
    ) -> list[MarkPrice]:
        """Mark and index at the close of every interval that opens in [``start_ms``, ``end_ms``)."""
        ...


@runtime_checkable
class GivesBookBodies(Protocol):
    """A :class:`RestClient` whose order books begin with a REST answer: recordings need its bytes."""

    async def book_body(self, instrument: Instrument) -> bytes: ...


@runtime_checkable
class Tappable(Protocol):
    """A :class:`StreamClient` whose raw frames can be listened to."""

    def tap(self, listener: OnFrame) -> None:
        """Call ``listener(connection, frame, ts_recv)`` for every frame of connections opened later."""
        ...


class Drop(Protocol):
    """A listing of an asset of ours that a venue's list names but that is not followed."""

    @property
    def asset(self) -> str: ...
    @property
    def symbol(self) -> str | None:
        """None: the list does not name the asset at all."""
        ...

    @property
    def reason(self) -> str: ...


@runtime_checkable
class TellsDrops(Protocol):
    """A :class:`RestClient` that says what its last ``instruments()`` left out, and why."""

    def dropped(self) -> Sequence[Drop]: ...


# --- the adapter -----------------------------------------------------------------------------------


class StreamClientFactory(Protocol):
    def __call__(
        self,
        *,
        endpoints: VenueEndpoints,
        instruments: Iterable[Instrument],
        stream_plan: Iterable[StreamSpec],
        on_event: OnEvent,
        on_state: OnState,
        now_ns: NowNs,
        rng: random.Random,
        fetch_snapshot: FetchSnapshot | None = None,
        report: Callable[[ParseIssue], None] = ...,
    ) -> StreamClient: ...


class RestClientFactory(Protocol):
    def __call__(
        self,
        *,
        endpoints: VenueEndpoints,
        now_ns: NowNs,
        rate_multiplier: float = 1.0,
        budgets: BudgetFactory | None = None,
    ) -> RestClient:
        """``budgets`` keeps the client's request pools where processes share them; None: its own."""
        ...


@dataclass(frozen=True, slots=True)
class VenueAdapter:
    """One venue, complete. Differences between venues are data here, never ``if venue ==`` elsewhere."""

    venue: str
    connections: tuple[str, ...]
    """Connection groups of the venue's WebSocket, the values of ``StreamSpec.connection``."""
    endpoints: VenueEndpoints
    """The venue's own addresses; sandbox and replay put the emulator's in their place."""
    book_rules: Mapping[InstrumentKind, ContinuityRule]
    default_funding_interval_h: float | None
    """What a symbol has whose interval the venue does not name; None: then it is not known."""
    make_parser: Callable[[str, Iterable[Instrument], ParserStats], Parser]
    """(connection, instruments, stats) → parser for that connection's frames."""
    stream_plan: Callable[[Iterable[Instrument]], list[StreamSpec]]
    stream_client: StreamClientFactory
    rest_client: RestClientFactory
    offer: Offer = field(default_factory=Offer)
    poll_s: float | None = None
    """Seconds between two polls of a venue that has no stream here; None: it is streamed."""
