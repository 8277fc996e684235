"""What the WebSockets of all faces have in common: sessions, from the upgrade to the last goodbye."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from aiohttp import WSMsgType, web

from apps.sandbox.faces.hub import Connection, Hub


@dataclass(eq=False, slots=True)
class TimedConnection(Connection):
    """Knows whether it has carried anything since somebody looked: some venues cut silent ones."""

    has_sent: bool = False

    def send(self, payload: bytes) -> None:
        self.has_sent = True
        # Without arguments super() does not work in a class with slots that a decorator made anew.
        Connection.send(self, payload)


@dataclass(eq=False)
class Session:
    """One client's connection; a venue adds what it keeps count of. Times in wall seconds."""

    connection: Connection
    socket: web.WebSocketResponse


@dataclass(eq=False)
class TimedSession(Session):
    """Of a venue that cuts silent connections. ``heard_s``: when something was last said on it."""

    connection: TimedConnection
    heard_s: float


_Session = TypeVar("_Session", bound=Session)
_Timed = TypeVar("_Timed", bound=TimedSession)


class SocketFace(ABC, Generic[_Session]):
    """Holds the sessions of one application on top of a hub; a venue answers what is asked."""

    watch_every_s: ClassVar[float] = 1.0

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._sessions: set[_Session] = set()

    @abstractmethod
    def register(self, app: web.Application) -> None:
        """Add the paths that are upgraded."""

    async def converse(
        self,
        request: web.Request,
        begin: Callable[[web.WebSocketResponse, asyncio.Transport], _Session],
        *,
        autoping: bool = True,
    ) -> web.WebSocketResponse:
        """Upgrade, and answer until the client or the venue ends it."""
        socket = web.WebSocketResponse(autoping=autoping, compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        transport = request.transport
        if transport is None:
            return socket
        session = begin(socket, transport)
        self.hub.add(session.connection)
        self._sessions.add(session)
        try:
            await self._read(session)
        finally:
            self._sessions.discard(session)
            self.hub.remove(session.connection)
        return socket

    async def _read(self, session: _Session) -> None:
        async for message in session.socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self._answer(session, self.hub.heard(message.data))
                session.connection.flush()

    @abstractmethod
    def _answer(self, session: _Session, raw: str | bytes) -> object:
        """Do what a message asks for, and say so."""

    async def keep_alive(self) -> None:
        """Look after the connections. Runs until cancelled."""
        while True:
            await asyncio.sleep(self.watch_every_s)
            await self.look_after()

    @abstractmethod
    async def look_after(self) -> None:
        """Ping, and cut those that the venue would cut."""

    def drop(self, path: str) -> int:
        """Cut the connections on a path without a goodbye ("" for all of them)."""
        chosen = [one for one in self.hub.connections if path in ("", one.path)]
        for connection in chosen:
            connection.transport.abort()
        return len(chosen)

    def announce_end(self) -> None:
        """Tell clients that their connections will be closed, where the venue does."""

    async def close(self) -> None:
        self.announce_end()
        for session in list(self._sessions):
            await session.socket.close(code=1001, message=b"server shutdown")


def silent(sessions: Iterable[_Timed], now_s: float, allowed_s: float) -> list[_Timed]:
    """Those on which nothing was said for longer than that, in either direction that counts."""
    found = []
    for session in sessions:
        if session.connection.has_sent:
            session.connection.has_sent = False
            session.heard_s = now_s
        elif now_s - session.heard_s > allowed_s:
            found.append(session)
    return found
