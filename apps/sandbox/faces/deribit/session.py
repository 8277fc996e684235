"""The WebSocket: JSON-RPC requests, subscriptions, heartbeats, limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from apps.sandbox.faces.deribit.channels import Channel, parse_channel
from apps.sandbox.faces.deribit.errors import RpcRefusal, invalid, raw_needs_login
from apps.sandbox.faces.deribit.limits import Bucket, Limits
from apps.sandbox.faces.deribit.rest import envelope
from apps.sandbox.faces.deribit.rpc import call
from apps.sandbox.faces.deribit.source import Source
from apps.sandbox.faces.hub import Connection, Hub
from apps.sandbox.faces.sockets import Session, SocketFace

PATH: Final = "/ws/api/v2"
MAX_CHANNELS_PER_CALL: Final = 500
MAX_CONNECTIONS: Final = 32
_LEAST_HEARTBEAT_S: Final = 10
_TEST_REQUEST: Final = b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}'
_HEARTBEAT: Final = b'{"jsonrpc":"2.0","method":"heartbeat","params":{"type":"heartbeat"}}'


@dataclass(eq=False)
class BeatingSession(Session):
    """``heartbeat_s`` is 0 until the client asks for heartbeats."""

    subscribes: Bucket
    heard_s: float
    heartbeat_s: float = 0.0
    next_beat_s: float = 0.0
    is_tested: bool = False


class WebSocketFace(SocketFace[BeatingSession]):
    """Serves the WebSocket on top of a hub. ``first_frames``: what a new reader is told at once;
    ``is_listed``: whether a channel exists."""

    watch_every_s = 0.5

    def __init__(
        self,
        hub: Hub,
        source: Source,
        limits: Limits,
        now_s: Callable[[], float],
        on_subscribed: Callable[[set[str]], None],
        first_frames: Callable[[Channel], list[bytes]],
        is_listed: Callable[[Channel], bool],
        *,
        allows_raw: bool = False,
    ) -> None:
        super().__init__(hub)
        self._source = source
        self._limits = limits
        self._now_s = now_s
        self._on_subscribed = on_subscribed
        self._first_frames = first_frames
        self._is_listed = is_listed
        self._allows_raw = allows_raw

    def register(self, app: web.Application) -> None:
        app.router.add_get(PATH, self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if len(self._sessions) >= MAX_CONNECTIONS * self._limits.multiplier:
            return web.Response(status=429)
        return await self.converse(request, self._begin)

    def _begin(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> BeatingSession:
        connection = Connection("public", False, transport)
        return BeatingSession(connection, socket, self._limits.subscribe_bucket(), self._now_s())

    async def _read(self, session: BeatingSession) -> None:
        async for message in session.socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            session.heard_s, session.is_tested = self._now_s(), False
            goes_on = self._answer(session, self.hub.heard(message.data))
            session.connection.flush()
            if not goes_on:
                await session.socket.close(code=1008, message=b"too_many_requests")

    def _answer(self, session: BeatingSession, raw: str | bytes) -> bool:
        """Whether the connection goes on."""
        began = self._now_s()
        try:
            request = orjson.loads(raw)
        except orjson.JSONDecodeError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            refusal = RpcRefusal(-32700, "Parse error")
            session.connection.send(envelope(None, began, self._now_s(), refusal=refusal))
            return True
        number, params = request.get("id"), request.get("params") or {}
        try:
            if not isinstance(params, dict):
                raise invalid("params")
            result = self._perform(session, request["method"], params)
        except RpcRefusal as refusal:
            session.connection.send(envelope(number, began, self._now_s(), refusal=refusal))
            return not refusal.closes
        first = result if isinstance(result, _Accepted) else None
        body = first.channels if first else result
        session.connection.send(envelope(number, began, self._now_s(), result=body))
        for data in first.frames if first else ():
            session.connection.send(data)
        return True

    def _perform(self, session: BeatingSession, method: str, params: dict[str, Any]) -> Any:
        name = method.removeprefix("public/")
        if name in ("subscribe", "unsubscribe", "unsubscribe_all"):
            session.subscribes.take(1.0)
            return self._subscription(session, name, params)
        self._limits.charge(name)
        if name == "set_heartbeat":
            interval = params.get("interval")
            if not isinstance(interval, int | float) or interval < _LEAST_HEARTBEAT_S:
                raise invalid("interval", "must be at least 10")
            session.heartbeat_s = float(interval)
            session.next_beat_s = self._now_s() + session.heartbeat_s
            return "ok"
        if name == "disable_heartbeat":
            session.heartbeat_s = 0.0
            return "ok"
        return call(self._source, name, params)

    def _subscription(self, session: BeatingSession, name: str, params: dict[str, Any]) -> Any:
        connection = session.connection
        if name == "unsubscribe_all":
            self.hub.unsubscribe(connection, list(connection.channels))
            return "ok"
        names = params.get("channels")
        if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise invalid("channels")
        if len(names) > MAX_CHANNELS_PER_CALL:
            raise invalid("channels", f"more than {MAX_CHANNELS_PER_CALL} channels")
        if name == "unsubscribe":
            own = [one for one in names if one in connection.channels]
            self.hub.unsubscribe(connection, own)
            return own
        return self._subscribe(connection, names)

    def _subscribe(self, connection: Connection, names: list[str]) -> _Accepted:
        parsed = [parse_channel(one) for one in names]
        if not self._allows_raw and any(one is not None and one.is_raw for one in parsed):
            raise raw_needs_login()
        # What is not known is left out of the answer without an error.
        known = [one for one in parsed if one is not None and self._is_listed(one)]
        fresh = [one for one in known if one.channel not in connection.channels]
        mute = self.hub.is_mute
        self.hub.subscribe(connection, [one.channel for one in fresh], silent=mute)
        frames: list[bytes] = []
        if not mute:
            for one in fresh:
                frames += self._first_frames(one)
            self._on_subscribed({one.channel for one in known})
        return _Accepted([one.channel for one in known], frames)

    async def look_after(self) -> None:
        """Heartbeats; cuts those who leave a test_request unanswered."""
        now = self._now_s()
        for session in list(self._sessions):
            if session.heartbeat_s and now >= session.next_beat_s:
                self._beat(session, now)

    def _beat(self, session: BeatingSession, now: float) -> None:
        if session.is_tested:
            session.connection.transport.close()
            return
        session.is_tested = now - session.heard_s >= session.heartbeat_s - 1.0
        session.connection.send(_TEST_REQUEST if session.is_tested else _HEARTBEAT)
        session.connection.flush()
        session.next_beat_s = now + session.heartbeat_s


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A subscribe answer and the frames that follow it."""

    channels: list[str]
    frames: list[bytes]
