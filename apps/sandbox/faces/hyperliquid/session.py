"""The WebSocket protocol: subscriptions one by one, pings, caps, and the 60 s rule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import orjson
from aiohttp import web

from apps.sandbox.faces.hub import Connection, Hub
from apps.sandbox.faces.hyperliquid.limits import MAX_CONNECTIONS, MAX_SUBSCRIPTIONS, Limits
from apps.sandbox.faces.hyperliquid.names import channel_name
from apps.sandbox.faces.sockets import SocketFace, TimedConnection, TimedSession, silent
from apps.sandbox.market.listing import Listing

PATH: Final = "ws"
SILENCE_S: Final = 60.0
PONG: Final = b'{"channel":"pong"}'


class WebSocketFace(SocketFace[TimedSession]):
    """Serves ``/ws`` on top of a hub. ``first_frames``: what a subscriber of a channel is sent at once."""

    def __init__(
        self,
        hub: Hub,
        coins: dict[str, Listing],
        limits: Limits,
        now_s: Callable[[], float],
        on_subscribed: Callable[[set[str]], None],
        first_frames: Callable[[str], list[bytes]],
    ) -> None:
        super().__init__(hub)
        self._coins = coins
        self._limits = limits
        self._now_s = now_s
        self._on_subscribed = on_subscribed
        self._first_frames = first_frames

    def register(self, app: web.Application) -> None:
        app.router.add_get("/ws", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if len(self._sessions) >= MAX_CONNECTIONS or not self._limits.connects.take(1):
            return web.Response(status=429, text="Too many websocket connections")
        return await self.converse(request, self._begin)

    def _begin(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> TimedSession:
        connection = TimedConnection(PATH, False, transport, has_sent=True)
        return TimedSession(connection, socket, self._now_s())

    def _answer(self, session: TimedSession, raw: str | bytes) -> None:
        connection = session.connection
        if not self._limits.messages.take(1):
            connection.send(_error("Cannot send more than 2000 messages per minute"))
            return
        try:
            request = orjson.loads(raw)
        except orjson.JSONDecodeError:
            request = None
        method = request.get("method") if isinstance(request, dict) else None
        asked = request.get("subscription") if isinstance(request, dict) else None
        if method == "ping":
            connection.send(PONG)
        elif method in ("subscribe", "unsubscribe") and isinstance(asked, dict):
            self._subscription(connection, method, asked)
        else:
            text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
            shown = text[:200]
            connection.send(_error(f"Error parsing JSON into valid websocket request: {shown}"))

    def _subscription(self, connection: Connection, method: str, asked: dict[str, Any]) -> None:
        shown = orjson.dumps(asked).decode()
        name = channel_name(asked, self._coins)
        if name is None:
            connection.send(_error(f"Invalid subscription {shown}"))
            return
        is_there = name in connection.channels
        if method == "unsubscribe":
            if not is_there:
                connection.send(_error(f"Already unsubscribed: {shown}"))
                return
            self.hub.unsubscribe(connection, [name])
            connection.send(_ack(method, asked))
            return
        if is_there:
            connection.send(_error(f"Already subscribed: {shown}"))
            return
        if sum(len(one.channels) for one in self.hub.connections) >= MAX_SUBSCRIPTIONS:
            connection.send(_error("Cannot track more than 1000 total subscriptions"))
            return
        self._subscribe(connection, name, asked)

    def _subscribe(self, connection: Connection, name: str, asked: dict[str, Any]) -> None:
        mute = self.hub.is_mute
        self.hub.subscribe(connection, [name], silent=mute)
        connection.send(_ack("subscribe", asked))
        if not mute:
            for payload in self._first_frames(name):
                connection.send(payload)
            self._on_subscribed({name})

    async def look_after(self) -> None:
        """Close connections that nothing was sent to for a minute."""
        for session in silent(self._sessions, self._now_s(), SILENCE_S):
            await session.socket.close(code=1000, message=b"Inactive")


def _ack(method: str, asked: dict[str, Any]) -> bytes:
    echo = dict(asked)
    if asked.get("type") == "l2Book":
        echo = {"nSigFigs": None, "mantissa": None, **asked}
    return orjson.dumps(
        {"channel": "subscriptionResponse", "data": {"method": method, "subscription": echo}}
    )


def _error(text: str) -> bytes:
    return orjson.dumps({"channel": "error", "data": text})
