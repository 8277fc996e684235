"""ASGI entry point: streaming and the edge in front of Django."""

from __future__ import annotations

import os
from typing import Any

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from apps.core.asgi import AsciiQuery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django_application = AsciiQuery(get_asgi_application())

# Apps are loaded only now.
from apps.edge.app import EdgeApplication  # noqa: E402 - needs loaded apps
from apps.edge.lifespan import Lifespan  # noqa: E402 - needs loaded apps
from apps.edge.sockets import refuse  # noqa: E402 - needs loaded apps
from apps.stream.service import StreamService  # noqa: E402 - needs loaded apps
from apps.stream.sse import SseDoor  # noqa: E402 - needs loaded apps
from apps.stream.websocket import PATHS, WebSocketDoor  # noqa: E402 - needs loaded apps

edge = EdgeApplication(django_application)
stream = StreamService()
_socket_door = WebSocketDoor(stream)


async def sockets(scope: Any, receive: Any, send: Any) -> None:
    door = _socket_door if scope["path"] in PATHS else refuse
    await door(scope, receive, send)


application = ProtocolTypeRouter(
    {
        "http": SseDoor(stream, edge),
        "websocket": sockets,
        "lifespan": Lifespan(edge, [stream]),
    },
)
