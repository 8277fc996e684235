"""Keeps order books in step with their streams: asks for snapshots, repairs gaps, one book at a time.

A book that cannot be repaired waits by itself; the number of snapshot requests in flight is bounded, so
that a reconnect of 65 books does not spend the venue's whole request budget at once.

Where snapshots come in the stream (``ContinuityRule.snapshot_replaces``) asking means subscribing anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final

from apps.marketdata.books import BookState, BookSynchroniser, ContinuityRule, Outcome
from apps.marketdata.events import BookDelta, BookSnapshot
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.venues.backoff import Backoff
from apps.venues.errors import VenueError
from apps.venues.stream_client import FetchSnapshot
from apps.venues.timing import Sleep

SNAPSHOTS_IN_FLIGHT: Final = 4
SNAPSHOT_PATIENCE_S: Final = 5.0
"""A channel that was subscribed anew has this long to send its book."""


class BookFeed:
    """Books of one venue by ``Instrument.key``.

    ``on_change`` is called when a book changes between live, resyncing and stale; ``on_snapshot`` with
    each fetched snapshot that became a book.
    """

    def __init__(
        self,
        *,
        rules: Mapping[InstrumentKind, ContinuityRule],
        fetch_snapshot: FetchSnapshot | None,
        sleep: Sleep,
        rng: random.Random,
        on_change: Callable[[BookSynchroniser], None],
        on_snapshot: Callable[[BookSnapshot], None],
        in_flight: int = SNAPSHOTS_IN_FLIGHT,
        resubscribe: Callable[[Instrument], None] = lambda instrument: None,
    ) -> None:
        self.books: dict[str, BookSynchroniser] = {}
        self.snapshot_failures = 0
        self._by_instrument: dict[int, BookSynchroniser] = {}
        self._rules = rules
        self._fetch_snapshot = fetch_snapshot
        self._sleep = sleep
        self._rng = rng
        self._on_change = on_change
        self._on_snapshot = on_snapshot
        self._resubscribe = resubscribe
        self._arrived: dict[str, asyncio.Event] = {}
        self._slots = asyncio.Semaphore(in_flight)
        self._repairs: dict[str, asyncio.Task[None]] = {}

    def on_delta(self, delta: BookDelta) -> Outcome:
        # Instruments are few and live as long as the feed: their identity is the quickest key.
        book = self._by_instrument.get(id(delta.instrument)) or self._add(delta.instrument)
        before = book.state
        outcome = book.on_delta(delta)
        if book.state is not before:
            self._on_change(book)
        if outcome is Outcome.GAP or outcome is Outcome.NEEDS_SNAPSHOT:
            self._start_repair(book)
        return outcome

    def replaces(self, instrument: Instrument) -> bool:
        """Whether this instrument's snapshots come in its stream."""
        return self._rules[instrument.kind].snapshot_replaces

    def on_stream_snapshot(self, snapshot: BookSnapshot) -> Outcome:
        """A whole book that came in the stream; the caller delivers the event itself."""
        instrument = snapshot.instrument
        book = self._by_instrument.get(id(instrument)) or self._add(instrument)
        before = book.state
        outcome = book.on_snapshot(snapshot)
        if book.state is not before:
            self._on_change(book)
        arrived = self._arrived.get(instrument.key)
        if arrived is not None:
            arrived.set()
        if outcome is Outcome.NEEDS_SNAPSHOT:
            self._start_repair(book)
        return outcome

    def mark_stale(self, instrument: Instrument, reason: str) -> None:
        book = self.books.get(instrument.key)
        if book is None:
            return
        before = book.state
        book.mark_stale(reason)
        if book.state is not before:
            self._on_change(book)

    def forget(self, instrument: Instrument) -> None:
        """Its book is kept no longer."""
        book = self.books.pop(instrument.key, None)
        if book is not None:
            self._by_instrument.pop(id(book.instrument), None)
        repair = self._repairs.get(instrument.key)
        if repair is not None:
            repair.cancel()

    async def close(self) -> None:
        repairs = list(self._repairs.values())
        for repair in repairs:
            repair.cancel()
        await asyncio.gather(*repairs, return_exceptions=True)

    def _add(self, instrument: Instrument) -> BookSynchroniser:
        book = self.books.get(instrument.key)
        if book is None:
            book = BookSynchroniser(instrument, self._rules[instrument.kind])
            self.books[instrument.key] = book
            # Only the instrument that the book itself keeps alive may be known by identity.
            self._by_instrument[id(instrument)] = book
        return book

    def _start_repair(self, book: BookSynchroniser) -> None:
        key = book.instrument.key
        if key in self._repairs:
            return
        task = asyncio.get_running_loop().create_task(self._repair(book), name=f"book {key}")
        self._repairs[key] = task
        task.add_done_callback(lambda done: self._repairs.pop(key, None))

    async def _repair(self, book: BookSynchroniser) -> None:
        backoff = Backoff(self._rng)
        if book.rule.snapshot_replaces:
            await self._resubscribe_until_whole(book, backoff)
            return
        while book.needs_snapshot:
            wait_s = await self._try_snapshot(book, backoff)
            if wait_s:
                await self._sleep(wait_s)

    async def _resubscribe_until_whole(self, book: BookSynchroniser, backoff: Backoff) -> None:
        key = book.instrument.key
        arrived = self._arrived[key] = asyncio.Event()
        try:
            while book.needs_snapshot:
                arrived.clear()
                async with self._slots:
                    self._resubscribe(book.instrument)
                    waits = [
                        asyncio.ensure_future(arrived.wait()),
                        asyncio.ensure_future(self._sleep(SNAPSHOT_PATIENCE_S)),
                    ]
                    try:
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for wait in waits:
                            wait.cancel()
                # Also after success: a book that breaks over and over must not flood the venue.
                await self._sleep(backoff.next_s())
        finally:
            del self._arrived[key]

    async def _try_snapshot(self, book: BookSynchroniser, backoff: Backoff) -> float:
        """Seconds to wait before another try, 0 when the book has joined."""
        if self._fetch_snapshot is None:
            raise ValueError(f"{book.instrument.venue}: expected a way to fetch snapshots")
        async with self._slots:
            try:
                snapshot = await self._fetch_snapshot(book.instrument)
            except VenueError as error:
                self.snapshot_failures += 1
                return max(backoff.next_s(), error.retry_after or 0.0)
        before = book.state
        joined = book.on_snapshot(snapshot) is Outcome.APPLIED
        if joined:
            self._on_snapshot(snapshot)
        if book.state is not before:
            self._on_change(book)
        return 0.0 if joined or book.state is BookState.LIVE else backoff.next_s()
