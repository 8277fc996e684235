"""Emulator and ingest in one loop, on real PostgreSQL and Redis, for tests that cause faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from asgiref.sync import sync_to_async

from apps.core.clock import market_clock
from apps.ingest.emulator import Emulator
from apps.ingest.service import IngestConfig, IngestService
from apps.ingest.sharding import Shard
from apps.ingest.venue import VenueRunner
from apps.marketdata import selectors
from apps.marketdata.books import BookState
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveState
from apps.sandbox.config import SandboxConfig
from apps.sandbox.faces.registry import PORTS, VENUES
from apps.sandbox.server import Sandbox
from apps.venues.registry import ADAPTERS
from apps.venues.streaming import BaseStreamClient
from tests.sandbox.conftest import free_ports

FEW = ("BTC", "AAVE")
"""One asset that is everywhere, and one to tell whether the others are left alone."""
PATIENCE_S = 400.0
"""Only what hangs needs so long, however busy the machine: tests wait for what happens, not for clocks."""
STOP_S = 35.0
"""The grace that a supervisor gives; a process that needs longer is a defect."""


@dataclass(frozen=True, slots=True)
class Few(Shard):
    """All of a small market."""

    names: tuple[str, ...] = FEW

    @property
    def assets(self) -> frozenset[str]:
        return frozenset(self.names)


@dataclass(frozen=True, slots=True)
class Counts:
    """What has happened since the start: gaps by book, all else by venue."""

    gaps: dict[str, int]
    reconnects: dict[str, int]
    malformed: dict[str, int]
    events: dict[str, int]


@dataclass
class Rig:
    """Emulator and ingest; ``seen`` are the venues that ``meta.sources`` ever called ill."""

    sandbox: Sandbox
    service: IngestService
    seen: set[str] = field(default_factory=set)
    _well_since_ms: int | None = None

    def cause(self, name: str, **values: object) -> None:
        self.sandbox.faults.apply({"fault": name, **values})

    def symbol(self, venue: str, asset: str = "BTC") -> str:
        return self.state(venue, asset).symbol

    def state(self, venue: str, asset: str = "BTC", kind: str = "perp") -> LiveState:
        """As ingest holds it."""
        return next(
            one.state
            for one in self.service.state.listings.values()
            if (one.state.venue, one.state.asset, one.state.kind) == (venue, asset, kind)
        )

    def venue(self, name: str) -> VenueRunner:
        return next(one for one in self.service.venues if one.venue == name)

    def counts(self) -> Counts:
        gaps: dict[str, int] = {}
        reconnects: dict[str, int] = {}
        malformed: dict[str, int] = {}
        events: dict[str, int] = {}
        for one in self.service.venues:
            client = one._client
            assert isinstance(client, BaseStreamClient)
            gaps |= {key: book.gap_count for key, book in one.books.items()}
            reconnects[one.venue] = sum(lane.reconnects for lane in client.lanes)
            malformed[one.venue] = client.stats.malformed.total()
            events[one.venue] = client.stats.ok.total()
        return Counts(gaps, reconnects, malformed, events)

    async def board(self) -> dict[str, LiveState]:
        """As Redis holds it."""
        board = await sync_to_async(selectors.live_board)()
        return dict(board.states)

    async def book_states(self) -> dict[tuple[str, str], str | None]:
        return {
            (one.venue, one.asset): one.book_state
            for one in (await self.board()).values()
            if one.kind == InstrumentKind.PERP
        }

    async def sources(self) -> dict[str, tuple[str, str]]:
        found = await sync_to_async(selectors.source_statuses)()
        self.seen |= {name for name, one in found.items() if one.status != "ok"}
        return {name: (one.status, one.detail) for name, one in found.items()}

    def is_well_inside(self) -> bool:
        """Every book that should be there is live, and nothing is wrong with any venue."""
        return all(
            one.status().status == "ok"
            and isinstance(one._client, BaseStreamClient)
            and one._client._book_specs.keys() <= one.books.keys()
            and all(book.state is BookState.LIVE for book in one.books.values())
            for one in self.service.venues
        )

    async def is_well(self) -> bool:
        """Also as others are told: by words that were said after it was so."""
        if not self.is_well_inside():
            self._well_since_ms = None
            return False
        if self._well_since_ms is None:
            self._well_since_ms = market_clock.now_ms()
        found = await sync_to_async(selectors.source_statuses)()
        if any((one.last_ok_ms or 0) < self._well_since_ms for one in found.values()):
            return False
        told, books = await self.sources(), await self.book_states()
        is_so = (
            set(told) == set(VENUES)
            and all(status == "ok" for status, _ in told.values())
            and {venue for venue, asset in books if asset == "BTC"} == set(VENUES)
            and all(state == "live" for state in books.values())
        )
        if is_so:
            self._well_since_ms = None
        return is_so


async def until(
    check: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE_S
) -> float:
    """Seconds that it took."""
    begin = time.monotonic()
    while not await check():
        assert time.monotonic() - begin < seconds, what
        await asyncio.sleep(0.2)
    return time.monotonic() - begin


@asynccontextmanager
async def running(
    folder: Path,
    assets: tuple[str, ...] = FEW,
    history_days: int = 1,
    rate: float = 0.4,
    prepare: Callable[[Sandbox], None] = lambda _sandbox: None,
) -> AsyncIterator[Rig]:
    """A slow market of few assets and little history, unless a test needs more: the loop is for its
    faults. ``prepare`` meets the emulator before anybody has asked it."""
    port = free_ports(PORTS)
    sandbox = Sandbox(SandboxConfig(port=port, assets=assets, seed=11, rate=rate))
    prepare(sandbox)
    await sandbox.start()
    service = IngestService(
        IngestConfig(
            market="sandbox",
            shard=Few(names=assets),
            spool_dir=folder,
            emulator=Emulator("127.0.0.1", port),
            adapters=tuple(ADAPTERS.values()),
            seed=1,
            history_days=history_days,
        )
    )
    task = asyncio.create_task(service.run())
    rig = Rig(sandbox, service)

    async def is_up() -> bool:
        if task.done():
            # It says why by itself.
            task.result()
        return await rig.is_well()

    try:
        await until(is_up, "all is well")
        rig.seen.clear()
        yield rig
    finally:
        service.stop()
        _, late = await asyncio.wait([task], timeout=STOP_S)
        stuck = [str(one) for one in asyncio.all_tasks()] if late else []
        await sandbox.stop()
        assert not stuck, stuck
