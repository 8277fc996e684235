"""SIGTERM ends ingest within the supervisor's grace, whatever its venues do at the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.sandbox.config import SandboxConfig
from apps.sandbox.faces.registry import PORTS
from apps.sandbox.server import Sandbox
from tests.ingest.process import ingest_process
from tests.ingest.rig import FEW, until
from tests.sandbox.conftest import free_ports

pytestmark = [
    pytest.mark.django_db(databases=["default", "market"], transaction=True),
    pytest.mark.usefixtures("own_market", "threads_let_go"),
]
GRACE_S = 35.0
"""What the supervisor gives."""


@pytest.mark.parametrize("moment", ["at once", "after requests", "while streaming"])
async def test_it_ends_while_every_venue_answers_500(tmp_path: Path, moment: str) -> None:
    sandbox = Sandbox(SandboxConfig(port=free_ports(PORTS), assets=FEW, seed=11, rate=0.4))
    await sandbox.start()
    faces = list(sandbox.faces.values())
    if moment != "while streaming":
        sandbox.faults.apply({"fault": "http_status", "status": 500, "count": 1_000_000})
    try:
        async with ingest_process(tmp_path, sandbox.config.port, FEW) as ingest:

            async def is_there() -> bool:
                assert not ingest.is_over
                if moment == "while streaming":
                    return sum(len(one.hub.channels()) for one in faces) > 20
                left = sandbox.faults.rest[0].left or 0
                return left < 1_000_000 - (0 if moment == "at once" else 15)

            await until(is_there, moment)
            sandbox.faults.apply({"fault": "http_status", "status": 500, "count": 1_000_000})
            assert await ingest.end(GRACE_S) == 0
        log = (tmp_path / "ingest.log").read_text()
        assert "ingest_stopped" in log
        assert "stop_took_too_long" not in log
        assert "Traceback" not in log
    finally:
        await sandbox.stop()
