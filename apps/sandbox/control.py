"""The control face: clock, manifest, health, statistics, faults. For our own processes and tests."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any, Protocol

import orjson
from aiohttp import web

from apps.core.clock import ClockLine
from apps.sandbox.faults import Faults, UnknownFault


class Controlled(Protocol):
    """What the control face asks of the emulator."""

    faults: Faults

    def clock_line(self) -> ClockLine: ...

    def is_started(self) -> bool: ...

    def start_market(self) -> None: ...

    def manifest(self) -> dict[str, Any]: ...

    def stats(self) -> dict[str, Any]: ...


def _json(answer: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(answer), status=status, content_type="application/json")


def _clock(sandbox: Controlled) -> dict[str, Any]:
    line = sandbox.clock_line()
    return {
        "wall_anchor_ns": line.wall_anchor_ns,
        "market_anchor_ns": line.market_anchor_ns,
        "speed": line.speed,
        "market_end_ns": line.market_end_ns,
        "started": sandbox.is_started(),
    }


def _stats(sandbox: Controlled) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        **sandbox.stats(),
        "cpu_s": round(time.process_time(), 3),
        "peak_rss_mb": round(used.ru_maxrss / 1024, 1),
    }


def control_app(sandbox: Controlled) -> web.Application:
    """Routes of the control face."""

    def reply(make: Callable[[Controlled], Any]) -> Callable[[web.Request], Any]:
        async def handle(_request: web.Request) -> web.Response:
            return _json(make(sandbox))

        return handle

    async def start(_request: web.Request) -> web.Response:
        sandbox.start_market()
        return _json(_clock(sandbox))

    async def faults(request: web.Request) -> web.Response:
        try:
            command = orjson.loads(await request.read())
        except orjson.JSONDecodeError as error:
            return _json({"error": f"expected a JSON object: {error}"}, 400)
        if not isinstance(command, dict):
            return _json({"error": "expected a JSON object"}, 400)
        try:
            return _json(sandbox.faults.apply(command))
        except UnknownFault as error:
            return _json({"error": str(error)}, 400)

    app = web.Application()
    app.router.add_get("/clock", reply(_clock))
    app.router.add_get("/manifest", reply(lambda one: one.manifest()))
    app.router.add_get("/health", reply(lambda one: {"status": "ok", "started": one.is_started()}))
    app.router.add_get("/stats", reply(_stats))
    app.router.add_post("/start", start)
    app.router.add_post("/faults", faults)
    return app
