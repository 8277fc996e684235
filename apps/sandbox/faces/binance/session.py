"""The WebSocket protocol: paths, subscribe requests and their answers, pings, caps and life span."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from apps.sandbox.faces.hub import Connection, Hub
from apps.sandbox.faces.pacing import Recent
from apps.sandbox.faces.sockets import Session, SocketFace

PUBLIC: Final = "public"
MARKET: Final = "market"
SPOT: Final = "spot"
LEGACY: Final = "legacy"
_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_POLICY_VIOLATION: Final = 1008


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What the venue allows a connection; times in seconds."""

    ping_every_s: float
    pong_within_s: float
    messages_per_s: int
    max_streams: int = 1024
    life_s: float = 86_400.0
    connects: tuple[int, float] = (300, 300.0)
    """New connections of one address in so many seconds."""


UM_RULES: Final = SessionRules(ping_every_s=180.0, pong_within_s=600.0, messages_per_s=10)
SPOT_RULES: Final = SessionRules(ping_every_s=20.0, pong_within_s=60.0, messages_per_s=5)


def is_book_channel(channel: str) -> bool:
    return "@depth" in channel or "bookticker" in channel.lower()


def is_served(path: str, channel: str) -> bool:
    """Books only on /public, everything else only on /market; the old paths serve nothing (VENUES 0.1)."""
    if path == SPOT:
        return True
    return path == (PUBLIC if is_book_channel(channel) else MARKET)


@dataclass(eq=False)
class CountedSession(Session):
    """With what the venue keeps count of. ``listed``: streams that the address names."""

    listed: list[str]
    opened_s: float
    last_pong_s: float
    next_ping_s: float
    second: int = 0
    messages: int = 0
    seen: set[str] = field(default_factory=set)


