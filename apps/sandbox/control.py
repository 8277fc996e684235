"""The control face: clock, manifest, health, statistics, faults, scenarios. For our own processes and tests.

Everything is asked under a name of this machine (``Host``), so that a web page cannot reach it by a name of
its own that points here; whatever changes something needs the token that the emulator made at its start.
"""

from __future__ import annotations

import hmac
import ipaddress
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from apps.core.clock import ClockLine
from apps.sandbox.faults import Faults, UnknownFault
from apps.sandbox.recorder import BadRecording
from apps.sandbox.scenario_commands import BadScenario

TOKEN_HEADER = "X-Sandbox-Token"  # noqa: S105 (the header's name)


class Controlled(Protocol):
    """What the control face asks of the emulator."""

    faults: Faults

    @property
    def token(self) -> str: ...

    @property
    def host(self) -> str:
        """What it listens on."""
        ...

    def clock_line(self) -> ClockLine: ...

    def is_started(self) -> bool: ...

    def start_market(self) -> None: ...

    def start_scenario(self, command: dict[str, Any]) -> dict[str, Any]:
        """Raises ``BadScenario``."""
        ...

    def scenarios(self) -> list[dict[str, Any]]: ...

    def manifest(self) -> dict[str, Any]: ...

    def recorded(self, series: str, query: Mapping[str, str]) -> dict[str, Any]:
        """Raises ``BadRecording``."""
        ...

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


def is_own_host(named: str, listens_on: str) -> bool:
    """Whether a ``Host`` header names this machine: loopback, ``localhost``, or what we listen on."""
    name = named.rpartition(":")[0] if named.rpartition(":")[2].isdigit() else named
    name = name.strip("[]").lower()
    if name in ("localhost", listens_on.lower()):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _guard(sandbox: Controlled) -> Middleware:
    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_own_host(request.headers.get("Host", ""), sandbox.host):
            return _json({"error": "expected a Host header that names this machine"}, 403)
        if request.method not in ("GET", "HEAD"):
            given = request.headers.get(TOKEN_HEADER, "")
            if not hmac.compare_digest(given.encode("utf-8", "replace"), sandbox.token.encode()):
                return _json({"error": f"expected the emulator's token in {TOKEN_HEADER}"}, 401)
        return await handler(request)

    return handle


def control_app(sandbox: Controlled) -> web.Application:
    """Routes of the control face."""

    def reply(make: Callable[[Controlled], Any]) -> Callable[[web.Request], Any]:
        async def handle(_request: web.Request) -> web.Response:
            return _json(make(sandbox))

        return handle

    def obey(carry_out: Callable[[dict[str, Any]], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            try:
                command = orjson.loads(await request.read())
            except orjson.JSONDecodeError as error:
                return _json({"error": f"expected a JSON object: {error}"}, 400)
            if not isinstance(command, dict):
                return _json({"error": "expected a JSON object"}, 400)
            try:
                return _json(carry_out(command))
            except (UnknownFault, BadScenario) as error:
                return _json({"error": str(error)}, 400)

        return handle

    async def start(_request: web.Request) -> web.Response:
        sandbox.start_market()
        return _json(_clock(sandbox))

    async def recorded(request: web.Request) -> web.Response:
        try:
            return _json(sandbox.recorded(request.match_info["series"], request.query))
        except BadRecording as error:
            return _json({"error": str(error)}, 400)

    app = web.Application(middlewares=[_guard(sandbox)])
    app.router.add_get("/clock", reply(_clock))
    app.router.add_get("/manifest", reply(lambda one: one.manifest()))
    app.router.add_get("/health", reply(lambda one: {"status": "ok", "started": one.is_started()}))
    app.router.add_get("/stats", reply(_stats))
    app.router.add_get("/faults", reply(lambda one: one.faults.in_force()))
    app.router.add_get("/scenarios", reply(lambda one: one.scenarios()))
    app.router.add_get("/recorded/{series}", recorded)
    app.router.add_post("/start", start)
    app.router.add_post("/faults", obey(sandbox.faults.apply))
    app.router.add_post("/scenarios", obey(sandbox.start_scenario))
    return app
