"""A face of one port: a REST part, a WebSocket part, and publishers that push into their hub."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from aiohttp import web

from apps.sandbox.faces.hub import Hub
from apps.sandbox.faces.publishing import TickingPublisher
from apps.sandbox.faces.sockets import SocketFace


class RestPart(Protocol):
    requests: int
    """Answered or refused so far."""

    def register(self, app: web.Application) -> None: ...


_Publisher = TypeVar("_Publisher", bound=TickingPublisher)


class OnePortFace(Generic[_Publisher]):
    """See :class:`apps.sandbox.faces.base.Face`; a venue makes the parts. In a replay nothing publishes."""

    port: str = "main"
    hub: Hub
    rest: RestPart
    sockets: SocketFace[Any]
    _publisher: _Publisher | None = None

    @property
    def requests(self) -> int:
        return self.rest.requests

    def ports(self) -> Mapping[str, web.Application]:
        app = web.Application()
        self.rest.register(app)
        self.sockets.register(app)
        return {self.port: app}

    def publishers(self) -> Sequence[_Publisher]:
        return [self._publisher] if self._publisher else []

    def work(self) -> list[Coroutine[Any, Any, None]]:
        return [*(one.run() for one in self.publishers()), self.sockets.keep_alive()]

    def drop(self, path: str) -> int:
        return self.sockets.drop(path)

    async def close(self) -> None:
        await self.sockets.close()
