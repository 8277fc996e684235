"""Emulator and ingest in one loop, on real PostgreSQL and Redis, for tests that cause faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from asgiref.sync import sync_to_async

from apps.ingest.emulator import Emulator
from apps.ingest.service import IngestConfig, IngestService
from apps.ingest.sharding import Shard
from apps.marketdata import selectors
from apps.marketdata.instruments import InstrumentKind
from apps.marketdata.live import LiveState
from apps.sandbox.config import SandboxConfig
from apps.sandbox.faces.registry import PORTS, VENUES
from apps.sandbox.server import Sandbox
from apps.venues.registry import ADAPTERS
from tests.sandbox.conftest import free_ports

SHARD = next(shard for shard in (Shard(i, 20) for i in range(20)) if "BTC" in shard.assets)


@dataclass
class Rig:
    """Emulator and ingest; ``seen`` are the venues that ``meta.sources`` ever called ill."""

    sandbox: Sandbox
    service: IngestService
    seen: set[str] = field(default_factory=set)

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

    async def is_well(self) -> bool:
        told, books = await self.sources(), await self.book_states()
        return (
            set(told) == set(VENUES)
            and all(status == "ok" for status, _ in told.values())
            and {venue for venue, asset in books if asset == "BTC"} == set(VENUES)
            and all(state == "live" for state in books.values())
        )


async def until(check: Callable[[], Awaitable[bool]], what: str, seconds: float = 60.0) -> float:
    """Seconds that it took."""
    begin = time.monotonic()
    while not await check():
        assert time.monotonic() - begin < seconds, what
        await asyncio.sleep(0.05)
    return time.monotonic() - begin


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rig]:
    port = free_ports(PORTS)
    sandbox = Sandbox(SandboxConfig(port=port, assets=tuple(sorted(SHARD.assets)), seed=11))
    await sandbox.start()
    service = IngestService(
        IngestConfig(
            market="sandbox",
            shard=SHARD,
            spool_dir=folder,
            emulator=Emulator("127.0.0.1", port),
            adapters=tuple(ADAPTERS.values()),
            seed=1,
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
        await until(is_up, "all is well", 90)
        rig.seen.clear()
        yield rig
    finally:
        service.stop()
        await asyncio.gather(task, return_exceptions=True)
        await sandbox.stop()
