"""kill -9 of real ingest under load, and a start after it: the stored history has no hole and no double."""

from __future__ import annotations

from pathlib import Path

import pytest
from asgiref.sync import sync_to_async

from apps.marketdata import selectors
from apps.sandbox.config import SandboxConfig
from apps.sandbox.faces.registry import PORTS, VENUES
from apps.sandbox.server import Sandbox
from tests.ingest.process import ingest_process
from tests.ingest.rig import FEW, until
from tests.ingest.truth import MINUTE_MS, differences_in_the_end, until_second
from tests.sandbox.conftest import free_ports

pytestmark = [
    pytest.mark.quiet,
    pytest.mark.django_db(databases=["default", "market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]


async def test_history_is_continuous_over_kills(tmp_path: Path) -> None:
    sandbox = Sandbox(SandboxConfig(port=free_ports(PORTS), assets=FEW, seed=11, rate=3.0))
    await sandbox.start()
    killed = 0
    first_ms = 0
    try:
        for second in (20, 45):
            async with ingest_process(tmp_path, sandbox.config.port, FEW) as ingest:
                await until(all_live, "every book is live")
                first_ms = first_ms or await until_second(1)
                last_ms = await until_second(second)
                assert not ingest.is_over
                await ingest.kill()
                killed += 1
        async with ingest_process(tmp_path, sandbox.config.port, FEW):
            await until(all_live, "every book is live again")
            # The minutes of both kills, and the one after.
            last_ms += 2 * MINUTE_MS
            assert await differences_in_the_end(sandbox, first_ms, last_ms) == {}
        assert killed == 2
    finally:
        await sandbox.stop()


async def all_live() -> bool:
    board = await sync_to_async(selectors.live_board)()
    sources = await sync_to_async(selectors.source_statuses)()
    books = {one.venue for one in board.states.values() if one.book_state == "live"}
    return books == set(VENUES) == {name for name, one in sources.items() if one.status == "ok"}
