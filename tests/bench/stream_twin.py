"""The fan-out that Channels itself offers: one group, one consumer per socket, Redis pub/sub between."""

from __future__ import annotations

import argparse
import os
from typing import Any, Final

import django
import uvicorn
from django.conf import settings

GROUP: Final = "bench"


def layers(url: str) -> dict[str, Any]:
    return {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [url]},
        }
    }


def application() -> Any:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "focsal.settings")
    django.setup()
    settings.CHANNEL_LAYERS = layers(settings.REDIS_EDGE_URL)
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter

    class Fan(AsyncWebsocketConsumer):  # type: ignore[misc]  # untyped library
        async def connect(self) -> None:
            await self.channel_layer.group_add(GROUP, self.channel_name)
            await self.accept()

        async def event(self, message: dict[str, Any]) -> None:
            await self.send(text_data=message["text"])

    return ProtocolTypeRouter({"websocket": Fan.as_asgi()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(
        application(), host="127.0.0.1", port=parser.parse_args().port, loop="uvloop",
        http="httptools", log_level="warning", ws_per_message_deflate=False, ws_ping_interval=None,
    )  # fmt: skip
