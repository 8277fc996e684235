"""A real web process for tests, and real sockets to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from django.db import connections
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from focsal.launcher.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 15.0


def database_url(alias: str) -> str:
    """The test database, for another process."""
    one = connections[alias].settings_dict
    password = f":{quote(one['PASSWORD'], safe='')}" if one.get("PASSWORD") else ""
    return f"postgres://{one['USER']}{password}@{one['HOST']}:{one['PORT']}/{one['NAME']}"


class Web:
    """``python -m focsal.web`` on a free port."""

    def __init__(self, log: Path, environment: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self._log = log
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url("default"),
            "MARKET_DATABASE_URL": database_url("market"),
            "FOCSAL_METRICS_PORT": "0",
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def start(self) -> Web:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "focsal.web", "--port", str(self.port)],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self.process.poll() is None, self.log
                assert time.monotonic() < deadline, self.log
                time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=10)

    def terminate(self) -> None:
        assert self.process is not None
        self.process.terminate()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)

    # --- clients -------------------------------------------------------------------------------------

    @asynccontextmanager
    async def socket(
        self, key: str | None = None, path: str = "/v1/ws", **options: Any
    ) -> AsyncIterator[Socket]:
        headers = {"X-API-Key": key} if key else {}
        # A client that has stopped reading would wait ten seconds for the answer to its goodbye.
        options = {"max_queue": None, **options}
        async with connect(
            f"ws://{self.address}{path}", additional_headers=headers, proxy=None, **options
        ) as raw:
            yield Socket(raw)

    def http(self, **options: Any) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=f"http://{self.address}", timeout=TIMEOUT_S, trust_env=False, **options
        )


class Socket:
    """One WebSocket client: frames as objects."""

    def __init__(self, raw: ClientConnection) -> None:
        self.raw = raw

    async def say(self, **message: Any) -> None:
        await self.raw.send(json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(TIMEOUT_S):
            frame: dict[str, Any] = json.loads(await self.raw.recv())
            return frame

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """The next frame with these values; others are passed over."""
        while True:
            frame = await self.hear()
            if all(frame.get(name) == value for name, value in wanted.items()):
                return frame

    async def subscribe(self, channel: str, **options: Any) -> tuple[dict[str, Any], Any]:
        """The acknowledgement and the snapshot (None when resumed)."""
        await self.say(op="subscribe", channel=channel, **options)
        ack = await self.until(op="subscribed", channel=channel)
        return ack, None if ack.get("resumed") else await self.until(type="snapshot")

    async def closed(self) -> tuple[int, str]:
        """Code and reason of the close that follows; frames before it are passed over."""
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionClosed):
                async for _ in self.raw:
                    continue
            await self.raw.wait_closed()
        return self.raw.close_code or 0, self.raw.close_reason or ""