class WebSocketFace(SocketFace[CountedSession]):
    """Serves one host's WebSocket paths on top of a hub. ``prefixes``: URL prefix → path name, for example
    ``{"/public": "public", "": "legacy"}``."""

    def __init__(
        self,
        hub: Hub,
        rules: SessionRules,
        now_s: Callable[[], float],
        prefixes: Mapping[str, str],
        on_subscribed: Callable[[set[str]], None] = lambda _channels: None,
        multiplier: float = 1.0,
    ) -> None:
        super().__init__(hub)
        self._rules = rules
        self._prefixes = prefixes
        self._now_s = now_s
        self._on_subscribed = on_subscribed
        most, window_s = rules.connects
        self._connects = Recent(most * multiplier, window_s, now_s)

    def register(self, app: web.Application) -> None:
        for prefix, path in self._prefixes.items():
            app.router.add_get(f"{prefix}/ws", self._endpoint(path, combined=False))
            app.router.add_get(f"{prefix}/ws/{{streams:.+}}", self._endpoint(path, combined=False))
            app.router.add_get(f"{prefix}/stream", self._endpoint(path, combined=True))

    def _endpoint(self, path: str, *, combined: bool) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._serve(request, path, combined)

        return handle

    async def _serve(self, request: web.Request, path: str, combined: bool) -> web.StreamResponse:
        if not self._connects.take():
            return web.Response(status=429, text="Too many requests")
        listed = request.match_info.get("streams") or request.query.get("streams", "")
        names = [name for name in listed.split("/") if name]

        def begin(socket: web.WebSocketResponse, transport: asyncio.Transport) -> CountedSession:
            now = self._now_s()
            connection, ping_s = Connection(path, combined, transport), self._rules.ping_every_s
            return CountedSession(connection, socket, names, now, now, now + ping_s)

        return await self.converse(request, begin, autoping=False)

    async def _read(self, session: CountedSession) -> None:
        self._subscribe(session, session.listed)
        async for message in session.socket:
            if message.type is WSMsgType.PING:
                await session.socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                session.last_pong_s = self._now_s()
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                if self._is_flooding(session):
                    await session.socket.close(code=_POLICY_VIOLATION, message=b"Too many requests")
                    return
                self._answer(session, self.hub.heard(message.data))
                session.connection.flush()

    def _is_flooding(self, session: CountedSession) -> bool:
        second = int(self._now_s())
        if second != session.second:
            session.second, session.messages = second, 0
        session.messages += 1
        return session.messages > self._rules.messages_per_s

    def _answer(self, session: CountedSession, raw: str | bytes) -> None:
        connection = session.connection
        try:
            request = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            connection.send(_error(3, f"Invalid JSON: {error}", None))
            return
        problem = _problem(request)
        if problem is not None:
            number = request.get("id") if isinstance(request, dict) else None
            connection.send(_error(2, f"Invalid request: {problem}", number))
            return
        result = self._perform(session, request["method"], request.get("params", []))
        if isinstance(result, VenueRefusal):
            connection.send(_error(2, f"Invalid request: {result}", request.get("id")))
        else:
            connection.send(orjson.dumps({"result": result, "id": request.get("id")}))

    def _perform(self, session: CountedSession, method: str, names: list[Any]) -> Any:
        connection = session.connection
        if method == "LIST_SUBSCRIPTIONS":
            return sorted(connection.channels)
        if method == "GET_PROPERTY":
            return connection.combined
        if method == "SET_PROPERTY":
            if len(names) == 2 and names[0] == "combined" and isinstance(names[1], bool):
                connection.combined = names[1]
                return None
            return VenueRefusal("expected property `combined` and a boolean")
        if method == "UNSUBSCRIBE":
            self.hub.unsubscribe(connection, names)
            return None
        if len(connection.channels | set(names)) > self._rules.max_streams:
            return VenueRefusal(f"more than {self._rules.max_streams} streams on one connection")
        self._subscribe(session, names)
        return None

    def _subscribe(self, session: CountedSession, names: list[str]) -> None:
        if not names:
            return
        path = session.connection.path
        mute = self.hub.is_mute
        served = [name for name in names if not mute and is_served(path, name)]
        self.hub.subscribe(session.connection, served, silent=False)
        self.hub.subscribe(session.connection, set(names) - set(served), silent=True)
        self._on_subscribed(set(served))

    async def look_after(self) -> None:
        """Ping, and cut those that do not answer or have lived a day."""
        rules, now = self._rules, self._now_s()
        for session in list(self._sessions):
            silent = now - session.last_pong_s > rules.ping_every_s + rules.pong_within_s
            if silent or now - session.opened_s > rules.life_s:
                session.connection.transport.close()
            elif now >= session.next_ping_s:
                session.next_ping_s = now + rules.ping_every_s
                await session.socket.ping(str(int(now * 1000)).encode())

    def announce_end(self) -> None:
        """Spot tells its clients before it closes their connections."""
        data = b'{"e":"serverShutdown","E":%d}' % int(self._now_s() * 1000)
        for session in self._sessions:
            if session.connection.path == SPOT:
                session.connection.send(data)
                session.connection.flush()


class VenueRefusal(str):
    """A request that is understood but not carried out."""

    __slots__ = ()


def _problem(request: Any) -> str | None:
    """Why a request is refused, in the venue's words, or None."""
    if not isinstance(request, dict):
        return "expected a map"
    method = request.get("method")
    if method is None:
        return "missing field `method`"
    if method not in _METHODS:
        allowed = ", ".join(f"`{name}`" for name in _METHODS)
        return f"unknown variant `{method}`, expected one of {allowed}"
    number = request.get("id")
    if number is not None and not isinstance(number, int | str):
        return "request ID must be an unsigned integer"
    names = request.get("params", [])
    if not isinstance(names, list):
        return "params must be a list"
    if method.endswith("SUBSCRIBE") and not all(isinstance(name, str) and name for name in names):
        return "stream names must be strings"
    return None


def _error(code: int, msg: str, number: Any) -> bytes:
    return orjson.dumps({"error": {"code": code, "msg": msg}, "id": number})
