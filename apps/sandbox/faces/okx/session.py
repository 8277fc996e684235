"""The WebSocket protocol: subscribe requests and their answers, text pings, caps."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import web

from apps.sandbox.faces.hub import Connection, Hub
from apps.sandbox.faces.okx.channels import (
    BUSINESS,
    NEEDS_LOGIN,
    PUBLIC,
    hub_channel,
    is_served,
)
from apps.sandbox.faces.pacing import Recent
from apps.sandbox.faces.sockets import SocketFace, TimedConnection, TimedSession, silent

_SILENCE_S: Final = 30.0
_OPS_PER_HOUR: Final = 480
_CONNECTS_PER_S: Final = 3
_CONNECTIONS_PER_CHANNEL: Final = 30
_HOUR_S: Final = 3_600.0

FirstFrames = Callable[[str], Iterable[bytes]]
"""Hub channel → frames that bring a new reader to where the stream is."""


@dataclass(eq=False)
class CountedSession(TimedSession):
    """With what the venue keeps count of."""

    name: str = field(default_factory=lambda: secrets.token_hex(4))
    ops: Recent = field(kw_only=True)


class WebSocketFace(SocketFace[CountedSession]):
    """Serves both paths on top of a hub."""

    def __init__(
        self,
        hub: Hub,
        symbols: Iterable[str],
        indices: Iterable[str],
        wall_s: Callable[[], float],
        multiplier: float,
        first_frames: FirstFrames,
        on_subscribed: Callable[[set[str]], None],
    ) -> None:
        super().__init__(hub)
        self._symbols, self._indices = set(symbols), set(indices)
        self._wall_s = wall_s
        self._multiplier = multiplier
        self._first_frames = first_frames
        self._on_subscribed = on_subscribed
        self._connects = Recent(_CONNECTS_PER_S * multiplier, 1.0, wall_s)

    def register(self, app: web.Application) -> None:
        for path in (PUBLIC, BUSINESS):
            app.router.add_get(f"/ws/v5/{path}", self._endpoint(path))

    def _endpoint(self, path: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, path)

        return handle

    async def _serve(self, request: web.Request, path: str) -> web.StreamResponse:
        if not self._connects.take():
            return web.Response(status=429, text="Too Many Requests")

        def begin(socket: web.WebSocketResponse, transport: asyncio.Transport) -> CountedSession:
            ops = Recent(_OPS_PER_HOUR * self._multiplier, _HOUR_S, self._wall_s)
            connection = TimedConnection(path, False, transport)
            return CountedSession(connection, socket, self._wall_s(), ops=ops)

        return await self.converse(request, begin)

    # --- requests ---------------------------------------------------------------------------------

    def _answer(self, session: CountedSession, raw: str | bytes) -> None:
        session.heard_s = self._wall_s()
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        if text == "ping":
            session.connection.send(b"pong")
            return
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            request = None
        args = request.get("args") if isinstance(request, dict) else None
        op = request.get("op") if isinstance(request, dict) else None
        good = isinstance(args, list) and all(isinstance(arg, dict) for arg in args)
        if op not in ("subscribe", "unsubscribe") or not args or not good:
            self._refuse(session, "60012", f"Invalid request: {text[:200]}", request)
            return
        if not session.ops.take():
            self._refuse(session, "60014", "Requests too frequent", request)
            return
        for arg in args:
            self._perform(session, op, arg, request)

    def _perform(self, session: CountedSession, op: str, arg: dict[str, Any], request: Any) -> None:
        connection, channel = session.connection, hub_channel(arg)
        if arg.get("channel") in NEEDS_LOGIN:
            self._refuse(session, "60011", "Please log in", request)
            return
        if not is_served(connection.path, arg, self._symbols, self._indices):
            named = f"channel:{arg.get('channel')},"
            named += (
                f"instId:{arg['instId']}" if "instId" in arg else f"instType:{arg.get('instType')}"
            )
            msg = (
                f"Wrong URL or {named} doesn't exist. Please use the correct URL, channel and "
                "parameters referring to API document."
            )
            self._refuse(session, "60018", msg, request)
            return
        if op == "unsubscribe":
            self.hub.unsubscribe(connection, [channel])
            self._send(session, {"event": op, "arg": arg}, request)
            return
        if self._is_crowded(connection, channel):
            self._send(
                session,
                {
                    "event": "channel-conn-count-error",
                    "channel": arg["channel"],
                    "connCount": str(_CONNECTIONS_PER_CHANNEL),
                },
                request,
            )
            return
        self._send(session, {"event": op, "arg": arg}, request)
        mute = self.hub.is_mute
        # The state as it is now, and every later change, with nothing in between.
        if not mute:
            for frame in self._first_frames(channel):
                connection.send(frame)
        self.hub.subscribe(connection, [channel], silent=mute)
        if not mute:
            self._on_subscribed({channel})

    def _is_crowded(self, connection: Connection, channel: str) -> bool:
        prefix = channel.partition(":")[0] + ":"
        others = sum(
            any(name.startswith(prefix) for name in other.channels)
            for other in self.hub.connections
            if other is not connection
        )
        return others >= _CONNECTIONS_PER_CHANNEL * self._multiplier

    def _refuse(self, session: CountedSession, code: str, msg: str, request: Any) -> None:
        self._send(session, {"event": "error", "code": code, "msg": msg}, request)

    def _send(self, session: CountedSession, answer: dict[str, Any], request: Any) -> None:
        number = request.get("id") if isinstance(request, dict) else None
        named = {} if number is None else {"id": str(number)}
        session.connection.send(orjson.dumps({**named, **answer, "connId": session.name}))

    # --- upkeep -----------------------------------------------------------------------------------

    async def look_after(self) -> None:
        self.cut_silent()

    def cut_silent(self) -> int:
        """Cut connections on which nothing was said for 30 s."""
        found = silent(self._sessions, self._wall_s(), _SILENCE_S)
        for session in found:
            session.connection.transport.close()
        return len(found)

    def announce_end(self) -> None:
        """Tell everyone that the connection will be closed for an upgrade (notice 64008)."""
        for session in self._sessions:
            msg = "The connection will soon be closed for a service upgrade. Please reconnect."
            self._send(session, {"event": "notice", "code": "64008", "msg": msg}, None)
            session.connection.flush()
