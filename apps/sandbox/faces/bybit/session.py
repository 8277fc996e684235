"""The WebSocket protocol: subscribe requests and their answers, pings as messages, caps."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from apps.sandbox.faces.bybit.frames import DEPTHS
from apps.sandbox.faces.bybit.history import INTERVALS
from apps.sandbox.faces.hub import Connection, Hub
from apps.sandbox.faces.pacing import Recent

PATH: Final = "linear"
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


@dataclass(eq=False)
class Session:
    """One client's connection; times in wall seconds."""

    connection: Connection
    socket: web.WebSocketResponse
    active_s: float
    name: str = field(default_factory=lambda: secrets.token_hex(10))


class WebSocketFace:
    """Serves ``/v5/public/linear`` on top of a hub. ``served``: further topics, in a recording."""

    def __init__(
        self,
        hub: Hub,
        symbols: Iterable[str],
        wall_s: Callable[[], float],
        multiplier: float,
        first_frames: FirstFrames,
        on_subscribed: Callable[[set[str]], None],
        served: Iterable[str] = (),
    ) -> None:
        self.hub = hub
        self._symbols = set(symbols)
        self._topics = TOPICS | set(served)
        self._wall_s = wall_s
        self._first_frames = first_frames
        self._on_subscribed = on_subscribed
        self._sessions: set[Session] = set()
        most, window_s = _CONNECTS
        self._connects = Recent(most * multiplier, window_s, wall_s)

    def register(self, app: web.Application) -> None:
        app.router.add_get(f"/v5/public/{PATH}", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if not self._connects.take():
            return web.Response(status=403, text="access too frequent")
        socket = web.WebSocketResponse(autoping=True, compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        connection = Connection(PATH, False, transport)
        session = Session(connection, socket, self._wall_s())
        self.hub.add(connection)
        self._sessions.add(session)
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    session.active_s = self._wall_s()
                    self._answer(session, self.hub.heard(message.data))
                    connection.flush()
        finally:
            self._sessions.discard(session)
            self.hub.remove(connection)
        return socket

    # --- requests ---------------------------------------------------------------------------------

    def _answer(self, session: Session, raw: str | bytes) -> None:
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
        if op == "unsubscribe":
            self.hub.unsubscribe(session.connection, args)
        else:
            self._subscribe(session.connection, args)

    def _problem(self, connection: Connection, op: str, args: list[Any]) -> str:
        """Why a request is refused as a whole; empty if it is not."""
        for arg in args:
            topic, _, symbol = str(arg).rpartition(".")
            if topic not in self._topics or symbol not in self._symbols:
                return f"error:handler not found,topic:{arg}"
            if op == "subscribe" and arg in connection.channels:
                return f"error:already subscribed,topic:{arg}"
        if op == "subscribe":
            chars = sum(len(name) for name in (*connection.channels, *args))
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
        self, session: Session, request: dict[str, Any], op: str, msg: str, *, success: bool = True
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

    async def keep_alive(self) -> None:
        """Cut connections whose client said nothing for ten minutes. Runs until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self.cut_idle()

    def cut_idle(self) -> int:
        now = self._wall_s()
        idle = [one for one in self._sessions if now - one.active_s > _IDLE_S]
        for session in idle:
            session.connection.transport.close()
        return len(idle)

    def drop(self, path: str) -> int:
        """Cut the connections on a path without a goodbye ("" for all of them)."""
        chosen = [one for one in self.hub.connections if path in ("", one.path)]
        for connection in chosen:
            connection.transport.abort()
        return len(chosen)

    async def close(self) -> None:
        for session in list(self._sessions):
            await session.socket.close(code=1001, message=b"server shutdown")
