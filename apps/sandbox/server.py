"""The emulator process: venue faces on their ports, and the control face."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from apps.core.clock import ClockLine
from apps.core.logs import get_logger
from apps.sandbox.backend import Backend, ModelBackend, ReplayBackend
from apps.sandbox.config import SandboxConfig
from apps.sandbox.control import control_app
from apps.sandbox.faces.base import Face, Restarting
from apps.sandbox.faces.registry import FACES, VENUES, FaceKey, VenueFace, urls
from apps.sandbox.faults import Faults
from apps.sandbox.rest_faults import rest_faults
from apps.sandbox.scenario_commands import as_dict as scenario_dict

_log = get_logger("sandbox")
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Sandbox:
    """One emulator. ``await start()``, then it serves until ``await stop()``."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.token = config.token or secrets.token_urlsafe(32)
        self.faults = Faults(
            time.time,
            drop_connections=self._drop_connections,
            restart_books=self._restart_books,
            on_listings=self._listings_changed,
            venues=VENUES,
        )
        self.backend: Backend = (
            ReplayBackend(config, self.faults)
            if config.mode == "replay"
            else ModelBackend(config, self.faults)
        )
        self.faces: dict[FaceKey, Face] = {}
        self._runners: list[web.AppRunner] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._started_s = time.time()

    async def start(self) -> None:
        """Listen on every port and let the market run."""
        for face in FACES:
            await self._open_face(face)
        for work in self.backend.work():
            self._spawn(work)
        await self._listen(control_app(self), self.config.port)
        self._write_token()
        _log.info("sandbox.started", mode=self.config.mode, urls=self.urls())

    async def _open_face(self, venue_face: VenueFace) -> None:
        key = venue_face.key
        context = self.backend.context(venue_face)
        if context is None:
            _log.info("sandbox.not_recorded", venue=key.venue, connection=key.connection)
            return
        face = venue_face.factory(context)
        face.hub.venue = key.venue
        self.faces[key] = face
        self.backend.attach(key, face.hub)
        for name, app in face.ports().items():
            app.middlewares.append(rest_faults(self.faults, key.venue, context.now_ms))
            await self._listen(app, self.config.port + venue_face.ports[name])
        for work in face.work():
            self._spawn(work)

    def urls(self) -> dict[str, dict[str, object]]:
        """Of the venues that are part of this market."""
        played = {key.venue for key in self.faces}
        every = urls(self.config.host, self.config.port)
        return {venue: where for venue, where in every.items() if venue in played}

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
            await asyncio.wait_for(
                asyncio.gather(*(one.close() for one in self.faces.values())), 3.0
            )
        for runner in self._runners:
            await runner.cleanup()
        if self.config.token_file is not None:
            self.config.token_file.unlink(missing_ok=True)
        _log.info("sandbox.stopped")

    def _write_token(self) -> None:
        """Readable by our own user alone."""
        path = self.config.token_file
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w") as file:
            file.write(self.token)

    @property
    def host(self) -> str:
        return self.config.host

    def start_scenario(self, command: dict[str, Any]) -> dict[str, Any]:
        scenario = self.backend.start_scenario(command)
        _log.info("sandbox.scenario", **scenario_dict(scenario))
        return scenario_dict(scenario)

    def scenarios(self) -> list[dict[str, Any]]:
        return [scenario_dict(one) for one in self.backend.scenarios]

    def clock_line(self) -> ClockLine:
        return self.backend.clock_line()

    def is_started(self) -> bool:
        return self.backend.is_started()

    def start_market(self) -> None:
        self.backend.start()

    def manifest(self) -> dict[str, Any]:
        venues = self.urls()
        return {
            "mode": self.config.mode,
            "venues": list(venues),
            **self.backend.manifest(),
            "urls": venues,
        }

    def recorded(self, series: str, query: Mapping[str, str]) -> dict[str, Any]:
        return self.backend.recorded(series, query)

    def stats(self) -> dict[str, Any]:
        uptime_s = time.time() - self._started_s
        hubs = [face.hub for face in self.faces.values()]
        return {
            "uptime_s": round(uptime_s, 1),
            "connections": sum(len(hub.connections) for hub in hubs),
            "channels": sum(len(hub.channels()) for hub in hubs),
            "frames_sent": sum(hub.frames_sent for hub in hubs),
            "bytes_sent": sum(hub.bytes_sent for hub in hubs),
            "rest_requests": sum(face.requests for face in self.faces.values()),
            "venues": {
                ".".join(key): {
                    "connections": len(face.hub.connections),
                    "channels": len(face.hub.channels()),
                    "frames_sent": face.hub.frames_sent,
                    "rest_requests": face.requests,
                }
                for key, face in self.faces.items()
            },
            **self.backend.stats(),
        }

    def _drop_connections(self, venue: str, path: str) -> int:
        return sum(face.drop(path) for key, face in self.faces.items() if venue in ("", key.venue))

    def _restart_books(self, venue: str, symbol: str) -> int | None:
        faces = [face for key, face in self.faces.items() if key.venue == venue]
        able = [face for face in faces if isinstance(face, Restarting)]
        return sum(face.restart_books(symbol) for face in able) if able else None

    def _listings_changed(self, venue: str) -> None:
        for key, face in self.faces.items():
            if key.venue == venue:
                face.hub.listings_changed()


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
