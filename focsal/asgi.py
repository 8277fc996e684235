"""ASGI entry point: the edge in front of Django for HTTP, a polite refusal for WebSocket."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

from apps.core.asgi import AsciiQuery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
django_application = AsciiQuery(get_asgi_application())

# Apps are loaded only now.
from apps.edge.app import EdgeApplication  # noqa: E402 - needs loaded apps
from apps.edge.lifespan import Lifespan  # noqa: E402 - needs loaded apps
from apps.edge.sockets import refuse  # noqa: E402 - needs loaded apps

edge = EdgeApplication(django_application)
application = ProtocolTypeRouter(
    {"http": edge, "websocket": refuse, "lifespan": Lifespan(edge)},
)
