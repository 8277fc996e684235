"""Start, stop and the addresses that are not HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from django.conf import settings as django_settings

from apps.core.clock import ClockLine, market_clock
from apps.core.redis import sync_redis
from apps.edge import lifespan
from apps.edge.app import EdgeApplication
from apps.edge.lifespan import Lifespan
from apps.marketdata.clocksync import clock_key, encode_line, sync_market_clock
from focsal.asgi import application, edge


async def _inner(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("not asked")


class Server:
    """Sends lifespan events and keeps what comes back."""

    def __init__(self) -> None:
        self.to_app: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        self.from_app: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()

    async def tell(self, event: str) -> str:
        await self.to_app.put({"type": event})
        async with asyncio.timeout(10):
            return str((await self.from_app.get())["type"])


async def _start(app: Any) -> tuple[Server, asyncio.Task[None]]:
    server = Server()
    running = asyncio.create_task(
        app({"type": "lifespan", "asgi": {}}, server.to_app.get, server.from_app.put)
    )
    assert await server.tell("lifespan.startup") == "lifespan.startup.complete"
    return server, running


async def _stop(server: Server, running: asyncio.Task[None]) -> None:
    assert await server.tell("lifespan.shutdown") == "lifespan.shutdown.complete"
    await running


async def test_the_web_process_starts_and_stops() -> None:
    before = asyncio.all_tasks()
    server, running = await _start(application)
    assert edge._pipe.is_up
    await _stop(server, running)
    assert not edge._pipe.is_up
    assert asyncio.all_tasks() == before


async def test_metrics_are_registered_only_when_served(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Any] = []
    monkeypatch.setattr(lifespan, "register", registered.append)
    for is_served in (False, True):
        monkeypatch.setattr(lifespan, "serve_metrics", lambda is_served=is_served: is_served)
        application = EdgeApplication(_inner)
        await _stop(*await _start(Lifespan(application)))
        assert registered == ([application.metrics] if is_served else [])


async def test_the_market_clock_follows_what_ingest_publishes() -> None:
    line = ClockLine(wall_anchor_ns=1, market_anchor_ns=1_680_566_400_000_000_000, speed=0.5)
    sync_redis().set(clock_key(), encode_line(line))
    sync_market_clock(force=True)
    sync_redis().delete(clock_key())
    assert market_clock.line == line
    assert django_settings.MARKET != "live"


async def test_a_websocket_is_refused_with_a_reason() -> None:
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await application({"type": "websocket", "path": "/v1/nothing", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    frame = json.loads(sent[1]["text"])
    assert (frame["op"], frame["code"]) == ("error", "not_found")
    assert sent[2]["code"] == 4404
