"""Keeps a venue's stream plan alive: one lane per connection, each reconnecting by itself.

Nothing here knows a venue: the differences are a :class:`~apps.venues.dialect.Dialect`, a parser per
connection group and the books' continuity rules.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from apps.marketdata.books import BookState, BookSynchroniser, ContinuityRule
from apps.marketdata.events import (
    BookDelta,
    BookSnapshot,
    Control,
    Event,
    Liquidation,
    OptionTrade,
    Trade,
)
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.base import VenueEndpoints
from apps.venues.bookfeed import BookFeed
from apps.venues.dialect import Dialect
from apps.venues.lanes import Lane, cancel, split_into_lanes
from apps.venues.limiter import RequestPool
from apps.venues.parsing import ParseIssue, Parser, ParserStats
from apps.venues.session import Session, Wiring
from apps.venues.stream_client import (
    FetchSnapshot,
    OnEvent,
    OnFrame,
    OnState,
    StreamSpec,
    StreamState,
    StreamStatus,
)
from apps.venues.timing import NowNs, Sleep, Timing

MAX_SEEN: Final = 2_000
"""Per instrument."""


class Seen:
    """Trades and liquidations of late: each passes once, whichever connection, reconnect, backlog or
    stuttering venue brings it. Instruments live as long as their client: identity names them."""

    __slots__ = ("_forced", "_trades")

    def __init__(self) -> None:
        self._trades: dict[int, dict[str, None]] = {}
        self._forced: dict[int, dict[str, None]] = {}

    def is_repeat(self, event: Event) -> bool:
        if isinstance(event, (Trade, OptionTrade)):  # a union costs four times as much here
            return _is_known(self._trades, id(event.instrument), event.trade_id)
        if isinstance(event, Liquidation):
            return _is_known(self._forced, id(event.instrument), event.event_id)
        return False


def _is_known(memory: dict[int, dict[str, None]], key: int, name: str) -> bool:
    known = memory.get(key)
    if known is None:
        known = memory[key] = {}
    if name in known:
        return True
    if len(known) >= MAX_SEEN:
        del known[next(iter(known))]
    known[name] = None
    return False


class BaseStreamClient:
    """A venue's streaming client; see :class:`apps.venues.stream_client.StreamClient`.

    A venue adds its names, the rules of its books, its dialect and its parsers.
    """

    venue: ClassVar[str]
    connections: ClassVar[tuple[str, ...]]
    rules: ClassVar[Mapping[InstrumentKind, ContinuityRule]]
    _before_books: Callable[[], Awaitable[None]] | None = None

    def __init__(
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
        report: Callable[[ParseIssue], None] = lambda issue: None,
        sleep: Sleep = asyncio.sleep,
        timing: Timing | None = None,
    ) -> None:
        listed, plan = list(instruments), tuple(stream_plan)
        dialect, rules = self.dialect_for(endpoints, plan), self.rules
        self._seen = Seen()
        self._stats = ParserStats(self.venue, report)
        self._parsers: Mapping[str, Parser] = {
            name: self.parser_for(name, listed, self._stats) for name in self.connections
        }
        self._on_event = on_event
        self._on_state = on_state
        self._now_ns = now_ns
        self._timing = timing or Timing()
        self._wiring = Wiring(dialect, self._timing, now_ns, sleep, self._frame, self._status)
        by_listing = {(item.kind is InstrumentKind.SPOT, item.symbol): item for item in listed}
        self._book_instruments = {
            spec: by_listing[self.is_spot(spec.connection), spec.symbol]
            for spec in plan
            if spec.kind == "book" and (self.is_spot(spec.connection), spec.symbol) in by_listing
        }
        self._book_specs = {item.key: spec for spec, item in self._book_instruments.items()}
        in_stream = any(rule.snapshot_replaces for rule in rules.values())
        self._book_sessions: dict[str, Session] = {}
        """Which session each book's frames came from last, where books can be asked for anew."""
        self._feed: BookFeed | None = None
        if fetch_snapshot is not None or in_stream:
            self._feed = BookFeed(
                rules=rules,
                fetch_snapshot=fetch_snapshot,
                sleep=sleep,
                rng=rng,
                on_change=self._book_changed,
                on_snapshot=self._deliver,
                resubscribe=self._resubscribe_book,
            )
        self._snapshots_in_stream = in_stream
        self._plan, self._sleep, self._rng = plan, sleep, rng
        self.lanes = self._lanes(packed=False)
        self._connects: RequestPool | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = asyncio.Event()

    def dialect_for(self, endpoints: VenueEndpoints, plan: Sequence[StreamSpec]) -> Dialect:
        """The venue's way of speaking, for the channels of this plan."""
        raise NotImplementedError

    @staticmethod
    def parser_for(
        connection: str, instruments: Iterable[Instrument], stats: ParserStats
    ) -> Parser:
        """A parser for the frames of one connection group."""
        raise NotImplementedError

    def is_spot(self, connection: str) -> bool:
        """Whether a connection group's symbols name spot listings; the same name may be of both."""
        return connection == "spot"

    @property
    def books(self) -> Mapping[str, BookSynchroniser]:
        return self._feed.books if self._feed else {}

    @property
    def stats(self) -> ParserStats:
        return self._stats

    def tap(self, listener: OnFrame) -> None:
        """See :class:`apps.venues.stream_client.Tappable`. Costs nothing where it is not called."""
        frame, now_ns = self._wiring.on_frame, self._now_ns

        def tapped(session: Session, raw: bytes) -> None:
            listener(session.connection, raw, now_ns())
            frame(session, raw)

        self._wiring = replace(self._wiring, on_frame=tapped)

    async def run(self) -> None:
        self._tasks = [
            asyncio.create_task(lane.run(), name=f"{self.venue} {lane.connection} {index}")
            for index, lane in enumerate(self.lanes)
        ]
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            # A lane never returns: if one does, it is a defect that must be seen.
            done, _ = await asyncio.wait(
                [stopped, *self._tasks], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
        finally:
            await cancel(stopped, *self._tasks)
            if self._feed:
                await self._feed.close()

    async def stop(self) -> None:
        self._stopped.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self.lanes:
            for spec in lane.specs:
                self._status(spec, StreamStatus.STOPPED, "stopped")

    def pace_connects(self, pool: RequestPool) -> None:
        """See :class:`apps.venues.stream_client.Connecting`."""
        self._connects = pool

    def forget(self, gone: Iterable[Instrument]) -> None:
        """See :class:`apps.venues.stream_client.Forgetting`."""
        left = {(one.kind is InstrumentKind.SPOT, one.symbol): one for one in gone}
        for lane in self.lanes:
            is_spot = self.is_spot(lane.connection)
            lane.forget({one.channel for one in lane.specs if (is_spot, one.symbol) in left})
        for one in left.values():
            spec = self._book_specs.pop(one.key, None)
            if spec is not None:
                del self._book_instruments[spec]
            self._book_sessions.pop(one.key, None)
            if self._feed is not None:
                self._feed.forget(one)

    def hold_at_most(self, count: int) -> None:
        """See :class:`apps.venues.stream_client.Connecting`."""
        if len(self.lanes) > count:
            self.lanes = self._lanes(packed=True)

    def postpone_books(self, until: Callable[[], Awaitable[None]]) -> None:
        """See :class:`apps.venues.stream_client.Connecting`."""
        self._before_books = until

    @property
    def connection_count(self) -> int:
        return len(self.lanes)

    def _lanes(self, *, packed: bool) -> list[Lane]:
        dialect = self._wiring.dialect
        lanes = split_into_lanes(
            self._plan, dialect.max_channels, dialect.max_book_channels, packed=packed
        )
        return [
            Lane(self, connection, specs, timing=self._timing, sleep=self._sleep, rng=self._rng)
            for connection, specs in lanes
        ]

    # --- what lanes and sessions report ---------------------------------------------------------------

    async def may_connect(self, specs: tuple[StreamSpec, ...] = ()) -> None:
        if self._before_books is not None and specs and all(one.kind == "book" for one in specs):
            await self._before_books()
        if self._connects is not None:
            await self._connects.acquire()

    def open_session(self, connection: str, specs: tuple[StreamSpec, ...]) -> Session:
        return Session(connection, specs, self._wiring)

    def lost(self, specs: tuple[StreamSpec, ...], reason: str) -> None:
        for spec in specs:
            self._mark_book_stale(spec, reason)
            self._status(spec, StreamStatus.RECONNECTING, reason)

    def _frame(self, session: Session, raw: bytes) -> None:
        for event in self._parsers[session.connection].parse(raw, self._now_ns()):
            if isinstance(event, Control):
                self._control(session, event)
            elif not self._seen.is_repeat(event):
                if self._feed is not None:
                    if isinstance(event, BookDelta):
                        if self._snapshots_in_stream:
                            self._book_sessions[event.instrument.key] = session
                        self._feed.on_delta(event)
                    elif self._snapshots_in_stream and isinstance(event, BookSnapshot):
                        if self._is_overtaken(session, event):
                            continue
                        self._book_sessions[event.instrument.key] = session
                        self._feed.on_stream_snapshot(event)
                self._deliver(event)

    def _is_overtaken(self, session: Session, snapshot: BookSnapshot) -> bool:
        """A replacement's first book, older than the one that its predecessor still keeps."""
        book = self.books.get(snapshot.instrument.key)
        return (
            session.is_standby
            and book is not None
            and book.state is BookState.LIVE
            and snapshot.seq < book.book.last_seq
        )

    def _resubscribe_book(self, instrument: Instrument) -> None:
        session = self._book_sessions.get(instrument.key)
        spec = self._book_specs.get(instrument.key)
        if session is not None and spec is not None:
            session.resubscribe(spec.channel)

    def _control(self, session: Session, event: Control) -> None:
        if event.kind == "ack":
            session.on_ack(event.request_id, only=event.channel)
        elif event.kind == "error":
            session.on_refusal(event.request_id, event.detail, event.channel)
        elif event.kind == "serverShutdown":
            session.replace_soon.set()
        self._deliver(event)

    def _deliver(self, event: Event) -> None:
        try:
            self._on_event(event)
        except Exception as error:
            # The listener's defect must not stop the stream for everyone else; asyncio's handler
            # logs it with its traceback.
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"{self.venue}: event listener failed", "exception": error}
            )

    def _status(self, spec: StreamSpec, status: StreamStatus, reason: str) -> None:
        if status is StreamStatus.STALE:
            self._mark_book_stale(spec, reason)
        self._on_state(
            StreamState(
                self.venue,
                spec.connection,
                spec.channel,
                spec.asset,
                spec.kind,
                status,
                reason,
                self._now_ns(),
            )
        )

    def _mark_book_stale(self, spec: StreamSpec, reason: str) -> None:
        instrument = self._book_instruments.get(spec)
        if instrument is not None and self._feed:
            self._feed.mark_stale(instrument, reason)

    def _book_changed(self, book: BookSynchroniser) -> None:
        spec = self._book_specs.get(book.instrument.key)
        if spec is None or book.state is BookState.STALE:
            return
        is_live = book.state is BookState.LIVE
        self._status(spec, StreamStatus.LIVE if is_live else StreamStatus.STALE, book.reason)
