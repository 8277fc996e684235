"""One venue at work: its streams, its pollers and the repair of its gaps."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from apps.core.clock import NS_PER_MS
from apps.core.logs import get_logger
from apps.ingest.coverage import Coverage
from apps.ingest.doubts import Doubts
from apps.ingest.metrics import BOOK_GAPS, EVENTS, MESSAGES
from apps.ingest.polling import Pollers
from apps.ingest.positioning import PositioningPoller
from apps.ingest.repair import Repairs
from apps.ingest.retry import RestCaller
from apps.ingest.setups import VenueSetup, listed_instruments
from apps.ingest.sharding import Shard
from apps.ingest.sources import SourceTracker
from apps.ingest.state import MarketState
from apps.ingest.storage import HistoryThread, StreamWriter
from apps.ingest.troubles import Trouble, Troubles
from apps.ingest.watching import EventWatch
from apps.marketdata.books import BookSynchroniser
from apps.marketdata.events import BookSnapshot, Control, Event, MarketEvent, Trade
from apps.marketdata.instruments import Instrument, InstrumentKind
from apps.marketdata.listing_changes import Absence
from apps.marketdata.live import SourceStatus
from apps.marketdata.normalisation import LIQUIDATIONS
from apps.marketdata.watching import Watched
from apps.venues.errors import VenueError
from apps.venues.lateness import Lateness
from apps.venues.limiter import BudgetFactory, RequestPool
from apps.venues.parsing import ParseIssue
from apps.venues.rest_client import RestClient, TellsDrops
from apps.venues.stream_client import (
    Connecting,
    Forgetting,
    StreamClient,
    StreamSpec,
    StreamState,
    StreamStatus,
)

logger = get_logger(__name__)

_OUTCOMES: Final = ("ok", "control", "ignored", "unknown", "malformed")
_INSTRUMENTS_EVERY_S: Final = 24 * 3600.0
_INSTRUMENTS_AGAIN_S: Final = 30.0
_DELIVERED_S: Final = 60.0
"""By then a venue's list no longer names a contract that was delivered."""
_LIST_AGAIN_S: Final = 60.0
_SYMBOL_DOUBTS: Final = ("refused", "silent", "no data")
"""Why a channel is stale that may have lost its symbol (a book's own troubles are others)."""
_NOT_WATCHED: Final = frozenset(
    {StreamStatus.STALE, StreamStatus.RECONNECTING, StreamStatus.STOPPED}
)


async def at_once() -> None:
    """Wait for nothing."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """What the venues of one process share."""

    state: MarketState
    shard: Shard
    history: HistoryThread
    writer: StreamWriter
    now_ns: Callable[[], int]
    rng: random.Random
    on_event: Callable[[MarketEvent], None]
    on_instruments: Callable[[], None]
    on_history: Callable[[], None]
    """Stored history changed further back than readers look by themselves."""
    budgets: BudgetFactory
    lateness: Lateness
    """Of this process's event loop, in market milliseconds."""
    before_books: Callable[[], Awaitable[None]] = at_once
    """What order books, the heaviest of all streams, wait for."""

    def now_ms(self) -> int:
        return self.now_ns() // NS_PER_MS


