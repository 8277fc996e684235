"""The WebSocket protocol: subscribe requests and their answers, pings as messages, caps."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web

from apps.sandbox.faces.bybit.frames import DEPTHS
from apps.sandbox.faces.bybit.history import INTERVALS
from apps.sandbox.faces.hub import Connection, Hub
from apps.sandbox.faces.pacing import Recent
from apps.sandbox.faces.sockets import Session, SocketFace

PATH: Final = "linear"
SPOT: Final = "spot"
_SPOT_ARGS: Final = 10
"""In one request."""
_CONNECTIONS: Final = 1_000
"""At once, of one address on each market."""
_CONTRACTS_ONLY: Final = frozenset({"allLiquidation"})
_IDLE_S: Final = 600.0
_CONNECTS: Final = (500, 300.0)
_ARGS_CHARS: Final = 21_000
TOPICS: Final = frozenset(
    {
        "publicTrade",
        "tickers",
        "allLiquidation",
        *(f"orderbook.{depth}" for depth in DEPTHS),
        *(f"kline.{name}" for name in INTERVALS),
    }
)

FirstFrames = Callable[[str], Iterable[bytes]]
"""Hub channel → frames that bring a new reader to where the stream is."""


def prefix_of(path: str) -> str:
    """What a market's channels begin with in the hub: the same symbols trade on both."""
    return f"{SPOT}/" if path == SPOT else ""


@dataclass(eq=False)
class NamedSession(Session):
    """``active_s``: when the client last said something."""

    active_s: float
    name: str = field(default_factory=lambda: secrets.token_hex(10))


class WebSocketFace(SocketFace[NamedSession]):
    """Serves ``/v5/public/linear`` and ``spot`` on top of a hub. ``symbols``: by path. ``served``:
    further topics, in a recording. Channels of spot have a prefix in the hub."""

    def __init__(
        self,
        hub: Hub,
        symbols: Mapping[str, Iterable[str]],
        wall_s: Callable[[], float],
        multiplier: float,
        first_frames: FirstFrames,
        on_subscribed: Callable[[set[str]], None],
        served: Iterable[str] = (),
    ) -> None:
        super().__init__(hub)
        self._symbols = {path: frozenset(names) for path, names in symbols.items()}
        self._multiplier = multiplier
        self._topics = TOPICS | set(served)
        self._wall_s = wall_s
        self._first_frames = first_frames
        self._on_subscribed = on_subscribed
        most, window_s = _CONNECTS
        self._connects = Recent(most * multiplier, window_s, wall_s)

    def register(self, app: web.Application) -> None:
        for path in self._symbols:
            app.router.add_get(f"/v5/public/{path}", self._endpoint(path))

    def _endpoint(self, path: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, path)

        return handle

    async def _serve(self, request: web.Request, path: str) -> web.StreamResponse:
        held = sum(one.connection.path == path for one in self._sessions)
        if not self._connects.take() or held >= _CONNECTIONS * self._multiplier:
            return web.Response(status=403, text="access too frequent")

        def begin(socket: web.WebSocketResponse, transport: asyncio.Transport) -> NamedSession:
            return NamedSession(Connection(path, False, transport), socket, self._wall_s())

        return await self.converse(request, begin)

    # --- requests ---------------------------------------------------------------------------------

    def _answer(self, session: NamedSession, raw: str | bytes) -> None:
        session.active_s = self._wall_s()
        try:
            request = orjson.loads(raw)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict):
            self._send(session, {}, "", "error:request is not json", success=False)
            return
        op, args = request.get("op"), request.get("args")
        if op == "ping":
            self._send(session, request, "ping", "pong")
            return
        if op not in ("subscribe", "unsubscribe"):
            self._send(session, request, str(op), "error:unknown op", success=False)
            return
        if not isinstance(args, list) or not args:
            self._send(session, request, op, "error:args is empty", success=False)
            return
        problem = self._problem(session.connection, op, args)
        if problem:
            self._send(session, request, op, problem, success=False)
            return
        self._send(session, request, op, "")
        channels = [f"{prefix_of(session.connection.path)}{arg}" for arg in args]
        if op == "unsubscribe":
            self.hub.unsubscribe(session.connection, channels)
        else:
            self._subscribe(session.connection, channels)

    def _problem(self, connection: Connection, op: str, args: list[Any]) -> str:
        """Why a request is refused as a whole; empty if it is not."""
        path = connection.path
        prefix, symbols = prefix_of(path), self._symbols[path]
        topics = self._topics - _CONTRACTS_ONLY if path == SPOT else self._topics
        if path == SPOT and len(args) > _SPOT_ARGS:
            return "error:args size >10"
        for arg in args:
            topic, _, symbol = str(arg).rpartition(".")
            if topic not in topics or symbol not in symbols:
                return f"error:handler not found,topic:{arg}"
            if op == "subscribe" and f"{prefix}{arg}" in connection.channels:
                return f"error:already subscribed,topic:{arg}"
        if op == "subscribe":
            own = (name.removeprefix(prefix) for name in connection.channels)
            chars = sum(len(name) for name in (*own, *args))
            if chars > _ARGS_CHARS:
                return "error:args size exceeds 21000 characters"
        return ""

    def _subscribe(self, connection: Connection, args: list[str]) -> None:
        mute = self.hub.is_mute
        # The state as it is now, and every later change, with nothing in between.
        if not mute:
            for channel in args:
                for frame in self._first_frames(channel):
                    connection.send(frame)
        self.hub.subscribe(connection, args, silent=mute)
        if not mute:
            self._on_subscribed(set(args))

    def _send(
        self,
        session: NamedSession,
        request: dict[str, Any],
        op: str,
        msg: str,
        *,
        success: bool = True,
    ) -> None:
        answer = {
            "success": success,
            "ret_msg": msg,
            "conn_id": session.name,
            "req_id": str(request.get("req_id", "")),
            "op": op,
        }
        session.connection.send(orjson.dumps(answer))

    # --- upkeep -----------------------------------------------------------------------------------

    async def look_after(self) -> None:
        self.cut_idle()

    def cut_idle(self) -> int:
        """Cut connections whose client said nothing for ten minutes."""
        now = self._wall_s()
        idle = [one for one in self._sessions if now - one.active_s > _IDLE_S]
        for session in idle:
            session.connection.transport.close()
        return len(idle)
