"""The emulator process: venue faces on their ports, and the control face."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

from aiohttp import web

from apps.core.clock import ClockLine
from apps.core.logs import get_logger
from apps.sandbox.backend import Backend, ModelBackend, ReplayBackend
from apps.sandbox.config import SandboxConfig
from apps.sandbox.control import control_app
from apps.sandbox.faces.binance.limits import Limits
from apps.sandbox.faces.binance.rest import SPOT_ENDPOINTS, UM_ENDPOINTS, RestFace
from apps.sandbox.faces.binance.session import (
    LEGACY,
    MARKET,
    PUBLIC,
    SPOT,
    SPOT_RULES,
    UM_RULES,
    WebSocketFace,
)
from apps.sandbox.faults import Faults

_log = get_logger("sandbox")
_UM_PREFIXES: Final = {"/public": PUBLIC, "/market": MARKET, "": LEGACY}
_SPOT_PREFIXES: Final = {"": SPOT}
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Sandbox:
    """One emulator. ``await start()``, then it serves until ``await stop()``."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.faults = Faults(time.time, drop_connections=self._drop_connections)
        self.backend: Backend = (
            ReplayBackend(config, self.faults)
            if config.mode == "replay"
            else ModelBackend(config, self.faults)
        )
        self.limits: dict[bool, Limits] = {}
        self._rest: list[RestFace] = []
        self._sockets: list[WebSocketFace] = []
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._started_s = time.time()

    async def start(self) -> None:
        """Listen on every port and let the market run."""
        await self._open_face(self.config.binance_um_port, is_spot=False)
        await self._open_face(self.config.binance_spot_port, is_spot=True)
        for work in self.backend.work():
            self._spawn(work)
        await self._listen(control_app(self), self.config.port)
        _log.info("sandbox.started", mode=self.config.mode, urls=self.config.urls())

    async def _open_face(self, port: int, *, is_spot: bool) -> None:
        app = web.Application()
        limits = Limits(6000 if is_spot else 2400, self.config.limit_multiplier, time.time)
        self.limits[is_spot] = limits
        rest = RestFace(
            SPOT_ENDPOINTS if is_spot else UM_ENDPOINTS,
            self.backend.sources[is_spot],
            limits,
            self.faults,
        )
        rest.register(app)
        sockets = WebSocketFace(
            self.backend.hubs[is_spot],
            SPOT_RULES if is_spot else UM_RULES,
            self.faults,
            time.time,
            partial(self.backend.on_subscribed, is_spot),
        )
        sockets.register(app, _SPOT_PREFIXES if is_spot else _UM_PREFIXES)
        self._rest.append(rest)
        self._sockets.append(sockets)
        await self._listen(app, port)
        self._spawn(sockets.keep_alive())

    async def _listen(self, app: web.Application, port: int) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        await web.TCPSite(runner, self.config.host, port).start()
        self._runners.append(runner)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_report)
        self._tasks.append(task)

    async def stop(self) -> None:
        """Close every socket and port."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(one.close() for one in self._sockets)), 3.0)
        for runner in self._runners:
            await runner.cleanup()
        _log.info("sandbox.stopped")

    def clock_line(self) -> ClockLine:
        return self.backend.clock_line()

    def is_started(self) -> bool:
        return self.backend.is_started()

    def start_market(self) -> None:
        self.backend.start()

    def manifest(self) -> dict[str, Any]:
        return {"mode": self.config.mode, **self.backend.manifest(), "urls": self.config.urls()}

    def stats(self) -> dict[str, Any]:
        uptime_s = time.time() - self._started_s
        hubs = self.backend.hubs
        frames = sum(hub.frames_sent for hub in hubs.values())
        return {
            "uptime_s": round(uptime_s, 1),
            "connections": sum(len(hub.connections) for hub in hubs.values()),
            "channels": sum(len(hub.channels()) for hub in hubs.values()),
            "frames_sent": frames,
            "bytes_sent": sum(hub.bytes_sent for hub in hubs.values()),
            "rest_requests": sum(rest.requests for rest in self._rest),
            **self.backend.stats(),
        }

    def _drop_connections(self, venue: str, path: str) -> int:
        return sum(one.drop(path) for one in self._sockets) if venue == "binance" else 0


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("sandbox.task_failed", exc_info=task.exception())


async def serve(config: SandboxConfig) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    sandbox = Sandbox(config)
    try:
        await sandbox.start()
        await stopping.wait()
    finally:
        await sandbox.stop()


def run(config: SandboxConfig) -> None:
    """Entry point of the process."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(config))
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(config))