class VenueRunner:
    """Keeps one venue's data flowing until cancelled."""

    def __init__(self, setup: VenueSetup, place: Workplace) -> None:
        self.setup = setup
        self.venue = setup.adapter.venue
        self.instruments: list[Instrument] = []
        self.ids: dict[str, int] = {}
        self.tracker = SourceTracker(
            self.venue, place.now_ms(), setup.adapter.poll_s, place.lateness.since
        )
        self.caller = RestCaller(self.tracker, place.now_ms, place.rng)
        self.rest: RestClient = setup.adapter.rest_client(
            endpoints=setup.endpoints,
            now_ns=place.now_ns,
            rate_multiplier=setup.rate_multiplier,
            budgets=place.budgets,
        )
        self._place = place
        self.repairs = Repairs(self, place)
        self.loaded = asyncio.Event()
        """Set once the instruments are known and stored."""
        self._doubts = Doubts(self.tracker, place.now_ms, self._coverages)
        self._client: StreamClient | None = None
        self._trade_channels: dict[tuple[str, str], str] = {}
        feed = LIQUIDATIONS.get(self.venue)
        self._liquidations = EventWatch(feed.carried_by if feed is not None else ())
        self._troubles = Troubles()
        self._list_again = asyncio.Event()
        """A channel fell silent or was refused: its symbol may be gone."""
        self._events = EVENTS.labels(self.venue)

    @property
    def books(self) -> Mapping[str, BookSynchroniser]:
        return self._client.books if self._client is not None else {}

    @property
    def listed(self) -> list[tuple[Instrument, int]]:
        return [(one, self.ids[one.key]) for one in self.instruments]

    def _coverages(self) -> list[Coverage]:
        listings = self._place.state.listings
        return [listings[one.key].coverage for one in self.instruments]

    def status(self) -> SourceStatus:
        return self.tracker.status(self._place.now_ms())

    # --- start ---------------------------------------------------------------------------------------

    async def load_instruments(self) -> None:
        """Ask the venue what it lists, store it, and follow it."""
        place = self._place
        assets = place.shard.assets
        found = await self._ask_instruments(assets)
        synced = await place.history.sync_instruments(
            self.venue, found, assets, place.now_ms(), self._dropped()
        )
        self.ids = synced.ids
        self.instruments = found
        place.state.set_instruments(found, self.ids)
        place.on_instruments()
        self.loaded.set()
        logger.info(
            "instruments", venue=self.venue, listed=len(found),
            missing={one.asset: one.reason for one in synced.absences},
        )  # fmt: skip
        for change in synced.changes:
            logger.warning(
                "listing_changed", venue=self.venue, change=change.kind.value,
                symbol=change.instrument.symbol, asset=change.instrument.asset, detail=change.detail,
            )  # fmt: skip

    def _dropped(self) -> list[Absence]:
        """What the venue's own list said of assets that are not followed."""
        if not isinstance(self.rest, TellsDrops):
            return []
        return [Absence(one.asset, one.symbol, one.reason) for one in self.rest.dropped()]

    async def _ask_instruments(self, assets: frozenset[str]) -> list[Instrument]:
        while True:
            try:
                return await self.caller.until_answered(
                    lambda: listed_instruments(self.setup, self.rest, assets)
                )
            except VenueError as error:
                logger.error("instruments_unreadable", venue=self.venue, error=str(error))
                await asyncio.sleep(_INSTRUMENTS_AGAIN_S)

    async def run(self) -> None:
        """Stream and poll; the stream is opened anew when the instrument list has changed."""
        async with asyncio.TaskGroup() as group:
            if self.setup.has_history:
                pollers = self._pollers()
                group.create_task(pollers.open_interest())
                group.create_task(pollers.marks())
                group.create_task(self._positioning().run())
                group.create_task(self.repairs.run())
            while True:
                streaming = group.create_task(self._stream())
                await self._until_new_instruments()
                if self._client is not None:
                    await self._client.stop()
                await streaming

    def _pollers(self) -> Pollers:
        place = self._place
        return Pollers(
            venue=self.venue,
            rest=self.rest,
            caller=self.caller,
            state=place.state,
            instruments=lambda: self.instruments,
            now_ms=place.now_ms,
            rng=place.rng,
            poll_s=self.setup.adapter.poll_s,
        )

    def _positioning(self) -> PositioningPoller:
        place = self._place
        return PositioningPoller(
            series=self.setup.adapter.offer.positioning,
            rest=self.rest,
            caller=self.caller,
            instruments=lambda: self.instruments,
            ids=lambda: self.ids,
            store=place.writer.add,
            origin=place.state.origin,
            now_ms=place.now_ms,
        )

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.stop()

    async def close(self) -> None:
        self._log(self._troubles.rest())
        await self.rest.close()

    async def _stream(self) -> None:
        place = self._place
        plan = self.setup.plan(self.instruments)
        self._trade_channels = self._watch(plan)
        self._liquidations.plan(plan, self.instruments)
        self._client = self.setup.adapter.stream_client(
            endpoints=self.setup.endpoints,
            instruments=self.instruments,
            stream_plan=plan,
            on_event=self._on_event,
            on_state=self._on_state,
            now_ns=place.now_ns,
            rng=place.rng,
            fetch_snapshot=self._fetch_book,
            report=self._on_issue,
        )
        self._bound_connections(self._client)
        await self._client.run()

    async def _fetch_book(self, instrument: Instrument) -> BookSnapshot:
        """Refusals are named and backed off like those of every other call."""
        return await self.caller.once(lambda: self.rest.book_snapshot(instrument))

    def _bound_connections(self, client: StreamClient) -> None:
        """New connections in the venue's pace, over all processes of this address."""
        if not isinstance(client, Connecting):
            return
        offer, place = self.setup.adapter.offer, self._place
        client.postpone_books(place.before_books)
        count, window_s = offer.connects
        client.pace_connects(
            RequestPool(
                count * self.setup.rate_multiplier,
                window_s,
                monotonic=time.monotonic,
                sleep=asyncio.sleep,
                name=f"{self.venue}:connects",
                budgets=place.budgets,
            )
        )
        if offer.max_connections is None:
            return
        # All shards are behind one address: each has its part.
        client.hold_at_most(max(1, offer.max_connections // place.shard.count))
        held = client.connection_count * place.shard.count
        if held > offer.max_connections:
            logger.error(
                "too_many_connections", venue=self.venue, shards=place.shard.count,
                each=client.connection_count, allowed=offer.max_connections,
            )  # fmt: skip

    def _watch(self, plan: list[StreamSpec]) -> dict[tuple[str, str], str]:
        """(connection, channel) of every trade stream → key of its instrument."""
        by_listing = {(one.kind, one.symbol.upper()): one.key for one in self.instruments}
        channels: dict[tuple[str, str], str] = {}
        for spec in plan:
            # By contract the connection named "spot" carries spot pairs, all others derivatives.
            is_spot = spec.connection == "spot"
            kind = InstrumentKind.SPOT if is_spot else InstrumentKind.PERP
            key = by_listing.get((kind, spec.symbol.upper()))
            if spec.kind == "trade" and key is not None:
                channels[spec.connection, spec.channel] = key
        return channels

    async def _until_new_instruments(self) -> None:
        """What is delisted is let go of while everything else streams on."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._until_next_list_s()):
                    await self._list_again.wait()
            before = set(self.instruments)
            await self.load_instruments()
            now = set(self.instruments)
            if now - before or not isinstance(self._client, Forgetting):
                if now != before:
                    return
            elif before - now:
                self._client.forget(before - now)
            await asyncio.sleep(_LIST_AGAIN_S)
            self._list_again.clear()

    def _until_next_list_s(self) -> float:
        """A day, or until a contract has been delivered: another may be listed in its place."""
        now_ms = self._place.now_ms()
        left_ms = [one.expiry_ms - now_ms for one in self.instruments if one.expiry_ms is not None]
        soonest_s = min((left / 1000 for left in left_ms if left > 0), default=_INSTRUMENTS_EVERY_S)
        return min(_INSTRUMENTS_EVERY_S, soonest_s + _DELIVERED_S)

    # --- what the stream says --------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Control):
            return
        self._events.inc()
        now_ms = event.ts_recv // NS_PER_MS
        self._doubts.heard(now_ms)
        self.tracker.heard(now_ms)
        if type(event) is Trade:
            self.tracker.told(event.ts_event // NS_PER_MS, now_ms)
        self._place.state.apply(event)
        self._place.on_event(event)

    def _on_state(self, state: StreamState) -> None:
        self.tracker.on_state(state)
        self._troubles.add(state)
        if state.status is StreamStatus.STALE and state.reason.startswith(_SYMBOL_DOUBTS):
            self._list_again.set()
        self._follow_liquidations(state)
        key = self._trade_channels.get((state.connection, state.channel))
        listing = self._place.state.listings.get(key) if key is not None else None
        if listing is None:
            return
        if state.status is StreamStatus.LIVE:
            listing.coverage.live(state.ts // NS_PER_MS)
            listing.state.stream_status = "live"
        elif state.status in _NOT_WATCHED:
            # What came before the last trade was heard; nothing is certain after it.
            listing.coverage.down(listing.heard_ms)
            listing.state.stream_status = "stale"
        listing.is_dirty = True

    def _follow_liquidations(self, state: StreamState) -> None:
        for key in self._liquidations.on_state(state):
            listing = self._place.state.listings.get(key)
            if listing is not None:
                listing.state.liquidations_since_ms = self._liquidations.since_ms(key)
                listing.is_dirty = True

    def liquidations_watched(self, now_ms: int) -> list[Watched]:
        """When liquidations were listened to: spans that ended since the last call, and open ones."""
        return [
            Watched(self.ids[span.key], span.since_ms, span.until_ms)
            for span in self._liquidations.take_spans(now_ms)
            if span.key in self.ids
        ]

    def _log(self, troubles: list[Trouble]) -> None:
        for one in troubles:
            logger.info(
                "stream_trouble", venue=self.venue, connection=one.connection,
                status=one.status.value, reason=one.reason, channels=one.count,
                named=list(one.named),
            )  # fmt: skip

    def _on_issue(self, issue: ParseIssue) -> None:
        logger.warning(
            "wire_message_unusable", venue=issue.venue, outcome=issue.outcome.value,
            kind=issue.kind, reason=issue.reason, sample=issue.sample,
        )  # fmt: skip

    def update_metrics(self) -> None:
        self._log(self._troubles.due(self._place.now_ms()))
        if self._client is None:
            return
        stats = self._client.stats
        self._doubts.look(stats.malformed.total())
        for outcome in _OUTCOMES:
            MESSAGES.labels(self.venue, outcome).set(getattr(stats, outcome).total())
        BOOK_GAPS.labels(self.venue).set(sum(book.gap_count for book in self.books.values()))
